//! Keeps clusters within their capacities: once a second, from rates, verdicts and the plan to a share per cluster.
//!
//! A capacity is in answers per second because that is what nameservers can count and what an operator can compare with a
//! cluster's load: requests never pass here. It holds for all nameservers together. Each tells the others how much its
//! clients like each cluster, and computes the shares of all from the sum, so that a client gets the same answer from
//! every nameserver. A fixed part of each capacity per nameserver was rejected: clients of a region use the nameserver next
//! to them, and would be sent away while their cluster is half empty.

use crate::demand::Meter;
use crate::state::Serving;
use std::collections::BTreeMap;
use waggle_dns::Route;
use waggle_model::ClusterName;
use waggle_model::health::judge::Judgement;
use waggle_model::plan::PlanCluster;
use waggle_model::routing::spill::{Group, follow, spill};
use waggle_model::routing::{ClientKey, Share, weighted};

/// Orders that stand for all those in which clients are spread over clusters by weight.
const SAMPLES: u64 = 4;

/// Shares of clusters that do not take everybody.
#[derive(Debug, Default)]
pub struct Spill {
    shares: BTreeMap<ClusterName, Share>,
    demand: BTreeMap<ClusterName, f64>,
}

impl Spill {
    pub fn share(&self, cluster: &ClusterName) -> Share {
        self.shares.get(cluster).copied().unwrap_or_default()
    }

    /// Questions per second by favourite cluster, for other nameservers; empty if no cluster has a capacity.
    pub fn demand(&self) -> &BTreeMap<ClusterName, f64> {
        &self.demand
    }

    /// One second later.
    pub fn turn(
        &mut self,
        clusters: &BTreeMap<ClusterName, PlanCluster>,
        serving: &Serving,
        meter: &Meter,
        judgement: &Judgement,
        elsewhere: &BTreeMap<ClusterName, f64>,
    ) {
        if clusters.values().all(|cluster| cluster.capacity.is_none()) {
            *self = Spill::default();
            return;
        }
        let mut work = Work { numbers: clusters.keys().zip(0..).collect(), groups: Vec::new() };
        for (name, metered) in meter.routes() {
            let (Some((_, route)), Some(judged)) = (serving.snapshot.route(name), judgement.routes.get(name)) else {
                continue;
            };
            for (order, rate) in metered.orders.iter().zip(&metered.asked).filter(|(_, rate)| **rate > 0.0) {
                work.add(route, &order.placed, judged.mask & route.full_mask(), *rate);
            }
        }
        self.demand = work.favourites();
        work.add_elsewhere(&self.demand, elsewhere, serving, judgement);
        let capacities: Vec<_> = clusters.values().map(|cluster| cluster.capacity.map(f64::from)).collect();
        let wanted = spill(&work.groups, &capacities);
        let next = clusters.keys().zip(wanted).map(|(cluster, wanted)| (cluster, follow(self.share(cluster), wanted)));
        self.shares = next.filter(|(_, share)| !share.is_full()).map(|(name, share)| (name.clone(), share)).collect();
    }
}

/// Clients in groups by the order of their fit clusters, which are positions in the plan.
struct Work<'a> {
    numbers: BTreeMap<&'a ClusterName, u16>,
    groups: Vec<Group>,
}

impl Work<'_> {
    fn add(&mut self, route: &Route, placed: &[u8], mask: u64, rate: f64) {
        let fit = |bit: &u8| mask & 1 << (bit & 63) != 0;
        let front: Vec<u8> = placed.iter().copied().filter(fit).collect();
        let others: Vec<u8> = (0..route.pool().len() as u8).filter(|bit| fit(bit) && !placed.contains(bit)).collect();
        if others.len() < 2 {
            self.push(route, &[front, others].concat(), rate);
        } else if front.is_empty() {
            let weight = |bit: u8| route.candidates().get(usize::from(bit)).map_or(0.0, |one| f64::from(one.weight()));
            let total: f64 = others.iter().map(|bit| weight(*bit)).sum();
            for first in others.iter().filter(|_| total > 0.0) {
                let rest: Vec<u8> = others.iter().copied().filter(|bit| bit != first).collect();
                self.spread(route, &[*first], &rest, rate * weight(*first) / total);
            }
        } else {
            self.spread(route, &front, &others, rate);
        }
    }

    fn spread(&mut self, route: &Route, front: &[u8], others: &[u8], rate: f64) {
        let candidates: Vec<_> =
            others.iter().filter_map(|bit| route.candidates().get(usize::from(*bit)).copied()).collect();
        for sample in 0..SAMPLES {
            let order = weighted(ClientKey::sample(sample), &candidates);
            let order = order.into_iter().filter_map(|at| others.get(at).copied());
            let order: Vec<u8> = front.iter().copied().chain(order).collect();
            self.push(route, &order, rate / SAMPLES as f64);
        }
    }

    /// With several answers at once each of the first ones gets the question; what it refuses goes on behind them.
    fn push(&mut self, route: &Route, order: &[u8], rate: f64) {
        let number = |bit: &u8| self.numbers.get(route.pool().get(usize::from(*bit))?).copied();
        let order: Vec<u16> = order.iter().filter_map(number).collect();
        let (first, behind) = order.split_at(order.len().min(route.picks() as usize));
        for one in first {
            self.groups.push(Group { rate, order: [&[*one], behind].concat() });
        }
    }

    fn favourites(&self) -> BTreeMap<ClusterName, f64> {
        let mut sums = vec![0.0; self.numbers.len()];
        for group in &self.groups {
            let first = group.order.first().and_then(|first| sums.get_mut(usize::from(*first)));
            first.into_iter().for_each(|sum| *sum += group.rate);
        }
        let named = self.numbers.keys().zip(sums).filter(|(_, rate)| *rate > 0.0);
        named.map(|(name, rate)| ((*name).clone(), rate)).collect()
    }

    /// Clients of other nameservers: those with the same favourite are taken to be like the own ones.
    fn add_elsewhere(
        &mut self,
        own: &BTreeMap<ClusterName, f64>,
        elsewhere: &BTreeMap<ClusterName, f64>,
        serving: &Serving,
        judgement: &Judgement,
    ) {
        let own_groups = self.groups.len();
        for (cluster, rate) in elsewhere {
            let Some(number) = self.numbers.get(cluster).copied() else { continue };
            match own.get(cluster) {
                Some(here) => {
                    let like = self.groups.iter_mut().take(own_groups);
                    like.filter(|group| group.order.first() == Some(&number))
                        .for_each(|group| group.rate *= (here + rate) / here);
                }
                None => self.add_strangers(cluster, *rate, serving, judgement),
            }
        }
    }

    /// Nobody here likes that cluster best, so all that is known is which others its routes are answered with.
    fn add_strangers(&mut self, cluster: &ClusterName, rate: f64, serving: &Serving, judgement: &Judgement) {
        let routes = serving.snapshot.routes().iter();
        let with = routes.filter_map(|route| Some((route, judgement.routes.get(route.name())?.mask)));
        let mut with = with.filter_map(|(route, mask)| {
            let bit = route.pool().binary_search(cluster).ok()? as u8;
            (mask & 1 << (bit & 63) != 0).then_some((route, mask, bit))
        });
        let Some((route, mask, bit)) = with.next() else { return };
        let fit = (0..route.pool().len() as u8).filter(|other| *other != bit && mask & 1 << (other & 63) != 0);
        self.spread(route, &[bit], &fit.collect::<Vec<_>>(), rate);
    }
}

#[cfg(test)]
mod tests;
