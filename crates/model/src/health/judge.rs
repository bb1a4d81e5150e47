//! All of one nameserver's knowledge about health, and its conclusions.
//!
//! A [`Judge`] is fed by own probes, agents' beats and peers' views, and says at any instant which endpoints each route may
//! answer with. It needs neither control nor agreement: every nameserver applies the same rules to nearly the same
//! observations, and a difference costs one observer's vote. Consensus among nameservers was rejected, since it stops
//! exactly when links are cut.
//!
//! `Unknown` changes nothing: the last conclusion goes on counting, and an endpoint nothing was ever concluded about counts as
//! fit. An answer is never left without any endpoint (invariant 5).

mod clock;
mod decide;
mod intake;
mod judgement;
mod mask;
mod overruled;
mod persist;
mod ramp;
mod rhythm;
mod suspicion;

pub use clock::STANDSTILL;
pub use intake::Refused;
pub use judgement::{EndpointJudgement, Gate, Judgement, Reason, RouteJudgement, Rule, Votes};
pub use persist::{Persisted, PersistedVerdict, UNFIT_KEPT};
pub use rhythm::FLOOR as SILENCE_FLOOR;
pub use suspicion::SUSPICION_MAX;

use super::endpoint::{Endpoint, EndpointState};
use super::forced::Forced;
use super::overrides::{Overrides, PublicKey};
use super::{Beat, HealthPolicy, Verdict};
use crate::plan::{EndpointVerdict, PlanRoute};
use crate::{ClusterName, DomainName, Generation, NameserverName, StackName, Timestamp};
use decide::{AgentWord, Evidence, decide};
use rhythm::Rhythm;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use suspicion::Suspicion;

/// Longest time after the start in which own votes wait for every endpoint to be probed once.
pub const WARM_UP_MAX: Duration = Duration::from_secs(3);

#[derive(Clone, Debug)]
pub struct Judge {
    me: NameserverName,
    boot: u64,
    seq: u64,
    started: Timestamp,
    generation: Generation,
    policy: HealthPolicy,
    routes: BTreeMap<DomainName, PlanRoute>,
    clusters: BTreeSet<ClusterName>,
    peers: BTreeSet<NameserverName>,
    /// Interval and timeout of the slowest check.
    slowest_check: Duration,
    endpoints: BTreeMap<DomainName, BTreeMap<ClusterName, Known>>,
    beats: BTreeMap<ClusterName, Heard>,
    views: BTreeMap<NameserverName, Seen>,
    suspicion: Option<Suspicion>,
    /// Runs of failures that began until then are not held against this observer itself.
    trusted: Timestamp,
    last_good: BTreeMap<DomainName, BTreeSet<ClusterName>>,
    turned: Option<Timestamp>,
    /// The observer itself had stood still until then.
    resumed: Timestamp,
    overrides: Overrides,
    override_keys: Vec<PublicKey>,
}

/// What is known about one endpoint.
#[derive(Clone, Debug, Default, PartialEq)]
struct Known {
    machine: Endpoint,
    /// Last conclusion that was not `Unknown`.
    settled: Option<Verdict>,
    /// What the evidence said when it was judged last.
    verdict: Option<Verdict>,
    /// Whether it was answered for being fit when it was judged last; `None` before.
    answered: Option<bool>,
    /// What kept it out when it was judged last, if nothing but the rejoin gate did.
    gate: Option<Gate>,
    /// It came back then and does not have all of its clients yet.
    back: Option<Timestamp>,
    /// When it was last taken out of the answers.
    left: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct Heard {
    beat: Beat,
    received: Timestamp,
    rhythm: Rhythm,
}

/// A peer's view, cut down to planned endpoints.
#[derive(Clone, Debug)]
struct Seen {
    boot: u64,
    seq: u64,
    received: Timestamp,
    self_suspect: bool,
    entries: BTreeMap<DomainName, BTreeMap<ClusterName, bool>>,
    demand: BTreeMap<ClusterName, f64>,
}

impl Seen {
    fn up(&self, route: &DomainName, cluster: &ClusterName) -> Option<bool> {
        self.entries.get(route)?.get(cluster).copied()
    }

    fn sees_anything(&self) -> bool {
        self.entries.values().flatten().any(|(_, up)| *up)
    }
}

/// Observers whose probes count just now.
struct Electorate {
    own: bool,
    withheld: Option<Reason>,
    peers: BTreeSet<NameserverName>,
}

impl Judge {
    /// `boot` must grow with each start of this nameserver.
    pub fn new(me: NameserverName, boot: u64, now: Timestamp) -> Judge {
        Judge {
            me,
            boot,
            seq: 0,
            started: now,
            generation: Generation::default(),
            policy: HealthPolicy::default(),
            routes: BTreeMap::new(),
            clusters: BTreeSet::new(),
            peers: BTreeSet::new(),
            slowest_check: Duration::ZERO,
            endpoints: BTreeMap::new(),
            beats: BTreeMap::new(),
            views: BTreeMap::new(),
            suspicion: None,
            trusted: Timestamp::default(),
            last_good: BTreeMap::new(),
            turned: None,
            resumed: Timestamp::default(),
            overrides: Overrides::default(),
            override_keys: Vec::new(),
        }
    }

