//! Shares that keep clusters within their capacities: clients beyond a cluster's capacity go to the next one in their own
//! order that has room.
//!
//! A cluster's own clients come first: it takes guests only into the room that its own leave. When all clusters together
//! have too little, all are loaded in proportion to their capacities, because refusing is no choice a nameserver has, and
//! toppling one cluster after another would be worse.
//!
//! Everything follows from what clients would like ([`Group`]), never from what they were answered, so shares do not
//! influence what they are computed from, and cannot swing by themselves.

use super::share::{Share, quantum};
use std::collections::BTreeMap;

/// Distinct orders looked at; what is lighter is treated as the heaviest order that begins with the same cluster.
pub const GROUPS_MAX: usize = 1024;
/// Enough for shares to settle where clusters send their overflow to one another.
const ROUNDS: usize = 256;
/// A change of shares that ends the search for better ones.
const SETTLED: f64 = 1e-6;
/// What a cluster may exceed its capacity by before a share falls, and a share must gain to rise: parts of 65 536.
const BAND: u16 = 1311;
/// What a share may rise by in one turn.
const RISE: u16 = 8192;

/// Clients who have the same fit clusters in the same order.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Questions per second.
    pub rate: f64,
    /// Fit clusters, best first, each once, as indexes into the capacities.
    pub order: Vec<u16>,
}

/// A share for each cluster. `capacities`: questions per second; `None`: no limit.
pub fn spill(groups: &[Group], capacities: &[Option<f64>]) -> Vec<Share> {
    let groups = merged(groups, capacities.len());
    let limits = in_proportion(&groups, capacities);
    let mut home = vec![0.0; limits.len()];
    for group in &groups {
        add(&mut home, group.order.first(), group.rate);
    }
    let kept: Vec<f64> = home.iter().zip(&limits).map(|(home, limit)| fraction(*limit, *home)).collect();
    let room: Vec<f64> = home.iter().zip(&limits).map(|(home, limit)| (limit - home).max(0.0)).collect();
    let guests = guests(&groups, &kept, &room);
    let share = |(kept, guests): (&f64, &f64)| Share { home: quantum(*kept), guests: quantum(*guests) };
    kept.iter().zip(&guests).map(share).collect()
}

/// What each cluster gets per second with these shares.
pub fn loads(groups: &[Group], shares: &[Share]) -> Vec<f64> {
    let part = |part: u16| if part == u16::MAX { 1.0 } else { f64::from(part) / 65536.0 };
    let mut loads = vec![0.0; shares.len()];
    for group in groups {
        let mut left = group.rate;
        for (at, cluster) in group.order.iter().enumerate() {
            let Some(share) = shares.get(usize::from(*cluster)) else { continue };
            let taken = left * part(if at == 0 { share.home } else { share.guests });
            add(&mut loads, Some(cluster), taken);
            left -= taken;
        }
        add(&mut loads, group.order.first(), left);
    }
    loads
}

/// From one turn to the next: falls at once, rises slowly, and ignores what is too small to matter. A turn is a second.
pub fn follow(before: Share, wanted: Share) -> Share {
    let part = |before: u16, wanted: u16| {
        if wanted < before {
            return if before - wanted > BAND || wanted == 0 { wanted } else { before };
        }
        let gain = wanted - before;
        if gain > BAND || wanted == u16::MAX { before + gain.min(RISE) } else { before }
    };
    Share { home: part(before.home, wanted.home), guests: part(before.guests, wanted.guests) }
}

fn add(sums: &mut [f64], at: Option<&u16>, rate: f64) {
    if let Some(sum) = at.and_then(|at| sums.get_mut(usize::from(*at))) {
        *sum += rate;
    }
}

/// `limit / load`, at most 1; no load is no reason to refuse anybody.
fn fraction(limit: f64, load: f64) -> f64 {
    if load <= limit { 1.0 } else { limit / load }
}

/// One group per order, the heaviest ones.
fn merged(groups: &[Group], clusters: usize) -> Vec<Group> {
    let mut by_order: BTreeMap<&[u16], f64> = BTreeMap::new();
    let sound = |group: &&Group| {
        let known = group.order.iter().all(|cluster| usize::from(*cluster) < clusters);
        known && !group.order.is_empty() && group.rate.is_finite() && group.rate > 0.0
    };
    for group in groups.iter().filter(sound) {
        *by_order.entry(&group.order).or_default() += group.rate;
    }
    let mut merged: Vec<Group> =
        by_order.into_iter().map(|(order, rate)| Group { rate, order: order.to_vec() }).collect();
    merged.sort_by(|a, b| b.rate.total_cmp(&a.rate).then_with(|| a.order.cmp(&b.order)));
    for light in merged.split_off(merged.len().min(GROUPS_MAX)) {
        match merged.iter_mut().find(|heavy| heavy.order.first() == light.order.first()) {
            Some(heavy) => heavy.rate += light.rate,
            None => merged.push(light),
        }
    }
    merged
}

/// Capacities, raised in the same proportion within each set of clusters that share clients and have too little together.
fn in_proportion(groups: &[Group], capacities: &[Option<f64>]) -> Vec<f64> {
    let mut set: Vec<usize> = (0..capacities.len()).collect();
    for group in groups {
        let sets: Vec<usize> = group.order.iter().filter_map(|at| set.get(usize::from(*at)).copied()).collect();
        let Some(least) = sets.iter().min().copied() else { continue };
        set.iter_mut().filter(|own| sets.contains(own)).for_each(|own| *own = least);
    }
    let mut sums: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    for (at, capacity) in capacities.iter().enumerate() {
        let sum = sums.entry(set.get(at).copied().unwrap_or(at)).or_default();
        sum.1 += capacity.unwrap_or(f64::INFINITY);
    }
    for group in groups {
        let of = group.order.first().and_then(|at| set.get(usize::from(*at)));
        if let Some(sum) = of.and_then(|of| sums.get_mut(of)) {
            sum.0 += group.rate;
        }
    }
    let factor = |at: usize| match set.get(at).and_then(|set| sums.get(set)) {
        Some((demand, capacity)) if demand > capacity && *capacity > 0.0 => demand / capacity,
        _ => 1.0,
    };
    let raised = capacities.iter().enumerate().map(|(at, one)| one.map_or(f64::INFINITY, |one| one * factor(at)));
    raised.collect()
}

/// Parts of the arriving guests that clusters have room for. Less at one cluster means more at the next, so they are
/// lowered together until nothing is too full: the largest parts for which that holds.
fn guests(groups: &[Group], kept: &[f64], room: &[f64]) -> Vec<f64> {
    let mut parts: Vec<f64> = room.iter().map(|room| if *room > 0.0 { 1.0 } else { 0.0 }).collect();
    for _ in 0..ROUNDS {
        let mut arriving = vec![0.0; room.len()];
        for group in groups {
            let Some((first, others)) = group.order.split_first() else { continue };
            let mut left = group.rate * (1.0 - kept.get(usize::from(*first)).copied().unwrap_or(1.0));
            for other in others {
                add(&mut arriving, Some(other), left);
                left *= 1.0 - parts.get(usize::from(*other)).copied().unwrap_or(0.0);
            }
        }
        let mut moved: f64 = 0.0;
        for ((part, arriving), room) in parts.iter_mut().zip(&arriving).zip(room) {
            let fits = fraction(*room, *arriving).min(*part);
            moved = moved.max(*part - fits);
            *part = fits;
        }
        if moved < SETTLED {
            break;
        }
    }
    parts
}

#[cfg(test)]
mod tests;
