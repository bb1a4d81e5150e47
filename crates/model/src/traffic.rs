//! What nameservers were asked for lately, as they tell control and one another. Every list has a limit.

use crate::{ClusterName, DomainName, NameserverName, Timestamp};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Routes that a status tells about: the busiest.
pub const TRAFFIC_ROUTES_MAX: usize = 128;
/// Orders of clusters told per route: the heaviest.
pub const TRAFFIC_ORDERS_MAX: usize = 16;
/// Client prefixes told per route: the busiest.
pub const TRAFFIC_CLIENTS_MAX: usize = 8;

/// Routes that samples are told of: those asked for most.
pub const SAMPLED_ROUTES_MAX: usize = 256;
/// Client networks told of, over all routes.
pub const SAMPLED_CLIENTS_MAX: usize = 1024;
/// Octets of such a message as JSON.
pub const SAMPLES_BYTES_MAX: usize = 1024 * 1024;
/// Clusters told per order of a sampled client; over all behind them such clients count as spread by weight.
pub const SAMPLED_ORDER_MAX: usize = 8;

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

/// Who asked one nameserver for what, out of its sampled queries. At most [`SAMPLES_BYTES_MAX`], mostly some ten
/// thousand octets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuerySamples {
    pub name: NameserverName,
    pub at: Timestamp,
    /// Time that the samples cover, up to `at`, in milliseconds.
    pub window_ms: u64,
    /// Sampled queries.
    pub samples: u64,
    pub routes: Vec<RouteSamples>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteSamples {
    pub route: DomainName,
    /// How clients prefer the clusters of the route, best first. Over those that are not listed they are spread by weight.
    pub orders: Vec<Vec<ClusterName>>,
    pub clients: Vec<SampledClient>,
}

/// A client network, standing for so many questions per second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampledClient {
    pub client: IpNet,
    /// Position in the orders of its route.
    pub order: u32,
    pub per_second: f64,
}
