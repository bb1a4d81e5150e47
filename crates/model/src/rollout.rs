//! Rollouts: one release on its way through the clusters of its stack.
//!
//! A rollout's state is small and holds facts, not a pipeline position; [`plan`](plan::plan) decides from facts and `now`
//! what each cluster's next step is, and says in its report what it waits for. Promote, pause, abort and revert are all
//! "change what is desired, plan again".
//!
//! ```text
//!            ┌─ in_place ─────────────────────────┐
//! Waiting ───┴─► Draining ─► Proving ─► Updating ◄┘─► Verifying ─► Readmitting ─► Done
//!                                          │             │
//!                                          └──► Failed ◄─┘ ──► Reverting ──► Reverted   (the rollout is Held)
//! ```

mod begin;
mod command;
mod facts;
pub mod plan;
mod report;

pub use begin::{Begin, begin};
pub use command::Refused;
pub use facts::{ClusterFacts, Facts, NameserverFacts, Reported, Routed, RoutedRoute};
pub use report::{Behind, Line, Note, Report, Seen, What, Why};

use crate::release::{Promotion, ReleaseId};
use crate::{ClusterName, Generation, StackName, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// Grows per federation.
    pub id: u64,
    pub stack: StackName,
    pub release: ReleaseId,
    pub promotion: Promotion,
    pub state: State,
    pub created: Timestamp,
    pub clusters: BTreeMap<ClusterName, ClusterRollout>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Running,
    /// By a person; steps under way in a cluster are finished, no new cluster is begun.
    Paused {
        by: String,
    },
    /// By a failure; the failed cluster is handled, nothing new is begun. `resume` tries the failed clusters again.
    Held {
        why: String,
    },
    /// By a person; clusters under way go back to what they ran before, finished ones stay.
    Aborting {
        by: String,
    },
    Aborted {
        by: String,
    },
    Done,
    /// A newer rollout of the same stack took over.
    Superseded {
        by: u64,
    },
}

impl State {
    /// Nothing will happen any more.
    pub fn is_final(&self) -> bool {
        matches!(self, State::Aborted { .. } | State::Done | State::Superseded { .. })
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterRollout {
    pub stage: u16,
    pub step: Step,
    /// When the step was entered.
    pub since: Timestamp,
    /// What the cluster ran before this rollout touched it; `None`: nothing.
    pub previous: Option<ReleaseId>,
    /// Attempt number given to the agent; grows with each new desired release or retry.
    pub attempt: u32,
    #[serde(default)]
    pub progress: Progress,
}

/// What the planner remembers about one cluster beside its step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// The cluster is not drained for this rollout.
    pub in_place: bool,
    /// Its drain was given up because no other cluster was fit: it waits for one rather than be updated in place, as this
    /// is an outage and not a federation of one.
    pub needed: bool,
    /// Desired state names the previous release again (or nothing, if there was none).
    pub on_previous: bool,
    /// The progress deadline counts from here; moved on by time in which nobody could see the cluster.
    pub from: Timestamp,
    /// Since when the cluster cannot be seen in its present step.
    pub absent: Option<Timestamp>,
    /// Since when verification has held without a break.
    pub good: Option<Timestamp>,
}

impl ClusterRollout {
    /// Release that the cluster should run just now; `None`: the stack should not be there.
    pub fn wanted(&self, release: ReleaseId) -> Option<ReleaseId> {
        let previous = match self.step {
            Step::Waiting | Step::Draining { .. } | Step::Proving { .. } => true,
            Step::Reverting { .. } | Step::Reverted { .. } => true,
            Step::Failed { .. } => self.progress.on_previous,
            Step::Updating | Step::Verifying | Step::Readmitting { .. } | Step::Done => false,
        };
        if previous { self.previous } else { Some(release) }
    }

    /// Whether the route plan must keep this cluster out of answers because of the rollout.
    pub fn is_drained(&self) -> bool {
        !self.progress.in_place
            && match self.step {
                Step::Draining { .. } | Step::Proving { .. } | Step::Updating | Step::Verifying => true,
                Step::Failed { .. } | Step::Reverting { .. } => true,
                Step::Waiting | Step::Readmitting { .. } | Step::Done | Step::Reverted { .. } => false,
            }
    }

    /// Whether the rollout has begun here and not ended: what `max_parallel` counts.
    pub fn is_under_way(&self) -> bool {
        !matches!(self.step, Step::Waiting | Step::Done | Step::Reverted { .. })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    Waiting,
    /// Out of the route plan from this generation on; waiting for nameservers to acknowledge it.
    Draining {
        plan: Option<Generation>,
    },
    /// Acknowledged; waiting until no compliant cache can hold the endpoint.
    Proving {
        cached_until: Timestamp,
    },
    /// Desired state names the release.
    Updating,
    /// Converged; probes through the public address must agree, for the monitor time.
    Verifying,
    /// Back in the route plan from this generation on; waiting for acknowledgement.
    Readmitting {
        plan: Option<Generation>,
    },
    Done,
    Failed {
        why: String,
    },
    /// Desired state names the previous release again.
    Reverting {
        why: String,
    },
    /// Serving the previous release again.
    Reverted {
        why: String,
    },
}
