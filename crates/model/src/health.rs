//! Health: what one observer saw becomes what the rules conclude.
//!
//! The types here travel (views, statuses); the rules are in the submodules, as state machines that take `now`.

pub mod endpoint;
pub mod forced;
pub mod judge;
pub mod overrides;

use crate::release::ReleaseId;
use crate::time::millis;
use crate::{ClusterName, DomainName, NameserverName, StackName, Timestamp};
use overrides::Signed;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// What the rules conclude about one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Fit,
    Unfit(String),
    /// Not enough is known to change anything; the last good verdict goes on counting.
    Unknown,
}

/// Thresholds of the federation; each has a default that suits a public service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HealthPolicy {
    /// Failed probes among the last `window` that make an endpoint suspect.
    pub fall: u8,
    /// Probes looked back at; 1 to 64.
    pub window: u8,
    /// Consecutive good probes that clear it.
    pub rise: u8,
    /// Silence of an agent after which its cluster is Unknown and its word no longer counts; less where its beats come
    /// regularly, see `judge::SILENCE_FLOOR`.
    #[serde(rename = "beat_deadline_ms", with = "millis")]
    pub beat_deadline: Duration,
    /// Silence of a peer nameserver after which its view no longer counts.
    #[serde(rename = "view_deadline_ms", with = "millis")]
    pub view_deadline: Duration,
    /// Shortest time an endpoint stays unfit; doubles with each flap up to `hold_down_max`.
    #[serde(rename = "hold_down_ms", with = "millis")]
    pub hold_down: Duration,
    #[serde(rename = "hold_down_max_ms", with = "millis")]
    pub hold_down_max: Duration,
    /// How long an endpoint that comes back takes to have all of its clients again; 0: it has them at once.
    #[serde(rename = "ramp_ms", with = "millis")]
    pub ramp: Duration,
}

impl Default for HealthPolicy {
    fn default() -> Self {
        HealthPolicy {
            fall: 2,
            window: 5,
            rise: 2,
            beat_deadline: Duration::from_millis(900),
            view_deadline: Duration::from_millis(3500),
            hold_down: Duration::from_secs(2),
            hold_down_max: Duration::from_secs(60),
            ramp: Duration::from_secs(10),
        }
    }
}

/// An agent's word about its own cluster, sent to every nameserver several times a second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Beat {
    pub cluster: ClusterName,
    /// Grows with each start of the agent; with `seq` it orders beats.
    pub boot: u64,
    pub seq: u64,
    /// False when the Engine could not be asked within the agent's own deadline.
    pub engine_ok: bool,
    pub stacks: BTreeMap<StackName, BeatStack>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BeatStack {
    pub release: Option<ReleaseId>,
    /// Converged on that release.
    pub converged: bool,
    /// Route → its service has a serving task.
    pub serving: BTreeMap<DomainName, bool>,
}

/// One nameserver's whole table of own probe results, sent to every peer once a second and on change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct View {
    pub from: NameserverName,
    /// Grows with each start of the nameserver; with `seq` it orders views.
    pub boot: u64,
    pub seq: u64,
    /// The sender suspects itself (it sees most endpoints fail at once): its votes do not count.
    pub self_suspect: bool,
    pub entries: Vec<ViewEntry>,
    /// Questions per second whose clients like a cluster best of those the sender answers with. Left out where it is
    /// nothing, and wholly where no cluster has a capacity.
    #[serde(default)]
    pub demand: BTreeMap<ClusterName, f64>,
    /// What operators told the sender, for the receiver to check for itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Signed>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewEntry {
    pub route: DomainName,
    pub cluster: ClusterName,
    pub up: bool,
}

/// One finished probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeResult {
    pub at: Timestamp,
    /// From the first packet to the answer, or to giving up; of several addresses the slowest.
    pub took: Duration,
    /// `Err` says what failed, for people.
    pub outcome: Result<(), String>,
}
