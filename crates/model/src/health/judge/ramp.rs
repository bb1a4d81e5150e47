//! How an endpoint that comes back gets its clients again: in steps, so that it does not meet all of them at once.
//!
//! A ramp is a luxury. It ends at once when no other endpoint of the route has all of its clients, since there would be
//! nobody to take the rest, and when another endpoint leaves, because then the returning one is needed.

use super::{EndpointJudgement, Judge, Known};
use crate::routing::{Limit, Limited, Share};
use crate::{DomainName, Timestamp};
use std::time::Duration;

/// Part of its clients that an endpoint begins with.
const BEGIN: f64 = 0.1;
/// Shares change this often: an answer's share need not be finer than clients notice.
const STEP: Duration = Duration::from_millis(250);

impl Judge {
    /// Moves the ramps of one route on, and writes into the endpoints what they take. `left`: one of them has just gone.
    pub(super) fn ramp(&mut self, name: &DomainName, judged: &mut [EndpointJudgement], left: bool, now: Timestamp) {
        let length = self.policy.ramp;
        let Some(pool) = self.endpoints.get_mut(name) else { return };
        let mut steady = false;
        for endpoint in judged.iter() {
            let Some(known) = pool.get_mut(&endpoint.cluster) else { continue };
            if !endpoint.answered || part(known, now, length).is_none() {
                known.back = None;
            }
            steady |= endpoint.answered && known.back.is_none();
        }
        if left || !steady {
            pool.values_mut().for_each(|known| known.back = None);
        }
        for endpoint in judged {
            let share = pool.get(&endpoint.cluster).and_then(|known| part(known, now, length)).map(Share::of);
            endpoint.limited = share.map(|share| Limited { share, why: Limit::Returning });
        }
    }

    /// What an endpoint takes by its ramp.
    pub(super) fn limited(&self, known: &Known, now: Timestamp) -> Option<Limited> {
        part(known, now, self.policy.ramp).map(|part| Limited { share: Share::of(part), why: Limit::Returning })
    }

    /// When a share takes its next step.
    pub(super) fn next_step(&self, known: &Known, now: Timestamp) -> Option<Timestamp> {
        let since = known.back?;
        let steps = steps(now.since(since)) + 1;
        Some(since.after(STEP.saturating_mul(steps).min(self.policy.ramp)))
    }
}

/// A fraction of 1; `None`: everybody.
fn part(known: &Known, now: Timestamp, length: Duration) -> Option<f64> {
    let passed = now.since(known.back?);
    if passed >= length {
        return None;
    }
    let done = STEP.saturating_mul(steps(passed)).as_secs_f64() / length.as_secs_f64();
    Some(BEGIN + (1.0 - BEGIN) * done)
}

fn steps(passed: Duration) -> u32 {
    u32::try_from(passed.as_millis() / STEP.as_millis()).unwrap_or(u32::MAX)
}
