//! The observer's own time: what it can no longer say because it stood still, or because its clock was put right.
//!
//! Everything is stamped with the clock on the wall, since that is what verdicts forced until an hour are held against. A
//! clock that was set back is met by moving every stamp back with it: what is known stays as old as it was. A steady clock
//! beside it was rejected: where a machine starts with a wrong hour, hours would stay wrong for as long as it runs.

use super::{Judge, Known};
use crate::Timestamp;
use std::time::Duration;

/// Longer than that from one turn of the loop that feeds a judge to the next, and it has stood still.
pub const STANDSTILL: Duration = Duration::from_millis(300);

impl Judge {
    /// Told at every turn of the loop that feeds this judge, before anything else of that turn. An observer that stood
    /// still (stopped, swapped out, its clock set forward) has heard nobody for that long: no agent is silent for it, and
    /// each has its whole deadline again.
    pub fn turn(&mut self, now: Timestamp) {
        if self.follow(now) > STANDSTILL {
            self.resumed = now;
        }
    }

    /// Told at the end of each turn: what the turn itself took is work, not standstill.
    pub fn rest(&mut self, now: Timestamp) {
        self.follow(now);
    }

    /// Time that passed since it was told last; none if the clock was set back.
    fn follow(&mut self, now: Timestamp) -> Duration {
        let last = self.turned.replace(now).unwrap_or(now);
        if now < last {
            self.set_back(last.since(now));
        }
        now.since(last)
    }

    /// Overrides and forced verdicts stay as they are: their hours are those of other clocks.
    fn set_back(&mut self, by: Duration) {
        for stamp in [&mut self.started, &mut self.trusted, &mut self.resumed] {
            *stamp = stamp.before(by);
        }
        for heard in self.beats.values_mut() {
            heard.received = heard.received.before(by);
        }
        for seen in self.views.values_mut() {
            seen.received = seen.received.before(by);
        }
        if let Some(suspicion) = &mut self.suspicion {
            suspicion.since = suspicion.since.before(by);
        }
        for Known { machine, back, left, .. } in self.endpoints.values_mut().flat_map(|pool| pool.values_mut()) {
            machine.set_back(by);
            *back = back.map(|back| back.before(by));
            *left = left.map(|left| left.before(by));
        }
    }
}
