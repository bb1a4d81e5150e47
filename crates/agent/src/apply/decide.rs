//! What each stack needs now, from one look: pure but for what it notes in memory.

use crate::engine::Kind;
use crate::judge;
use crate::memory::{Attempt, Memory, went_wrong};
use crate::order::Payloads;
use crate::seen::Seen;
use std::collections::{BTreeMap, BTreeSet};
use waggle_model::desired::{Desired, DesiredStack};
use waggle_model::observed::Phase;
use waggle_model::{StackName, Timestamp};
use waggle_stack::Objects;
use waggle_stack::diff::{Action, Current, diff, marked};

/// Where a stack is and what is to be written for it.
#[derive(Debug)]
pub(super) struct Step {
    pub phase: Phase,
    pub actions: Vec<Action>,
}

impl Step {
    fn only(phase: Phase) -> Step {
        Step { phase, actions: Vec::new() }
    }

    fn failed(attempt: Option<&mut Attempt>, why: String) -> Step {
        if let Some(attempt) = attempt {
            attempt.failed = Some(why.clone());
        }
        Step::only(Phase::Failed(why))
    }
}

/// Steps of all desired stacks, and of those that are ours and no longer desired.
pub(super) fn decide(
    desired: &Desired,
    payloads: &Payloads,
    memory: &mut Memory,
    seen: &Seen,
    now: Timestamp,
) -> BTreeMap<StackName, Step> {
    let current = seen.current();
    let mut steps = BTreeMap::new();
    for (name, stack) in &desired.stacks {
        let step = Deciding { name, stack, payloads, seen, current: &current, now }.step(memory);
        steps.insert(name.clone(), step);
    }
    for name in seen.managed() {
        if !desired.stacks.contains_key(&name) {
            let actions = diff(&name, &Objects::default(), None, &current).unwrap_or_default();
            steps.insert(name, Step { phase: Phase::Removing, actions });
        }
    }
    steps
}

struct Deciding<'a> {
    name: &'a StackName,
    stack: &'a DesiredStack,
    payloads: &'a Payloads,
    seen: &'a Seen,
    current: &'a Current,
    now: Timestamp,
}

impl Deciding<'_> {
    fn step(&self, memory: &mut Memory) -> Step {
        let objects = match memory.objects(self.name, self.stack) {
            Ok(objects) => objects,
            // A newer control may mean more than this version can read; the attempt waits for a newer agent.
            Err(error) => {
                let why = waggle_daemon::tasks::chain(&error);
                return Step::only(Phase::Failed(format!("this agent cannot read the release: {why}")));
            }
        };
        memory.begin(self.name, self.stack, &objects, self.seen, self.now);
        let Some(attempt) = memory.attempt_mut(self.name) else {
            return Step::only(Phase::Failed("the attempt is not remembered".into()));
        };
        if let Some(why) = &attempt.failed {
            return Step::only(Phase::Failed(why.clone()));
        }
        if let Some(why) = self.swarm_gave_up(attempt, &objects) {
            return Step::failed(Some(attempt), why);
        }
        match self.actions(attempt, &objects) {
            Err(why) => Step::failed(Some(attempt), why),
            Ok(actions) if actions.is_empty() => self.progress(attempt, &objects),
            Ok(actions) => self.ready_to_write(attempt, actions),
        }
    }

    fn swarm_gave_up(&self, attempt: &Attempt, objects: &Objects) -> Option<String> {
        objects.services.iter().find_map(|(key, spec)| {
            let service = self.seen.service(&spec.name)?;
            let status = attempt.trouble(service)?;
            let (state, message) = (&status.state, &status.message);
            Some(judge::verdict(self.seen, key, service, state, message, attempt.started))
        })
    }

    fn actions(&self, attempt: &Attempt, objects: &Objects) -> Result<Vec<Action>, String> {
        let actions = diff(self.name, objects, Some(&self.stack.release), self.current);
        let mut actions =
            actions.map_err(|conflicts| conflicts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
        let written: BTreeSet<String> = actions.iter().filter_map(written_service).collect();
        let paused = objects.services.values().filter(|spec| !written.contains(&spec.name) && !spec.is_job());
        actions.extend(paused.filter_map(|spec| {
            let service = self.seen.service(&spec.name)?;
            let status =
                service.update.as_ref().filter(|status| went_wrong(status) && status.state.ends_with("paused"))?;
            attempt.before.get(&spec.name).filter(|started| **started == status.started)?;
            // The spec is there but an earlier attempt's update stands still: the same write again sets it going.
            let mut spec = marked(spec, Some(&self.stack.release));
            spec.task_template.force_update = service.spec.task_template.force_update;
            let (id, name) = (service.id.clone(), spec.name.clone());
            Some(Action::UpdateService { id, version: service.version, name, spec: Box::new(spec) })
        }));
        Ok(actions)
    }

    fn ready_to_write(&self, attempt: &mut Attempt, actions: Vec<Action>) -> Step {
        attempt.good_since = None;
        let missing = actions.iter().filter_map(|action| match action {
            Action::CreateSecret { name, sha256, .. } => Some((Kind::Secret, name, sha256)),
            Action::CreateConfig { name, sha256, .. } => Some((Kind::Config, name, sha256)),
            _ => None,
        });
        let missing = missing.filter(|(_, _, sha256)| self.payloads.get(sha256).is_none());
        let missing: Vec<String> = missing.map(|(kind, name, _)| format!("{kind:?} {name}").to_lowercase()).collect();
        if !missing.is_empty() {
            let why = format!("waiting for control to send the content of {}", missing.join(", "));
            return self.unless_late(attempt, why);
        }
        let count = actions.len();
        Step {
            phase: Phase::Applying(format!("writing {count} {}", if count == 1 { "change" } else { "changes" })),
            actions,
        }
    }

    /// Nothing to write: how far the tasks are.
    fn progress(&self, attempt: &mut Attempt, objects: &Objects) -> Step {
        let since = attempt.started;
        let waits = objects.services.iter().filter_map(|(key, spec)| judge::waits_for(self.seen, key, spec, since));
        let waits: Vec<String> = waits.collect();
        if !waits.is_empty() {
            attempt.good_since = None;
            return self.unless_late(attempt, waits.join(", "));
        }
        let good = self.now.since(*attempt.good_since.get_or_insert(self.now));
        match self.stack.monitor.checked_sub(good).filter(|left| !left.is_zero()) {
            // Found as it was left: an agent that has just started need not doubt it for the monitor time.
            Some(_) if attempt.converged => Step::only(Phase::Converged),
            Some(left) => {
                let why = format!("all tasks run; watching them for another {:.1} s", left.as_secs_f64());
                Step::only(Phase::Applying(why))
            }
            None => {
                attempt.converged = true;
                Step::only(Phase::Converged)
            }
        }
    }

    fn unless_late(&self, attempt: &mut Attempt, why: String) -> Step {
        let limit = self.stack.progress_deadline;
        if attempt.converged || self.now.since(attempt.started) <= limit {
            return Step::only(Phase::Applying(why));
        }
        Step::failed(Some(attempt), format!("no progress within {} s: {why}", limit.as_secs()))
    }
}

fn written_service(action: &Action) -> Option<String> {
    match action {
        Action::CreateService { spec, .. } | Action::UpdateService { spec, .. } => Some(spec.name.clone()),
        _ => None,
    }
}
