//! Taking a cluster out of answers, proving that it is out of caches, and taking it back.

use super::service::Others;
use super::{PROGRESS_MARGIN, Planner};
use crate::federate::NO_SUCH_ROUTE;
use crate::health::Verdict;
use crate::rollout::report::{Behind, What, Why};
use crate::rollout::{ClusterRollout, NameserverFacts, Step};
use crate::{ClusterName, Generation, Timestamp};
use std::time::Duration;

/// How long a drain waits for a nameserver that control cannot reach, counted from the drain or from the last word of that
/// nameserver, whichever is later; the route's TTL comes on top.
pub const UNREACHABLE_NAMESERVER_WAIT: Duration = Duration::from_secs(60);
/// Added to every "cached until": clocks and time on the way.
pub const CLOCK_MARGIN: Duration = Duration::from_millis(500);

impl Planner<'_> {
    pub(super) fn drain(&mut self, name: &ClusterName, cluster: &ClusterRollout, plan: Option<Generation>) -> Why {
        if self.gives_up_drain(name) {
            return Why::Nothing;
        }
        let out = self.pools_of(name).all(|(_, route)| route.pool[name].is_some());
        let Some(routed) = self.facts.routed.as_ref().filter(|_| out) else {
            self.change(name, |cluster| cluster.step = Step::Draining { plan: None });
            return Why::PlanNotWritten;
        };
        let generation = plan.unwrap_or(routed.generation);
        self.change(name, |cluster| cluster.step = Step::Draining { plan: Some(generation) });
        let behind = self.behind(name, generation, cluster.since);
        if !behind.is_empty() {
            return Why::Behind { generation, nameservers: behind };
        }
        let cached_until = self.cached_until(name);
        self.enter(name, Step::Proving { cached_until });
        Why::Nothing
    }

    pub(super) fn prove(&mut self, name: &ClusterName, cluster: &ClusterRollout, before: Timestamp) -> Why {
        if self.gives_up_drain(name) {
            return Why::Nothing;
        }
        let until = before.max(self.cached_until(name));
        if until != before {
            self.change(name, |cluster| cluster.step = Step::Proving { cached_until: until });
        }
        if until > self.now {
            return Why::Cached { until, left_ms: until.0 - self.now.0 };
        }
        let facts = &self.facts.clusters[name];
        if !facts.connected {
            return Why::AgentLost { since: None };
        }
        if facts.drained.is_none()
            && cluster.previous.is_some()
            && let Others::Unknown(route) = self.others(name)
        {
            return Why::VerdictsUnknown { route };
        }
        self.start_update(name, false)
    }

    /// Nothing has been changed in the cluster yet, so it can simply go back into service.
    fn gives_up_drain(&mut self, name: &ClusterName) -> bool {
        let needed = match (self.others(name), &self.facts.clusters[name].drained) {
            (Others::None(route), None) => Some(route),
            _ => None,
        };
        if needed.is_none() && !self.is_aborting() {
            return false;
        }
        if let Some(route) = needed {
            self.note(name, What::Needed { route });
            self.change(name, |cluster| cluster.progress.needed = true);
        }
        self.enter(name, Step::Waiting);
        true
    }

    pub(super) fn readmit(&mut self, name: &ClusterName, cluster: &ClusterRollout, plan: Option<Generation>) -> Why {
        if self.facts.clusters[name].drained.is_some() || !self.is_pooled(name) {
            self.enter(name, Step::Done);
            return Why::Nothing;
        }
        let back =
            self.pools_of(name).all(|(_, route)| matches!(route.pool[name].as_deref(), None | Some(NO_SUCH_ROUTE)));
        let Some(routed) = self.facts.routed.as_ref().filter(|_| back) else {
            self.change(name, |cluster| cluster.step = Step::Readmitting { plan: None });
            return Why::PlanNotWritten;
        };
        let generation = plan.unwrap_or(routed.generation);
        self.change(name, |cluster| cluster.step = Step::Readmitting { plan: Some(generation) });
        let Some(waits) = self.not_back(name, generation, cluster.since) else {
            self.enter(name, Step::Done);
            return Why::Nothing;
        };
        if self.time_left(name).is_none() {
            let limit = self.next.promotion.progress_deadline + PROGRESS_MARGIN;
            return self.fail(name, &format!("not back in service within {} s: {waits}", limit.as_secs()));
        }
        waits
    }

    /// What keeps a cluster from being back in service, as far as connected nameservers can say.
    fn not_back(&self, name: &ClusterName, generation: Generation, since: Timestamp) -> Option<Why> {
        if self.facts.nameservers.is_empty() {
            return None;
        }
        if !self.facts.nameservers.values().any(|nameserver| nameserver.connected) {
            return Some(Why::NoNameserver);
        }
        let connected = |behind: &Behind| self.facts.nameservers.get(&behind.nameserver).is_some_and(|ns| ns.connected);
        let behind: Vec<_> = self.not_acknowledged(generation, since).into_iter().filter(connected).collect();
        if !behind.is_empty() {
            return Some(Why::Behind { generation, nameservers: behind });
        }
        let serving = self.pools_of(name).filter(|(_, route)| route.pool[name].is_none());
        for (route, _) in serving {
            let mut fit = false;
            for (_, entry) in self.verdicts(route, name) {
                match &entry.verdict {
                    Verdict::Unfit(why) => return Some(Why::NotFit { route: route.clone(), why: Some(why.clone()) }),
                    Verdict::Fit => fit = true,
                    Verdict::Unknown => {}
                }
            }
            if !fit {
                return Some(Why::NotFit { route: route.clone(), why: None });
            }
        }
        None
    }

    /// Nameservers the drain still waits for; those taken for gone are noted.
    fn behind(&mut self, name: &ClusterName, generation: Generation, since: Timestamp) -> Vec<Behind> {
        let now = self.now;
        let all = self.not_acknowledged(generation, since);
        let (behind, gone): (Vec<_>, Vec<_>) = all.into_iter().partition(|b| b.until.is_none_or(|until| now < until));
        for nameserver in gone.into_iter().map(|behind| behind.nameserver) {
            let heard = self.facts.nameservers.get(&nameserver).map(|ns| ns.heard).unwrap_or_default();
            self.note(name, What::AssumedGone { nameserver, heard });
        }
        behind
    }

    fn not_acknowledged(&self, generation: Generation, since: Timestamp) -> Vec<Behind> {
        let wait = UNREACHABLE_NAMESERVER_WAIT + self.ttl() + CLOCK_MARGIN;
        let behind = self.facts.nameservers.iter().filter_map(|(name, nameserver)| {
            let answers_from = nameserver.status.as_ref().map(|status| status.generation);
            if answers_from >= Some(generation) {
                return None;
            }
            let until = (!nameserver.connected).then(|| since.max(nameserver.heard).after(wait));
            Some(Behind { nameserver: name.clone(), generation: answers_from, until })
        });
        behind.collect()
    }

    /// Longest TTL of the stack's routes.
    fn ttl(&self) -> Duration {
        let routes = self.facts.routed.iter().flat_map(|routed| routed.routes.values());
        Duration::from_secs(routes.map(|route| u64::from(route.ttl)).max().unwrap_or(0))
    }

    /// When the last compliant cache lets go of the cluster, by this clock.
    fn cached_until(&self, name: &ClusterName) -> Timestamp {
        let each = self.facts.nameservers.values().filter_map(|nameserver| self.cached_by(nameserver, name));
        each.max().map(|until| until.after(CLOCK_MARGIN)).unwrap_or_default()
    }

    /// What one nameserver's ledger says, carried over to this clock by the status's age. Of the time before its start a
    /// ledger knows nothing, so an answer in the last moment before is assumed.
    fn cached_by(&self, nameserver: &NameserverFacts, name: &ClusterName) -> Option<Timestamp> {
        let status = nameserver.status.as_ref()?;
        let here = |there: Timestamp| {
            let behind = Timestamp(nameserver.heard.0.saturating_sub(status.at.since(there).as_millis() as u64));
            behind.after(there.since(status.at))
        };
        let mine = |route| self.pools_of(name).any(|(pooled, _)| pooled == route);
        let entries = status.ledger.iter().filter(|entry| entry.cluster == *name && mine(&entry.route));
        let answered = entries.map(|entry| here(entry.cached_until));
        answered.chain([here(status.started).after(self.ttl())]).max()
    }
}
