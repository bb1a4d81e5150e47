//! Bodies of the HTTP API, used by the server here and by the command line. JSON, snake_case, unknown fields refused in
//! requests; times are RFC 3339 nowhere and milliseconds since the epoch everywhere (`*_at`).

mod outage;
mod plans;
mod routes;

pub use outage::OutageView;
pub use plans::{PlanView, PlansView, RevertRequest, Reverted};
pub use routes::{ForceRequest, RouteCluster, RouteEndpoint, RouteState, RouteSummary, RouteView, UnforceRequest};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use waggle_model::ask::{Answer, LogLine, NodeChange, Role};
use waggle_model::fleet::{Cluster, NameserverPeer};
use waggle_model::observed::{ObservedService, Phase, Swarm};
use waggle_model::plan::EndpointVerdict;
use waggle_model::release::{Promotion, ReleaseId, Route, Upkeep};
use waggle_model::rollout::Rollout;
use waggle_model::traffic::ClientTraffic;
use waggle_model::{ClusterName, DomainName, Generation, NameserverName, StackName, Timestamp};

/// Every answer that is not 2xx.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErrorBody {
    pub error: ErrorDetail,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// Stable word for programs, e.g. `not_found`, `invalid`, `conflict`, `unavailable`, `too_large`, `disk_full`.
    pub code: String,
    pub message: String,
    /// The way out, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Every problem, when there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// `POST /v1/tokens`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    pub kind: TokenKind,
    /// Binds the token to one cluster or nameserver name.
    #[serde(default)]
    pub name: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    Cluster,
    Nameserver,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TokenView {
    /// Shown once.
    pub token: String,
    pub expires_at: Timestamp,
    /// Where agents and nameservers dial: control's gRPC address as it advertises it.
    pub control: String,
    /// What may have been meant otherwise, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// `GET /v1/clusters`, `GET /v1/clusters/{name}`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClusterView {
    pub name: ClusterName,
    /// `None`: an agent joined, but the federation file does not list the cluster.
    pub configured: Option<Cluster>,
    pub connected: bool,
    pub last_seen_at: Option<Timestamp>,
    pub agent_version: Option<String>,
    /// How far its clock was ahead of control's when it last reported, in milliseconds; the way here makes it less.
    #[serde(default)]
    pub skew_ms: Option<i64>,
    /// When the newest certificate that this control saw of it, or gave it, runs out; `None`: it was not here since control
    /// started.
    #[serde(default)]
    pub certificate_until_at: Option<Timestamp>,
    pub swarm: Option<Swarm>,
    pub drain: Option<DrainView>,
    pub desired_generation: Generation,
    pub observed_generation: Option<Generation>,
    pub stacks: BTreeMap<StackName, ClusterStackView>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClusterStackView {
    pub release: Option<ReleaseId>,
    pub phase: Phase,
    pub serving: BTreeMap<DomainName, bool>,
    /// What somebody changed behind the release's back.
    #[serde(default)]
    pub drift: Vec<String>,
}

/// `POST /v1/clusters/{name}/drain`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrainRequest {
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrainView {
    pub reason: String,
    pub by: String,
    pub since_at: Timestamp,
}

/// `GET /v1/nameservers`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NameserverView {
    pub name: NameserverName,
    pub peer: NameserverPeer,
    pub connected: bool,
    pub last_seen_at: Option<Timestamp>,
    pub plan_generation: Option<Generation>,
    pub queries: Option<u64>,
    #[serde(default)]
    pub version: Option<String>,
    /// How far its clock was ahead of control's when it last reported, in milliseconds; the way here makes it less.
    #[serde(default)]
    pub skew_ms: Option<i64>,
    /// When the newest certificate that this control saw of it, or gave it, runs out; `None`: it was not here since control
    /// started.
    #[serde(default)]
    pub certificate_until_at: Option<Timestamp>,
    /// Client networks that ask it most lately, all routes together.
    #[serde(default)]
    pub clients: Vec<ClientTraffic>,
    pub verdicts: Vec<EndpointVerdict>,
}

/// `PUT /v1/federation` takes `model::fleet::Federation`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Applied {
    pub changed: bool,
    pub plan_generation: Generation,
}

/// `PUT /v1/registries/{registry}`
pub use crate::logins::Credentials as NewLogin;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoginStored {
    /// `false`: the same login was there already.
    pub changed: bool,
    pub login: LoginView,
}

/// `GET /v1/registries`; never with the password.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoginView {
    pub registry: String,
    pub username: String,
    /// Grows with every change; services bear the one that Swarm has as label `io.waggle.login`.
    pub version: u64,
    pub updated_at: Timestamp,
    pub by: String,
}

/// `POST /v1/stacks/{stack}/deploy`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeployRequest {
    /// Canonical JSON of `stack::Objects` as text, images not yet pinned.
    pub objects: String,
    pub routes: Vec<Route>,
    pub promotion: Promotion,
    #[serde(default)]
    pub upkeep: Upkeep,
    /// SHA-256 (hex) → base64 of the bytes of secrets and configs.
    pub payloads: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Deployed {
    pub release: ReleaseId,
    pub rollout: u64,
    pub images: BTreeMap<String, String>,
    /// The same release was already rolled out everywhere: nothing to do.
    pub unchanged: bool,
    pub warnings: Vec<String>,
}

