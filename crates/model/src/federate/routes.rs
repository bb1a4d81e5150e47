//! Routes of the route plan.
//!
//! While a rollout is under way two releases may define the same route. The old definition holds as long as a cluster serves
//! by it: a new health check would otherwise call every cluster unfit that does not run the new release yet. A route that only
//! the new release has appears at once, with every other cluster's endpoint drained, so that nameservers can probe it.

use super::check::{Problem, families};
use super::{DRAINED_BY_ROLLOUT, NO_SUCH_ROUTE, NOT_DEPLOYED};
use crate::fleet_state::{StackState, State};
use crate::plan::{Endpoint, POOL_MAX, PlanRoute, ROUTES_MAX};
use crate::release::{ReleaseBody, ReleaseId, Route};
use crate::{ClusterName, DomainName, StackName, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub(super) fn routes(state: &State, now: Timestamp) -> (BTreeMap<DomainName, PlanRoute>, Vec<Problem>) {
    let mut routes: BTreeMap<DomainName, PlanRoute> = BTreeMap::new();
    let mut problems = Vec::new();
    for (name, stack) in &state.stacks {
        for route in definitions(stack).into_values() {
            if !state.federation.zones.keys().any(|zone| route.name.is_within(zone)) {
                problems.push(Problem::OutsideZones { route: route.name.clone() });
            } else if let Some(other) = routes.get(&route.name) {
                problems.push(Problem::Claimed { route: route.name.clone(), by: other.stack.clone() });
            } else if routes.len() >= ROUTES_MAX {
                problems.push(Problem::TooManyRoutes { max: ROUTES_MAX });
                return (routes, problems);
            } else if let Some(planned) = plan_route(state, name, stack, route, now, &mut problems) {
                routes.insert(route.name.clone(), planned);
            }
        }
    }
    (routes, problems)
}

/// Each route of the stack in the definition that holds now.
fn definitions(stack: &StackState) -> BTreeMap<DomainName, &Route> {
    let target = stack.active().map(|rollout| rollout.release);
    let mut serving: BTreeMap<ReleaseId, usize> = BTreeMap::new();
    for cluster in stack.clusters() {
        if let Some(release) = stack.wanted(cluster).release {
            *serving.entry(release).or_default() += usize::from(!stack.is_drained(cluster));
        }
    }
    let mut order: Vec<_> = serving.into_iter().collect();
    order.sort_by_key(|(release, count)| (*count == 0 || Some(*release) == target, std::cmp::Reverse(*count)));
    let order = order.into_iter().map(|(release, _)| release).chain(target);
    let mut found = BTreeMap::new();
    for route in order.filter_map(|release| stack.releases.get(&release)).flat_map(|body| &body.routes) {
        found.entry(route.name.clone()).or_insert(route);
    }
    found
}

/// What keeps `route` from being served on, if something does: the release that is rolled out lacks it, or every one that
/// serves.
pub(super) fn dropped(stack: &StackState, route: &DomainName) -> Option<String> {
    let has = |body: &ReleaseBody| body.routes.iter().any(|known| known.name == *route);
    let target = stack.active().map(|rollout| rollout.release);
    let target = target.and_then(|target| Some((target, stack.releases.get(&target)?)));
    if let Some((id, _)) = target.filter(|(_, body)| !has(body)) {
        return Some(format!("release {}", id.short()));
    }
    (!definitions(stack).contains_key(route)).then(|| "every release".to_owned())
}

fn plan_route(
    state: &State,
    name: &StackName,
    stack: &StackState,
    route: &Route,
    now: Timestamp,
    problems: &mut Vec<Problem>,
) -> Option<PlanRoute> {
    for cluster in &route.clusters {
        if !state.federation.clusters.contains_key(cluster) {
            let at = format!("routes.{}.clusters", route.name);
            problems.push(Problem::UnknownCluster { at, cluster: cluster.clone() });
        }
    }
    let listed: BTreeSet<_> = route.clusters.iter().collect();
    let pool = stack.clusters().filter(|cluster| listed.is_empty() || listed.contains(cluster));
    let pool = pool.filter_map(|cluster| Some((cluster, &state.federation.clusters.get(cluster)?.addresses)));
    let mut pool: Vec<(&ClusterName, Vec<IpAddr>)> = pool.map(|(cluster, ips)| (cluster, ips.clone())).collect();
    if pool.len() > POOL_MAX {
        problems.push(Problem::PoolTooLarge { route: route.name.clone(), clusters: pool.len(), max: POOL_MAX });
        pool.truncate(POOL_MAX);
    }
    offer_alike(&mut pool, &route.name, problems);
    let endpoints = pool.into_iter().map(|(cluster, addresses)| {
        let release = stack.wanted(cluster).release;
        let drained = drained(state, stack, route, cluster, now);
        let forced = state.forced_verdict(&route.name, cluster, now).cloned();
        Endpoint { cluster: cluster.clone(), addresses, drained, release, forced }
    });
    let pool: Vec<_> = endpoints.collect();
    if pool.is_empty() {
        problems.push(Problem::EmptyPool { route: route.name.clone() });
        return None;
    }
    Some(PlanRoute {
        stack: name.clone(),
        policy: route.policy.clone(),
        ttl: route.ttl,
        check: route.check.clone(),
        all_down: route.all_down.clone(),
        https: route.https.clone(),
        pool,
    })
}

fn drained(state: &State, stack: &StackState, route: &Route, cluster: &ClusterName, now: Timestamp) -> Option<String> {
    if let Some(drain) = state.operator_drain(cluster, now) {
        return Some(drain.reason.clone());
    }
    if stack.is_drained(cluster) {
        return Some(DRAINED_BY_ROLLOUT.into());
    }
    let Some(release) = stack.wanted(cluster).release else { return Some(NOT_DEPLOYED.into()) };
    let has = stack.releases.get(&release).is_some_and(|body| body.routes.iter().any(|r| r.name == route.name));
    (!has).then(|| NO_SUCH_ROUTE.into())
}

/// Leaves only address families that every cluster of the pool offers: a resolver caches "no such record" for all clients.
fn offer_alike(pool: &mut [(&ClusterName, Vec<IpAddr>)], route: &DomainName, problems: &mut Vec<Problem>) {
    let offers = pool.iter().map(|(cluster, addresses)| (*cluster, families(addresses))).collect::<Vec<_>>();
    let Some(mixed) = Problem::mixed_types(route, &offers) else { return };
    problems.push(mixed);
    let (v4, v6) = offers.iter().fold((true, true), |(v4, v6), (_, has)| (v4 && has.0, v6 && has.1));
    if v4 || v6 {
        for (_, addresses) in pool.iter_mut() {
            addresses.retain(|address| if address.is_ipv4() { v4 } else { v6 });
        }
    }
}
