//! What a judge is told: plans, probes, beats and views. Nothing moves to an older one (invariant 3), and nothing is kept
//! about what is not planned, so every table is bounded by the plan.

use super::rhythm::Rhythm;
use super::{Heard, Judge, Known, Seen};
use crate::health::{Beat, ProbeResult, View, ViewEntry};
use crate::plan::RoutePlan;
use crate::{ClusterName, DomainName, Generation, NameserverName, Timestamp};
use std::collections::BTreeMap;

/// Why a message changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("plan {got} is older than plan {have}")]
    OldPlan { got: Generation, have: Generation },
    #[error("the {from} message with boot {} and sequence {} is not newer than boot {} and sequence {}", got.0, got.1, have.0, have.1)]
    NotNewer { from: String, got: (u64, u64), have: (u64, u64) },
    #[error("cluster {0} is not in the plan")]
    UnknownCluster(ClusterName),
    #[error("nameserver {0} is not another one of the plan")]
    UnknownNameserver(NameserverName),
    #[error("route {0} with cluster {1} is not in the plan")]
    UnknownEndpoint(DomainName, ClusterName),
}

impl Judge {
    /// Takes a plan. Endpoints that left it are forgotten; one whose address or check changed is probed anew, while what was
    /// concluded about it goes on counting.
    pub fn plan(&mut self, plan: &RoutePlan) -> Result<(), Refused> {
        if plan.generation < self.generation {
            return Err(Refused::OldPlan { got: plan.generation, have: self.generation });
        }
        let mut before = std::mem::take(&mut self.endpoints);
        for (name, route) in &plan.routes {
            let old_route = self.routes.get(name);
            let mut old = before.remove(name).unwrap_or_default();
            let mut pool = BTreeMap::new();
            for endpoint in &route.pool {
                let mut known = old.remove(&endpoint.cluster).unwrap_or_default();
                let same = old_route.is_some_and(|old| {
                    let addresses = |pool: &[crate::plan::Endpoint]| {
                        pool.iter().find(|old| old.cluster == endpoint.cluster).map(|old| old.addresses.clone())
                    };
                    old.check == route.check && addresses(&old.pool).as_ref() == Some(&endpoint.addresses)
                });
                if !same {
                    known = Known { machine: Default::default(), ..known };
                }
                pool.insert(endpoint.cluster.clone(), known);
            }
            self.endpoints.insert(name.clone(), pool);
        }
        self.generation = plan.generation;
        self.policy = plan.health.clone();
        self.override_keys = plan.override_keys.clone();
        self.clusters = plan.clusters.keys().cloned().collect();
        self.peers = plan.nameservers.iter().map(|peer| peer.name.clone()).filter(|name| *name != self.me).collect();
        let checks = plan.routes.values().filter_map(|route| route.check.as_ref());
        self.slowest_check = checks.map(|check| check.interval + check.timeout).max().unwrap_or_default();
        self.routes = plan.routes.clone();
        self.beats.retain(|cluster, _| self.clusters.contains(cluster));
        self.views.retain(|peer, _| self.peers.contains(peer));
        self.last_good.retain(|route, _| self.endpoints.contains_key(route));
        Ok(())
    }

    /// Takes the result of an own probe.
    pub fn probe(&mut self, route: &DomainName, cluster: &ClusterName, result: &ProbeResult) -> Result<(), Refused> {
        let known = self.endpoints.get_mut(route).and_then(|pool| pool.get_mut(cluster));
        let known = known.ok_or_else(|| Refused::UnknownEndpoint(route.clone(), cluster.clone()))?;
        let pool = self.routes.get(route).map(|route| route.pool.as_slice()).unwrap_or_default();
        if pool.iter().any(|endpoint| endpoint.cluster == *cluster && endpoint.drained.is_some()) {
            known.machine.record_drained(result, &self.policy);
        } else {
            known.machine.record(result, &self.policy);
        }
        Ok(())
    }

    /// Takes an agent's beat, received at `now`. The caller has checked that the sender is that cluster's agent.
    pub fn beat(&mut self, now: Timestamp, beat: Beat) -> Result<(), Refused> {
        if !self.clusters.contains(&beat.cluster) {
            return Err(Refused::UnknownCluster(beat.cluster));
        }
        let mut rhythm = Rhythm::default();
        if let Some(have) = self.beats.get_mut(&beat.cluster) {
            newer(beat.cluster.as_str(), (beat.boot, beat.seq), (have.beat.boot, have.beat.seq))?;
            rhythm = std::mem::take(&mut have.rhythm);
            let gap = now.since(have.received);
            // An outage, of the agent or of this observer, is no part of the rhythm.
            let regular = beat.boot == have.beat.boot && have.received >= self.resumed;
            if regular && gap <= self.policy.beat_deadline {
                rhythm.arrived(gap);
            }
        }
        self.beats.insert(beat.cluster.clone(), Heard { beat, received: now, rhythm });
        Ok(())
    }

    /// Takes a peer's view, received at `now`. The caller has checked that the sender is that nameserver.
    pub fn view(&mut self, now: Timestamp, view: View) -> Result<(), Refused> {
        if !self.peers.contains(&view.from) {
            return Err(Refused::UnknownNameserver(view.from));
        }
        if let Some(have) = self.views.get(&view.from) {
            newer(view.from.as_str(), (view.boot, view.seq), (have.boot, have.seq))?;
        }
        let mut entries: BTreeMap<DomainName, BTreeMap<ClusterName, bool>> = BTreeMap::new();
        for entry in view.entries {
            if self.known(&entry.route, &entry.cluster).is_some() {
                entries.entry(entry.route).or_default().insert(entry.cluster, entry.up);
            }
        }
        let sound = |(cluster, rate): &(ClusterName, f64)| self.clusters.contains(cluster) && rate.is_finite();
        let demand = view.demand.into_iter().filter(sound).map(|(cluster, rate)| (cluster, rate.max(0.0))).collect();
        let (boot, seq, self_suspect) = (view.boot, view.seq, view.self_suspect);
        self.views.insert(view.from, Seen { boot, seq, received: now, self_suspect, entries, demand });
        Ok(())
    }

    /// This nameserver's own view for its peers; each call numbers it anew. While this observer suspects itself or has not
    /// probed everything yet, the view says that its votes do not count.
    pub fn own_view(&mut self, now: Timestamp) -> View {
        self.watch_self(now);
        self.seq += 1;
        let entries = self.each().filter_map(|(route, cluster, known)| {
            let up = known.machine.up(now, &self.policy)?;
            Some(ViewEntry { route: route.clone(), cluster: cluster.clone(), up })
        });
        let entries = entries.collect();
        let self_suspect = self.suspicion.is_some() || self.is_warming_up(now);
        let (from, demand) = (self.me.clone(), BTreeMap::new());
        self.overrides.forget(now);
        let overrides = self.overrides.held().to_vec();
        View { from, boot: self.boot, seq: self.seq, self_suspect, entries, demand, overrides }
    }
}

fn newer(from: &str, got: (u64, u64), have: (u64, u64)) -> Result<(), Refused> {
    if got > have {
        return Ok(());
    }
    Err(Refused::NotNewer { from: from.to_owned(), got, have })
}