    /// Concludes from everything known. Judging again at the same instant gives the same.
    pub fn judge(&mut self, now: Timestamp) -> Judgement {
        self.watch_self(now);
        let electorate = self.electorate(now);
        let warming_up = electorate.withheld == Some(Reason::WarmingUp);
        let routes = std::mem::take(&mut self.routes);
        let judged = routes.iter().map(|(name, route)| (name.clone(), self.judge_route(name, route, &electorate, now)));
        let judged = judged.collect();
        self.routes = routes;
        let self_suspect = self.suspicion.as_ref().map(|suspicion| suspicion.since);
        Judgement { at: now, self_suspect, warming_up, routes: judged, next: self.next_change(now) }
    }

    /// Verdicts of the last judgement, for the status that goes to control.
    pub fn verdicts(&self, now: Timestamp) -> Vec<EndpointVerdict> {
        let entries = self.each().map(|(route, cluster, known)| {
            let stack = self.routes.get(route).map(|route| &route.stack);
            let beat = self.beats.get(cluster).filter(|heard| self.still_counts(heard, now));
            let release = beat.zip(stack).and_then(|(heard, stack)| heard.beat.stacks.get(stack)?.release);
            EndpointVerdict {
                route: route.clone(),
                cluster: cluster.clone(),
                verdict: known.verdict.clone().unwrap_or(Verdict::Unknown),
                probe_up: known.machine.up(now, &self.policy),
                probe_ms: known.machine.took().map(|took| u32::try_from(took.as_millis()).unwrap_or(u32::MAX)),
                release,
                limited: self.limited(known, now),
                gate: known.gate.clone(),
            }
        });
        entries.collect()
    }

    /// Questions per second by favourite cluster, at all other nameservers that are heard.
    pub fn demand_elsewhere(&self, now: Timestamp) -> BTreeMap<ClusterName, f64> {
        let mut sums: BTreeMap<ClusterName, f64> = BTreeMap::new();
        for seen in self.views.values().filter(|seen| self.is_fresh(seen.received, now)) {
            for (cluster, rate) in &seen.demand {
                *sums.entry(cluster.clone()).or_default() += rate;
            }
        }
        sums
    }

    fn judge_route(
        &mut self,
        name: &DomainName,
        route: &PlanRoute,
        electorate: &Electorate,
        now: Timestamp,
    ) -> RouteJudgement {
        let mut judged = Vec::with_capacity(route.pool.len());
        let mut left = false;
        for endpoint in &route.pool {
            let (verdict, reason, votes) = self.weigh(name, route, &endpoint.cluster, electorate, now);
            let (forced, drained) = self.said_of(name, endpoint, now);
            let forced = forced.as_ref();
            let gate = self.gate(route, endpoint, now).filter(|_| forced.is_none());
            let Some(known) = self.known_mut(name, &endpoint.cluster) else { continue };
            // The evidence is followed all the same: it counts again the moment the forced verdict ends.
            if verdict != Verdict::Unknown {
                known.settled = Some(verdict.clone());
            }
            let fit = forced.map_or(!matches!(known.settled, Some(Verdict::Unfit(_))), |forced| forced.fit);
            let reason = forced.map_or(reason, |forced| Reason::Forced(forced.clone()));
            let verdict = forced.map_or(verdict, Forced::verdict);
            // Nobody but this nameserver knows of a drain by override, and to others the endpoint is not to be relied on.
            let overruled = drained.clone().filter(|_| endpoint.drained.is_none()).map(Verdict::Unfit);
            known.verdict = Some(overruled.unwrap_or_else(|| verdict.clone()));
            let gate = gate.filter(|_| known.answered == Some(false) && fit && drained.is_none());
            known.gate = gate.clone();
            let answered = fit && drained.is_none() && gate.is_none();
            match (known.answered.replace(answered), answered) {
                (Some(false), true) => known.back = Some(now),
                (Some(true), false) => {
                    left = true;
                    known.left = Some(now);
                }
                _ => {}
            }
            let cluster = endpoint.cluster.clone();
            judged.push(EndpointJudgement {
                cluster,
                verdict,
                fit,
                answered,
                votes,
                reason,
                drained,
                gate,
                limited: None,
            });
        }
        self.ramp(name, &mut judged, left, now);
        self.answer_with(name, route, judged, now)
    }

