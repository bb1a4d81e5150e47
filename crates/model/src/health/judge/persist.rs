//! What a judge keeps over a restart: its verdicts with their age, and which endpoints each route answered with last.

use super::{Judge, Known};
use crate::health::Verdict;
use crate::{ClusterName, DomainName, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A kept "unfit" older than this says nothing any more.
pub const UNFIT_KEPT: Duration = Duration::from_secs(15 * 60);

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Persisted {
    /// When this was taken.
    pub at: Timestamp,
    pub verdicts: Vec<PersistedVerdict>,
    pub last_good: BTreeMap<DomainName, BTreeSet<ClusterName>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PersistedVerdict {
    pub route: DomainName,
    pub cluster: ClusterName,
    pub verdict: Verdict,
    pub answered: bool,
}

impl Judge {
    /// What to keep; only conclusions, never single observations.
    pub fn persisted(&self, now: Timestamp) -> Persisted {
        let verdicts = self.each().filter_map(|(route, cluster, known)| {
            let (verdict, answered) = (known.settled.clone()?, known.answered?);
            Some(PersistedVerdict { route: route.clone(), cluster: cluster.clone(), verdict, answered })
        });
        Persisted { at: now, verdicts: verdicts.collect(), last_good: self.last_good.clone() }
    }

    /// Starts from kept conclusions; call after [`Judge::plan`]. Endpoints that are not planned any more are skipped, and
    /// what has been learnt since the start is left alone.
    pub fn restore(&mut self, kept: &Persisted, now: Timestamp) {
        let stale = now.since(kept.at) > UNFIT_KEPT;
        for entry in &kept.verdicts {
            let Some(known) = self.known_mut(&entry.route, &entry.cluster) else { continue };
            let outdated = stale && entry.verdict != Verdict::Fit;
            if *known != Known::default() || outdated {
                continue;
            }
            known.settled = Some(entry.verdict.clone());
            known.answered = Some(entry.answered);
        }
        for (route, clusters) in &kept.last_good {
            if self.endpoints.contains_key(route) {
                self.last_good.entry(route.clone()).or_insert_with(|| clusters.clone());
            }
        }
    }
}
