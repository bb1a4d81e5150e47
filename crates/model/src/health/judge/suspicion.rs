//! Self-suspicion: an observer that sees most endpoints fail in the same moment is more likely at fault than they are.
//!
//! What is compared are the *first* failures of each endpoint's present run of failures, so the suspicion stands before the
//! first of them has failed often enough to be called down. It ends when one of those endpoints answers again (then the
//! failures of all of them prove nothing and are forgotten), when most other observers saw the same, when the agents of all
//! failing clusters are silent while another cluster is seen and heard, or after [`SUSPICION_MAX`] if the observer sees
//! anything at all. A blind observer never ends it by itself.

use super::Judge;
use crate::{ClusterName, DomainName, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// First failures within this time of each other count as the same moment, unless checks run more slowly.
const SAME_MOMENT: Duration = Duration::from_secs(1);
/// Longest time an observer that sees something withholds its votes.
pub const SUSPICION_MAX: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Suspicion {
    pub since: Timestamp,
    pub endpoints: BTreeSet<(DomainName, ClusterName)>,
}

impl Judge {
    /// Begins or ends the suspicion according to everything known at `now`.
    pub(super) fn watch_self(&mut self, now: Timestamp) {
        if let Some(endpoints) = self.failing_together() {
            let suspicion = self.suspicion.get_or_insert(Suspicion { since: now, endpoints: BTreeSet::new() });
            suspicion.endpoints.extend(endpoints);
        }
        let Some(suspicion) = self.suspicion.take() else { return };
        if self.has_recovered(&suspicion) {
            self.trusted = now;
            for (route, cluster) in &suspicion.endpoints {
                if let Some(known) = self.known_mut(route, cluster) {
                    known.machine.excuse();
                }
            }
        } else if self.is_confirmed(&suspicion, now) {
            self.trusted = now;
        } else {
            self.suspicion = Some(suspicion);
        }
    }

    fn has_recovered(&self, suspicion: &Suspicion) -> bool {
        let known = suspicion.endpoints.iter().filter_map(|(route, cluster)| self.known(route, cluster));
        let mut any = false;
        for known in known {
            any = true;
            if known.machine.failing_since().is_none() {
                return true;
            }
        }
        !any
    }

    fn is_confirmed(&self, suspicion: &Suspicion, now: Timestamp) -> bool {
        let fresh: Vec<_> = self.views.values().filter(|seen| self.is_fresh(seen.received, now)).collect();
        let agree = fresh.iter().filter(|seen| {
            let down = suspicion.endpoints.iter().filter(|(route, cluster)| seen.up(route, cluster) == Some(false));
            down.count() * 2 > suspicion.endpoints.len()
        });
        if agree.count() * 2 > fresh.len() {
            return true;
        }
        let failing: BTreeSet<_> = suspicion.endpoints.iter().map(|(_, cluster)| cluster).collect();
        let seen = self.sees_another_than(&failing, now);
        let silent = failing.iter().all(|cluster| self.is_silent(cluster, now));
        seen.heard && silent || seen.any && now.since(suspicion.since) >= SUSPICION_MAX
    }

    /// Clusters outside `failing` that answer probes.
    fn sees_another_than(&self, failing: &BTreeSet<&ClusterName>, now: Timestamp) -> Sight {
        let mut sight = Sight { any: false, heard: false };
        for (cluster, known) in self.endpoints.values().flatten() {
            if !failing.contains(cluster) && known.machine.up(now, &self.policy) == Some(true) {
                sight.any = true;
                sight.heard |= !self.is_silent(cluster, now);
            }
        }
        sight
    }

    /// Endpoints that began to fail in the same moment, if they are more than half of all that did not fail before, of
    /// at least two clusters, and at least three or all there are.
    fn failing_together(&self) -> Option<Vec<(DomainName, ClusterName)>> {
        let mut failing = Vec::new();
        let mut probed = 0;
        for (route, cluster, known) in self.each() {
            probed += usize::from(known.machine.last_probe().is_some());
            if let Some(since) = known.machine.failing_since() {
                failing.push((since, route, cluster));
            }
        }
        failing.sort_unstable();
        let moment = SAME_MOMENT.max(self.slowest_check);
        let mut end = 0;
        let mut clusters: BTreeMap<&ClusterName, usize> = BTreeMap::new();
        for (first, (since, _, cluster)) in failing.iter().enumerate() {
            while let Some((.., cluster)) = failing.get(end).filter(|(at, ..)| at.since(*since) <= moment) {
                *clusters.entry(cluster).or_default() += 1;
                end += 1;
            }
            let (same, all) = (end - first, probed - first);
            let most = same * 2 > all && clusters.len() >= 2 && (same >= 3 || same == all);
            if most && *since > self.trusted {
                let endpoints = failing[first..end].iter();
                return Some(endpoints.map(|(_, route, cluster)| ((*route).clone(), (*cluster).clone())).collect());
            }
            if let Some(count) = clusters.get_mut(cluster) {
                *count -= 1;
                if *count == 0 {
                    clusters.remove(cluster);
                }
            }
        }
        None
    }
}

struct Sight {
    any: bool,
    heard: bool,
}
