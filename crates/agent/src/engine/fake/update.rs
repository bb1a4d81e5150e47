//! Rolling updates as Swarm does them (moby/swarmkit: manager/orchestrator/update/updater.go): slot by slot, watching the
//! tasks it made itself for the monitor time, then pause, go on or roll back by itself.

use super::state::{Slot, State};
use crate::engine::UpdateStatus;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use waggle_model::Timestamp;
use waggle_stack::objects::service::UpdateConfig;

/// Swarm's default (moby/swarmkit: api/defaults/service.go).
const MONITOR: Duration = Duration::from_secs(5);

pub(super) struct Update {
    rollback: bool,
    total: usize,
    queue: Vec<Slot>,
    flight: BTreeMap<Slot, Flight>,
    made: BTreeSet<String>,
    failed: BTreeSet<String>,
    /// Pause between slots.
    not_before: Timestamp,
    last_change: Timestamp,
    monitor: Duration,
}

struct Flight {
    old: Vec<String>,
    new: Option<String>,
}

impl Update {
    /// Slots that the update sees to now.
    pub fn slots(&self) -> Vec<Slot> {
        self.flight.iter().filter(|(_, flight)| flight.new.is_none()).map(|(slot, _)| slot.clone()).collect()
    }

    /// When it has something to do by itself.
    pub fn due(&self, now: Timestamp) -> Option<Timestamp> {
        let next = match (self.queue.is_empty(), self.flight.is_empty()) {
            (true, true) => self.last_change.after(self.monitor),
            (false, _) => self.not_before,
            (true, false) => return None,
        };
        Some(next).filter(|next| *next > now || (self.queue.is_empty() && self.flight.is_empty()))
    }
}

fn nanos(ns: i64) -> Duration {
    Duration::from_nanos(u64::try_from(ns).unwrap_or(0))
}

impl State {
    /// Starts a rolling update of the tasks that differ from the current spec; without any there is no status.
    pub(super) fn start_update(&mut self, id: &str, rollback: bool) {
        let Some(service) = self.services.get(id) else { return };
        let spec = &service.spec;
        let dirty = self.tasks.values().filter(|t| {
            let differs = t.spec != spec.task_template || t.endpoint != spec.endpoint_spec;
            t.service == id && t.is_wanted() && differs && t.iteration == service.iteration
        });
        let slots: BTreeSet<Slot> = dirty.map(|task| task.slot.clone()).collect();
        let config = if rollback { spec.rollback_config.clone() } else { spec.update_config.clone() };
        let monitor = config.map(|config| nanos(config.monitor)).filter(|monitor| !monitor.is_zero());
        let now = self.now;
        let Some(service) = self.services.get_mut(id) else { return };
        service.update = None;
        if slots.is_empty() && !rollback {
            return;
        }
        service.status =
            Some(status(now, if rollback { "rollback_started" } else { "updating" }, "update in progress"));
        service.update = Some(Update {
            rollback,
            total: slots.len(),
            queue: slots.into_iter().collect(),
            flight: BTreeMap::new(),
            made: BTreeSet::new(),
            failed: BTreeSet::new(),
            not_before: now,
            last_change: now,
            monitor: monitor.unwrap_or(MONITOR),
        });
    }

    pub(super) fn step_update(&mut self, id: &str) {
        let Some(service) = self.services.get_mut(id) else { return };
        let Some(mut update) = service.update.take() else { return };
        let chosen = if update.rollback { &service.spec.rollback_config } else { &service.spec.update_config };
        let config = chosen.clone().unwrap_or(UpdateConfig { parallelism: 1, ..UpdateConfig::default() });
        if let Some(failed) = self.count_failures(&mut update, &config) {
            return self.fail_update(id, update, &config, &failed);
        }
        self.move_flight(id, &mut update, &config);
        let width = if config.parallelism == 0 { usize::MAX } else { config.parallelism as usize };
        while update.flight.len() < width && !update.queue.is_empty() && self.now >= update.not_before {
            let slot = update.queue.remove(0);
            self.take_off(id, &mut update, slot, &config);
        }
        let over = update.queue.is_empty() && update.flight.is_empty();
        let version = self.next_version();
        let now = self.now;
        let Some(service) = self.services.get_mut(id) else { return };
        if over && now >= update.last_change.after(update.monitor) {
            let state = if update.rollback { "rollback_completed" } else { "completed" };
            let started = service.status.take().map(|status| status.started).unwrap_or_default();
            service.status = Some(UpdateStatus { state: state.into(), started, message: format!("update {state}") });
            service.version = version;
        } else {
            service.update = Some(update);
        }
    }

