//! What the planner may know: everything seen from outside a rollout, with the time it was received.

use crate::fleet_state::State;
use crate::observed::{Observed, Phase, Swarm};
use crate::plan::hold::Hold;
use crate::plan::{NameserverStatus, RoutePlan};
use crate::release::{ReleaseId, Route};
use crate::{ClusterName, DomainName, Generation, NameserverName, StackName, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Every cluster of the federation, and no other.
    pub clusters: BTreeMap<ClusterName, ClusterFacts>,
    /// Every nameserver of the federation, connected or not.
    pub nameservers: BTreeMap<NameserverName, NameserverFacts>,
    /// Routes of the release that is rolled out.
    pub routes: Vec<Route>,
    /// Names of the routes of every release the clusters run or ran.
    pub has_routes: BTreeMap<ReleaseId, BTreeSet<DomainName>>,
    /// The stack's part of the route plan that control sends now; `None` before the first.
    pub routed: Option<Routed>,
    /// Why that plan is not what control would make of the present state, if so.
    #[serde(default)]
    pub hold: Option<Hold>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClusterFacts {
    /// Its agent has a session.
    pub connected: bool,
    /// When control received what follows.
    pub received: Option<Timestamp>,
    pub swarm: Option<Swarm>,
    /// The stack as the agent reports it; `None`: it is not there.
    pub stack: Option<Reported>,
    /// Why an operator keeps the cluster out of answers, if so.
    pub drained: Option<String>,
}

/// The part of [`ObservedStack`](crate::observed::ObservedStack) that decides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reported {
    pub release: Option<ReleaseId>,
    pub attempt: u32,
    pub phase: Phase,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NameserverFacts {
    pub connected: bool,
    /// When control received the status, or last heard of the nameserver at all.
    pub heard: Timestamp,
    pub status: Option<NameserverStatus>,
}

/// One stack's part of a route plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Routed {
    pub generation: Generation,
    pub routes: BTreeMap<DomainName, RoutedRoute>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RoutedRoute {
    /// Seconds.
    pub ttl: u32,
    /// Nameservers probe it.
    pub checked: bool,
    /// Pool, and why each cluster is drained, if so.
    pub pool: BTreeMap<ClusterName, Option<String>>,
}

impl Routed {
    pub fn of(plan: &RoutePlan, stack: &StackName) -> Routed {
        let routes = plan.routes.iter().filter(|(_, route)| route.stack == *stack).map(|(name, route)| {
            let pool = route.pool.iter().map(|endpoint| (endpoint.cluster.clone(), endpoint.drained.clone()));
            (name.clone(), RoutedRoute { ttl: route.ttl, checked: route.check.is_some(), pool: pool.collect() })
        });
        Routed { generation: plan.generation, routes: routes.collect() }
    }
}

impl ClusterFacts {
    /// From the agent's last report and when it was received.
    pub fn of(connected: bool, observed: Option<(&Observed, Timestamp)>, stack: &StackName) -> ClusterFacts {
        let reported = observed.and_then(|(observed, _)| observed.stacks.get(stack)).map(|stack| Reported {
            release: stack.release,
            attempt: stack.attempt,
            phase: stack.phase.clone(),
        });
        ClusterFacts {
            connected,
            received: observed.map(|(_, received)| received),
            swarm: observed.map(|(observed, _)| observed.swarm.clone()),
            stack: reported,
            drained: None,
        }
    }
}

impl Facts {
    /// Everything about `stack`. `agents` and `nameservers` may lack members of the federation (never heard of) and may
    /// name others (ignored); `plan` is the route plan that control sends now.
    pub fn gather<'a>(
        state: &State,
        stack: &StackName,
        agents: impl Fn(&ClusterName) -> (bool, Option<(&'a Observed, Timestamp)>),
        nameservers: impl Fn(&NameserverName) -> Option<NameserverFacts>,
        plan: Option<&RoutePlan>,
        now: Timestamp,
    ) -> Facts {
        let clusters = state.federation.clusters.keys().map(|name| {
            let (connected, observed) = agents(name);
            let drained = state.operator_drain(name, now).map(|drain| drain.reason.clone());
            (name.clone(), ClusterFacts { drained, ..ClusterFacts::of(connected, observed, stack) })
        });
        let known = state.nameservers.iter();
        let known = known.map(|peer| (peer.name.clone(), nameservers(&peer.name).unwrap_or_default()));
        let body = state.stacks.get(stack).and_then(|stack| {
            let rollout = stack.rollout.as_ref()?;
            stack.releases.get(&rollout.release)
        });
        let releases = state.stacks.get(stack).into_iter().flat_map(|stack| &stack.releases);
        let has_routes = releases.map(|(id, body)| (*id, body.routes.iter().map(|route| route.name.clone()).collect()));
        Facts {
            has_routes: has_routes.collect(),
            clusters: clusters.collect(),
            nameservers: known.collect(),
            routes: body.map(|body| body.routes.clone()).unwrap_or_default(),
            routed: plan.map(|plan| Routed::of(plan, stack)),
            hold: state.hold.clone().filter(|hold| hold.in_force(now)),
        }
    }
}
