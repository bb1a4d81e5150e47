//! The query log: a sample of the queries, for the simulation of outages and, if wanted, for a file.
//!
//! Answering threads decide by a count-down whether a query is sampled ([`sampler`]) and copy a sampled one, with its reply,
//! into a ring of their own ([`ring`]). Everything else happens here, in one task: it reads the rings, remembers who asked
//! for what ([`recent`]), and hands what is to be written to a task that may wait for a disk ([`file`]). Every part of the
//! way is bounded and loses what it has no room for, counted; nothing on it can hold an answer up.

pub mod entry;
pub mod file;
pub mod recent;
pub mod ring;
pub mod sampler;
mod tap;

pub use sampler::Sampler;

use crate::config::QueryLog;
use crate::metrics::Traffic;
use crate::state::State;
use entry::Entry;
use recent::Recent;
use ring::{Ring, Sampled};
use sampler::Pace;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use waggle_model::traffic::QuerySamples;
use waggle_model::{NameserverName, Timestamp};

/// Rings are read this often.
const DRAIN: Duration = Duration::from_millis(50);
/// Control is told this often who asked for what.
pub const TELL: Duration = Duration::from_secs(3);
/// Batches of entries that wait for the disk.
pub const BATCHES_MAX: usize = 16;

/// The rings of all answering threads and what became of the samples.
#[derive(Debug)]
pub struct Samples {
    settings: QueryLog,
    /// Of the UDP threads, and of the one for TCP.
    rings: Vec<Arc<Ring>>,
    pub entries: Entries,
}

/// What became of entries for the file.
#[derive(Debug, Default)]
pub struct Entries {
    pub written: AtomicU64,
    /// The disk did not take them, or not in time.
    pub lost: AtomicU64,
}

impl Default for Samples {
    /// Without a thread, and switched off.
    fn default() -> Samples {
        Samples::new(&QueryLog { sample: 0, ..QueryLog::default() }, 0)
    }
}

impl Samples {
    pub fn new(settings: &QueryLog, udp_threads: usize) -> Samples {
        let ring = || Arc::new(if settings.sample == 0 { Ring::none() } else { Ring::default() });
        let rings = (0..udp_threads + 1).map(|_| ring()).collect();
        Samples { settings: settings.clone(), rings, entries: Entries::default() }
    }

    /// For UDP thread `number`; it must have no other.
    pub fn sampler(&self, number: usize) -> Sampler {
        let own = self.rings.get(number).filter(|_| number + 1 < self.rings.len()).cloned();
        own.map_or_else(Sampler::off, |ring| Sampler::new(pace(&self.settings), ring))
    }

    /// For the thread that answers over TCP.
    pub fn tcp(&self) -> Sampler {
        self.rings.last().map_or_else(Sampler::off, |ring| Sampler::new(pace(&self.settings), ring.clone()))
    }

    /// Everything that waits in the rings. For one caller at a time.
    pub fn drain(&self) -> impl Iterator<Item = Sampled> {
        self.rings.iter().flat_map(|ring| std::iter::from_fn(|| ring.pop()).take(ring::SLOTS))
    }

    /// Queries sampled, and samples lost for want of room, since the start.
    pub fn counts(&self) -> (u64, u64) {
        let counts = self.rings.iter().map(|ring| ring.counts());
        counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1))
    }
}

fn pace(settings: &QueryLog) -> Pace {
    Pace::new(settings.sample, settings.full_rate, RandomState::new().hash_one(0))
}

/// Reads the rings until `stop`. `told`: who asked for what, about every [`TELL`]. `out`: entries for the file.
pub async fn run(
    name: NameserverName,
    traffic: Arc<Traffic>,
    state: Arc<State>,
    told: watch::Sender<Option<Arc<QuerySamples>>>,
    out: Option<mpsc::Sender<Vec<Entry>>>,
    stop: CancellationToken,
) {
    let samples = &traffic.samples;
    let mut recent = Recent::default();
    let mut ticks = interval(DRAIN);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    loop {
        let stopping = tokio::select! {
            () = stop.cancelled() => true,
            _ = ticks.tick() => false,
        };
        let serving = state.get();
        let mut entries = Vec::new();
        for sampled in samples.drain() {
            let asker = serving.as_deref().and_then(|serving| recent.take(&serving.snapshot, &sampled));
            if out.is_some() {
                entries.push(Entry::new(sampled, serving.as_deref(), asker));
            }
        }
        if let Some(out) = out.as_ref().filter(|_| !entries.is_empty()) {
            let count = entries.len() as u64;
            if out.try_send(entries).is_err() {
                samples.entries.lost.fetch_add(count, Ordering::Relaxed);
            }
        }
        if stopping {
            return;
        }
        if last.elapsed() >= TELL {
            last = Instant::now();
            let now = Timestamp(waggle_daemon::time::now());
            if let Some(news) = recent.told(&name, now) {
                told.send_replace(Some(Arc::new(news)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
