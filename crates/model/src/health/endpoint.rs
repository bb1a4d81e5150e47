//! One endpoint as one observer sees it through probes: a small state machine.
//!
//! An endpoint falls when `fall` of its last `window` probes failed; they need not be consecutive, so that slow flapping
//! counts. Only `rise` good probes in a row bring it back, and never before the hold-down has passed, which doubles with
//! each flap and is forgotten again step by step while the endpoint stays up. An exponential average was considered
//! instead of counting: nobody can predict by hand when it crosses its threshold.

use super::{HealthPolicy, ProbeResult};
use crate::Timestamp;
use std::time::Duration;

/// Doublings of the hold-down that are counted; beyond it `hold_down_max` has long been reached.
const FLAPS_MAX: u32 = 16;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointState {
    /// Nothing is known: not probed yet, or too few probes to call it down.
    Unprobed,
    Up,
    Down {
        why: String,
        since: Timestamp,
    },
}

/// What the machine says at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    pub state: EndpointState,
    /// It is not down, but failures are in its window.
    pub suspect: bool,
    /// Earliest instant at which probes could change the state; `None` when it is calm.
    pub next_change: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Endpoint {
    /// Outcomes of the last probes, newest in bit 0; 1 is a failure.
    failures: u64,
    good_in_row: u8,
    /// First failure of the present run of failures.
    failing_since: Option<Timestamp>,
    last: Option<Timestamp>,
    took: Duration,
    /// Text of the last failure.
    why: String,
    state: Machine,
    flaps: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum Machine {
    #[default]
    Unprobed,
    Up {
        since: Timestamp,
    },
    Down {
        since: Timestamp,
        held_until: Timestamp,
    },
}

impl Endpoint {
    /// Takes one finished probe; results older than the newest one are ignored.
    pub fn record(&mut self, result: &ProbeResult, policy: &HealthPolicy) {
        if self.last.is_some_and(|last| result.at < last) {
            return;
        }
        self.last = Some(result.at);
        self.took = result.took;
        let window = u32::from(policy.window.clamp(1, 64));
        self.failures = (self.failures << 1) & (u64::MAX >> (64 - window));
        match &result.outcome {
            Ok(()) => {
                self.good_in_row = self.good_in_row.saturating_add(1);
                self.failing_since = None;
            }
            Err(why) => {
                self.failures |= 1;
                self.good_in_row = 0;
                self.failing_since.get_or_insert(result.at);
                self.why.clone_from(why);
            }
        }
        self.step(result.at, policy);
    }

    /// As [`record`](Endpoint::record), for an endpoint that is drained: an update stops it on purpose, which is no flap.
    /// It falls and rises by the counts alone, or every planned update would make the next readmission later.
    pub fn record_drained(&mut self, result: &ProbeResult, policy: &HealthPolicy) {
        let flaps = self.flaps;
        self.record(result, &HealthPolicy { hold_down: Duration::ZERO, ..policy.clone() });
        self.flaps = flaps;
    }

    fn step(&mut self, at: Timestamp, policy: &HealthPolicy) {
        match self.state {
            Machine::Down { .. } if self.has_risen(at, policy) => {
                self.state = Machine::Up { since: at };
                self.failures = 0;
            }
            Machine::Down { .. } => {}
            Machine::Up { since } if self.failures.count_ones() >= fall(policy) => {
                let forgotten = at.since(since).as_millis() / policy.hold_down_max.as_millis().max(1);
                self.flaps = self.flaps.saturating_sub(forgotten.min(u128::from(FLAPS_MAX)) as u32);
                self.fall(at, policy);
            }
            Machine::Unprobed if self.failures.count_ones() >= fall(policy) => self.fall(at, policy),
            Machine::Unprobed if self.good_in_row > 0 => self.state = Machine::Up { since: at },
            Machine::Up { .. } | Machine::Unprobed => {}
        }
    }

    fn fall(&mut self, at: Timestamp, policy: &HealthPolicy) {
        let hold = policy.hold_down.saturating_mul(1 << self.flaps.min(FLAPS_MAX)).min(policy.hold_down_max);
        self.flaps = (self.flaps + 1).min(FLAPS_MAX);
        self.state = Machine::Down { since: at, held_until: at.after(hold) };
    }

    fn has_risen(&self, now: Timestamp, policy: &HealthPolicy) -> bool {
        match self.state {
            Machine::Down { held_until, .. } => self.good_in_row >= policy.rise.max(1) && now >= held_until,
            Machine::Up { .. } | Machine::Unprobed => false,
        }
    }

    /// Forgets failures that prove nothing, because the observer was at fault: back to what nothing is known about.
    pub fn excuse(&mut self) {
        *self = Endpoint { last: self.last, took: self.took, ..Endpoint::default() };
    }

    /// The observer's clock was set back: everything happened that much earlier by it.
    pub fn set_back(&mut self, by: Duration) {
        self.last = self.last.map(|last| last.before(by));
        self.failing_since = self.failing_since.map(|since| since.before(by));
        match &mut self.state {
            Machine::Unprobed => {}
            Machine::Up { since } => *since = since.before(by),
            Machine::Down { since, held_until } => {
                (*since, *held_until) = (since.before(by), held_until.before(by));
            }
        }
    }

    /// First failure of the present run of failures, whether or not the endpoint fell by it.
    pub fn failing_since(&self) -> Option<Timestamp> {
        self.failing_since
    }

    /// When the newest probe ended.
    pub fn last_probe(&self) -> Option<Timestamp> {
        self.last
    }

    /// How long the newest probe took.
    pub fn took(&self) -> Option<Duration> {
        self.last.map(|_| self.took)
    }

    /// `Some(true)` up, `Some(false)` down, `None` not known yet.
    pub fn up(&self, now: Timestamp, policy: &HealthPolicy) -> Option<bool> {
        match self.state {
            Machine::Unprobed => None,
            Machine::Up { .. } => Some(true),
            Machine::Down { .. } => Some(self.has_risen(now, policy)),
        }
    }

    /// State at `now`; `interval` is the time between two probes.
    pub fn reading(&self, now: Timestamp, policy: &HealthPolicy, interval: Duration) -> Reading {
        let last = self.last.unwrap_or(now);
        let failed = self.failures.count_ones();
        let until_fall = last.after(interval.saturating_mul(fall(policy).saturating_sub(failed).max(1)));
        match self.state {
            Machine::Down { since, held_until } if !self.has_risen(now, policy) => {
                let missing = u32::from(policy.rise.max(1).saturating_sub(self.good_in_row));
                let next = held_until.max(last.after(interval.saturating_mul(missing)));
                let state = EndpointState::Down { why: self.why.clone(), since };
                Reading { state, suspect: false, next_change: Some(next) }
            }
            Machine::Unprobed => Reading {
                state: EndpointState::Unprobed,
                suspect: failed > 0,
                next_change: (failed > 0).then_some(until_fall),
            },
            Machine::Up { .. } if failed > 0 => {
                Reading { state: EndpointState::Up, suspect: true, next_change: Some(until_fall) }
            }
            Machine::Up { .. } | Machine::Down { .. } => {
                Reading { state: EndpointState::Up, suspect: false, next_change: None }
            }
        }
    }
}

fn fall(policy: &HealthPolicy) -> u32 {
    u32::from(policy.fall.clamp(1, policy.window.clamp(1, 64)))
}

#[cfg(test)]
mod tests;
