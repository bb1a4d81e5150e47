//! One pass: look at the swarm, decide what each stack needs, write that and nothing more, and say how far each is.
//!
//! A pass may run any number of times with no effect beyond the first. All stacks are decided before anything is written.
//! Where Swarm gave up on an update (paused or rolled back), the attempt has failed and is left alone: an agent that
//! applied it again would fight Swarm for ever. Rejected: driving Swarm's `rollback=previous`, whose "previous" is whatever
//! the last write replaced; going back is a new attempt at an older release, like any other.

use crate::engine::{Engine, EngineError};
use crate::logins::Logins;
use crate::memory::Memory;
use crate::observe;
use crate::order::Payloads;
use crate::policy::Policy;
use crate::seen::{Seen, ask_health, look};
use decide::{Step, decide};
use execute::Ids;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use waggle_model::desired::Desired;
use waggle_model::observed::{Observed, Phase};
use waggle_model::{StackName, Timestamp};
use waggle_stack::Objects;

mod decide;
mod execute;
mod renew;

/// Rounds of look and write in one pass, when somebody else writes in between.
pub const ROUNDS_MAX: usize = 4;

/// What a pass works with besides the desired state; none of it is on disk.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    pub payloads: &'a Payloads,
    pub logins: &'a Logins,
    /// What the cluster lets stacks have.
    pub policy: &'a Policy,
}

/// What came of a pass.
#[derive(Clone, Debug)]
pub struct Report {
    pub observed: Observed,
    /// Writes asked of the Engine.
    pub writes: usize,
    /// Why the pass could not do its work, if so.
    pub error: Option<String>,
    /// When something will be due by itself.
    pub due: Option<Duration>,
}

impl Report {
    /// Something is on its way; the next pass should come soon.
    pub fn is_busy(&self) -> bool {
        let busy = |phase: &Phase| matches!(phase, Phase::Applying(_) | Phase::Removing);
        self.writes > 0 || self.observed.stacks.values().any(|stack| busy(&stack.phase))
    }
}

/// One pass towards `desired`. A generation below the one worked on before is refused and changes nothing.
pub async fn apply(
    engine: &dyn Engine,
    desired: &Desired,
    given: Given<'_>,
    memory: &mut Memory,
    now: Timestamp,
) -> Report {
    if desired.generation < memory.generation() {
        let error =
            format!("generation {} is older than {}, which is in force", desired.generation, memory.generation());
        let observed = observe::stale(memory, &desired.cluster, now, None);
        return Report { observed, writes: 0, error: Some(error), due: None };
    }
    memory.set_generation(desired.generation);
    let mut pass = Pass { engine, desired, given, now, phases: BTreeMap::new(), writes: 0, error: None, due: None };
    match pass.rounds(memory).await {
        Ok(seen) => {
            let objects = objects_of(desired, memory);
            let observed = observe::observed(&seen, desired, &objects, &pass.phases, &memory.drift, now);
            memory.seen = Some(seen);
            memory.last = Some(observed.clone());
            Report { observed, writes: pass.writes, error: pass.error, due: pass.due }
        }
        Err(error) => {
            let error = waggle_daemon::tasks::chain(&error);
            let mut observed = observe::stale(memory, &desired.cluster, now, Some(error.clone()));
            observe::pending(&mut observed, desired, &error);
            Report { observed, writes: pass.writes, error: Some(error), due: None }
        }
    }
}

/// A cheap look between passes: tasks only. Phases stay what the last pass found. `None` before the first pass.
pub async fn glance(
    engine: &dyn Engine,
    desired: &Desired,
    memory: &mut Memory,
    now: Timestamp,
) -> Option<Result<Observed, EngineError>> {
    let mut seen = memory.seen.take()?;
    let tasks = engine.tasks().await;
    let answer = match tasks {
        Ok(tasks) => {
            seen.tasks = tasks;
            let last = memory.last.as_ref().map(|last| &last.stacks);
            let phases = last.into_iter().flatten().map(|(name, stack)| (name.clone(), stack.phase.clone())).collect();
            let objects = objects_of(desired, memory);
            let observed = observe::observed(&seen, desired, &objects, &phases, &memory.drift, now);
            memory.last = Some(observed.clone());
            Ok(observed)
        }
        Err(error) => Err(error),
    };
    memory.seen = Some(seen);
    Some(answer)
}

fn objects_of(desired: &Desired, memory: &mut Memory) -> BTreeMap<StackName, Arc<Objects>> {
    let read = |(name, stack)| Some((StackName::clone(name), memory.objects(name, stack).ok()?));
    desired.stacks.iter().filter_map(read).collect()
}

