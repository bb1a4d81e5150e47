//! Routes: checked against the zones, prepared for choosing.

use super::{ADDRESSES_MAX, Draft, Problems, TTL_MAX};
use crate::name;
use crate::request::rtype;
use crate::snapshot::Types;
use std::net::IpAddr;
use waggle_model::plan::{POOL_MAX, PlanRoute, RoutePlan};
use waggle_model::release::{AllDown, Https, Policy};
use waggle_model::routing::{Candidate, failover};
use waggle_model::{ClusterName, DomainName};

pub(super) struct RouteDraft {
    pub(super) name: DomainName,
    pub(super) pool: Vec<ClusterName>,
    pub(super) ttl: u32,
    pub(super) undrained: u64,
    pub(super) types: Types,
    pub(super) https: Option<Https>,
    pub(super) addresses: Vec<Vec<IpAddr>>,
    pub(super) fallback: Option<Vec<IpAddr>>,
    pub(super) picks: u32,
    pub(super) order: OrderDraft,
    pub(super) candidates: Vec<Candidate>,
}

pub(super) enum OrderDraft {
    Place,
    Weighted,
    Fixed(Vec<u8>),
}

pub(super) fn fill(plan: &RoutePlan, draft: &mut Draft, problems: &mut Problems) -> Vec<RouteDraft> {
    let mut routes = Vec::new();
    for ((name, route), number) in plan.routes.iter().zip(0..) {
        let before = problems.0.len();
        let mut bad = |field: &str, why: String| problems.add(format!("routes.{name}{field}"), why);
        check_pool(plan, route, &mut bad);
        check_name(draft, name, route.https.is_some(), &mut bad);
        if let Some(why) = route.https.as_ref().and_then(Https::fault) {
            bad(".https", why.into());
        }
        if problems.0.len() == before {
            let entry = draft.nodes.entry(name::wire(name)).or_default();
            entry.route = Some(number);
            routes.push(prepare(plan, name, route));
        }
    }
    routes
}

fn check_name(draft: &Draft, name: &DomainName, https: bool, bad: &mut impl FnMut(&str, String)) {
    let owner = name::wire(name);
    if draft.zone_of(&owner).is_none() {
        bad("", "the name is outside the zones; add its zone to the federation".into());
    }
    let within = name::ancestors(&owner).take_while(|suffix| !draft.apexes.contains_key(*suffix));
    let delegated = |suffix: &[u8]| draft.nodes.get(suffix).is_some_and(|entry| entry.sets.contains_key(&rtype::NS));
    for suffix in within.filter(|suffix| delegated(suffix)) {
        bad("", format!("{} is delegated away", name::text(suffix)));
    }
    if let Some(entry) = draft.nodes.get(&owner) {
        for kind in [rtype::A, rtype::AAAA, rtype::CNAME] {
            if let Some(set) = entry.sets.get(&kind) {
                bad("", format!("a static address record or CNAME of the same name exists at {}", set.at));
            }
        }
        if let Some(set) = entry.sets.get(&rtype::HTTPS).filter(|_| https) {
            bad(".https", format!("a static HTTPS record of the same name exists at {}", set.at));
        }
    }
}

fn check_pool(plan: &RoutePlan, route: &PlanRoute, bad: &mut impl FnMut(&str, String)) {
    if route.pool.is_empty() || route.pool.len() > POOL_MAX {
        bad(".pool", format!("{} clusters; a route has 1 to {POOL_MAX}", route.pool.len()));
        return;
    }
    if !route.pool.is_sorted_by(|a, b| a.cluster < b.cluster) {
        bad(".pool", "clusters are not sorted, or one is listed twice".into());
    }
    let wanted = route.pool.first().map(|endpoint| types(&endpoint.addresses));
    for endpoint in &route.pool {
        let at = format!(".pool.{}", endpoint.cluster);
        if !plan.clusters.contains_key(&endpoint.cluster) {
            bad(&at, "the cluster is not in the plan".into());
        }
        if endpoint.addresses.is_empty() || endpoint.addresses.len() > ADDRESSES_MAX {
            bad(&at, format!("{} addresses; an endpoint has 1 to {ADDRESSES_MAX}", endpoint.addresses.len()));
        }
        let found = types(&endpoint.addresses);
        if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
            let why =
                "but the clusters of a route must all have the same: resolvers cache a missing type for everybody";
            bad(&at, format!("has {}, the first cluster has {}; {why}", list(found), list(wanted)));
        }
    }
    if let (AllDown::Fallback(addresses), Some(wanted)) = (&route.all_down, wanted) {
        let found = types(addresses);
        if addresses.len() > ADDRESSES_MAX {
            bad(".all_down", format!("{} fallback addresses, at most {ADDRESSES_MAX} are allowed", addresses.len()));
        }
        if !addresses.is_empty() && (wanted.a && !found.a || wanted.aaaa && !found.aaaa) {
            bad(".all_down", format!("fallback has {}, the clusters have {}", list(found), list(wanted)));
        }
    }
}

fn types(addresses: &[IpAddr]) -> Types {
    Types { a: addresses.iter().any(IpAddr::is_ipv4), aaaa: addresses.iter().any(IpAddr::is_ipv6) }
}

fn list(types: Types) -> &'static str {
    match (types.a, types.aaaa) {
        (true, true) => "A and AAAA",
        (true, false) => "A only",
        (false, true) => "AAAA only",
        (false, false) => "no address",
    }
}

fn prepare(plan: &RoutePlan, name: &DomainName, route: &PlanRoute) -> RouteDraft {
    let pool: Vec<ClusterName> = route.pool.iter().map(|endpoint| endpoint.cluster.clone()).collect();
    let fixed = |order: &[ClusterName]| failover(&pool, order).into_iter().map(|at| at as u8).collect();
    let own_weight = |cluster: &ClusterName| plan.clusters.get(cluster).map_or(1, |known| known.weight);
    let weight = |cluster| match &route.policy {
        Policy::Weighted(weights) => weights.get(cluster).copied().unwrap_or_else(|| own_weight(cluster)),
        _ => own_weight(cluster),
    };
    let candidates = pool.iter().map(|cluster| Candidate::new(cluster, weight(cluster))).collect();
    let (order, picks) = match &route.policy {
        Policy::Nearest => (OrderDraft::Place, 1),
        Policy::Multivalue(count) => (OrderDraft::Place, u32::from(*count).max(1)),
        Policy::Failover(order) => (OrderDraft::Fixed(fixed(order)), 1),
        Policy::Weighted(_) => (OrderDraft::Weighted, 1),
    };
    let undrained = route.pool.iter().zip(0..).filter(|(endpoint, _)| endpoint.drained.is_none());
    let undrained = undrained.fold(0u64, |mask, (_, bit)| mask | 1 << bit);
    let fallback = match &route.all_down {
        AllDown::Fallback(addresses) if !addresses.is_empty() => Some(addresses.clone()),
        _ => None,
    };
    RouteDraft {
        name: name.clone(),
        ttl: route.ttl.min(TTL_MAX),
        undrained,
        types: route.pool.first().map_or(Types { a: false, aaaa: false }, |endpoint| types(&endpoint.addresses)),
        addresses: route.pool.iter().map(|endpoint| endpoint.addresses.clone()).collect(),
        fallback,
        https: route.https.clone(),
        picks,
        order,
        candidates,
        pool,
    }
}
