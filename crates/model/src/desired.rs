//! Desired state: everything one cluster should run, as one document with a generation.

use crate::fleet::{BeatPolicy, NameserverPeer};
use crate::release::{ReleaseId, Upkeep};
use crate::time::millis;
use crate::{ClusterName, DomainName, Generation, StackName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Stacks one cluster may be asked to run.
pub const STACKS_MAX: usize = 1024;

/// What control sends an agent. Whole, never an edit; an agent refuses a lower generation (invariant 3).
///
/// A stack that an agent manages and that is absent here is removed from the swarm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Desired {
    pub cluster: ClusterName,
    pub generation: Generation,
    pub stacks: BTreeMap<StackName, DesiredStack>,
    /// Where to send beats.
    pub nameservers: Vec<NameserverPeer>,
    pub beat: BeatPolicy,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DesiredStack {
    pub release: ReleaseId,
    /// Distinguishes two attempts at the same release in this cluster: a failure is a fact about an attempt. An agent
    /// that failed attempt n holds still until the attempt changes.
    pub attempt: u32,
    /// Canonical JSON of `stack::Objects`.
    pub objects: String,
    /// Services whose health decides a route: route name → service name as in the file.
    pub routes: BTreeMap<DomainName, String>,
    #[serde(rename = "progress_deadline_ms", with = "millis")]
    pub progress_deadline: Duration,
    #[serde(rename = "monitor_ms", with = "millis")]
    pub monitor: Duration,
    #[serde(default)]
    pub upkeep: Upkeep,
    /// What people changed in this cluster since the release, by service as in the file.
    #[serde(default)]
    pub overrides: BTreeMap<String, Override>,
}

/// A change to one service in one cluster that is no release of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Override {
    /// `service scale`.
    pub replicas: Option<u64>,
    /// Times `service update --force` was asked for; tasks restart when it grows.
    pub force: u32,
}