struct Pass<'a> {
    engine: &'a dyn Engine,
    desired: &'a Desired,
    given: Given<'a>,
    now: Timestamp,
    phases: BTreeMap<StackName, Phase>,
    writes: usize,
    error: Option<String>,
    due: Option<Duration>,
}

impl Pass<'_> {
    /// Looks and writes until there is nothing to write or somebody else kept writing; ends with a look.
    async fn rounds(&mut self, memory: &mut Memory) -> Result<Seen, EngineError> {
        let mut last = BTreeMap::new();
        for round in 1.. {
            let seen = self.look(memory).await?;
            let steps = decide(self.desired, &self.given, memory, &seen, self.now);
            self.phases = steps.iter().map(|(name, step)| (name.clone(), step.phase.clone())).collect();
            self.due = steps.values().filter_map(|step| step.due).min();
            if let Err(error) = memory.keep().await {
                // Without it a failed attempt would be tried again after a restart.
                let error = waggle_daemon::tasks::chain(&error);
                for phase in self.phases.values_mut().filter(|phase| matches!(phase, Phase::Applying(_))) {
                    *phase = Phase::Applying(format!("nothing is written: {error}"));
                }
                self.error = Some(error);
                return Ok(seen);
            }
            if round > ROUNDS_MAX || steps.values().all(Step::is_idle) {
                // Still in somebody's way after the last round: say what it is.
                self.phases.extend(last.into_iter().filter(|(name, _)| !steps.get(name).is_none_or(Step::is_idle)));
                self.renew_logins(&seen, memory).await;
                return Ok(seen);
            }
            last = self.write(steps, &seen, memory).await;
            if last.is_empty() {
                memory.keep().await.unwrap_or_else(|error| {
                    self.error = Some(waggle_daemon::tasks::chain(&error));
                });
                return self.look(memory).await;
            }
        }
        self.look(memory).await
    }

    async fn look(&self, memory: &Memory) -> Result<Seen, EngineError> {
        let mut seen = look(self.engine).await?;
        ask_health(self.engine, &mut seen, memory.seen.as_ref()).await;
        Ok(seen)
    }

    /// Writes what was decided. Names the stacks that met a change in the meantime: they must be looked at again.
    async fn write(
        &mut self,
        steps: BTreeMap<StackName, Step>,
        seen: &Seen,
        memory: &mut Memory,
    ) -> BTreeMap<StackName, Phase> {
        let mut again = BTreeMap::new();
        let mut ids = Ids::of(seen);
        for (name, step) in steps {
            if step.is_idle() {
                continue;
            }
            if let Some(kept) = &step.volumes_kept {
                let pruned = execute::prune_volumes(self.engine, &name, kept).await;
                self.writes += pruned.tried;
                if let Some(attempt) = memory.attempt_mut(&name) {
                    attempt.volumes_pruned = pruned.done;
                }
            }
            let removing = step.phase == Phase::Removing;
            let done = execute::run(self.engine, &self.given, &mut ids, step.actions).await;
            self.writes += done.writes;
            let Err(error) = done.outcome else { continue };
            match error.error {
                _ if step.tidying => tracing::debug!(stack = %name, %error, "cannot be removed yet"),
                EngineError::Conflict(_) | EngineError::NotFound(_) => {
                    tracing::debug!(stack = %name, %error, "the swarm has changed meanwhile");
                    let phase = if removing { Phase::Removing } else { Phase::Applying(error.to_string()) };
                    again.insert(name, phase);
                }
                _ if error.error.is_passing() || removing || error.at_removal => {
                    tracing::info!(stack = %name, %error, "not done yet");
                    self.phase(&name, removing, error.to_string());
                }
                _ => {
                    tracing::warn!(stack = %name, %error, "the attempt failed");
                    let why = error.to_string();
                    if let Some(attempt) = memory.attempt_mut(&name) {
                        attempt.failed = Some(why.clone());
                    }
                    self.phases.insert(name, Phase::Failed(why));
                }
            }
        }
        again
    }

    /// Hands newer logins to Swarm. A stack is as wanted without it, so its phase is none of it: what fails is done by a
    /// later pass.
    async fn renew_logins(&mut self, seen: &Seen, memory: &mut Memory) {
        let objects = objects_of(self.desired, memory);
        for due in objects.values().flat_map(|objects| renew::due(objects, seen, self.given.logins)) {
            tracing::info!(service = due.name, version = due.login.version, "handing a newer registry login to Swarm");
            self.writes += 1;
            if let Err(error) = self.engine.renew_login(due.id, due.login).await {
                tracing::warn!(service = due.name, %error, "Swarm keeps the older registry login for now");
            }
        }
    }

    fn phase(&mut self, name: &StackName, removing: bool, why: String) {
        if !removing {
            self.phases.insert(name.clone(), Phase::Applying(why));
        }
    }
}

#[cfg(test)]
mod tests;
