//! Leases in memory. The file keeps their length only: after a start each has its full life again, since nobody could
//! keep it alive meanwhile.

use crate::store::{LeaseId, Result, StoreError};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Leases at a time.
pub(super) const LEASES_MAX: usize = 10_000;

#[derive(Default)]
pub(crate) struct Leases(Mutex<BTreeMap<LeaseId, Life>>);

struct Life {
    ttl: Duration,
    ends: Instant,
}

impl Leases {
    pub(super) fn start(&self, lease: LeaseId, ttl: Duration) {
        self.lives().insert(lease, Life { ttl, ends: Instant::now() + ttl });
    }

    pub(super) fn forget(&self, lease: LeaseId) {
        self.lives().remove(&lease);
    }

    pub(super) fn contains(&self, lease: LeaseId) -> bool {
        self.lives().contains_key(&lease)
    }

    pub(super) fn count(&self) -> usize {
        self.lives().len()
    }

    pub(super) fn keep_alive(&self, lease: LeaseId) -> Result<Duration> {
        let now = Instant::now();
        match self.lives().get_mut(&lease) {
            Some(life) if life.ends > now => {
                life.ends = now + life.ttl;
                Ok(life.ttl)
            }
            _ => Err(StoreError::NoLease(lease)),
        }
    }

    pub(super) fn ended(&self) -> Vec<LeaseId> {
        let now = Instant::now();
        self.lives().iter().filter(|(_, life)| life.ends <= now).map(|(lease, _)| *lease).collect()
    }

    /// Time until the first lease ends.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        let now = Instant::now();
        self.lives().values().map(|life| life.ends.saturating_duration_since(now)).min()
    }

    fn lives(&self) -> MutexGuard<'_, BTreeMap<LeaseId, Life>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
