//! From verdicts to what a route answers with: rejoin gate, all-down rules, and the TTL while something is suspect.

use super::judgement::{EndpointJudgement, Gate, Reason, RouteJudgement, Rule, bit};
use super::{Judge, Known};
use crate::health::Verdict;
use crate::plan::{Endpoint, PlanRoute};
use crate::release::AllDown;
use crate::{DomainName, Timestamp};
use std::time::Duration;

/// Clusters that fall within this time of each other fall together.
const ONE_FALL: Duration = Duration::from_secs(2);
/// Seconds below which health never shortens a TTL.
const TTL_FLOOR: u32 = 1;

impl Judge {
    /// Why a cluster that is out would not be taken back yet. A release once named goes on counting when the agent falls
    /// silent, so that a cluster which missed a release does not return unseen; one never heard of is left to the probes.
    pub(super) fn gate(&self, route: &PlanRoute, endpoint: &Endpoint, now: Timestamp) -> Option<Gate> {
        let wanted = endpoint.release?;
        let heard = self.beats.get(&endpoint.cluster)?;
        let stack = heard.beat.stacks.get(&route.stack)?;
        if stack.release != Some(wanted) {
            return Some(Gate::Release { runs: stack.release, wanted });
        }
        let fresh = self.still_counts(heard, now) && heard.beat.engine_ok;
        (fresh && !stack.converged).then_some(Gate::NotConverged)
    }

    pub(super) fn answer_with(
        &mut self,
        name: &DomainName,
        route: &PlanRoute,
        endpoints: Vec<EndpointJudgement>,
        now: Timestamp,
    ) -> RouteJudgement {
        let pick = |keep: &dyn Fn(&EndpointJudgement) -> bool| {
            let kept = endpoints.iter().enumerate().filter(|(_, endpoint)| keep(endpoint));
            kept.fold(0, |mask, (at, _)| mask | bit(at))
        };
        let eligible = pick(&|endpoint| endpoint.drained.is_none());
        let fit = pick(&|endpoint| endpoint.answered);
        let ungated = pick(&|endpoint| endpoint.drained.is_none() && endpoint.fit);
        let before = self.last_good.get(name);
        let last = pick(&|endpoint| before.is_some_and(|before| before.contains(&endpoint.cluster))) & eligible;
        let (mask, rule) = match &route.all_down {
            _ if fit != 0 => (fit, Rule::Fit),
            _ if ungated != 0 => (ungated, Rule::Ungated),
            AllDown::Fallback(_) => (0, Rule::Fallback),
            _ if eligible == 0 => (0, Rule::AllDrained),
            AllDown::LastGood if last != 0 => (last, Rule::LastGood),
            AllDown::LastGood | AllDown::All => (eligible, Rule::All),
        };
        if rule == Rule::Fit {
            // Those that nobody has reached for a moment only, too: of clusters lost together, perhaps by the observers'
            // own network, the last one must not get everybody.
            let just_left = |endpoint: &EndpointJudgement| {
                let left = self.known(name, &endpoint.cluster).and_then(|known| known.left);
                let unreached = matches!(endpoint.reason, Reason::ProbesDown { .. } | Reason::AgentSilent);
                unreached && endpoint.drained.is_none() && left.is_some_and(|left| now.since(left) < ONE_FALL)
            };
            let good = endpoints.iter().filter(|endpoint| endpoint.answered || just_left(endpoint));
            let good = good.map(|endpoint| endpoint.cluster.clone()).collect();
            self.last_good.insert(name.clone(), good);
        }
        let ttl_cap = self.ttl_cap(name, route, &endpoints, rule, now);
        RouteJudgement { mask, rule, ttl_cap, endpoints }
    }

    /// Seconds until the answer could next change. A cluster that is down for good does not count: its return hurts no
    /// client that keeps another cluster's address a little longer, unless nothing better is being answered.
    fn ttl_cap(
        &self,
        name: &DomainName,
        route: &PlanRoute,
        endpoints: &[EndpointJudgement],
        rule: Rule,
        now: Timestamp,
    ) -> u32 {
        let interval = route.check.as_ref().map_or(Duration::ZERO, |check| check.interval);
        let eligible = endpoints.iter().filter(|endpoint| endpoint.drained.is_none());
        let changes = eligible.filter_map(|endpoint| {
            if let Reason::Forced(forced) = &endpoint.reason {
                return Some(forced.until);
            }
            let reading = self.known(name, &endpoint.cluster)?.machine.reading(now, &self.policy, interval);
            let all_down = rule != Rule::Fit;
            let contested =
                endpoint.fit && endpoint.votes.down > 0 || endpoint.verdict == Verdict::Fit && !endpoint.answered;
            match (reading.suspect && endpoint.fit, contested || all_down) {
                (true, false) => Some(reading.next_change.unwrap_or(now)),
                (false, false) => None,
                (_, true) if all_down && !contested => Some(reading.next_change.unwrap_or(now)),
                (_, true) => Some(now),
            }
        });
        let Some(first) = changes.chain(self.suspicion.iter().map(|_| now)).min() else { return u32::MAX };
        let seconds = first.until(now).as_millis().div_ceil(1000).min(u128::from(u32::MAX - 1)) as u32;
        seconds.max(TTL_FLOOR)
    }

    /// Next instant at which time alone can change a conclusion.
    pub(super) fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let tick = Duration::from_millis(1);
        let beats = self.clusters.iter().map(|cluster| self.silent_after(cluster).after(tick));
        let words =
            self.beats.values().map(|heard| heard.received.max(self.resumed).after(self.policy.beat_deadline + tick));
        let views = self.views.values().map(|seen| seen.received.after(self.policy.view_deadline + tick));
        let holds = self
            .each()
            .filter_map(|(.., Known { machine, .. })| machine.reading(now, &self.policy, Duration::ZERO).next_change);
        let suspicion = self.suspicion.iter().map(|suspicion| suspicion.since.after(super::SUSPICION_MAX));
        let warm = [self.started.after(super::WARM_UP_MAX)];
        let ramps = self.each().filter_map(|(.., known)| self.next_step(known, now));
        let pools = self.routes.values().flat_map(|route| &route.pool);
        let forced = pools.filter_map(|endpoint| Some(endpoint.forced.as_ref()?.until));
        let overrides = self.overrides.held().iter().map(|signed| signed.order.expires);
        beats
            .chain(words)
            .chain(views)
            .chain(forced)
            .chain(overrides)
            .chain(ramps)
            .chain(holds)
            .chain(suspicion)
            .chain(warm)
            .filter(|at| *at > now)
            .min()
    }
}
