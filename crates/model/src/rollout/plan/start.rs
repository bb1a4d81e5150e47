//! Whether a waiting cluster may begin, and how.

use super::Planner;
use super::service::Others;
use crate::ClusterName;
use crate::observed::Phase;
use crate::release::Strategy;
use crate::rollout::report::{What, Why};
use crate::rollout::{ClusterFacts, ClusterRollout, State, Step};

impl Planner<'_> {
    pub(super) fn start(&mut self, name: &ClusterName, cluster: &ClusterRollout) -> Why {
        if let Some(why) = self.reason_to_wait(name, cluster) {
            return why;
        }
        let facts = &self.facts.clusters[name];
        if cluster.previous == Some(self.next.release) && self.runs(facts) {
            self.note(name, What::AlreadyThere);
            self.enter(name, Step::Done);
            return Why::Nothing;
        }
        if let Some(why) = self.plan_held(name) {
            return why;
        }
        if let Some(why) = self.out_of_service_limit() {
            return why;
        }
        if cluster.previous.is_none() || !self.is_pooled(name) {
            if self.has_routes() {
                self.note(name, What::FirstDeployment);
            }
            return self.start_update(name, false);
        }
        if facts.drained.is_some() {
            self.enter(name, Step::Draining { plan: None });
            return Why::PlanNotWritten;
        }
        if self.next.promotion.strategy == Strategy::InPlace {
            return self.start_update(name, true);
        }
        match self.others(name) {
            Others::Fit => {
                self.enter(name, Step::Draining { plan: None });
                Why::PlanNotWritten
            }
            Others::Unknown(route) => Why::VerdictsUnknown { route },
            Others::None(route) => {
                let out = self.under_way();
                if !out.is_empty() {
                    return Why::LastInService { route, out };
                }
                if cluster.progress.needed && !self.is_alone(name, &route) {
                    return Why::Needed { route };
                }
                self.note(name, What::OnlyOne { route });
                self.start_update(name, true)
            }
        }
    }

    pub(super) fn start_update(&mut self, name: &ClusterName, in_place: bool) -> Why {
        self.enter(name, Step::Updating);
        self.change(name, |cluster| {
            cluster.attempt += 1;
            cluster.progress.in_place = in_place;
            cluster.progress.on_previous = false;
            cluster.progress.needed = false;
        });
        self.waiting_for_agent(name, None)
    }

    fn reason_to_wait(&self, name: &ClusterName, cluster: &ClusterRollout) -> Option<Why> {
        if self.next.state != State::Running {
            return Some(Why::NotRunning { state: self.next.state.clone() });
        }
        let earlier =
            self.next.clusters.iter().filter(|(_, other)| other.stage < cluster.stage && other.step != Step::Done);
        let waits_for: Vec<_> = earlier.map(|(name, _)| name.clone()).collect();
        if !waits_for.is_empty() {
            return Some(Why::Stage { waits_for });
        }
        let facts = &self.facts.clusters[name];
        if !facts.connected {
            return Some(Why::AgentLost { since: None });
        }
        let Some(swarm) = &facts.swarm else { return Some(Why::NoReport) };
        if let Some(error) = &swarm.error {
            return Some(Why::Engine { error: error.clone() });
        }
        let (reachable, managers) = (swarm.managers_reachable, swarm.managers);
        (reachable.saturating_mul(2) <= managers && managers > 0).then_some(Why::NoQuorum { reachable, managers })
    }

    /// While an operator steers by hand, no cluster that users may be sent to is begun.
    fn plan_held(&self, name: &ClusterName) -> Option<Why> {
        let hold = self.facts.hold.as_ref().filter(|_| self.has_routes() || self.is_pooled(name))?;
        Some(Why::PlanHeld { by: hold.by.clone(), until: hold.until })
    }

    fn out_of_service_limit(&self) -> Option<Why> {
        let out = self.under_way();
        let max = self.next.promotion.max_parallel;
        (out.len() >= usize::from(max)).then_some(Why::MaxParallel { out, max })
    }

    fn runs(&self, facts: &ClusterFacts) -> bool {
        let reported = facts.stack.as_ref();
        reported.is_some_and(|stack| stack.release == Some(self.next.release) && stack.phase == Phase::Converged)
    }
}
