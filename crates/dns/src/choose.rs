//! Which clusters of a route one client gets, and for which prefix that holds.

use crate::places::{Layer, Places, Spot};
use crate::snapshot::{Order, Route, Snapshot};
use std::net::IpAddr;
use waggle_model::plan::POOL_MAX;
use waggle_model::routing::{Candidate, ClientKey, V4_PREFIX, V6_PREFIX, score};

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) source: IpAddr,
    /// Address of a client subnet with a source prefix longer than zero.
    pub(crate) subnet: Option<IpAddr>,
}

impl Client {
    pub(crate) fn new(source: IpAddr, subnet: Option<IpAddr>) -> Client {
        Client { source: source.to_canonical(), subnet }
    }

    /// The address that decides, its ranking, and the shortest prefix around the *subnet's* address that would be
    /// decided by the same ranking. A subnet that says nothing about a place gives way to the source.
    pub(crate) fn locate(&self, places: &Places) -> Located {
        let Some(subnet) = self.subnet else {
            let spot = places.at(self.source);
            return Located::new(self.source, spot, 0, false);
        };
        let asked = places.at(subnet);
        if asked.layer == Layer::Unroutable {
            let own = places.at(self.source);
            return Located::new(self.source, own, asked.prefix, false);
        }
        Located::new(subnet, asked, asked.prefix, true)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Located {
    pub(crate) address: IpAddr,
    pub(crate) ranking: u32,
    /// Prefix around the subnet's address; 0 without one: a reply says nothing about clients it was not told of.
    pub(crate) scope: u8,
    /// Prefix around `address`.
    pub(crate) own_prefix: u8,
    pub(crate) layer: Layer,
    pub(crate) by_subnet: bool,
}

impl Located {
    fn new(address: IpAddr, spot: Spot, scope: u8, by_subnet: bool) -> Located {
        Located { address, ranking: spot.ranking, scope, own_prefix: spot.prefix, layer: spot.layer, by_subnet }
    }
}

/// Bits of the chosen clusters, best first; none means the fallback addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice {
    bits: [u8; POOL_MAX],
    len: usize,
    pub(crate) scope: u8,
}

impl Choice {
    fn none() -> Choice {
        Choice { bits: [0; POOL_MAX], len: 0, scope: 0 }
    }

    fn all(mask: u64) -> Choice {
        let mut choice = Choice::none();
        (0..POOL_MAX as u8).filter(|bit| mask & 1 << bit != 0).for_each(|bit| choice.push(bit));
        choice
    }

    fn push(&mut self, bit: u8) {
        if let Some(slot) = self.bits.get_mut(self.len) {
            *slot = bit;
            self.len += 1;
        }
    }

    pub(crate) fn bits(&self) -> &[u8] {
        self.bits.get(..self.len).unwrap_or_default()
    }
}

/// Decides. Answers that would be the same for every client have scope 0.
pub(crate) fn choose(snapshot: &Snapshot, route: &Route, mask: u64, client: &Client) -> Choice {
    let mask = mask & route.full;
    if mask == 0 {
        return if route.fallback.is_some() { Choice::none() } else { Choice::all(route.resting()) };
    }
    if mask.count_ones() <= route.picks {
        return Choice::all(mask);
    }
    match &route.order {
        Order::Fixed(order) => first(order, mask, route.picks, 0),
        Order::Place { shape } => {
            let Some(shape) = snapshot.shapes.get(*shape as usize) else { return Choice::all(mask) };
            let located = client.locate(&snapshot.places);
            let scope = if shape.uniform { 0 } else { located.scope };
            first(shape.order(located.ranking), mask, route.picks, scope)
        }
        Order::Weighted(candidates) => heaviest(snapshot, candidates, mask, client),
    }
}

fn first(order: &[u8], mask: u64, picks: u32, scope: u8) -> Choice {
    let mut choice = Choice { scope, ..Choice::none() };
    let fit = order.iter().filter(|bit| mask & 1 << (**bit & 63) != 0);
    fit.take(picks as usize).for_each(|bit| choice.push(*bit));
    choice
}

fn heaviest(snapshot: &Snapshot, candidates: &[Candidate], mask: u64, client: &Client) -> Choice {
    let mut choice = Choice::none();
    let mut address = client.source;
    if let Some(subnet) = client.subnet {
        let located = client.locate(&snapshot.places);
        address = located.address;
        // Below one client prefix only a hole in a network without a place makes a difference.
        choice.scope = if subnet.is_ipv4() { V4_PREFIX } else { V6_PREFIX };
        if !located.by_subnet || located.layer == Layer::Map {
            choice.scope = choice.scope.max(located.scope);
        }
    }
    let key = ClientKey::new(address);
    let fit = candidates.iter().zip(0u8..).filter(|(_, bit)| mask & 1 << (bit & 63) != 0);
    let best = fit.map(|(candidate, bit)| (score(key, candidate), bit)).min_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((_, bit)) = best {
        choice.push(bit);
    }
    choice
}
