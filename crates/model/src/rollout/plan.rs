//! The planner: what each cluster's next step is, and what it waits for.
//!
//! A plan runs to its fixed point, so planning again from the same facts changes nothing (invariant 6). It counts clusters that
//! are out of service and never takes the last fit cluster of a route out (invariant 7). A fact that is missing holds a step,
//! with a line in the report; it never fails one: only an agent's word or the progress deadline does, and the deadline
//! stands still while nobody can see the cluster.
//!
//! A nameserver that control cannot reach goes on answering from the plan it has. There is no bound on how long, so the drain
//! waits for it for [`UNREACHABLE_NAMESERVER_WAIT`] plus the route's TTL and then takes it for gone, on record: it still probes
//! by itself and hears the agent's beats, so it leaves a cluster that stops serving. Waiting without end was rejected, since
//! one dead nameserver would then stop every rollout.

mod drain;
mod service;
mod start;
mod update;

pub use drain::{CLOCK_MARGIN, UNREACHABLE_NAMESERVER_WAIT};
pub use update::PROGRESS_MARGIN;

use super::report::{Line, Note, Report, What, Why};
use super::{ClusterRollout, Facts, Progress, Rollout, State, Step};
use crate::{ClusterName, Timestamp};
use std::time::Duration;

/// Steps one cluster can take in one plan, with room to spare; the fixed point comes far earlier.
const STEPS_MAX: usize = 16;

/// Decides what to do next, from facts alone.
pub fn plan(rollout: &Rollout, facts: &Facts, now: Timestamp) -> (Rollout, Report) {
    let mut planner = Planner { next: rollout.clone(), facts, now, lines: Vec::new(), notes: Vec::new() };
    for _ in 0..STEPS_MAX * (1 + rollout.clusters.len()) {
        let before = planner.next.clone();
        planner.pass();
        if planner.next == before {
            break;
        }
    }
    let report = Report::of(&planner.next, planner.lines, planner.notes);
    (planner.next, report)
}

struct Planner<'a> {
    next: Rollout,
    facts: &'a Facts,
    now: Timestamp,
    lines: Vec<Line>,
    notes: Vec<Note>,
}

impl Planner<'_> {
    fn pass(&mut self) {
        self.lines.clear();
        if !self.next.state.is_final() {
            self.forget_gone();
        }
        let names: Vec<_> = self.next.clusters.keys().cloned().collect();
        for under_way in [true, false] {
            for name in &names {
                let Some(cluster) = self.next.clusters.get(name).cloned() else { continue };
                if cluster.is_under_way() != under_way || self.lines.iter().any(|line| line.cluster == *name) {
                    continue;
                }
                let why = if self.next.state.is_final() { Why::Nothing } else { self.advance(name, &cluster) };
                self.push_line(name, why);
            }
        }
        self.conclude();
    }

    fn push_line(&mut self, name: &ClusterName, why: Why) {
        let Some(cluster) = self.next.clusters.get(name) else { return };
        let why = match (&self.facts.hold, why) {
            (Some(hold), Why::PlanNotWritten) => Why::PlanHeld { by: hold.by.clone(), until: hold.until },
            (_, why) => why,
        };
        let (stage, step, in_place) = (cluster.stage, cluster.step.clone(), cluster.progress.in_place);
        self.lines.push(Line { cluster: name.clone(), stage, step, in_place, why });
    }

    fn forget_gone(&mut self) {
        let gone: Vec<_> =
            self.next.clusters.keys().filter(|name| !self.facts.clusters.contains_key(*name)).cloned().collect();
        for name in gone {
            self.next.clusters.remove(&name);
            self.note(&name, What::LeftFederation);
        }
    }

    fn advance(&mut self, name: &ClusterName, cluster: &ClusterRollout) -> Why {
        self.track_absence(name);
        match &cluster.step {
            Step::Waiting => self.start(name, cluster),
            Step::Draining { plan } => self.drain(name, cluster, *plan),
            Step::Proving { cached_until } => self.prove(name, cluster, *cached_until),
            Step::Updating => self.update(name, cluster),
            Step::Verifying => self.verify(name, cluster),
            Step::Readmitting { plan } => self.readmit(name, cluster, *plan),
            Step::Failed { why } => self.failed(name, cluster, why),
            Step::Reverting { why } => self.reverting(name, cluster, why),
            Step::Reverted { .. } if self.next.state == State::Running => {
                self.enter(name, Step::Waiting);
                Why::Nothing
            }
            Step::Done => match &self.facts.clusters[name].drained {
                Some(reason) => Why::OperatorDrained { reason: reason.clone() },
                None => Why::Nothing,
            },
            Step::Reverted { .. } => Why::Nothing,
        }
    }

    /// Ends the rollout when nothing is left to do.
    fn conclude(&mut self) {
        let state = &self.next.state;
        let all_done = self.next.clusters.values().all(|cluster| cluster.step == Step::Done);
        let at_rest = |cluster: &ClusterRollout| {
            let given_up = matches!(cluster.step, Step::Failed { .. }) && cluster.progress.on_previous;
            given_up || !cluster.is_under_way()
        };
        match state {
            State::Aborting { by } if self.next.clusters.values().all(at_rest) => {
                self.next.state = State::Aborted { by: by.clone() };
            }
            State::Running | State::Paused { .. } | State::Held { .. } if all_done => self.next.state = State::Done,
            _ => {}
        }
    }

    /// The progress deadline stands still while nobody can see the cluster.
    fn track_absence(&mut self, name: &ClusterName) {
        let now = self.now;
        let connected = self.facts.clusters.get(name).is_some_and(|facts| facts.connected);
        let nobody = !self.facts.nameservers.is_empty() && !self.facts.nameservers.values().any(|ns| ns.connected);
        let Some(cluster) = self.next.clusters.get_mut(name) else { return };
        let unseen = match cluster.step {
            Step::Updating | Step::Reverting { .. } => !connected,
            Step::Verifying | Step::Readmitting { .. } => !connected || nobody,
            _ => return,
        };
        match (unseen, cluster.progress.absent) {
            (true, None) => cluster.progress.absent = Some(now),
            (false, Some(since)) => {
                cluster.progress.from = cluster.progress.from.after(now.since(since));
                cluster.progress.absent = None;
            }
            _ => {}
        }
    }

    /// Time left of the progress deadline, `None` when it has passed.
    fn time_left(&self, name: &ClusterName) -> Option<Duration> {
        let progress = &self.next.clusters.get(name)?.progress;
        let allowed = self.next.promotion.progress_deadline + PROGRESS_MARGIN;
        allowed.checked_sub(progress.absent.unwrap_or(self.now).since(progress.from)).filter(|left| !left.is_zero())
    }

    fn enter(&mut self, name: &ClusterName, step: Step) {
        let now = self.now;
        let Some(cluster) = self.next.clusters.get_mut(name) else { return };
        cluster.step = step.clone();
        cluster.since = now;
        cluster.progress = Progress { from: now, absent: None, good: None, ..cluster.progress };
        if matches!(step, Step::Waiting | Step::Done | Step::Reverted { .. }) {
            cluster.progress.in_place = false;
        }
        self.note(name, What::Entered(step));
    }

    fn change(&mut self, name: &ClusterName, change: impl FnOnce(&mut ClusterRollout)) {
        if let Some(cluster) = self.next.clusters.get_mut(name) {
            change(cluster);
        }
    }

    fn note(&mut self, cluster: &ClusterName, what: What) {
        let note = Note { cluster: cluster.clone(), what };
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn is_aborting(&self) -> bool {
        matches!(self.next.state, State::Aborting { .. })
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
