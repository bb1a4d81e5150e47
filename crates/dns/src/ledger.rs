//! Until when answers may be cached: what proves a drain.

use crate::snapshot::Snapshot;
use crate::tally::Tally;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use waggle_model::Timestamp;
use waggle_model::plan::LedgerEntry;

/// What was answered: per (route, cluster) the latest instant until which an answer that named it may be cached, and how
/// often.
#[derive(Debug)]
pub struct Ledger {
    cells: Vec<AtomicU64>,
    tally: Tally,
}

impl Ledger {
    pub fn new(snapshot: &Snapshot) -> Ledger {
        let cells = snapshot.routes().iter().map(|route| route.pool().len()).sum();
        Ledger { cells: (0..cells).map(|_| AtomicU64::new(0)).collect(), tally: Tally::new(snapshot) }
    }

    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(crate) fn note(&self, cell: u32, now: Timestamp, ttl: u32) {
        let until = now.after(Duration::from_secs(u64::from(ttl)));
        if let Some(cell) = self.cells.get(cell as usize) {
            // Mostly known already, since a batch shares one `now`: then the cache line stays shared among threads.
            if cell.load(Ordering::Relaxed) < until.0 {
                cell.fetch_max(until.0, Ordering::Relaxed);
            }
        }
    }

    /// Everything that was answered at least once; `snapshot` is the one this ledger was made for.
    pub fn entries(&self, snapshot: &Snapshot) -> Vec<LedgerEntry> {
        let cells = snapshot.routes().iter().flat_map(|route| route.pool().iter().map(move |cluster| (route, cluster)));
        let filled = cells.zip(&self.cells).filter_map(|((route, cluster), cell)| {
            let until = cell.load(Ordering::Relaxed);
            (until != 0).then(|| LedgerEntry {
                route: route.name().clone(),
                cluster: cluster.clone(),
                cached_until: Timestamp(until),
            })
        });
        filled.collect()
    }

    /// Takes over what another ledger knows, typically that of the snapshot before. May be repeated: once before the
    /// new snapshot is answered from, and again when no thread answers from the old one any more. Returns the entries
    /// that have no place here because their route or cluster left the plan; they are still true.
    #[must_use]
    pub fn absorb(&self, snapshot: &Snapshot, entries: &[LedgerEntry]) -> Vec<LedgerEntry> {
        let mut cells = BTreeMap::new();
        for route in snapshot.routes() {
            for (cluster, cell) in route.pool().iter().zip(route.ledger..) {
                cells.insert((route.name(), cluster), cell);
            }
        }
        let homeless = entries.iter().filter(|entry| match cells.get(&(&entry.route, &entry.cluster)) {
            Some(cell) => {
                self.note(*cell, entry.cached_until, 0);
                false
            }
            None => true,
        });
        homeless.cloned().collect()
    }
}
