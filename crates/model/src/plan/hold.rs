//! An earlier plan put back in force by a person, for a time.
//!
//! What people decided comes from the earlier plan: zones, client map, clusters' weights and capacities, and each route's
//! policy, check, TTL, pool, addresses and operators' drains. What is simply so comes from the present one: who is a
//! member, which release a cluster is to serve, and that a cluster is out because it is being updated or has nothing to
//! serve. Putting back the bytes of the earlier plan was rejected: it would send users to clusters in the middle of an
//! update, bring removed stacks back, and make routes that came since disappear.

use super::{Endpoint, PlanRoute, RoutePlan};
use crate::federate::{DRAINED_BY_ROLLOUT, NO_SUCH_ROUTE, NOT_DEPLOYED};
use crate::health::forced::Forced;
use crate::release::ReleaseId;
use crate::{ClusterName, DomainName, Generation, StackName, Timestamp};
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

/// Verdicts that people force, by route.
pub type ForcedVerdicts = BTreeMap<DomainName, BTreeMap<ClusterName, Forced>>;

/// What is in force while `kept` is held. `built` is what would be without; `stacks` are those that are there and stay;
/// `drained` are clusters that operators drained since the hold began, and why; `forced` holds just now.
pub fn held(
    kept: &RoutePlan,
    built: &RoutePlan,
    stacks: &BTreeSet<StackName>,
    drained: &BTreeMap<ClusterName, String>,
    forced: &ForcedVerdicts,
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
    let facts = facts(built);
    for (name, route) in kept.routes.iter().filter(|(_, route)| stacks.contains(&route.stack)) {
        let mut pool = route.pool.clone();
        pool.retain(|endpoint| members.contains(&endpoint.cluster));
        if pool.is_empty() {
            continue;
        }
        let present = built.routes.get(name).filter(|present| present.stack == route.stack);
        for endpoint in &mut pool {
            let own = present.and_then(|route| route.pool.iter().find(|other| other.cluster == endpoint.cluster));
            let now = own.map(fact).or_else(|| facts.get(&(&route.stack, &endpoint.cluster)).cloned());
            as_it_is(endpoint, now);
            endpoint.forced = forced.get(name).and_then(|clusters| clusters.get(&endpoint.cluster)).cloned();
        }
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

/// What nobody chose: the release to serve, and why the cluster cannot be in just now, if so.
type Fact = (Option<ReleaseId>, Option<String>);

fn fact(endpoint: &Endpoint) -> Fact {
    (endpoint.release, endpoint.drained.clone().filter(|why| !is_decision(why)))
}

/// The same of each stack and cluster, for routes that only the kept plan has. That a release lacks a route is said of
/// that route alone.
fn facts(built: &RoutePlan) -> BTreeMap<(&StackName, &ClusterName), Fact> {
    let mut facts = BTreeMap::new();
    for route in built.routes.values() {
        for endpoint in &route.pool {
            let (release, why) = fact(endpoint);
            let why = why.filter(|why| why != NO_SUCH_ROUTE);
            facts.entry((&route.stack, &endpoint.cluster)).or_insert((release, why));
        }
    }
    facts
}

/// Release and reasons that nobody chose, as they are now.
fn as_it_is(endpoint: &mut Endpoint, now: Option<Fact>) {
    endpoint.release = now.as_ref().and_then(|(release, _)| *release);
    let Some((_, fact)) = now else { return };
    if fact.is_some() || endpoint.drained.as_deref().is_some_and(|why| !is_decision(why)) {
        endpoint.drained = fact;
    }
}
