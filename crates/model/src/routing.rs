//! Routing: in which order the clusters of a pool are tried for one client.
//!
//! Two kinds of order. [`rank`] orders *all* clusters of a federation for a place; a route's pool takes its own clusters
//! out of that list and keeps their order. So one ranking serves every route, and a nameserver stores a client prefix's
//! ranking as one number. Ranking each pool by itself was rejected: the number of (prefix, route) pairs has no useful bound.
//!
//! [`weighted`] orders a pool by rendezvous hashing of the client prefix: raising a cluster's weight only moves clients
//! *to* it, and losing a cluster only moves the clients it had. The hash is fixed, not keyed, because all nameservers
//! must choose alike. Where a ranking knows nothing about a client's place, its clusters are ordered by that hash too: the
//! same order for everybody would send all such clients to one cluster, and all of them on to the next one.

mod rendezvous;
mod share;
pub mod spill;
#[cfg(test)]
mod tests;

pub use rendezvous::{Candidate, ClientKey, V4_PREFIX, V6_PREFIX, score, weighted};
pub use share::{Limit, Limited, Share};

use crate::ClusterName;
use crate::fleet::Location;
use crate::plan::PlanCluster;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// What is known about where a client is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Place<'a> {
    /// The operator's list for the client's prefix, most preferred first; empty when no entry matches.
    pub listed: &'a [ClusterName],
    /// Where the client's network is thought to be.
    pub location: Option<Location>,
}

/// What put the first cluster of an order there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    ClientMap,
    Location,
    Region,
    Weight,
}

/// The order of all clusters for a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranked<'a> {
    pub order: Vec<&'a ClusterName>,
    /// What put the first one there.
    pub rule: Rule,
    /// So many at the front have something to do with the place. Those behind are equal to it: heavier first, then by
    /// name, for people to read; clients are spread over them by weight.
    pub placed: usize,
}

/// All clusters for a place, best first: those the operator listed, in the listed order; then by great-circle distance
/// where both ends are known; then those of the preferred region; then heavier first; then by name.
///
/// A client that is on the operator's map but whose location is unknown is taken to be where the first listed cluster
/// is, so that the clusters after the listed ones are its neighbours. The preferred region is that of the first listed
/// cluster, else that of the nearest one.
pub fn rank<'a>(place: Place<'a>, clusters: &'a BTreeMap<ClusterName, PlanCluster>) -> Ranked<'a> {
    let first = place.listed.iter().find_map(|name| clusters.get(name));
    let origin = place.location.or(first.and_then(|cluster| cluster.location));
    let distance = |cluster: &PlanCluster| Some(kilometres(origin?, cluster.location?));
    let nearest = || {
        let located = clusters.values().filter_map(|cluster| Some((distance(cluster)?, cluster)));
        located.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, cluster)| cluster)
    };
    let region = first.or_else(nearest).and_then(|cluster| cluster.region.as_deref());

    let mut keyed: Vec<Key<'a>> = clusters
        .iter()
        .map(|(name, cluster)| Key {
            listed: place.listed.iter().position(|listed| listed == name).unwrap_or(usize::MAX),
            distance: distance(cluster).unwrap_or(f64::INFINITY),
            elsewhere: region.is_none() || cluster.region.as_deref() != region,
            weight: cluster.weight,
            name,
        })
        .collect();
    keyed.sort_by(Key::compare);

    let rule = match keyed.first() {
        Some(key) if key.listed != usize::MAX => Rule::ClientMap,
        Some(key) if key.distance.is_finite() => Rule::Location,
        Some(key) if !key.elsewhere => Rule::Region,
        _ => Rule::Weight,
    };
    let placed = keyed.iter().take_while(|key| key.is_placed()).count();
    Ranked { order: keyed.into_iter().map(|key| key.name).collect(), rule, placed }
}

struct Key<'a> {
    listed: usize,
    /// Kilometres; infinite when either end is unknown.
    distance: f64,
    elsewhere: bool,
    weight: u32,
    name: &'a ClusterName,
}

impl Key<'_> {
    fn is_placed(&self) -> bool {
        self.listed != usize::MAX || self.distance.is_finite() || !self.elsewhere
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.listed
            .cmp(&other.listed)
            .then(self.distance.total_cmp(&other.distance))
            .then(self.elsewhere.cmp(&other.elsewhere))
            .then(other.weight.cmp(&self.weight))
            .then(self.name.cmp(other.name))
    }
}

/// Positions of `pool` in the order an operator fixed; clusters that `order` does not name come after, by name.
pub fn failover(pool: &[ClusterName], order: &[ClusterName]) -> Vec<usize> {
    let mut positions: Vec<usize> = (0..pool.len()).collect();
    let place = |at: &usize| order.iter().position(|name| pool.get(*at) == Some(name)).unwrap_or(usize::MAX);
    positions.sort_by(|a, b| place(a).cmp(&place(b)).then_with(|| pool.get(*a).cmp(&pool.get(*b))));
    positions
}

/// Mean radius of the Earth (IUGG).
const EARTH_KM: f64 = 6371.0088;

/// Great-circle distance by the haversine formula.
pub fn kilometres(a: Location, b: Location) -> f64 {
    let (lat_a, lat_b) = (a.latitude.to_radians(), b.latitude.to_radians());
    let lat = ((lat_b - lat_a) / 2.0).sin();
    let lon = ((b.longitude - a.longitude).to_radians() / 2.0).sin();
    let h = lat * lat + lat_a.cos() * lat_b.cos() * lon * lon;
    2.0 * EARTH_KM * h.clamp(0.0, 1.0).sqrt().asin()
}
