//! What each stack needs now, from one look: pure but for what it notes in memory.

use super::Given;
use crate::drift::Drifts;
use crate::engine::Kind;
use crate::judge;
use crate::memory::{Attempt, Memory, went_wrong};
use crate::seen::Seen;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use waggle_model::desired::{Desired, DesiredStack};
use waggle_model::observed::Phase;
use waggle_model::release::{Drift, Prune};
use waggle_model::{StackName, Timestamp};
use waggle_stack::Objects;
use waggle_stack::compare::{self, Change};
use waggle_stack::diff::{self, Action, Conflict, Current, Plan, Wanted, diff, removal};
use waggle_stack::objects::service::ServiceSpec;
use waggle_stack::{needs, policy};

/// Between two tries to remove what is still in use.
pub(super) const TIDY_PAUSE: Duration = Duration::from_secs(10);

/// Where a stack is and what is to be written for it.
#[derive(Debug)]
pub(super) struct Step {
    pub phase: Phase,
    pub actions: Vec<Action>,
    /// The actions remove what nothing needs any more: a refusal fails nothing.
    pub tidying: bool,
    /// Names of volumes that stay when the stack's other unused volumes go.
    pub volumes_kept: Option<BTreeSet<String>>,
    /// When it would be something else by itself.
    pub due: Option<Duration>,
}

impl Step {
    fn only(phase: Phase) -> Step {
        Step { phase, actions: Vec::new(), tidying: false, volumes_kept: None, due: None }
    }

    fn failed(attempt: Option<&mut Attempt>, why: String) -> Step {
        if let Some(attempt) = attempt {
            attempt.failed = Some(why.clone());
        }
        Step::only(Phase::Failed(why))
    }

    pub fn is_idle(&self) -> bool {
        self.actions.is_empty() && self.volumes_kept.is_none()
    }
}

/// Steps of all desired stacks, and of those that are ours and no longer desired.
pub(super) fn decide(
    desired: &Desired,
    given: &Given<'_>,
    memory: &mut Memory,
    seen: &Seen,
    now: Timestamp,
) -> BTreeMap<StackName, Step> {
    let current = seen.current();
    let mut steps = BTreeMap::new();
    for (name, stack) in &desired.stacks {
        let step = Deciding { name, stack, given, seen, current: &current, now }.step(memory);
        steps.insert(name.clone(), step);
    }
    memory.leave_others(|name| desired.stacks.contains_key(name));
    let leaving: BTreeSet<StackName> = seen.managed().union(memory.leaving()).cloned().collect();
    for name in leaving.into_iter().filter(|name| !desired.stacks.contains_key(name)) {
        let actions = removal(&name, &current);
        if actions.is_empty() {
            memory.gone(&name);
            continue;
        }
        steps.insert(name, Step { actions, ..Step::only(Phase::Removing) });
    }
    steps
}

