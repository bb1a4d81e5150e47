//! What control asks one agent, on behalf of a person, and what the agent answers: looks into a swarm, and the few
//! changes that are no part of any release.
//!
//! A question is not a second way to change what runs: whatever belongs to a stack of the federation is changed through
//! desired state, and an agent refuses to do it here. Rejected: passing Engine API calls through, which would make
//! everybody who may look at a cluster its root.

use crate::release::Upkeep;
use crate::{StackName, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Rows of one answer; what is beyond is counted in [`Rows::left_out`].
pub const ROWS_MAX: usize = 10_000;
/// Log lines asked for at once without `follow`.
pub const LOG_LINES_MAX: u64 = 100_000;
/// Bytes of the JSON of one question.
pub const QUESTION_BYTES_MAX: usize = 32 << 20;
/// Bytes of the JSON of one answer.
pub const ANSWER_BYTES_MAX: usize = 32 << 20;
/// Messages of one question that an agent sends before control has taken the first.
pub const AHEAD_MAX: usize = 8;
/// Questions that one agent works on at once.
pub const QUESTIONS_MAX: usize = 32;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Services, all or those of one stack. [`Answer::Services`].
    Services { stack: Option<StackName> },
    /// Tasks of a stack, a service (name or id) or a node (name or id); all when nothing is named. [`Answer::Tasks`].
    Tasks { stack: Option<StackName>, service: Option<String>, node: Option<String> },
    /// [`Answer::Nodes`].
    Nodes,
    /// [`Answer::Stored`].
    Secrets,
    /// [`Answer::Stored`].
    Configs,
    /// The Engine's own JSON of one object. [`Answer::Object`].
    Inspect { kind: ObjectKind, name: String },
    /// Several [`Answer::Logs`], until the last.
    Logs(LogQuery),
    /// What applying these objects would meet and do. [`Answer::Plan`].
    Plan { stack: StackName, objects: String, upkeep: Upkeep },
    /// Whether the swarm has what the agent was told to run, object by object. [`Answer::Verified`].
    Verify { stack: StackName },
    /// Everything the swarm has of a stack, whoever deployed it. [`Answer::Export`].
    Export { stack: StackName },
    /// [`Answer::Done`].
    UpdateNode { node: String, change: NodeChange },
    /// Refused for services of the federation's stacks. [`Answer::Done`].
    UpdateService { service: String, change: ServiceChange },
    /// Unused images of the node the agent runs on. [`Answer::Pruned`].
    PruneImages { all: bool },
    /// [`Answer::JoinToken`].
    JoinToken { role: Role },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    Service,
    Node,
    Secret,
    Config,
    Network,
    Task,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogQuery {
    pub target: LogTarget,
    pub follow: bool,
    /// Last lines of each task; `None`: all there are.
    pub tail: Option<u64>,
    pub since: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogTarget {
    Stack(StackName),
    /// Name or id of a service.
    Service(String),
    Task(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeChange {
    Active,
    Pause,
    Drain,
    Promote,
    Demote,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceChange {
    Scale(u64),
    /// Restarts all tasks, as `docker service update --force` does.
    Force,
    /// Back to Swarm's previous spec.
    Rollback,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Worker,
    Manager,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Services(Rows<ServiceRow>),
    Tasks(Rows<TaskRow>),
    Nodes(Rows<NodeRow>),
    Stored(Rows<StoredRow>),
    Object(serde_json::Value),
    Logs(LogChunk),
    Plan(ClusterPlan),
    Verified(Verified),
    Export(Export),
    /// What was done, in words.
    Done(String),
    Pruned {
        node: String,
        images: u64,
        bytes: u64,
    },
    JoinToken {
        token: String,
        /// `host:port` of managers.
        managers: Vec<String>,
    },
    /// The question was understood and cannot be answered as asked.
    Refused(Refusal),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub kind: RefusalKind,
    pub message: String,
    /// The way out, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    NotFound,
    Invalid,
    Conflict,
    /// May well succeed later.
    Unavailable,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rows<T> {
    pub rows: Vec<T>,
    #[serde(default)]
    pub left_out: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceRow {
    pub id: String,
    pub name: String,
    pub stack: Option<String>,
    /// Of a stack that this agent keeps.
    pub managed: bool,
    pub mode: String,
    pub desired: u64,
    pub running: u64,
    pub image: String,
    pub ports: Vec<String>,
    pub update: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskRow {
    pub id: String,
    /// `service.slot` as docker shows it.
    pub name: String,
    pub service: String,
    pub image: String,
    pub node: String,
    pub desired_state: String,
    pub state: String,
    pub at: Timestamp,
    pub error: Option<String>,
    pub ports: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeRow {
    pub id: String,
    pub hostname: String,
    pub status: String,
    pub availability: String,
    /// `leader`, `reachable`, `unreachable`; `None`: a worker.
    pub manager: Option<String>,
    pub engine_version: String,
}

/// A secret or config.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredRow {
    pub id: String,
    pub name: String,
    pub stack: Option<String>,
    pub managed: bool,
    pub created: Timestamp,
    pub updated: Timestamp,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LogChunk {
    pub lines: Vec<LogLine>,
    /// Lines that nobody took in time and were dropped before these.
    #[serde(default)]
    pub dropped: u64,
    /// Services or tasks that have no log, and why, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    pub at: Timestamp,
    /// `service.slot` as docker shows it.
    pub task: String,
    pub node: String,
    /// Written to standard error.
    pub stderr: bool,
    /// Without the line's end; broken up when too long, replaced where not UTF-8.
    pub text: String,
}

/// What one cluster has against a release, and what applying it would do there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClusterPlan {
    /// Why it cannot be applied: conflicts, and what the agent's own policy does not allow.
    pub problems: Vec<String>,
    pub changes: Vec<ObjectChange>,
}

/// What becomes of one object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObjectChange {
    pub verb: Verb,
    /// `service`, `network`, `secret`, `config`, `volume`.
    pub what: String,
    pub name: String,
    /// Field by field, of updates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
    /// Tasks are replaced.
    pub restarts: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    Create,
    Update,
    Remove,
    /// A service, network, secret or config of the stack that another hand made: it is taken over as it is.
    Adopt,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// In docker's words, e.g. `image`, `env.TZ`, `ports`.
    pub field: String,
    pub from: Option<String>,
    pub to: Option<String>,
    pub restarts: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Verified {
    pub release: Option<crate::release::ReleaseId>,
    /// Object (`service shop_web`) → SHA-256 (hex) of its normal form as the swarm has it.
    pub objects: BTreeMap<String, String>,
    /// What differs from what the cluster was told to run, which is the release and what people changed since; empty:
    /// nothing.
    pub differences: Vec<ObjectChange>,
    /// What people changed since the release, or what it leaves to the swarm, in words; no hash tells of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overridden: Vec<String>,
}

/// A stack as a swarm has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Export {
    /// Canonical JSON of `stack::Objects`; references to networks, secrets and configs by name.
    pub objects: String,
    /// Bytes of configs by SHA-256 (hex), base64. Secrets are never given back by an Engine.
    pub configs: BTreeMap<String, String>,
    /// What cannot be carried over, in words.
    pub notes: Vec<String>,
}
