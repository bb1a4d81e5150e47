//! What nameservers were asked for lately, as they tell control and one another. Every list has a limit.

use crate::{ClusterName, DomainName};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Routes that a status tells about: the busiest.
pub const TRAFFIC_ROUTES_MAX: usize = 128;
/// Orders of clusters told per route: the heaviest.
pub const TRAFFIC_ORDERS_MAX: usize = 16;
/// Client prefixes told per route: the busiest.
pub const TRAFFIC_CLIENTS_MAX: usize = 8;

/// One route at one nameserver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteTraffic {
    pub route: DomainName,
    pub clusters: BTreeMap<ClusterName, ClusterTraffic>,
    pub orders: Vec<OrderTraffic>,
    pub clients: Vec<ClientTraffic>,
}

/// Rates per second, over about the last ten seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClusterTraffic {
    /// Answers that named the cluster.
    pub answers: f64,
    /// Questions of clients who would like it best, fit or not.
    pub demand: f64,
}

/// Questions of clients who prefer the clusters in the same order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderTraffic {
    /// Best first. Over the clusters of the route that are not listed, clients are spread by weight.
    pub clusters: Vec<ClusterName>,
    pub per_second: f64,
}

/// A client network that asks a lot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientTraffic {
    pub prefix: IpNet,
    /// At least so many questions lately.
    pub questions: u32,
}
