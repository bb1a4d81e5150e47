//! A stack on its way out: first its endpoints leave the answers, then the swarms remove it, then its records go.

use super::{Loaded, Seen};
use crate::records::Removing;
use std::time::Duration;
use waggle_model::desired::Desired;
use waggle_model::{ClusterName, StackName, Timestamp};

/// Nameservers that do not follow within this time no longer hold a removal up. The plan itself does: as long as one with
/// the stack's routes is in force, users are sent there.
pub const WITHDRAW_WAIT: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removal {
    /// Nameservers still answer with it.
    Serving,
    /// Out of the answers; swarms remove it.
    Withdrawn,
    /// No swarm has it any more.
    Gone,
}

impl Removal {
    pub(super) fn withdrawn(self) -> bool {
        !matches!(self, Removal::Serving)
    }
}

pub(super) fn next(loaded: &Loaded, seen: &Seen, name: &StackName, removing: &Removing, now: Timestamp) -> Removal {
    if !removing.withdrawn {
        let waited = now.since(removing.since) >= WITHDRAW_WAIT;
        let followed = waited || seen.all_answer_from(loaded.plan_generation());
        let out = !is_routed(loaded, name) && followed;
        return if out { Removal::Withdrawn } else { Removal::Serving };
    }
    let Some(stack) = loaded.state.stacks.get(name) else { return Removal::Gone };
    let all_gone = stack.clusters().all(|cluster| is_gone(loaded, seen, name, cluster));
    if all_gone { Removal::Gone } else { Removal::Withdrawn }
}

fn is_routed(loaded: &Loaded, name: &StackName) -> bool {
    let Ok(Some(plan)) = loaded.route_plan() else { return false };
    plan.routes.values().any(|route| route.stack == *name)
}

/// Its agent works on a desired state without the stack, and reports none. A cluster that left the federation is not
/// waited for.
fn is_gone(loaded: &Loaded, seen: &Seen, name: &StackName, cluster: &ClusterName) -> bool {
    if !loaded.state.federation.clusters.contains_key(cluster) {
        return true;
    }
    let Some(desired) = loaded.desired.get(cluster) else { return true };
    let asked =
        serde_json::from_slice::<Desired>(&desired.json).is_ok_and(|desired| !desired.stacks.contains_key(name));
    let observed = seen.agent(cluster).1;
    asked
        && observed.is_some_and(|(observed, _)| {
            observed.generation >= desired.generation && !observed.stacks.contains_key(name)
        })
}
