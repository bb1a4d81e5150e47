//! Which clusters of a route one client gets, and for which prefix that holds.

use crate::health::Fit;
use crate::places::{Layer, Places, Spot};
use crate::snapshot::{Order, Route, Snapshot};
use std::net::IpAddr;
use waggle_model::plan::POOL_MAX;
use waggle_model::routing::{Candidate, ClientKey, Share, V4_PREFIX, V6_PREFIX, score};

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
    /// The hash of the client's prefix had a say.
    pub(crate) by_hash: bool,
    /// Counter of the route for questions of clients with this one's order.
    pub(crate) counter: u32,
}

impl Choice {
    fn none() -> Choice {
        Choice { bits: [0; POOL_MAX], len: 0, scope: 0, by_hash: false, counter: 0 }
    }

    fn all(mask: u64) -> Choice {
        let mut choice = Choice::none();
        choice.push_all(mask);
        choice
    }

    fn push(&mut self, bit: u8) {
        if let Some(slot) = self.bits.get_mut(self.len) {
            *slot = bit;
            self.len += 1;
        }
    }

    fn push_all(&mut self, mask: u64) {
        (0..POOL_MAX as u8).filter(|bit| mask & 1 << bit != 0).for_each(|bit| self.push(bit));
    }

    pub(crate) fn bits(&self) -> &[u8] {
        self.bits.get(..self.len).unwrap_or_default()
    }
}

/// Decides. Answers that would be the same for every client have scope 0.
pub(crate) fn choose(snapshot: &Snapshot, route: &Route, fit: &Fit<'_>, client: &Client) -> Choice {
    let mut line = Line::new(snapshot, route, client);
    let mut choice = decide(route, fit, &mut line);
    choice.counter = line.counter;
    choice
}

/// The first clusters in the client's line that are fit and take it; if too few take it, the first that are fit.
pub(crate) fn decide(route: &Route, fit: &Fit<'_>, line: &mut Line<'_>) -> Choice {
    let mask = fit.mask & route.full;
    if mask == 0 {
        return if route.fallback.is_some() { Choice::none() } else { Choice::all(route.resting()) };
    }
    if mask.count_ones() <= route.picks {
        return Choice::all(mask);
    }
    let picks = route.picks as usize;
    let (mut choice, mut refused) = (Choice::none(), Choice::none());
    let (mut left, mut tried) = (mask, 0);
    while choice.len < picks {
        let enough = choice.len + left.count_ones() as usize <= picks;
        if enough && left & fit.limited == 0 && line.is_behind_placed(left) {
            choice.push_all(left);
            break;
        }
        let Some(bit) = line.next(left) else { break };
        left &= !(1 << (bit & 63));
        let (share, home) = (fit.share(bit), tried < picks);
        tried += 1;
        if share.takes_all(home) || line.is_taken(bit, share, home) {
            choice.push(bit);
        } else {
            refused.push(bit);
        }
    }
    let missing = picks.saturating_sub(choice.len);
    refused.bits().iter().take(missing).for_each(|bit| choice.push(*bit));
    choice.scope = line.scope();
    choice.by_hash = line.key.is_some();
    choice
}

/// A route's clusters in the order in which one client tries them: those that its place orders, then the others by the
/// hash of its prefix. The hash is computed only if it is asked for, because an answer that depends on it holds for one
/// client prefix at most.
pub(crate) struct Line<'a> {
    snapshot: &'a Snapshot,
    candidates: &'a [Candidate],
    client: &'a Client,
    located: Option<Located>,
    /// All clients have the same `placed` and the same others.
    uniform: bool,
    counter: u32,
    placed: &'a [u8],
    key: Option<ClientKey>,
    scores: Option<[f64; POOL_MAX]>,
}

impl<'a> Line<'a> {
    /// The line of a client whose order is known. What it says of prefixes and counters holds for nobody.
    pub(crate) fn of(snapshot: &'a Snapshot, route: &'a Route, client: &'a Client, placed: &'a [u8]) -> Line<'a> {
        Line {
            snapshot,
            candidates: &route.candidates,
            client,
            located: None,
            uniform: true,
            counter: 0,
            placed,
            key: None,
            scores: None,
        }
    }

    pub(crate) fn new(snapshot: &'a Snapshot, route: &'a Route, client: &'a Client) -> Line<'a> {
        let mut line = Line::of(snapshot, route, client, &[]);
        match &route.order {
            Order::Fixed(order) => line.placed = order,
            Order::Weighted => {}
            Order::Place { shape } => {
                if let Some(shape) = snapshot.shapes.get(*shape as usize) {
                    line.uniform = shape.uniform();
                    let class = if line.uniform { 0 } else { shape.class(line.located().ranking) };
                    line.placed = shape.placed(class);
                    line.counter = shape.counters.get(class as usize).copied().unwrap_or(0);
                }
            }
        }
        line
    }

    pub(crate) fn placed(&self) -> &'a [u8] {
        self.placed
    }

    fn located(&mut self) -> Located {
        *self.located.get_or_insert_with(|| self.client.locate(&self.snapshot.places))
    }

    fn key(&mut self) -> ClientKey {
        let address = self.located().address;
        *self.key.get_or_insert_with(|| ClientKey::new(address))
    }

    /// The first of `left`.
    pub(crate) fn next(&mut self, left: u64) -> Option<u8> {
        if let Some(bit) = self.placed.iter().copied().find(|bit| left & 1 << (bit & 63) != 0) {
            return Some(bit);
        }
        let key = self.key();
        let candidates = self.candidates;
        let scores = self.scores.get_or_insert_with(|| {
            let mut scores = [f64::INFINITY; POOL_MAX];
            scores.iter_mut().zip(candidates).for_each(|(slot, candidate)| *slot = score(key, candidate));
            scores
        });
        let fit = scores.iter().zip(0u8..).filter(|(_, bit)| left & 1 << (bit & 63) != 0);
        fit.min_by(|a, b| a.0.total_cmp(b.0)).map(|(_, bit)| bit)
    }

    /// Whether a cluster with this share takes the client.
    fn is_taken(&mut self, bit: u8, share: Share, home: bool) -> bool {
        let key = self.key();
        self.candidates.get(usize::from(bit)).is_some_and(|candidate| share.admits(key, candidate, home))
    }

    /// Only clusters that the place does not order are left.
    fn is_behind_placed(&self, left: u64) -> bool {
        self.placed.iter().all(|bit| left & 1 << (bit & 63) == 0)
    }

    /// Prefix around the subnet's address in which everybody gets the same.
    fn scope(&mut self) -> u8 {
        let Some(subnet) = self.client.subnet else { return 0 };
        if self.key.is_none() && self.uniform {
            return 0;
        }
        let located = self.located();
        if self.key.is_none() {
            return located.scope;
        }
        let width = if subnet.is_ipv4() { V4_PREFIX } else { V6_PREFIX };
        // With one order for everybody, only a hole in a network without a place makes a difference below that.
        let alike = self.uniform && located.by_subnet && located.layer != Layer::Map;
        if alike { width } else { located.scope.max(width) }
    }
}
