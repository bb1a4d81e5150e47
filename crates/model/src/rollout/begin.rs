//! How a rollout starts, also in the place of an older one that has not ended.
//!
//! A cluster where the older one was at work is in no state to serve and must not be put back into answers as if nothing had
//! happened. In the first stage it goes straight on to the new release, still drained; in a later stage it is brought back
//! to what it ran before, since its turn has not come.

use super::{ClusterRollout, Progress, Rollout, State, Step};
use crate::fleet_state::Settled;
use crate::release::{Promotion, ReleaseId};
use crate::{ClusterName, StackName, Timestamp};
use std::collections::BTreeMap;

pub struct Begin<'a> {
    pub id: u64,
    pub stack: StackName,
    pub release: ReleaseId,
    pub promotion: Promotion,
    /// All clusters of the federation.
    pub clusters: Vec<ClusterName>,
    /// What each cluster runs apart from `older`.
    pub settled: &'a BTreeMap<ClusterName, Settled>,
    /// The stack's newest rollout until now, whatever its state.
    pub older: Option<&'a Rollout>,
    pub now: Timestamp,
}

/// The rollout in its first state. Clusters that the promotion does not list form a last stage; those it lists and the
/// federation lacks are left out.
pub fn begin(begin: Begin<'_>) -> Rollout {
    let stages = &begin.promotion.stages;
    let older = begin.older.filter(|older| !matches!(older.state, State::Superseded { by } if by != begin.id));
    let clusters = begin.clusters.iter().map(|name| {
        let stage = stages.iter().position(|stage| stage.contains(name)).unwrap_or(stages.len());
        let stage = stage.min(usize::from(u16::MAX)) as u16;
        let first = stage == first_stage(stages, &begin.clusters);
        let settled = begin.settled.get(name).copied().unwrap_or_default();
        let taken = older.and_then(|older| Some((older, older.clusters.get(name)?)));
        let cluster = match taken {
            Some((older, cluster)) => take_over(older, cluster, stage, first, begin.now),
            None => fresh(stage, settled.release, settled.attempt, begin.now),
        };
        (name.clone(), cluster)
    });
    let clusters = clusters.collect();
    Rollout {
        id: begin.id,
        stack: begin.stack,
        release: begin.release,
        state: State::Running,
        created: begin.now,
        clusters,
        promotion: begin.promotion,
    }
}

fn first_stage(stages: &[Vec<ClusterName>], clusters: &[ClusterName]) -> u16 {
    let first = stages.iter().position(|stage| stage.iter().any(|name| clusters.contains(name)));
    first.unwrap_or(stages.len()).min(usize::from(u16::MAX)) as u16
}

fn fresh(stage: u16, previous: Option<ReleaseId>, attempt: u32, now: Timestamp) -> ClusterRollout {
    let progress = Progress { from: now, ..Progress::default() };
    ClusterRollout { stage, step: Step::Waiting, since: now, previous, attempt, progress }
}

fn take_over(older: &Rollout, was: &ClusterRollout, stage: u16, first: bool, now: Timestamp) -> ClusterRollout {
    let waiting = |previous| fresh(stage, previous, was.attempt, now);
    match &was.step {
        Step::Done | Step::Readmitting { .. } => waiting(Some(older.release)),
        Step::Waiting | Step::Draining { .. } | Step::Proving { .. } | Step::Reverted { .. } => waiting(was.previous),
        Step::Updating | Step::Verifying | Step::Failed { .. } | Step::Reverting { .. } => {
            let mut next = waiting(was.previous);
            next.attempt += 1;
            next.progress.in_place = was.progress.in_place;
            if first {
                next.step = Step::Updating;
            } else {
                next.step = Step::Reverting { why: format!("rollout {} was superseded", older.id) };
                next.progress.on_previous = true;
            }
            next
        }
    }
}