struct Deciding<'a> {
    name: &'a StackName,
    stack: &'a DesiredStack,
    given: &'a Given<'a>,
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
        let Some((attempt, drifts)) = memory.attempt_and_drift(self.name) else {
            return Step::only(Phase::Failed("the attempt is not remembered".into()));
        };
        if let Some(why) = &attempt.failed {
            return Step::only(Phase::Failed(why.clone()));
        }
        if let Some(why) = self.swarm_gave_up(attempt, &objects) {
            return Step::failed(Some(attempt), why);
        }
        match self.plan(attempt, &objects) {
            Err(conflicts) => self.impossible(attempt, drifts, &conflicts),
            Ok(plan) if plan.actions.is_empty() => {
                let step = self.progress(attempt, &objects);
                self.tidy(attempt, &objects, step, plan.afterwards)
            }
            Ok(plan) if attempt.converged && attempt.overrides == self.stack.overrides => {
                self.drifted(attempt, drifts, &objects, plan.actions)
            }
            Ok(plan) => {
                if attempt.converged {
                    attempt.rewrite(&objects, self.seen);
                }
                self.ready_to_write(attempt, &objects, plan.actions)
            }
        }
    }

    fn wanted<'a>(&'a self, objects: &'a Objects) -> Wanted<'a> {
        let DesiredStack { release, upkeep, overrides, .. } = self.stack;
        Wanted { objects, release: Some(release), upkeep, overrides }
    }

    fn swarm_gave_up(&self, attempt: &Attempt, objects: &Objects) -> Option<String> {
        objects.services.iter().find_map(|(key, spec)| {
            let service = self.seen.service(&spec.name)?;
            let status = attempt.trouble(service)?;
            let (state, message) = (&status.state, &status.message);
            Some(judge::verdict(self.seen, key, service, state, message, attempt.started))
        })
    }

    fn plan(&self, attempt: &Attempt, objects: &Objects) -> Result<Plan, Vec<Conflict>> {
        let wanted = self.wanted(objects);
        let mut plan = diff(self.name, &wanted, self.current)?;
        let written: BTreeSet<String> = plan.actions.iter().filter_map(written_service).collect();
        let paused = objects.services.iter().filter(|(_, spec)| !written.contains(&spec.name) && !spec.is_job());
        plan.actions.extend(paused.filter_map(|(key, spec)| {
            let service = self.seen.service(&spec.name)?;
            let status =
                service.update.as_ref().filter(|status| went_wrong(status) && status.state.ends_with("paused"))?;
            attempt.before.get(&spec.name).filter(|started| **started == status.started)?;
            // The spec is there but an earlier attempt's update stands still: the same write again sets it going.
            let existing = self.current.services.iter().find(|existing| existing.id == service.id)?;
            Some(diff::again(&wanted, key, spec, existing))
        }));
        Ok(plan)
    }

    /// No write can bring it about. After the attempt converged it is somebody else's doing, and may end.
    fn impossible(&self, attempt: &mut Attempt, drifts: &mut Drifts, conflicts: &[Conflict]) -> Step {
        let said: Vec<String> = conflicts.iter().map(ToString::to_string).collect();
        let why = said.join("; ");
        if !attempt.converged {
            return Step::failed(Some(attempt), why);
        }
        drifts.note(self.name, said, self.now);
        Step::only(Phase::Applying(why))
    }

    /// It had converged, and now there is something to write.
    fn drifted(&self, attempt: &mut Attempt, drifts: &mut Drifts, objects: &Objects, actions: Vec<Action>) -> Step {
        if drifts.is_healing(self.name, self.now) {
            return self.ready_to_write(attempt, objects, actions);
        }
        let found: Vec<String> = actions.iter().flat_map(|action| self.changed(objects, action)).collect();
        if self.stack.upkeep.drift == Drift::Observe {
            drifts.note(self.name, found, self.now);
            return self.progress(attempt, objects);
        }
        let pause = drifts.pause(self.name, self.now);
        if !pause.is_zero() {
            drifts.note(self.name, found, self.now);
            let why = format!("somebody keeps changing it; written again in {} s", pause.as_secs() + 1);
            return Step::only(Phase::Applying(why));
        }
        tracing::warn!(stack = %self.name, changes = ?found, "somebody changed the stack; the release is written again");
        let healed = found.into_iter().map(|change| format!("{change}; the release was written again")).collect();
        drifts.note(self.name, healed, self.now);
        drifts.healed(self.name, self.now);
        attempt.rewrite(objects, self.seen);
        self.ready_to_write(attempt, objects, actions)
    }

    /// What somebody did, as seen by what undoes it.
    fn changed(&self, objects: &Objects, action: &Action) -> Vec<String> {
        use Action::*;
        let one = |text: String| vec![text];
        match action {
            CreateNetwork { spec } => one(format!("network {} was removed", spec.name)),
            CreateSecret { name, .. } => one(format!("secret {name} was removed")),
            CreateConfig { name, .. } => one(format!("config {name} was removed")),
            CreateService { name, .. } => one(format!("service {name} was removed")),
            LabelSecret { name, .. } => one(format!("labels of secret {name} were changed")),
            LabelConfig { name, .. } => one(format!("labels of config {name} were changed")),
            RemoveService { name, .. } => one(format!("service {name} was added")),
            RemoveSecret { name, .. } => one(format!("secret {name} was added")),
            RemoveConfig { name, .. } => one(format!("config {name} was added")),
            RemoveNetwork { name, .. } => one(format!("network {name} was added")),
            UpdateService { id, name, spec, .. } => {
                let existing = self.current.services.iter().find(|existing| existing.id == *id);
                let wanted = objects.services.values().find(|wanted| wanted.name == *name);
                let changes = existing.zip(wanted).map(|(existing, wanted)| {
                    // The number of replicas may be other than the file's.
                    let wanted = ServiceSpec { mode: spec.mode.clone(), ..wanted.clone() };
                    compare::service(&wanted, existing, self.current)
                });
                match changes.filter(|changes| !changes.is_empty()) {
                    // Told from the release to what was found.
                    Some(changes) => changes.into_iter().map(|change| backwards(change).to_string()).collect(),
                    None => one(format!("labels of service {name} were changed")),
                }
            }
        }
    }

    fn ready_to_write(&self, attempt: &mut Attempt, objects: &Objects, actions: Vec<Action>) -> Step {
        attempt.good_since = None;
        // Only what would be written is judged: a policy that became stricter takes no running stack out of service.
        let mut refusals: Vec<String> =
            policy::check(self.given.policy, objects).iter().map(ToString::to_string).collect();
        refusals.extend(needs::check(self.seen.info.api_version, objects).iter().map(ToString::to_string));
        if !refusals.is_empty() {
            let why = refusals.join("; ");
            return if attempt.converged { Step::only(Phase::Applying(why)) } else { Step::failed(Some(attempt), why) };
        }
        let missing = actions.iter().filter_map(|action| match action {
            Action::CreateSecret { name, sha256, .. } => Some((Kind::Secret, name, sha256)),
            Action::LabelSecret { name, verify: Some(sha256), .. } => Some((Kind::Secret, name, sha256)),
            Action::CreateConfig { name, sha256, .. } => Some((Kind::Config, name, sha256)),
            _ => None,
        });
        let missing = missing.filter(|(_, _, sha256)| self.given.payloads.get(sha256).is_none());
        let missing: Vec<String> = missing.map(|(kind, name, _)| format!("{kind:?} {name}").to_lowercase()).collect();
        if !missing.is_empty() {
            let why = format!("waiting for control to send the content of {}", missing.join(", "));
            return self.unless_late(attempt, why);
        }
        let count = actions.len();
        let phase = Phase::Applying(format!("writing {count} {}", if count == 1 { "change" } else { "changes" }));
        Step { actions, ..Step::only(phase) }
    }

    /// Nothing to write: how far the tasks are. Swarm's own watch over an update and ours go on at the same time.
    fn progress(&self, attempt: &mut Attempt, objects: &Objects) -> Step {
        let since = attempt.started;
        let waits = objects.services.iter().filter_map(|(key, spec)| judge::waits_for(self.seen, key, spec, since));
        let waits: Vec<String> = waits.collect();
        if !waits.is_empty() {
            attempt.good_since = None;
            return self.unless_late(attempt, waits.join(", "));
        }
        let good = self.now.since(*attempt.good_since.get_or_insert(self.now));
        let watched = objects.services.iter().filter(|(_, spec)| judge::is_watched(self.seen, spec));
        let watched: Vec<&str> = watched.map(|(key, _)| key.as_str()).collect();
        if !watched.is_empty() {
            return self.unless_late(attempt, format!("Swarm watches the updated tasks of {}", watched.join(", ")));
        }
        attempt.overrides = self.stack.overrides.clone();
        attempt.rewriting = false;
        match self.stack.monitor.checked_sub(good).filter(|left| !left.is_zero()) {
            // Found as it was left: an agent that has just started need not doubt it for the monitor time.
            Some(_) if attempt.converged => Step::only(Phase::Converged),
            Some(left) => {
                let why = format!("all tasks run; watching them for another {:.1} s", left.as_secs_f64());
                Step { due: Some(left), ..Step::only(Phase::Applying(why)) }
            }
            None => {
                attempt.converged = true;
                Step::only(Phase::Converged)
            }
        }
    }

    /// Once it runs, what it lacks goes; in use, it is tried again later.
    fn tidy(&self, attempt: &mut Attempt, objects: &Objects, step: Step, afterwards: Vec<Action>) -> Step {
        let soon = attempt.tidied.is_some_and(|tidied| self.now.since(tidied) < TIDY_PAUSE);
        if step.phase != Phase::Converged || soon {
            return step;
        }
        let volumes = self.stack.upkeep.prune == Prune::Volumes && !attempt.volumes_pruned;
        if afterwards.is_empty() && !volumes {
            return step;
        }
        attempt.tidied = Some(self.now);
        let mounts = objects.services.values().flat_map(|spec| &spec.task_template.container_spec.mounts);
        let volumes_kept = volumes.then(|| mounts.map(|mount| mount.source.clone()).collect());
        Step { actions: afterwards, tidying: true, volumes_kept, ..step }
    }

    fn unless_late(&self, attempt: &mut Attempt, why: String) -> Step {
        let limit = self.stack.progress_deadline;
        if attempt.converged || self.now.since(attempt.started) <= limit {
            return Step::only(Phase::Applying(why));
        }
        Step::failed(Some(attempt), format!("no progress within {} s: {why}", limit.as_secs()))
    }
}

fn backwards(change: Change) -> Change {
    Change { old: change.new, new: change.old, ..change }
}

fn written_service(action: &Action) -> Option<String> {
    match action {
        Action::CreateService { spec, .. } | Action::UpdateService { spec, .. } => Some(spec.name.clone()),
        _ => None,
    }
}
