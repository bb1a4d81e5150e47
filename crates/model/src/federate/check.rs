//! What is wrong with a release or with the whole, in words; found before anything is stored or sent.

use crate::fleet::Federation;
use crate::plan::{POOL_MAX, ROUTES_MAX};
use crate::release::{AllDown, CheckKind, GRPC_SERVICE_MAX, Https, Policy, ReleaseBody, Route};
use crate::{ClusterName, DomainName, StackName};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Seconds; RFC 2181 §8 allows 2^31-1, but a drain waits for it.
pub const ROUTE_TTL_MAX: u32 = 86_400;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "problem")]
pub enum Problem {
    #[error("route {route} lies in no zone of the federation")]
    OutsideZones { route: DomainName },
    #[error("route {route} already belongs to stack {by}")]
    Claimed { route: DomainName, by: StackName },
    #[error("route {route} is listed twice")]
    Twice { route: DomainName },
    #[error(
        "route {route}: cluster {with} has an {kind} address and {without} has none; resolvers would cache the absence for all clients"
    )]
    MixedTypes { route: DomainName, kind: &'static str, with: ClusterName, without: ClusterName },
    #[error("route {route}: the zone has static {kind} records of that name")]
    StaticRecord { route: DomainName, kind: String },
    #[error("{at}: there is no cluster {cluster}")]
    UnknownCluster { at: String, cluster: ClusterName },
    #[error("promotion.stages: cluster {cluster} is listed twice")]
    StagedTwice { cluster: ClusterName },
    #[error("promotion.max_parallel: 0 would never begin")]
    NothingParallel,
    #[error("route {route}: no cluster can answer it")]
    EmptyPool { route: DomainName },
    #[error("route {route} has {clusters} clusters, at most {max} are allowed")]
    PoolTooLarge { route: DomainName, clusters: usize, max: usize },
    #[error("more than {max} routes")]
    TooManyRoutes { max: usize },
    #[error("route {route}: ttl {ttl} is not within 1 and {ROUTE_TTL_MAX} seconds")]
    Ttl { route: DomainName, ttl: u32 },
    #[error("route {route}: {why}")]
    Check { route: DomainName, why: &'static str },
    #[error("route {route}: {why}")]
    Https { route: DomainName, why: &'static str },
    #[error("route {route}: the fallback has no address")]
    NoFallback { route: DomainName },
    #[error("route {route}: multivalue 0 would answer nothing")]
    NoValue { route: DomainName },
}

impl Problem {
    /// The first two clusters that offer different record types, if any do.
    pub(super) fn mixed_types(route: &DomainName, offers: &[(&ClusterName, (bool, bool))]) -> Option<Problem> {
        let differ = |kind: &'static str, has: &dyn Fn((bool, bool)) -> bool| {
            let with = offers.iter().find(|(_, offer)| has(*offer))?.0.clone();
            let without = offers.iter().find(|(_, offer)| !has(*offer))?.0.clone();
            Some(Problem::MixedTypes { route: route.clone(), kind, with, without })
        };
        differ("IPv4", &|offer| offer.0).or_else(|| differ("IPv6", &|offer| offer.1))
    }
}

/// Whether there are IPv4 and IPv6 addresses.
pub(super) fn families(addresses: &[IpAddr]) -> (bool, bool) {
    (addresses.iter().any(IpAddr::is_ipv4), addresses.iter().any(IpAddr::is_ipv6))
}

/// Every reason not to accept a release; `others` are the routes of all other stacks (see `State::claimed`).
pub fn check_release(
    federation: &Federation,
    others: &BTreeMap<DomainName, StackName>,
    body: &ReleaseBody,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    for route in &body.routes {
        if !seen.insert(&route.name) {
            problems.push(Problem::Twice { route: route.name.clone() });
        }
        if let Some(by) = others.get(&route.name) {
            problems.push(Problem::Claimed { route: route.name.clone(), by: by.clone() });
        }
        check_pool(federation, route, &mut problems);
        check_terms(route, &mut problems);
        check_zone(federation, route, &mut problems);
    }
    if others.len() + seen.len() > ROUTES_MAX {
        problems.push(Problem::TooManyRoutes { max: ROUTES_MAX });
    }
    let mut staged = BTreeSet::new();
    for (stage, cluster) in body.promotion.stages.iter().enumerate().flat_map(|(at, c)| c.iter().map(move |c| (at, c)))
    {
        unknown(federation, format!("promotion.stages[{stage}]"), cluster, &mut problems);
        if !staged.insert(cluster) {
            problems.push(Problem::StagedTwice { cluster: cluster.clone() });
        }
    }
    if body.promotion.max_parallel == 0 {
        problems.push(Problem::NothingParallel);
    }
    problems
}

fn unknown(federation: &Federation, at: String, cluster: &ClusterName, problems: &mut Vec<Problem>) {
    if !federation.clusters.contains_key(cluster) {
        problems.push(Problem::UnknownCluster { at, cluster: cluster.clone() });
    }
}

fn check_pool(federation: &Federation, route: &Route, problems: &mut Vec<Problem>) {
    let named: Vec<_> = match &route.policy {
        Policy::Weighted(weights) => weights.keys().collect(),
        Policy::Failover(order) => order.iter().collect(),
        Policy::Nearest | Policy::Multivalue(_) => Vec::new(),
    };
    for cluster in &route.clusters {
        unknown(federation, format!("routes.{}.clusters", route.name), cluster, problems);
    }
    for cluster in named {
        unknown(federation, format!("routes.{}.policy", route.name), cluster, problems);
    }
    let pool = federation.clusters.iter();
    let pool = pool.filter(|(name, _)| route.clusters.is_empty() || route.clusters.contains(name));
    let offers: Vec<_> = pool.map(|(name, cluster)| (name, families(&cluster.addresses))).collect();
    problems.extend(Problem::mixed_types(&route.name, &offers));
    if offers.is_empty() {
        problems.push(Problem::EmptyPool { route: route.name.clone() });
    }
    if offers.len() > POOL_MAX {
        let route = route.name.clone();
        problems.push(Problem::PoolTooLarge { route, clusters: offers.len(), max: POOL_MAX });
    }
}

fn check_terms(route: &Route, problems: &mut Vec<Problem>) {
    let name = || route.name.clone();
    if !(1..=ROUTE_TTL_MAX).contains(&route.ttl) {
        problems.push(Problem::Ttl { route: name(), ttl: route.ttl });
    }
    if matches!(&route.all_down, AllDown::Fallback(addresses) if addresses.is_empty()) {
        problems.push(Problem::NoFallback { route: name() });
    }
    if route.policy == Policy::Multivalue(0) {
        problems.push(Problem::NoValue { route: name() });
    }
    if let Some(why) = route.https.as_ref().and_then(Https::fault) {
        problems.push(Problem::Https { route: name(), why });
    }
    if let Some(check) = &route.check {
        if check.interval.is_zero() || check.timeout.is_zero() {
            problems.push(Problem::Check { route: name(), why: "check interval and timeout must be longer than 0" });
        }
        if check.port == 0 {
            problems.push(Problem::Check { route: name(), why: "0 is no port to check" });
        }
        if matches!(&check.kind, CheckKind::Grpc(grpc) if grpc.service.len() > GRPC_SERVICE_MAX) {
            problems.push(Problem::Check { route: name(), why: "check service is longer than 255 octets" });
        }
        if check.latency.is_some_and(|limit| limit.is_zero() || limit >= check.timeout) {
            let why = "check latency must be longer than 0 and shorter than the timeout";
            problems.push(Problem::Check { route: name(), why });
        }
    }
}

fn check_zone(federation: &Federation, route: &Route, problems: &mut Vec<Problem>) {
    let zones = federation.zones.iter().filter(|(zone, _)| route.name.is_within(zone));
    let Some((_, zone)) = zones.max_by_key(|(zone, _)| zone.labels().count()) else {
        problems.push(Problem::OutsideZones { route: route.name.clone() });
        return;
    };
    let kinds = ["A", "AAAA", "CNAME"].into_iter().chain(route.https.as_ref().map(|_| "HTTPS"));
    let clash = |kind: &str| kinds.clone().any(|taken| kind.eq_ignore_ascii_case(taken));
    let taken = zone.records.iter().find(|record| record.name == route.name && clash(&record.kind));
    if let Some(record) = taken {
        let kind = record.kind.to_ascii_uppercase();
        problems.push(Problem::StaticRecord { route: route.name.clone(), kind });
    }
}
