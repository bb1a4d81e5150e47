//! Releases: immutable, content-addressed renderings of a stack.

mod words;

use crate::time::millis;
use crate::{ClusterName, DomainName, StackName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

/// SHA-256 over the canonical JSON of [`ReleaseBody`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReleaseId(pub [u8; 32]);

impl ReleaseId {
    /// First twelve hex digits: what people see and type.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for ReleaseId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("release id {text:?} is not 64 hex digits");
        if text.len() != 64 || !text.is_ascii() {
            return Err(bad());
        }
        let mut id = [0; 32];
        for (at, byte) in id.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).map_err(|_| bad())?;
        }
        Ok(ReleaseId(id))
    }
}

impl TryFrom<String> for ReleaseId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ReleaseId> for String {
    fn from(id: ReleaseId) -> String {
        id.to_string()
    }
}

/// What the id is made of. `objects` is the canonical JSON of `stack::Objects` as text, images pinned to digests: the
/// model passes it on and never looks inside, so every cluster gets the same bytes (invariant 8).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReleaseBody {
    pub stack: StackName,
    pub objects: String,
    pub routes: Vec<Route>,
    pub promotion: Promotion,
    #[serde(default)]
    pub upkeep: Upkeep,
    /// Image as written in the file → pinned reference (`name:tag@sha256:…`).
    pub images: BTreeMap<String, String>,
    /// SHA-256 (hex) of every secret's and config's bytes; the bytes travel and rest apart.
    pub payloads: Vec<String>,
}

/// One `x-waggle.routes` entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    pub name: DomainName,
    /// Service of the same file whose tasks serve this route.
    pub service: String,
    #[serde(default)]
    pub policy: Policy,
    /// Seconds.
    #[serde(default = "route_ttl")]
    pub ttl: u32,
    /// Clusters that may answer; empty means all that run the stack.
    #[serde(default)]
    pub clusters: Vec<ClusterName>,
    #[serde(default)]
    pub check: Option<Check>,
    #[serde(default)]
    pub all_down: AllDown,
    /// Also answer HTTPS queries (RFC 9460), with hints of the addresses that A and AAAA name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https: Option<Https>,
}

/// What an HTTPS record says beside addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Https {
    /// Protocols beside HTTP/1.1, best first, e.g. `h2`, `h3`.
    #[serde(default)]
    pub alpn: Vec<String>,
    /// 443 unless set.
    #[serde(default)]
    pub port: Option<u16>,
}

/// Protocols of one HTTPS record, and octets of the name of each.
pub const ALPN_MAX: usize = 8;
pub const ALPN_ID_MAX: usize = 32;

impl Https {
    /// What is wrong with it, if anything is.
    pub fn fault(&self) -> Option<&'static str> {
        let plain = |id: &String| {
            (1..=ALPN_ID_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic() && !b"\",\\".contains(&b))
        };
        if self.alpn.len() > ALPN_MAX {
            return Some("https alpn lists more than 8 protocols");
        }
        if !self.alpn.iter().all(plain) {
            return Some("an https alpn is a word of 1 to 32 letters, such as h2 or h3");
        }
        let twice = (1..self.alpn.len()).any(|at| self.alpn[..at].contains(&self.alpn[at]));
        if twice {
            return Some("https alpn lists a protocol twice");
        }
        (self.port == Some(0)).then_some("0 is no https port")
    }
}

fn route_ttl() -> u32 {
    5
}

/// How a route chooses. Weights act by choosing (consistent hash of the client prefix), not by record order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Client map, then location, then region, then weight.
    #[default]
    Nearest,
    /// Share of clients by weight; clusters not listed have their federation weight.
    Weighted(BTreeMap<ClusterName, u32>),
    /// First fit one of this order; clusters not listed come after, by name.
    Failover(Vec<ClusterName>),
    /// This many fit clusters at once, nearest first.
    Multivalue(u8),
}

/// What to answer when no cluster of the pool is fit. Never empty, never NXDOMAIN (invariant 5).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllDown {
    /// The clusters that were fit before the last ones fell.
    #[default]
    LastGood,
    /// The whole pool.
    All,
    /// These addresses, e.g. of a sorry page.
    Fallback(Vec<IpAddr>),
}

/// Probe through the cluster's public address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    pub kind: CheckKind,
    pub port: u16,
    #[serde(rename = "interval_ms", with = "millis", default = "check_interval")]
    pub interval: Duration,
    /// Whole probe: connect, TLS, response head and the part of the body that is looked at.
    #[serde(rename = "timeout_ms", with = "millis", default = "check_timeout")]
    pub timeout: Duration,
    /// A right answer that takes longer counts as a failure all the same; shorter than `timeout`. `None`: any that is in time.
    #[serde(rename = "latency_ms", with = "millis::option", default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Duration>,
}

