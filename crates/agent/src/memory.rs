//! What the agent must not forget about its attempts, also over a restart: which one failed, so that it is not tried
//! again, and which troubles of Swarm's were there before it began, so that they are not blamed on it.
//!
//! Kept on disk before the first write of an attempt. Rejected: labels on the services, because Swarm's own rollback
//! takes labels back as well.

use crate::drift::Drifts;
use crate::engine::{Service, UpdateStatus};
use crate::seen::Seen;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use waggle_daemon::file;
use waggle_model::desired::{DesiredStack, Override};
use waggle_model::observed::Observed;
use waggle_model::release::ReleaseId;
use waggle_model::{Generation, StackName, Timestamp};
use waggle_stack::Objects;
use waggle_stack::objects::ParseError;

#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    #[error("what was tried before cannot be read")]
    Corrupt(#[from] file::Corrupt),
    #[error("{} has a form this version does not know", path.display())]
    Form { path: PathBuf, source: serde_json::Error },
    #[error("what is tried cannot be kept")]
    Write(#[from] file::WriteError),
    #[error("what is tried cannot be kept")]
    Interrupted(#[source] tokio::task::JoinError),
}

/// One attempt at one release of a stack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    pub release: ReleaseId,
    pub attempt: u32,
    pub started: Timestamp,
    /// Service → start of an update that had gone wrong before this attempt began.
    pub before: BTreeMap<String, String>,
    /// Why it failed; it is not tried again.
    pub failed: Option<String>,
    /// It has converged once: later losses are Swarm's to mend and no failure of the attempt.
    pub converged: bool,
    /// What people asked for and was written.
    #[serde(default)]
    pub overrides: BTreeMap<String, Override>,
    /// Something was written since it converged: what Swarm gives up on now is the attempt's again.
    #[serde(default)]
    pub rewriting: bool,
    /// All of the stack's volumes that the release lacks were removed.
    #[serde(default)]
    pub volumes_pruned: bool,
    /// When what the release lacks was last tried to be removed.
    #[serde(skip)]
    pub tidied: Option<Timestamp>,
    /// Since when everything runs; a restart of the agent starts the time anew.
    #[serde(skip)]
    pub good_since: Option<Timestamp>,
}

impl Attempt {
    pub fn is(&self, stack: &DesiredStack) -> bool {
        self.release == stack.release && self.attempt == stack.attempt
    }

    /// Begins to write again after it converged; troubles that are there already are not its own.
    pub fn rewrite(&mut self, objects: &Objects, seen: &Seen) {
        if !self.rewriting {
            self.rewriting = true;
            self.before = troubles(objects, seen);
        }
    }

    /// Whether Swarm gave up on an update of this attempt. One that comes after the attempt converged is somebody else's.
    pub fn trouble<'a>(&self, service: &'a Service) -> Option<&'a UpdateStatus> {
        if self.converged && !self.rewriting {
            return None;
        }
        let status = service.update.as_ref().filter(|status| went_wrong(status))?;
        let old = self.before.get(&service.spec.name).is_some_and(|started| *started == status.started);
        (!old).then_some(status)
    }
}

fn troubles(objects: &Objects, seen: &Seen) -> BTreeMap<String, String> {
    let services = objects.services.values().filter_map(|spec| seen.service(&spec.name));
    let wrong = services.filter_map(|service| {
        let status = service.update.as_ref().filter(|status| went_wrong(status))?;
        Some((service.spec.name.clone(), status.started.clone()))
    });
    wrong.collect()
}

/// Paused, rolling back or rolled back.
pub fn went_wrong(status: &UpdateStatus) -> bool {
    status.state == "paused" || status.state.starts_with("rollback")
}

