//! Overrides within the judge's loop: taken, kept, answered.

use super::{HealthLoop, now};
use crate::overrides::{Given, NotTaken, OverrideFile, PAUSE, ROUTES_SHOWN, Taken};
use std::sync::Arc;
use tokio::time::Instant;
use waggle_model::Timestamp;
use waggle_model::health::overrides::{Signed, routes_of};
use waggle_model::plan::RoutePlan;
use waggle_wire::override_key::is_genuine;

impl HealthLoop {
    /// From an operator; the answer says what it changes.
    pub(super) async fn take_override(&mut self, given: Given) {
        let outcome = self.decide_override(&given.signed, now()).await;
        match &outcome {
            Ok(taken) if taken.changed => {
                self.metrics.taken("override");
                tracing::warn!(says = taken.says, routes = taken.route_count, "an override is taken");
            }
            Ok(_) => {}
            Err(why) => {
                self.metrics.refused("override");
                tracing::warn!(%why, "an override is refused");
            }
        }
        let _ = given.reply.send(outcome);
    }

    async fn decide_override(&mut self, signed: &Signed, now: Timestamp) -> Result<Taken, NotTaken> {
        let instant = Instant::now();
        if instant < self.next_override {
            return Err(NotTaken::TooFast);
        }
        self.next_override = instant + PAUSE;
        let plan = self.outputs.plan.borrow().clone().ok_or(NotTaken::NoPlan)?;
        let changed = self.judge.offer_override(signed, &plan, is_genuine, now)?;
        let warnings = if changed { self.keep_overrides().await.err() } else { None };
        Ok(self.taken(signed, &plan, changed, warnings.into_iter().collect()))
    }

    /// Those that a peer passes on. Each is checked like one from an operator.
    pub(super) async fn take_passed_on(&mut self, passed_on: Vec<Signed>, now: Timestamp) {
        let Some(plan) = self.outputs.plan.borrow().clone() else { return };
        let mut changed = false;
        for signed in passed_on {
            match self.judge.offer_override(&signed, &plan, is_genuine, now) {
                Ok(false) => {}
                Ok(true) => {
                    self.metrics.taken("override");
                    tracing::warn!(says = %signed, "an override that a peer passed on is taken");
                    changed = true;
                }
                Err(refused) => tracing::debug!(%refused, "an override that a peer passed on is not taken"),
            }
        }
        if changed && let Err(why) = self.keep_overrides().await {
            tracing::error!(why, "overrides are in force, but would not survive a restart");
        }
    }

    async fn keep_overrides(&self) -> Result<(), String> {
        let (file, overrides): (OverrideFile, _) = (self.override_file.clone(), self.judge.overrides().clone());
        let written = tokio::task::spawn_blocking(move || file.write(&overrides)).await;
        written
            .unwrap_or_else(|error| Err(error.to_string()))
            .map_err(|why| format!("it is in force, but cannot be kept on disk and would not survive a restart: {why}"))
    }

    fn taken(&self, signed: &Signed, plan: &Arc<RoutePlan>, changed: bool, warnings: Vec<String>) -> Taken {
        let routes: Vec<String> = routes_of(&signed.order.target, plan).map(ToString::to_string).collect();
        Taken {
            nameserver: self.name.to_string(),
            changed,
            says: signed.to_string(),
            route_count: routes.len(),
            routes: routes.into_iter().take(ROUTES_SHOWN).collect(),
            warnings,
        }
    }
}
