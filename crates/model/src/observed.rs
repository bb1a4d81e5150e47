//! Observed state: everything one agent sees of its swarm. Always whole, so a lost report costs freshness only.

use crate::release::ReleaseId;
use crate::{ClusterName, DomainName, Generation, StackName, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    pub cluster: ClusterName,
    /// Generation of the desired state this agent works on; 0 before it has any.
    pub generation: Generation,
    /// By the agent's clock.
    pub at: Timestamp,
    pub agent_version: String,
    pub swarm: Swarm,
    pub stacks: BTreeMap<StackName, ObservedStack>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Swarm {
    /// Swarm id; a second agent that joins for the same name must see the same one.
    pub id: String,
    pub engine_version: String,
    pub managers: u32,
    pub managers_reachable: u32,
    pub nodes_ready: u32,
    pub nodes_down: u32,
    pub nodes_drained: u32,
    /// Why the Engine could not be asked just now; everything else is then the last known.
    pub error: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObservedStack {
    pub release: Option<ReleaseId>,
    pub attempt: u32,
    pub phase: Phase,
    /// By name as in the file, without the stack's prefix.
    pub services: BTreeMap<String, ObservedService>,
    /// Route name → whether its service has at least one running (and, with a health check, healthy) task.
    pub serving: BTreeMap<DomainName, bool>,
    /// What somebody changed behind the release's back, in words; at most [`DRIFT_REPORTED_MAX`].
    #[serde(default)]
    pub drift: Vec<String>,
}

/// Changes named in [`ObservedStack::drift`].
pub const DRIFT_REPORTED_MAX: usize = 50;

/// Where the agent is with a stack's current attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Objects are being written or tasks are on their way; the text says what is waited for.
    Applying(String),
    /// Every service has its tasks of the current spec running, and stayed so for the monitor time.
    Converged,
    /// The attempt failed; it will not be retried until the attempt number changes.
    Failed(String),
    /// Being removed.
    Removing,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObservedService {
    pub id: String,
    pub image: String,
    /// `replicated`, `global`, `replicated-job`, `global-job`.
    pub mode: String,
    pub desired: u64,
    pub running: u64,
    /// Swarm's own state of the last update, e.g. `updating`, `paused`, `rollback_completed`.
    pub update: Option<String>,
    pub ports: Vec<String>,
    pub tasks: Vec<ObservedTask>,
}

/// Tasks kept per service in a report: newest first, the rest is counted only.
pub const TASKS_REPORTED_MAX: usize = 50;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObservedTask {
    pub id: String,
    pub slot: u64,
    pub node: String,
    pub image: String,
    pub desired_state: String,
    pub state: String,
    pub error: Option<String>,
    pub at: Timestamp,
}