    /// The task whose failure is one too many, if there is one.
    fn count_failures(&self, update: &mut Update, config: &UpdateConfig) -> Option<String> {
        let mut last = None;
        for id in &update.made {
            let Some(task) = self.tasks.get(id) else { continue };
            let fell =
                matches!(task.state, "failed" | "rejected") || (task.state == "complete" && task.desired != "complete");
            let early = task.running_since.is_none_or(|since| task.at.since(since) <= update.monitor);
            if fell && early && update.failed.insert(id.clone()) {
                last = Some(id.clone());
            }
        }
        let ratio = update.failed.len() as f64 / update.total.max(1) as f64;
        last.filter(|_| ratio > config.max_failure_ratio)
    }

    fn fail_update(&mut self, id: &str, update: Update, config: &UpdateConfig, task: &str) {
        let now = self.now;
        let why = format!("update paused due to failure or early termination of task {task}");
        match (config.failure_action.as_str(), update.rollback) {
            ("continue", _) => {
                if let Some(service) = self.services.get_mut(id) {
                    service.update = Some(Update { last_change: now, ..update });
                }
            }
            ("rollback", false) => self.roll_back(id),
            (_, rollback) => {
                let version = self.next_version();
                if let Some(service) = self.services.get_mut(id) {
                    let state = if rollback { "rollback_paused" } else { "paused" };
                    service.status = Some(UpdateStatus { message: why, ..status(now, state, "") });
                    service.version = version;
                }
            }
        }
    }

    /// Back to the spec before, labels and all; that one has no spec before it any more.
    fn roll_back(&mut self, id: &str) {
        let version = self.next_version();
        if let Some(service) = self.services.get_mut(id)
            && let Some(previous) = service.previous.take()
        {
            service.spec = previous;
            service.version = version;
            self.start_update(id, true);
        }
    }

    fn take_off(&mut self, id: &str, update: &mut Update, slot: Slot, config: &UpdateConfig) {
        let old = self.tasks_where(|t| t.service == id && t.slot == slot && t.is_wanted());
        let new = if config.order == "start-first" {
            self.create_task(id, &slot, Duration::ZERO)
        } else {
            old.iter().for_each(|task| self.stop(task));
            None
        };
        update.made.extend(new.clone());
        update.flight.insert(slot, Flight { old, new });
        update.last_change = self.now;
    }

    fn move_flight(&mut self, id: &str, update: &mut Update, config: &UpdateConfig) {
        let slots: Vec<Slot> = update.flight.keys().cloned().collect();
        for slot in slots {
            let Some(flight) = update.flight.get_mut(&slot) else { continue };
            let over = |tasks: &[String], all: &BTreeMap<String, super::state::Part>| {
                tasks.iter().all(|id| all.get(id).is_none_or(|task| task.is_over()))
            };
            if flight.new.is_none() && over(&flight.old, &self.tasks) {
                flight.new = self.create_task(id, &slot, Duration::ZERO);
                update.made.extend(flight.new.clone());
                update.last_change = self.now;
            }
            let Some(new) = &flight.new else { continue };
            let landed = self.tasks.get(new).is_none_or(|task| task.state == "running" || task.is_over());
            if landed {
                let old = std::mem::take(&mut flight.old);
                old.iter().for_each(|task| self.stop(task));
                update.flight.remove(&slot);
                update.last_change = self.now;
                update.not_before = self.now.after(nanos(config.delay));
            }
        }
    }
}

fn status(now: Timestamp, state: &str, message: &str) -> UpdateStatus {
    UpdateStatus { state: state.into(), started: format!("t{}", now.0), message: message.into() }
}