/// `GET /v1/stacks`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StackView {
    pub name: StackName,
    pub release: Option<ReleaseId>,
    pub services: usize,
    pub routes: Vec<DomainName>,
    /// Clusters that run `release` converged / clusters that should.
    pub converged: usize,
    pub clusters: usize,
    pub rollout: Option<u64>,
    pub removing: bool,
}

/// `GET /v1/stacks/{stack}/services` and, with tasks, `GET /v1/stacks/{stack}/ps`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StackServices {
    /// When each cluster reported this.
    #[serde(default)]
    pub observed_at: BTreeMap<ClusterName, Timestamp>,
    pub clusters: BTreeMap<ClusterName, BTreeMap<String, ObservedService>>,
}

/// Answer of everything that asks the clusters themselves: `GET /v1/services` and the like. `?cluster=` says which, by name
/// or by `region=` or another label, and may be repeated; without it all clusters of the federation are asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Asked {
    pub clusters: BTreeMap<ClusterName, Reply>,
}

/// What one cluster said, or why it did not.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    Answer(Answer),
    /// `code` is also `not_connected` or `deadline` here.
    Error(ErrorDetail),
}

/// Each event of `GET /v1/logs`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogEvent {
    pub cluster: ClusterName,
    pub lines: Vec<LogLine>,
    /// Lines that were not taken in time, before these.
    #[serde(default)]
    pub dropped: u64,
    /// Services or tasks that have no log, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The last event of this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorDetail>,
}

/// `POST /v1/stacks/{stack}/plan` takes a [`DeployRequest`]; `POST /v1/stacks/{stack}/adopt/plan` an [`AdoptRequest`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Planned {
    /// As it would be stored.
    pub release: ReleaseId,
    pub images: BTreeMap<String, String>,
    pub warnings: Vec<String>,
    /// `Answer::Plan` of each.
    pub clusters: BTreeMap<ClusterName, Reply>,
}

/// `POST /v1/stacks/{stack}/rollback`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// The first digits of its id; without it, the one before the current.
    #[serde(default)]
    pub release: Option<String>,
}

/// `POST /v1/stacks/{stack}/adopt`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdoptRequest {
    /// Whose objects become the release.
    pub from: ClusterName,
    /// The release that was planned; another is refused.
    #[serde(default)]
    pub release: Option<ReleaseId>,
}

/// `GET /v1/verify?stack=NAME`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VerifyView {
    pub stacks: BTreeMap<StackName, StackProof>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StackProof {
    /// Every cluster answered, has what it was told to, and all have the same objects of the same release.
    pub proven: bool,
    /// What speaks against it, in words. Of clusters that are being updated just now nothing is expected.
    pub against: Vec<String>,
    /// The rollout that has not ended: nothing is proven before it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<ProofRollout>,
    /// What each cluster was told to run.
    #[serde(default)]
    pub releases: BTreeMap<ClusterName, ReleaseId>,
    /// `Answer::Verified` of each.
    pub clusters: BTreeMap<ClusterName, Reply>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProofRollout {
    pub id: u64,
    pub release: ReleaseId,
    /// In words.
    pub state: String,
    /// It goes on by itself, or a person paused it; otherwise it was held and waits for a person.
    pub moving: bool,
    /// Clusters that it is busy with.
    pub under_way: Vec<ClusterName>,
}

/// `POST /v1/nodes/{node}`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeUpdate {
    pub change: NodeChange,
}

/// `POST /v1/services/{service}/scale`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    pub replicas: u64,
}

/// `POST /v1/images/prune`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PruneImages {
    /// All images without a container, not only those without a name.
    #[serde(default)]
    pub all: bool,
}

/// `POST /v1/join-token`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantedToken {
    pub role: Role,
}

/// `GET /v1/releases?stack=NAME`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReleaseView {
    pub id: ReleaseId,
    pub stack: StackName,
    pub created_at: Timestamp,
    pub author: String,
    pub images: BTreeMap<String, String>,
    pub routes: Vec<Route>,
    /// Clusters whose settled release this is.
    pub clusters: Vec<ClusterName>,
    /// With `GET /v1/releases/{id}` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<serde_json::Value>,
}

/// `GET /v1/rollouts`, `GET /v1/rollouts/{id}`, and each event of `GET /v1/rollouts/{id}/events`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolloutView {
    pub rollout: Rollout,
    /// The planner's report of its last run: one line per cluster, what each waits for.
    pub report: BTreeMap<ClusterName, String>,
    pub summary: String,
    /// 0 to 100, for progress bars.
    pub percent: u8,
}

/// `POST /v1/rollouts/{id}/{pause|resume|abort}` answers with the `RolloutView`.
///
/// `GET /v1/why?name=www.shop.example&client=198.51.100.7&type=A`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WhyView {
    /// `dns::Explanation` as JSON.
    pub explanation: serde_json::Value,
    /// The same for people.
    pub text: String,
    pub plan_generation: Generation,
    /// Whose verdicts were used.
    pub nameserver: Option<NameserverName>,
}

/// `GET /v1/status`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StatusView {
    pub version: String,
    pub clusters: Vec<ClusterView>,
    pub nameservers: Vec<NameserverView>,
    pub stacks: Vec<StackView>,
    /// Those that are not final.
    pub rollouts: Vec<RolloutView>,
    pub plan_generation: Generation,
    /// The busiest routes that are asked for, busiest first.
    #[serde(default)]
    pub traffic: Vec<RouteSummary>,
    /// What needs a person, in words; empty: all is well.
    pub attention: Vec<String>,
}