/// Everything remembered.
#[derive(Debug, Default)]
pub struct Memory {
    path: Option<PathBuf>,
    kept: Kept,
    saved: Kept,
    parsed: BTreeMap<StackName, (ReleaseId, Arc<Objects>)>,
    /// The last whole look, and what was made of it.
    pub seen: Option<Seen>,
    pub last: Option<Observed>,
    pub drift: Drifts,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Kept {
    version: u32,
    generation: Generation,
    stacks: BTreeMap<StackName, Attempt>,
    /// Not desired any more, and not gone yet.
    #[serde(default)]
    leaving: BTreeSet<StackName>,
}

impl Memory {
    /// One that lives in `data_dir`. `Memory::default()` lives as long as the process.
    pub fn load(data_dir: &Path) -> Result<Memory, MemoryError> {
        let path = data_dir.join("attempts");
        let kept: Kept = match file::read_document(&path)? {
            Some(content) => {
                serde_json::from_slice(&content).map_err(|source| MemoryError::Form { path: path.clone(), source })?
            }
            None => Kept::default(),
        };
        Ok(Memory { path: Some(path), saved: kept.clone(), kept, ..Memory::default() })
    }

    pub fn generation(&self) -> Generation {
        self.kept.generation
    }

    pub fn set_generation(&mut self, generation: Generation) {
        self.kept.generation = generation;
    }

    pub fn attempt(&self, stack: &StackName) -> Option<&Attempt> {
        self.kept.stacks.get(stack)
    }

    pub fn attempt_mut(&mut self, stack: &StackName) -> Option<&mut Attempt> {
        self.kept.stacks.get_mut(stack)
    }

    /// The attempt, and what was found changed.
    pub fn attempt_and_drift(&mut self, stack: &StackName) -> Option<(&mut Attempt, &mut Drifts)> {
        Some((self.kept.stacks.get_mut(stack)?, &mut self.drift))
    }

    /// Begins the attempt unless it is under way.
    pub fn begin(&mut self, name: &StackName, stack: &DesiredStack, objects: &Objects, seen: &Seen, now: Timestamp) {
        if self.attempt(name).is_some_and(|attempt| attempt.is(stack)) {
            return;
        }
        let attempt = Attempt {
            release: stack.release,
            attempt: stack.attempt,
            started: now,
            before: troubles(objects, seen),
            failed: None,
            converged: false,
            overrides: stack.overrides.clone(),
            rewriting: false,
            volumes_pruned: false,
            tidied: None,
            good_since: None,
        };
        self.kept.stacks.insert(name.clone(), attempt);
        self.kept.leaving.remove(name);
        self.drift.forget(name);
    }

    /// Stacks that were desired once and have not gone yet.
    pub fn leaving(&self) -> &BTreeSet<StackName> {
        &self.kept.leaving
    }

    /// Attempts at stacks that are not desired any more end; the stacks leave.
    pub fn leave_others(&mut self, keep: impl Fn(&StackName) -> bool) {
        let leave: Vec<StackName> = self.kept.stacks.keys().filter(|name| !keep(name)).cloned().collect();
        leave.iter().for_each(|name| self.drift.forget(name));
        self.kept.leaving.extend(leave);
        self.kept.stacks.retain(|name, _| keep(name));
        self.parsed.retain(|name, _| keep(name));
    }

    pub fn gone(&mut self, name: &StackName) {
        self.kept.leaving.remove(name);
    }

    /// The objects of a desired stack, read once per release.
    pub fn objects(&mut self, name: &StackName, stack: &DesiredStack) -> Result<Arc<Objects>, ParseError> {
        if let Some((release, objects)) = self.parsed.get(name)
            && *release == stack.release
        {
            return Ok(objects.clone());
        }
        let objects = Arc::new(Objects::from_json(&stack.objects)?);
        self.parsed.insert(name.clone(), (stack.release, objects.clone()));
        Ok(objects)
    }

    /// Puts what changed on disk; the disk is asked only if something did.
    pub async fn keep(&mut self) -> Result<(), MemoryError> {
        self.kept.version = 1;
        let differs = {
            let mut now = self.kept.clone();
            now.stacks.values_mut().for_each(|attempt| (attempt.good_since, attempt.tidied) = (None, None));
            (now != self.saved).then_some(now)
        };
        let (Some(now), Some(path)) = (differs, self.path.clone()) else {
            return Ok(());
        };
        let content = serde_json::to_vec(&now).map_err(|source| MemoryError::Form { path: path.clone(), source })?;
        let written = tokio::task::spawn_blocking(move || file::write_document(&path, &content)).await;
        written.map_err(MemoryError::Interrupted)??;
        self.saved = now;
        Ok(())
    }
}