    fn weigh(
        &self,
        name: &DomainName,
        route: &PlanRoute,
        cluster: &ClusterName,
        electorate: &Electorate,
        now: Timestamp,
    ) -> (Verdict, Reason, Votes) {
        let agent = self.agent_word(cluster, &route.stack, name, now);
        let interval = route.check.as_ref().map_or(Duration::ZERO, |check| check.interval);
        let known = self.known(name, cluster);
        let reading = known.map(|known| known.machine.reading(now, &self.policy, interval).state);
        let (own, why) = match &reading {
            Some(EndpointState::Up) => (Some(true), None),
            Some(EndpointState::Down { why, .. }) => (Some(false), Some(why.as_str())),
            Some(EndpointState::Unprobed) | None => (None, None),
        };
        let mut votes = Votes { own, silent: self.is_silent(cluster, now), ..Votes::default() };
        let peers = electorate.peers.iter().filter_map(|peer| self.views.get(peer)?.up(name, cluster));
        let counted = peers.chain(own.filter(|_| electorate.own)).filter(|_| route.check.is_some());
        for up in counted {
            if up { votes.up += 1 } else { votes.down += 1 }
        }
        let withheld = electorate.withheld.clone();
        let evidence = Evidence { agent, checked: route.check.is_some(), votes, withheld, why };
        let (verdict, reason) = decide(&evidence);
        (verdict, reason, votes)
    }

    /// Observers that are heard, do not suspect themselves, and can see anything; if none sees anything up, all the same.
    fn electorate(&self, now: Timestamp) -> Electorate {
        let withheld = match (&self.suspicion, self.is_warming_up(now)) {
            (Some(_), _) => Some(Reason::SelfSuspect),
            (None, true) => Some(Reason::WarmingUp),
            (None, false) => None,
        };
        let fresh = self.views.iter().filter(|(_, seen)| !seen.self_suspect && self.is_fresh(seen.received, now));
        let (sighted, blind): (Vec<_>, Vec<_>) = fresh.partition(|(_, seen)| seen.sees_anything());
        let own_sight = self.each().any(|(.., known)| known.machine.up(now, &self.policy) == Some(true));
        let own_votes = withheld.is_none();
        let anyone = !sighted.is_empty() || own_sight && own_votes;
        let names = |seen: Vec<(&NameserverName, &Seen)>| seen.into_iter().map(|(name, _)| name.clone()).collect();
        if anyone {
            return Electorate { own: own_votes && own_sight, withheld, peers: names(sighted) };
        }
        Electorate { own: own_votes, withheld, peers: names(blind) }
    }

    fn is_warming_up(&self, now: Timestamp) -> bool {
        let unprobed = |(route, _, known): (&DomainName, &ClusterName, &Known)| {
            let checked = self.routes.get(route).is_some_and(|route| route.check.is_some());
            checked && known.machine.last_probe().is_none()
        };
        now.since(self.started) < WARM_UP_MAX && self.each().any(unprobed)
    }

    fn agent_word(&self, cluster: &ClusterName, stack: &StackName, route: &DomainName, now: Timestamp) -> AgentWord {
        let Some(heard) = self.beats.get(cluster) else {
            return if self.is_silent(cluster, now) { AgentWord::Silent } else { AgentWord::Unsure };
        };
        if !self.still_counts(heard, now) {
            return AgentWord::Silent;
        }
        if !heard.beat.engine_ok {
            return AgentWord::Unsure;
        }
        match heard.beat.stacks.get(stack).and_then(|stack| stack.serving.get(route)) {
            Some(true) => AgentWord::Serves,
            Some(false) => AgentWord::Down,
            None => AgentWord::Unsure,
        }
    }

    /// For so long that it is one more vote for down: what is normal for its beats has passed. An agent never heard is silent
    /// once it had the longest deadline since the start.
    fn is_silent(&self, cluster: &ClusterName, now: Timestamp) -> bool {
        now > self.silent_after(cluster)
    }

    fn silent_after(&self, cluster: &ClusterName) -> Timestamp {
        let longest = self.policy.beat_deadline;
        let (last, deadline) = match self.beats.get(cluster) {
            Some(heard) => (heard.received, heard.rhythm.deadline(longest)),
            None => (self.started, longest),
        };
        last.max(self.resumed).after(deadline)
    }

    /// Its word still counts. That needs no hurry, so it is the configured deadline: a beat that is a little late must not
    /// take back what the one before said.
    fn still_counts(&self, heard: &Heard, now: Timestamp) -> bool {
        now.since(heard.received.max(self.resumed)) <= self.policy.beat_deadline
    }

    fn is_fresh(&self, view: Timestamp, now: Timestamp) -> bool {
        now.since(view) <= self.policy.view_deadline
    }

    fn known(&self, route: &DomainName, cluster: &ClusterName) -> Option<&Known> {
        self.endpoints.get(route)?.get(cluster)
    }

    fn known_mut(&mut self, route: &DomainName, cluster: &ClusterName) -> Option<&mut Known> {
        self.endpoints.get_mut(route)?.get_mut(cluster)
    }

    fn each(&self) -> impl Iterator<Item = (&DomainName, &ClusterName, &Known)> {
        self.endpoints.iter().flat_map(|(route, pool)| pool.iter().map(move |(cluster, known)| (route, cluster, known)))
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
