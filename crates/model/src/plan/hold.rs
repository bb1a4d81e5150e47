//! An earlier plan put back in force by a person, for a time.
//!
//! What people decided comes from the earlier plan: zones, client map, clusters' weights and capacities, and each route's
//! policy, check, TTL, pool, addresses and operators' drains. What is simply so comes from the present one: who is a
//! member, which release a cluster is to serve, and that a cluster is out because it is being updated or has nothing to
//! serve. Putting back the bytes of the earlier plan was rejected: it would send users to clusters in the middle of an
//! update, bring removed stacks back, and make routes that came since disappear.

use super::{Endpoint, PlanRoute, RoutePlan};
use crate::federate::{DRAINED_BY_ROLLOUT, NO_SUCH_ROUTE, NOT_DEPLOYED};
use crate::{ClusterName, Generation, StackName, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Who holds which plan until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Whose content is in force.
    pub generation: Generation,
    pub by: String,
    pub reason: String,
    pub since: Timestamp,
    /// Over by itself from then on.
    pub until: Timestamp,
}

impl Hold {
    pub fn in_force(&self, now: Timestamp) -> bool {
        now < self.until
    }
}

/// What is in force while `kept` is held. `built` is what would be without; `stacks` are those that are there and stay;
/// `drained` are clusters that operators drained since the hold began, and why.
pub fn held(
    kept: &RoutePlan,
    built: &RoutePlan,
    stacks: &BTreeSet<StackName>,
    drained: &BTreeMap<ClusterName, String>,
) -> RoutePlan {
    let mut plan = built.clone();
    plan.health = kept.health.clone();
    plan.zones.extend(kept.zones.iter().map(|(name, zone)| (name.clone(), zone.clone())));
    for (name, cluster) in &mut plan.clusters {
        if let Some(before) = kept.clusters.get(name) {
            *cluster = before.clone();
        }
    }
    let members: BTreeSet<_> = plan.clusters.keys().cloned().collect();
    plan.client_map = kept.client_map.clone();
    plan.client_map.values_mut().for_each(|clusters| clusters.retain(|name| members.contains(name)));
    plan.client_map.retain(|_, clusters| !clusters.is_empty());
    for (name, route) in kept.routes.iter().filter(|(_, route)| stacks.contains(&route.stack)) {
        let mut pool = route.pool.clone();
        pool.retain(|endpoint| members.contains(&endpoint.cluster));
        if pool.is_empty() {
            continue;
        }
        let present = built.routes.get(name);
        pool.iter_mut().for_each(|endpoint| as_it_is(endpoint, present));
        plan.routes.insert(name.clone(), PlanRoute { pool, ..route.clone() });
    }
    for endpoint in plan.routes.values_mut().flat_map(|route| &mut route.pool) {
        if let Some(reason) = drained.get(&endpoint.cluster) {
            endpoint.drained = Some(reason.clone());
        }
    }
    plan
}

/// Whether somebody decided that an endpoint is out; otherwise it cannot be in just now.
pub fn is_decision(why: &str) -> bool {
    ![DRAINED_BY_ROLLOUT, NOT_DEPLOYED, NO_SUCH_ROUTE].contains(&why)
}

/// Release and reasons that nobody chose, as they are now.
fn as_it_is(endpoint: &mut Endpoint, present: Option<&PlanRoute>) {
    let is_fact = |why: &String| !is_decision(why);
    let now = present.and_then(|route| route.pool.iter().find(|other| other.cluster == endpoint.cluster));
    endpoint.release = now.and_then(|now| now.release);
    endpoint.forced = now.and_then(|now| now.forced.clone());
    let Some(now) = now else { return };
    let fact = now.drained.clone().filter(is_fact);
    if fact.is_some() || endpoint.drained.as_ref().is_some_and(is_fact) {
        endpoint.drained = fact;
    }
}
