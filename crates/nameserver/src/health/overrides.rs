//! Overrides within the judge's loop: taken, kept, answered.
//!
//! An override is in force before it is on disk, and the loop never waits for a disk: on the day on which people override,
//! failures must be noticed, too. Only who sent it waits, to be told whether it would survive a restart.

use super::{HealthLoop, now};
use crate::overrides::{Given, NotTaken, OverrideFile, PAUSE, ROUTES_SHOWN, Taken};
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use waggle_model::Timestamp;
use waggle_model::health::judge::Judge;
use waggle_model::health::overrides::{Overrides, Signed, routes_of};
use waggle_model::plan::RoutePlan;
use waggle_wire::override_key::is_genuine;

impl HealthLoop {
    /// From an operator; the answer says what it changes.
    pub(super) fn take_override(&mut self, given: Given) {
        let outcome = self.decide_override(&given.signed, now());
        match outcome {
            Ok(taken) if taken.changed => {
                self.metrics.taken("override");
                tracing::warn!(says = taken.says, routes = taken.route_count, "an override is taken");
                self.override_saver.keep_for(Waiting { reply: given.reply, taken });
            }
            Ok(taken) => drop(given.reply.send(Ok(taken))),
            Err(why) => {
                self.metrics.refused("override");
                tracing::warn!(%why, "an override is refused");
                let _ = given.reply.send(Err(why));
            }
        }
    }

    fn decide_override(&mut self, signed: &Signed, now: Timestamp) -> Result<Taken, NotTaken> {
        let instant = Instant::now();
        if instant < self.next_override {
            return Err(NotTaken::TooFast);
        }
        self.next_override = instant + PAUSE;
        let plan = self.outputs.plan.borrow().clone().ok_or(NotTaken::NoPlan)?;
        let changed = self.judge.offer_override(signed, &plan, is_genuine, now)?;
        Ok(self.taken(signed, &plan, changed))
    }

    /// Those that a peer passes on. Each is checked like one from an operator.
    pub(super) fn take_passed_on(&mut self, passed_on: Vec<Signed>, now: Timestamp) {
        let Some(plan) = self.outputs.plan.borrow().clone() else { return };
        for signed in passed_on {
            match self.judge.offer_override(&signed, &plan, is_genuine, now) {
                Ok(false) => {}
                Ok(true) => {
                    self.metrics.taken("override");
                    tracing::warn!(says = %signed, "an override that a peer passed on is taken");
                    self.override_saver.changed = true;
                }
                Err(refused) => tracing::debug!(%refused, "an override that a peer passed on is not taken"),
            }
        }
    }

    fn taken(&self, signed: &Signed, plan: &Arc<RoutePlan>, changed: bool) -> Taken {
        let routes: Vec<String> = routes_of(&signed.order.target, plan).map(ToString::to_string).collect();
        Taken {
            nameserver: self.name.to_string(),
            changed,
            says: signed.to_string(),
            route_count: routes.len(),
            routes: routes.into_iter().take(ROUTES_SHOWN).collect(),
            warnings: Vec::new(),
        }
    }
}

/// Who waits to be told that an override is kept. More than one at a time is rare, and each leaves after some seconds.
const WAITING_MAX: usize = 64;

struct Waiting {
    reply: oneshot::Sender<Result<Taken, NotTaken>>,
    taken: Taken,
}

impl Waiting {
    fn tell(mut self, warning: Option<String>) {
        self.taken.warnings.extend(warning);
        let _ = self.reply.send(Ok(self.taken));
    }
}

/// Writes overrides beside the judge's loop, one write at a time.
pub(super) struct OverrideSaver {
    file: OverrideFile,
    /// Since the last write began.
    changed: bool,
    waiting: Vec<Waiting>,
    writing: Option<JoinHandle<()>>,
}

impl OverrideSaver {
    pub(super) fn new(file: OverrideFile) -> OverrideSaver {
        OverrideSaver { file, changed: false, waiting: Vec::new(), writing: None }
    }

    fn keep_for(&mut self, one: Waiting) {
        self.changed = true;
        self.waiting.retain(|waiting| !waiting.reply.is_closed());
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push(one);
        } else {
            one.tell(Some("it is in force, but not on disk yet, and the disk does not keep up".to_owned()));
        }
    }

    /// Begins a write if something changed and none is under way.
    pub(super) fn turn(&mut self, judge: &Judge) {
        let busy = self.writing.as_ref().is_some_and(|writing| !writing.is_finished());
        if busy || !std::mem::take(&mut self.changed) {
            return;
        }
        let (file, waiting) = (self.file.clone(), std::mem::take(&mut self.waiting));
        let overrides = judge.overrides().clone();
        self.writing = Some(tokio::task::spawn_blocking(move || write(&file, &overrides, waiting)));
    }

    /// Waits for a write under way and writes what changed since.
    pub(super) async fn finish(mut self, judge: &Judge) {
        for _ in 0..2 {
            if let Some(writing) = self.writing.take() {
                let _ = writing.await;
            }
            self.turn(judge);
        }
    }
}

fn write(file: &OverrideFile, overrides: &Overrides, waiting: Vec<Waiting>) {
    let failed = file.write(overrides).err();
    if let Some(why) = failed.as_ref().filter(|_| waiting.is_empty()) {
        tracing::error!(why, "overrides are in force, but would not survive a restart");
    }
    let warning =
        failed.map(|why| format!("it is in force, but cannot be kept on disk and would not survive a restart: {why}"));
    waiting.into_iter().for_each(|one| one.tell(warning.clone()));
}