impl Check {
    /// When a probe that has no connection yet tries a second one beside the first. TCP sends a lost first packet again only
    /// after a second, so that one lost packet would be a failed probe.
    pub fn second_try(&self) -> Duration {
        self.timeout / 3
    }
}

pub fn check_interval() -> Duration {
    Duration::from_millis(500)
}

pub fn check_timeout() -> Duration {
    Duration::from_millis(400)
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    Tcp,
    Http(HttpCheck),
    Grpc(GrpcCheck),
}

/// `grpc.health.v1.Health/Check` must say SERVING.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrpcCheck {
    /// Full name of the service that is asked about; empty: the server as a whole.
    #[serde(default)]
    pub service: String,
    /// Authority and, with TLS, server name; the route's name unless set.
    #[serde(default)]
    pub host: Option<String>,
    #[serde(default)]
    pub tls: bool,
    /// With TLS: accept a certificate no public root signed. Off unless asked for.
    #[serde(default)]
    pub tls_insecure: bool,
}

/// Octets of the name of a service that a gRPC check asks about.
pub const GRPC_SERVICE_MAX: usize = 255;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpCheck {
    #[serde(default = "root_path")]
    pub path: String,
    /// Host header and, with TLS, server name; the route's name unless set.
    #[serde(default)]
    pub host: Option<String>,
    #[serde(default)]
    pub tls: bool,
    /// With TLS: accept a certificate no public root signed. Off unless asked for.
    #[serde(default)]
    pub tls_insecure: bool,
    /// Any 2xx or 3xx unless set.
    #[serde(default)]
    pub status: Option<u16>,
    /// A text the first 64 KiB of the body must contain.
    #[serde(default)]
    pub contains: Option<String>,
}

fn root_path() -> String {
    "/".into()
}

/// How a release moves through the clusters (`x-waggle.promotion`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promotion {
    /// Sets of clusters in order; clusters of the federation that are not listed form a last stage. Empty: one stage.
    #[serde(default)]
    pub stages: Vec<Vec<ClusterName>>,
    /// Clusters out of service at once within a stage.
    #[serde(default = "max_parallel")]
    pub max_parallel: u16,
    #[serde(default)]
    pub strategy: Strategy,
    /// Longest time one cluster's update may take until it counts as failed; Swarm itself has no such limit.
    #[serde(rename = "progress_deadline_ms", with = "millis", default = "progress_deadline")]
    pub progress_deadline: Duration,
    /// How long a converged cluster must stay so before it counts as verified.
    #[serde(rename = "monitor_ms", with = "millis", default = "monitor")]
    pub monitor: Duration,
    #[serde(default)]
    pub on_failure: OnFailure,
}

fn max_parallel() -> u16 {
    1
}

fn progress_deadline() -> Duration {
    Duration::from_secs(600)
}

fn monitor() -> Duration {
    Duration::from_secs(5)
}

impl Default for Promotion {
    fn default() -> Self {
        Promotion {
            stages: Vec::new(),
            max_parallel: max_parallel(),
            strategy: Strategy::default(),
            progress_deadline: progress_deadline(),
            monitor: monitor(),
            on_failure: OnFailure::default(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Out of DNS, proven, updated, verified, back.
    #[default]
    Drain,
    /// Updated while serving; relies on `update_config.order: start-first`.
    InPlace,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Hold the rollout and bring the failed cluster back to the release it ran before.
    #[default]
    Revert,
    /// Hold the rollout and leave the failed cluster as it is, drained.
    Hold,
}

/// How agents look after a stack's objects (`x-waggle`, beside routes and promotion).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Upkeep {
    pub drift: Drift,
    /// Services (as in the file) whose number of replicas stays as the swarm has it.
    pub keep_replicas: BTreeSet<String>,
    /// Earlier versions of a secret or config that stay after it was rotated.
    pub versions_kept: u16,
    pub prune: Prune,
}

impl Default for Upkeep {
    fn default() -> Self {
        Upkeep { drift: Drift::default(), keep_replicas: BTreeSet::new(), versions_kept: 1, prune: Prune::default() }
    }
}

/// What an agent does when somebody changes a stack's objects behind its back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drift {
    /// Report it and write the release again.
    #[default]
    Heal,
    /// Report it.
    Observe,
}

/// What is removed beyond the objects that earlier releases made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prune {
    #[default]
    None,
    /// Services, networks, secrets and configs with the stack's label that the release lacks, whoever made them.
    Objects,
    /// These, and the stack's volumes on the agent's node that no container uses, with their data.
    Volumes,
}

/// A stored release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Release {
    pub id: ReleaseId,
    pub body: ReleaseBody,
    pub created: crate::Timestamp,
    /// Who made it, as the API authenticated them.
    pub author: String,
}
