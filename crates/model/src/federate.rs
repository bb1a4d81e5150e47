//! From control's whole state to the documents that processes get: desired state per cluster, and the route plan.
//!
//! Builders are pure and whole: they look at everything and write the document anew. Control gives a document a new generation
//! exactly when its content changed, so building any number of times has no effect beyond the first (invariant 6).

mod check;
mod routes;

pub use check::{Problem, check_release};

use crate::desired::{Desired, DesiredStack};
use crate::fleet_state::State;
use crate::plan::intake::Change;
use crate::plan::{PlanCluster, PlanRoute, RoutePlan};
use crate::{ClusterName, DomainName, Generation, StackName, Timestamp};
use std::collections::BTreeMap;

/// Reason in [`Endpoint::drained`](crate::plan::Endpoint::drained) while a rollout keeps a cluster out.
pub const DRAINED_BY_ROLLOUT: &str = "rollout";
/// … while the stack has not been deployed there.
pub const NOT_DEPLOYED: &str = "not deployed there yet";
/// … while the cluster runs a release without this route.
pub const NO_SUCH_ROUTE: &str = "its release has no such route";

/// What `cluster` should run. The generation is 0: control assigns it.
pub fn desired(cluster: &ClusterName, state: &State) -> Desired {
    let stacks = state.stacks.iter().filter_map(|(name, stack)| {
        let wanted = stack.wanted(cluster);
        let release = wanted.release?;
        let body = stack.releases.get(&release)?;
        let desired = DesiredStack {
            release,
            attempt: wanted.attempt,
            objects: body.objects.clone(),
            routes: body.routes.iter().map(|route| (route.name.clone(), route.service.clone())).collect(),
            progress_deadline: body.promotion.progress_deadline,
            monitor: body.promotion.monitor,
            upkeep: body.upkeep.clone(),
            overrides: stack.overrides.get(cluster).cloned().unwrap_or_default(),
        };
        Some((name.clone(), desired))
    });
    Desired {
        cluster: cluster.clone(),
        generation: Generation::default(),
        stacks: stacks.collect(),
        nameservers: state.nameservers.clone(),
        beat: state.beat,
    }
}

/// What nameservers should answer, and everything that could not be expressed in it. Generation, time of issue and what is
/// said about the change are empty: control assigns them. Build again when an operator's drain or verdict ends (`now` decides that and nothing else).
pub fn route_plan(state: &State, now: Timestamp) -> (RoutePlan, Vec<Problem>) {
    let (routes, problems) = routes::routes(state, now);
    let clusters = state.federation.clusters.iter().map(|(name, cluster)| {
        let (region, location) = (cluster.region.clone(), cluster.location);
        let (weight, capacity) = (cluster.weight, cluster.capacity);
        (name.clone(), PlanCluster { region, location, weight, capacity })
    });
    let plan = RoutePlan {
        generation: Generation::default(),
        issued: Timestamp::default(),
        zones: state.federation.zones.clone(),
        clusters: clusters.collect(),
        client_map: state.federation.client_map.clone(),
        routes,
        nameservers: state.nameservers.clone(),
        health: state.federation.health.clone(),
        safety: state.federation.safety,
        override_keys: state.federation.override_keys.clone(),
        change: Change::default(),
    };
    (plan, problems)
}

/// Routes of `before`, the plan in force, that somebody wants to leave the answers, and why. `removing`: stacks on their way
/// out, and by whom; `state` holds them too.
pub fn leaving(
    state: &State,
    removing: &BTreeMap<StackName, String>,
    before: &RoutePlan,
) -> BTreeMap<DomainName, String> {
    let why = |(name, route): (&DomainName, &PlanRoute)| {
        let stack = &route.stack;
        if let Some(by) = removing.get(stack) {
            return Some((name.clone(), format!("stack {stack} is removed by {by}")));
        }
        let why = routes::dropped(state.stacks.get(stack)?, name)?;
        Some((name.clone(), format!("{why} of stack {stack} has no such route")))
    };
    before.routes.iter().filter_map(why).collect()
}

/// Whether two plans say the same, apart from generation and time of issue.
pub fn same_plan(one: &RoutePlan, other: &RoutePlan) -> bool {
    let (generation, issued) = (other.generation, other.issued);
    *other == RoutePlan { generation, issued, ..one.clone() }
}

/// Whether two desired states say the same, apart from the generation.
pub fn same_desired(one: &Desired, other: &Desired) -> bool {
    *other == Desired { generation: other.generation, ..one.clone() }
}

#[cfg(test)]
mod tests;
