//! What queries are answered from: snapshot, health bits and ledger, which belong together and are swapped whole.
//!
//! A thread may still answer from the old one for a moment after a swap, and what it notes in the old ledger must not be
//! lost: a drain is proven by it. So the old one is kept as *retired* until nobody else holds it, and only then does the
//! new generation count as being in force.

use arc_swap::ArcSwapOption;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use waggle_dns::{Health, Ledger, Snapshot, Transport};
use waggle_model::plan::LedgerEntry;
use waggle_model::{Generation, Timestamp};

/// A retired snapshot is waited for no longer: whoever holds it then is stuck and answers nothing.
pub const RETIRE_MAX: Duration = Duration::from_secs(2);
/// Ledger entries kept of routes and clusters that left the plan. Those that expire last are kept.
pub const HOMELESS_MAX: usize = 200_000;

/// One compiled plan with its live parts.
#[derive(Debug)]
pub struct Serving {
    pub snapshot: Snapshot,
    pub health: Health,
    pub ledger: Ledger,
}

impl Serving {
    pub fn new(snapshot: Snapshot) -> Serving {
        let (health, ledger) = (Health::new(&snapshot), Ledger::new(&snapshot));
        Serving { snapshot, health, ledger }
    }

    /// Length of the reply in `out`; `None`: no reply is sent.
    pub fn answer(
        &self,
        query: &[u8],
        source: SocketAddr,
        transport: Transport,
        now: Timestamp,
        out: &mut [u8],
    ) -> Option<usize> {
        waggle_dns::answer(&self.snapshot, &self.health, &self.ledger, query, source, transport, now, out)
    }
}

/// What all threads read; empty before the first plan.
#[derive(Debug, Default)]
pub struct State(ArcSwapOption<Serving>);

impl State {
    pub fn cell(&self) -> &ArcSwapOption<Serving> {
        &self.0
    }

    pub fn get(&self) -> Option<Arc<Serving>> {
        self.0.load_full()
    }
}

/// The writer's side: there is one, and it swaps.
#[derive(Debug)]
pub struct Swapper {
    state: Arc<State>,
    retired: Vec<(Arc<Serving>, Instant)>,
    /// True, but of routes or clusters that are not in the snapshot.
    homeless: Vec<LedgerEntry>,
    in_force: Generation,
}

impl Swapper {
    pub fn new(state: Arc<State>) -> Swapper {
        Swapper { state, retired: Vec::new(), homeless: Vec::new(), in_force: Generation(0) }
    }

    /// Answers from `next` from now on. Its health must be set already.
    pub fn swap(&mut self, next: Arc<Serving>, now: Instant) {
        let known = self.ledger();
        self.homeless = next.ledger.absorb(&next.snapshot, &known);
        if let Some(old) = self.state.0.swap(Some(next.clone())) {
            next.ledger.tally().absorb(&next.snapshot, old.ledger.tally(), &old.snapshot);
            self.retired.push((old, now));
        }
        self.settle(now);
    }

    /// Takes the last notes of retired snapshots that nobody holds any more. True when a generation came into force by it.
    pub fn settle(&mut self, now: Instant) -> bool {
        let Some(current) = self.state.get() else { return false };
        for (old, since) in std::mem::take(&mut self.retired) {
            let held = Arc::strong_count(&old) > 1;
            if held && now.duration_since(since) < RETIRE_MAX {
                self.retired.push((old, since));
                continue;
            }
            if held {
                tracing::warn!(generation = %old.snapshot.generation(), "a thread holds on to an old snapshot");
            }
            current.ledger.tally().absorb(&current.snapshot, old.ledger.tally(), &old.snapshot);
            let mut known = old.ledger.entries(&old.snapshot);
            known.append(&mut self.homeless);
            self.homeless = merge(current.ledger.absorb(&current.snapshot, &known));
        }
        let before = self.in_force;
        if self.retired.is_empty() {
            self.in_force = current.snapshot.generation();
        }
        self.in_force != before
    }

    pub fn is_settled(&self) -> bool {
        self.retired.is_empty()
    }

    /// The generation that every thread answers from; 0 before the first plan.
    pub fn in_force(&self) -> Generation {
        self.in_force
    }

    /// Everything known about cached answers, retired snapshots included; one entry per route and cluster, sorted.
    pub fn ledger(&self) -> Vec<LedgerEntry> {
        let current = self.state.get();
        let all = current.iter().chain(self.retired.iter().map(|(old, _)| old));
        let mut entries: Vec<_> = all.flat_map(|serving| serving.ledger.entries(&serving.snapshot)).collect();
        entries.extend(self.homeless.iter().cloned());
        merge(entries)
    }

    /// Forgets entries without a place that expired: caches are empty of them.
    pub fn forget(&mut self, now: Timestamp) {
        self.homeless.retain(|entry| entry.cached_until > now);
        if self.homeless.len() > HOMELESS_MAX {
            self.homeless.sort_by_key(|entry| std::cmp::Reverse(entry.cached_until));
            self.homeless.truncate(HOMELESS_MAX);
        }
    }
}

fn merge(entries: Vec<LedgerEntry>) -> Vec<LedgerEntry> {
    let mut latest = BTreeMap::new();
    for entry in entries {
        let until: &mut Timestamp = latest.entry((entry.route, entry.cluster)).or_default();
        *until = entry.cached_until.max(*until);
    }
    let entry = |((route, cluster), cached_until)| LedgerEntry { route, cluster, cached_until };
    latest.into_iter().map(entry).collect()
}

#[cfg(test)]
mod tests;
