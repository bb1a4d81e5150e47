//! Bodies about routes: what is answered, by whom and how often.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use waggle_model::plan::EndpointVerdict;
use waggle_model::release::{AllDown, Check, Policy, ReleaseId};
use waggle_model::traffic::{ClientTraffic, OrderTraffic};
use waggle_model::{ClusterName, DomainName, Generation, NameserverName, StackName, Timestamp};

/// Each of `GET /v1/routes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteSummary {
    pub name: DomainName,
    pub stack: StackName,
    pub policy: Policy,
    /// Seconds.
    pub ttl: u32,
    /// Nameservers probe it; otherwise only agents say what is fit.
    #[serde(default)]
    pub checked: bool,
    /// Its pool.
    pub clusters: BTreeMap<ClusterName, RouteCluster>,
    /// No cluster is in and fit: what the route says for this case is answered.
    pub all_down: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteCluster {
    pub state: RouteState,
    /// Answers per second that named it, of all connected nameservers together; `None`: no nameserver told about the
    /// route, since nobody asks or others are busier.
    pub answers: Option<f64>,
    /// Questions per second of clients who would like it best, fit or not.
    pub demand: Option<f64>,
}

/// Whether a cluster is answered. Where nameservers differ, the worst, with those who say so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteState {
    /// All of its clients get it.
    Answered,
    /// No connected nameserver has told whether it is fit.
    Unknown,
    /// Some of its clients get it.
    Limited {
        percent: u8,
        why: String,
        at: Vec<NameserverName>,
    },
    /// It is fit, and kept out until it runs what is current for it, as long as another one can be answered.
    HeldBack {
        why: String,
        at: Vec<NameserverName>,
    },
    Unfit {
        why: String,
        at: Vec<NameserverName>,
    },
    /// The route plan keeps it out.
    Drained {
        reason: String,
    },
}

/// `GET /v1/routes/{name}`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteView {
    pub route: RouteSummary,
    pub check: Option<Check>,
    pub all_down: AllDown,
    pub pool: Vec<RouteEndpoint>,
    /// In which orders clients prefer the clusters, the most frequent first.
    pub orders: Vec<OrderTraffic>,
    /// Client networks that ask most, the busiest first.
    pub clients: Vec<ClientTraffic>,
    pub plan_generation: Generation,
    pub plan_issued_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteEndpoint {
    pub cluster: ClusterName,
    pub addresses: Vec<IpAddr>,
    /// What it is meant to serve.
    pub release: Option<ReleaseId>,
    pub drained: Option<String>,
    /// What each connected nameserver says of it.
    pub verdicts: BTreeMap<NameserverName, EndpointVerdict>,
}

/// `POST /v1/routes/{name}/force`; answered with the [`RouteView`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForceRequest {
    pub cluster: ClusterName,
    pub fit: bool,
    /// Over by itself after that; up to seven days.
    #[serde(rename = "for_ms", with = "waggle_model::time::millis")]
    pub duration: std::time::Duration,
    pub reason: String,
}

/// `POST /v1/routes/{name}/unforce`; answered with the [`RouteView`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnforceRequest {
    pub cluster: ClusterName,
}
