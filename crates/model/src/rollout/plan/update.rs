//! Updating, verifying, failing and going back.

use super::Planner;
use super::service::Others;
use crate::observed::Phase;
use crate::release::{OnFailure, ReleaseId};
use crate::rollout::report::{Seen, Why};
use crate::rollout::{ClusterRollout, Reported, State, Step};
use crate::{ClusterName, DomainName, Timestamp};
use std::time::Duration;

/// Added to the progress deadline here, so that an agent's own "failed", which knows why, comes first.
pub const PROGRESS_MARGIN: Duration = Duration::from_secs(10);

impl Planner<'_> {
    pub(super) fn update(&mut self, name: &ClusterName, cluster: &ClusterRollout) -> Why {
        if self.is_aborting() {
            return self.revert(name, "aborted");
        }
        let connected = self.facts.clusters[name].connected;
        let reported = self.reported(name, Some(self.next.release), cluster.attempt).map(|stack| stack.phase.clone());
        match reported {
            Some(Phase::Failed(why)) => self.fail(name, &why),
            Some(Phase::Converged) if connected => {
                self.enter(name, Step::Verifying);
                Why::Nothing
            }
            _ if !connected => self.lost(name),
            phase => self.within_deadline(name, phase, "not converged"),
        }
    }

    pub(super) fn verify(&mut self, name: &ClusterName, cluster: &ClusterRollout) -> Why {
        if self.is_aborting() {
            return self.revert(name, "aborted");
        }
        let phase = self.reported(name, Some(self.next.release), cluster.attempt).map(|stack| stack.phase.clone());
        if let Some(Phase::Failed(why)) = phase {
            return self.fail(name, &why);
        }
        if !self.facts.clusters[name].connected {
            self.change(name, |cluster| cluster.progress.good = None);
            return self.lost(name);
        }
        let doubt = match phase {
            Some(Phase::Converged) => self.doubt(name, cluster.since),
            phase => Some(self.waiting_for_agent(name, phase)),
        };
        let Some(doubt) = doubt else { return self.watch(name) };
        self.change(name, |cluster| cluster.progress.good = None);
        if doubt != Why::NoNameserver && self.time_left(name).is_none() {
            let limit = self.next.promotion.progress_deadline + PROGRESS_MARGIN;
            return self.fail(name, &format!("not verified within {} s: {doubt}", limit.as_secs()));
        }
        doubt
    }

    /// Everything is good: what nameservers see must stay so for the monitor time. Tasks have: the agent says converged
    /// only after it watched them as long, so where nobody probes there is nothing more to watch.
    fn watch(&mut self, name: &ClusterName) -> Why {
        let now = self.now;
        self.change(name, |cluster| _ = cluster.progress.good.get_or_insert(now));
        let Some(cluster) = self.next.clusters.get(name) else { return Why::Nothing };
        let good = now.since(cluster.progress.good.unwrap_or(now));
        let left = self.next.promotion.monitor.checked_sub(good).filter(|left| !left.is_zero());
        if let Some(left) = left.filter(|_| self.is_probed(name)) {
            return Why::Monitor { left_ms: left.as_millis() as u64 };
        }
        let stays = cluster.progress.in_place || self.facts.clusters[name].drained.is_some() || !self.is_pooled(name);
        self.enter(name, if stays { Step::Done } else { Step::Readmitting { plan: None } });
        Why::Nothing
    }

    /// Routes of the release that nameservers probe the cluster for.
    fn probed<'b>(&'b self, name: &'b ClusterName) -> impl Iterator<Item = &'b DomainName> {
        let wanted = |route: &DomainName| self.facts.routes.iter().any(|wanted| wanted.name == *route);
        self.pools_of(name).filter(move |(route, routed)| routed.checked && wanted(route)).map(|(route, _)| route)
    }

    fn is_probed(&self, name: &ClusterName) -> bool {
        let drained = self.facts.clusters[name].drained.is_some();
        !drained && !self.facts.nameservers.is_empty() && self.probed(name).next().is_some()
    }

    /// What nameservers see through the public address that speaks against the cluster. A drained endpoint is probed too.
    /// Statuses from before `since` prove nothing.
    fn doubt(&self, name: &ClusterName, since: Timestamp) -> Option<Why> {
        if !self.is_probed(name) {
            return None;
        }
        for route in self.probed(name) {
            if !self.facts.nameservers.values().any(|nameserver| nameserver.connected) {
                return Some(Why::NoNameserver);
            }
            let mut reached = false;
            for (nameserver, entry) in self.verdicts(route, name) {
                let why = |seen| Some(Why::Probes { route: route.clone(), seen });
                if entry.probe_up == Some(false) {
                    return why(Seen::Down(nameserver.clone()));
                }
                if let Some(other) = entry.release.filter(|release| *release != self.next.release) {
                    return why(Seen::OtherRelease(nameserver.clone(), other));
                }
                let recent = self.facts.nameservers.get(nameserver).is_some_and(|facts| facts.heard >= since);
                reached |= recent && entry.probe_up == Some(true);
            }
            if !reached {
                return Some(Why::Probes { route: route.clone(), seen: Seen::NotYet });
            }
        }
        None
    }

    pub(super) fn failed(&mut self, name: &ClusterName, cluster: &ClusterRollout, why: &str) -> Why {
        let reverts = self.is_aborting() || self.next.promotion.on_failure == OnFailure::Revert;
        match self.next.state {
            State::Running if !self.facts.clusters[name].connected => Why::AgentLost { since: None },
            State::Running => self.start_update(name, cluster.progress.in_place),
            _ if reverts && !cluster.progress.on_previous => self.revert(name, why),
            _ => Why::Nothing,
        }
    }

    pub(super) fn reverting(&mut self, name: &ClusterName, cluster: &ClusterRollout, why: &str) -> Why {
        let facts = &self.facts.clusters[name];
        let phase = self.reported(name, cluster.previous, cluster.attempt).map(|stack| stack.phase.clone());
        let heard = facts.received.is_some_and(|received| received > cluster.since);
        let removed = cluster.previous.is_none() && heard && facts.stack.is_none();
        match phase {
            Some(Phase::Failed(again)) => self.give_up(name, &format!("{why}; going back failed: {again}")),
            Some(Phase::Converged) if facts.connected && cluster.previous.is_some() => self.reverted(name, why),
            _ if removed && facts.connected => self.reverted(name, why),
            _ if !facts.connected => self.lost(name),
            phase if self.time_left(name).is_some() => self.waiting_for_agent(name, phase),
            _ => self.give_up(name, &format!("{why}; going back did not end in time")),
        }
    }

    fn reverted(&mut self, name: &ClusterName, why: &str) -> Why {
        self.enter(name, Step::Reverted { why: why.into() });
        Why::Nothing
    }

    /// Traffic first: whatever failed is drained, unless nothing else could serve.
    pub(super) fn fail(&mut self, name: &ClusterName, why: &str) -> Why {
        self.leave_service(name);
        self.enter(name, Step::Failed { why: why.into() });
        self.change(name, |cluster| cluster.progress.on_previous = false);
        self.hold(name, why);
        Why::Nothing
    }

    fn give_up(&mut self, name: &ClusterName, why: &str) -> Why {
        self.enter(name, Step::Failed { why: why.into() });
        self.change(name, |cluster| cluster.progress.on_previous = true);
        self.hold(name, why);
        Why::Nothing
    }

    fn revert(&mut self, name: &ClusterName, why: &str) -> Why {
        self.leave_service(name);
        self.enter(name, Step::Reverting { why: why.into() });
        self.change(name, |cluster| {
            cluster.attempt += 1;
            cluster.progress.on_previous = true;
        });
        self.waiting_for_agent(name, None)
    }

    fn hold(&mut self, name: &ClusterName, why: &str) {
        if matches!(self.next.state, State::Running | State::Paused { .. }) {
            self.next.state = State::Held { why: format!("{name}: {why}") };
        }
    }

    fn leave_service(&mut self, name: &ClusterName) {
        let needed = self.others(name) != Others::Fit;
        self.change(name, |cluster| {
            let answered = !cluster.is_drained();
            cluster.progress.in_place = answered && needed;
        });
    }

    fn within_deadline(&mut self, name: &ClusterName, phase: Option<Phase>, what: &str) -> Why {
        if self.time_left(name).is_some() {
            return self.waiting_for_agent(name, phase);
        }
        let limit = self.next.promotion.progress_deadline + PROGRESS_MARGIN;
        self.fail(name, &format!("{what} within {} s", limit.as_secs()))
    }

    pub(super) fn waiting_for_agent(&self, name: &ClusterName, phase: Option<Phase>) -> Why {
        let doing = match phase {
            Some(Phase::Applying(doing)) => Some(doing),
            Some(Phase::Removing) => Some("removing".into()),
            Some(Phase::Failed(why)) => Some(why),
            Some(Phase::Converged) | None => None,
        };
        Why::Agent { doing, left_ms: self.time_left(name).unwrap_or_default().as_millis() as u64 }
    }

    fn lost(&self, name: &ClusterName) -> Why {
        Why::AgentLost { since: self.next.clusters.get(name).and_then(|cluster| cluster.progress.absent) }
    }

    /// The agent's report on exactly this release and attempt.
    fn reported(&self, name: &ClusterName, release: Option<ReleaseId>, attempt: u32) -> Option<&Reported> {
        let stack = self.facts.clusters.get(name)?.stack.as_ref()?;
        (stack.release == release && stack.attempt == attempt).then_some(stack)
    }
}
