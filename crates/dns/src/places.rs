//! Where clients are: the whole address space, flattened to rankings of clusters.
//!
//! Layers, later ones win: nothing known; the GeoIP database; networks that say nothing about a place (private, loopback,
//! reserved); the operator's client map. The third layer makes the scope honest: a client subnet in such a network is
//! answered by the resolver's own address instead, so no public client may share a scope with it.

use crate::geo::Geo;
use crate::prefixes::{Bits, Ranges, Span, flatten, overlay};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::IpAddr;
use waggle_model::ClusterName;
use waggle_model::fleet::Location;
use waggle_model::plan::RoutePlan;
use waggle_model::routing::{Place, Rule, rank};

/// Distinct rankings of one plan.
pub const RANKINGS_MAX: usize = 65_536;

/// Client locations are rounded to this many degrees, about what a GeoIP database knows: it bounds the number of rankings
/// by the number of inhabited cells, whatever the number of cities.
const GRID: f64 = 1.0;

/// Networks whose addresses do not tell where a client is.
const UNROUTABLE: [&str; 15] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/8",
    "fc00::/7",
    "fe80::/9",
    "ff00::/8",
];

#[derive(Debug)]
pub(crate) struct Places {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
    rankings: Vec<Ranking>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ranking {
    pub(crate) layer: Layer,
    pub(crate) rule: Rule,
    /// All clusters of the plan, as positions in its map.
    pub(crate) order: Vec<u16>,
    /// So many of them have something to do with the place.
    pub(crate) placed: u16,
}

/// Which layer spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layer {
    Nothing,
    Geo,
    Unroutable,
    Map,
}

/// One address looked up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    pub(crate) ranking: u32,
    /// Length of the prefix around the address in which nothing changes.
    pub(crate) prefix: u8,
    pub(crate) layer: Layer,
}

impl Places {
    pub(crate) fn at(&self, address: IpAddr) -> Spot {
        let (ranking, prefix) = match address {
            IpAddr::V4(v4) => self.v4.at(u32::from(v4)),
            IpAddr::V6(v6) => self.v6.at(u128::from(v6)),
        };
        let layer = self.rankings.get(ranking as usize).map_or(Layer::Nothing, |ranking| ranking.layer);
        Spot { ranking, prefix, layer }
    }

    /// Knows nothing; stands in while other problems of a plan are collected.
    pub(crate) fn empty() -> Places {
        Places { v4: layers(0, Default::default()), v6: layers(0, Default::default()), rankings: Vec::new() }
    }

    pub(crate) fn rankings(&self) -> &[Ranking] {
        &self.rankings
    }

    pub(crate) fn compile(plan: &RoutePlan, geo: Option<&dyn Geo>) -> Result<Places, String> {
        let mut rankings = Rankings::new(plan);
        let nothing = rankings.add(Layer::Nothing, Place::default());
        let unroutable = rankings.add(Layer::Unroutable, Place::default());
        let mut found: Layered = Layered::default();
        if let Some(geo) = geo {
            geo.networks(&mut |network, location| {
                found.geo.push(network, rankings.located(location));
                rankings.list.len() <= RANKINGS_MAX
            });
        }
        for network in UNROUTABLE.iter().filter_map(|text| text.parse::<IpNet>().ok()) {
            found.unroutable.push(network, unroutable);
        }
        // An empty list says nothing, so it lets what lies below through.
        for (network, listed) in plan.client_map.iter().filter(|(_, listed)| !listed.is_empty()) {
            let spot = rankings.listed(listed);
            found.map.push(*network, spot);
        }
        if rankings.list.len() > RANKINGS_MAX {
            return Err(format!("more than {RANKINGS_MAX} different rankings of clusters"));
        }
        let v4 = layers(nothing, [found.geo.v4, found.unroutable.v4, found.map.v4]);
        let v6 = layers(nothing, [found.geo.v6, found.unroutable.v6, found.map.v6]);
        Ok(Places { v4, v6, rankings: rankings.list })
    }
}

fn layers<B: Bits>(nothing: u32, layers: [Vec<Span<B>>; 3]) -> Ranges<B> {
    let base = vec![Span { start: B::MIN, end: B::MAX, value: nothing }];
    Ranges::new(&layers.into_iter().fold(base, |below, layer| overlay(&below, &flatten(layer))))
}

#[derive(Default)]
struct Layered {
    geo: Spans,
    unroutable: Spans,
    map: Spans,
}

#[derive(Default)]
struct Spans {
    v4: Vec<Span<u32>>,
    v6: Vec<Span<u128>>,
}

impl Spans {
    fn push(&mut self, network: IpNet, value: u32) {
        match network {
            IpNet::V4(net) => {
                self.v4.push(Span { start: u32::from(net.network()), end: u32::from(net.broadcast()), value });
            }
            IpNet::V6(net) => {
                self.v6.push(Span { start: u128::from(net.network()), end: u128::from(net.broadcast()), value });
            }
        }
    }
}

/// Rankings made so far; each distinct one is kept once.
struct Rankings<'a> {
    plan: &'a RoutePlan,
    positions: BTreeMap<&'a ClusterName, u16>,
    list: Vec<Ranking>,
    known: BTreeMap<Ranking, u32>,
    by_list: BTreeMap<&'a [ClusterName], u32>,
    by_location: BTreeMap<(i16, i16), u32>,
}

impl<'a> Rankings<'a> {
    fn new(plan: &'a RoutePlan) -> Rankings<'a> {
        Rankings {
            plan,
            positions: plan.clusters.keys().zip(0..).collect(),
            list: Vec::new(),
            known: BTreeMap::new(),
            by_list: BTreeMap::new(),
            by_location: BTreeMap::new(),
        }
    }

    fn add(&mut self, layer: Layer, place: Place<'_>) -> u32 {
        let ranked = rank(place, &self.plan.clusters);
        let order = ranked.order.iter().filter_map(|name| self.positions.get(name).copied()).collect();
        let ranking = Ranking { layer, rule: ranked.rule, order, placed: ranked.placed as u16 };
        if let Some(at) = self.known.get(&ranking) {
            return *at;
        }
        let at = self.list.len() as u32;
        self.list.push(ranking.clone());
        self.known.insert(ranking, at);
        at
    }

    fn listed(&mut self, listed: &'a [ClusterName]) -> u32 {
        if let Some(at) = self.by_list.get(listed) {
            return *at;
        }
        let at = self.add(Layer::Map, Place { listed, location: None });
        self.by_list.insert(listed, at);
        at
    }

    fn located(&mut self, location: Location) -> u32 {
        let cell = ((location.latitude / GRID).round() as i16, (location.longitude / GRID).round() as i16);
        if let Some(at) = self.by_location.get(&cell) {
            return *at;
        }
        let centre = Location { latitude: f64::from(cell.0) * GRID, longitude: f64::from(cell.1) * GRID };
        let at = self.add(Layer::Geo, Place { listed: &[], location: Some(centre) });
        self.by_location.insert(cell, at);
        at
    }
}
