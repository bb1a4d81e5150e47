//! The route plan: everything nameservers need, as one document with a generation, and what they say back.

pub mod changes;
pub mod hold;
pub mod intake;

use crate::fleet::{Location, NameserverPeer, Zone};
use crate::health::forced::Forced;
use crate::health::judge::Gate;
use crate::health::overrides::{ActiveOverride, PublicKey};
use crate::health::{HealthPolicy, Verdict};
use crate::release::{AllDown, Check, Https, Policy, ReleaseId};
use crate::routing::Limited;
use crate::traffic::RouteTraffic;
use crate::{ClusterName, DomainName, Generation, NameserverName, StackName, Timestamp};
use intake::{Change, Safety};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Clusters one route may have: eligibility and health of a pool are one 64-bit word each on the answer path.
pub const POOL_MAX: usize = 64;
/// Routes of one plan.
pub const ROUTES_MAX: usize = 100_000;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RoutePlan {
    pub generation: Generation,
    pub issued: Timestamp,
    pub zones: BTreeMap<DomainName, Zone>,
    pub clusters: BTreeMap<ClusterName, PlanCluster>,
    pub client_map: BTreeMap<IpNet, Vec<ClusterName>>,
    pub routes: BTreeMap<DomainName, PlanRoute>,
    /// All nameservers of the federation, the receiver included.
    pub nameservers: Vec<NameserverPeer>,
    pub health: HealthPolicy,
    #[serde(default, skip_serializing_if = "is_default")]
    pub safety: Safety,
    /// Whose signed overrides nameservers obey.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub override_keys: Vec<PublicKey>,
    #[serde(default, skip_serializing_if = "Change::is_empty")]
    pub change: Change,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanCluster {
    pub region: Option<String>,
    pub location: Option<Location>,
    pub weight: u32,
    /// Answers per second, of all nameservers and routes together; `None`: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanRoute {
    pub stack: StackName,
    pub policy: Policy,
    /// Seconds.
    pub ttl: u32,
    pub check: Option<Check>,
    pub all_down: AllDown,
    /// HTTPS queries are answered, for the same clusters as A and AAAA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https: Option<Https>,
    /// Sorted by cluster name; the position is the cluster's bit in masks of this route.
    pub pool: Vec<Endpoint>,
}

/// One cluster's public address for one route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    pub cluster: ClusterName,
    /// A and AAAA data.
    pub addresses: Vec<IpAddr>,
    /// Why this endpoint must not be answered, if so: `rollout`, an operator's reason, or that the stack is not there.
    pub drained: Option<String>,
    /// Release this cluster is meant to serve; a cluster that beats with another one is not readmitted (rejoin gate).
    pub release: Option<ReleaseId>,
    /// An operator's verdict, which counts instead of the evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forced: Option<Forced>,
}

/// What a nameserver tells control once a second and after each change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NameserverStatus {
    pub name: NameserverName,
    /// Generation of the plan it answers from.
    pub generation: Generation,
    pub at: Timestamp,
    /// Latest instant until which an answer that named this endpoint may be cached, by the nameserver's clock.
    /// Absent: never answered since start.
    pub ledger: Vec<LedgerEntry>,
    pub verdicts: Vec<EndpointVerdict>,
    pub queries: u64,
    /// When this process started answering: before that its ledger knows nothing.
    pub started: Timestamp,
    /// The busiest routes, busiest first.
    #[serde(default)]
    pub traffic: Vec<RouteTraffic>,
    /// The newest plan it did not take, as long as it has taken none since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusedPlan>,
    /// What operators told nameservers directly.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<ActiveOverride>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedPlan {
    pub generation: Generation,
    pub why: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    pub route: DomainName,
    pub cluster: ClusterName,
    pub cached_until: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointVerdict {
    pub route: DomainName,
    pub cluster: ClusterName,
    pub verdict: Verdict,
    /// This observer's own probe: `None` before the first one ended.
    pub probe_up: Option<bool>,
    /// Milliseconds that the newest of its own probes took, whether or not it was good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_ms: Option<u32>,
    /// Release the cluster's beat last named for this route's stack.
    pub release: Option<ReleaseId>,
    /// When it is not answered to all of its clients just now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited: Option<Limited>,
    /// Why it is not taken back although it is fit. If nothing else is left, it is answered all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
}
