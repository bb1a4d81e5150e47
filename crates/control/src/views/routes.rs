//! Routes: what the plan says, and what connected nameservers say of it. Those that are away do not count: what they
//! last said is no longer so.

use crate::api::types::{RouteCluster, RouteEndpoint, RouteState, RouteSummary, RouteView};
use crate::reconcile::Seen;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use waggle_model::health::Verdict;
use waggle_model::plan::{Endpoint, EndpointVerdict, NameserverStatus, PlanRoute, RoutePlan};
use waggle_model::traffic::{
    ClientTraffic, ClusterTraffic, OrderTraffic, RouteTraffic, TRAFFIC_CLIENTS_MAX, TRAFFIC_ORDERS_MAX,
};
use waggle_model::{ClusterName, DomainName, NameserverName};

/// Routes of a status at a glance.
pub const BUSIEST_MAX: usize = 10;

type Verdicted<'a> = (&'a NameserverName, &'a EndpointVerdict);

/// What connected nameservers say, by route.
struct Said<'a> {
    verdicts: BTreeMap<&'a DomainName, BTreeMap<&'a ClusterName, Vec<Verdicted<'a>>>>,
    traffic: BTreeMap<&'a DomainName, Vec<&'a RouteTraffic>>,
    nameservers: usize,
}

impl<'a> Said<'a> {
    fn by(seen: &'a Seen) -> Said<'a> {
        let mut said = Said { verdicts: BTreeMap::new(), traffic: BTreeMap::new(), nameservers: 0 };
        for (name, status) in connected(seen) {
            said.nameservers += 1;
            for verdict in &status.verdicts {
                let route = said.verdicts.entry(&verdict.route).or_default();
                route.entry(&verdict.cluster).or_default().push((name, verdict));
            }
            for traffic in &status.traffic {
                said.traffic.entry(&traffic.route).or_default().push(traffic);
            }
        }
        said
    }

    fn of(&self, route: &DomainName, cluster: &ClusterName) -> &[Verdicted<'a>] {
        let route = self.verdicts.get(route);
        route.and_then(|route| route.get(cluster)).map(Vec::as_slice).unwrap_or_default()
    }

    fn traffic(&self, route: &DomainName) -> &[&'a RouteTraffic] {
        self.traffic.get(route).map(Vec::as_slice).unwrap_or_default()
    }
}

fn connected(seen: &Seen) -> impl Iterator<Item = (&NameserverName, &NameserverStatus)> {
    let connected = seen.nameservers.iter().filter(|(_, one)| one.connected);
    connected.filter_map(|(name, one)| Some((name, one.status.as_ref()?)))
}

pub fn all(plan: &RoutePlan, seen: &Seen) -> Vec<RouteSummary> {
    let said = Said::by(seen);
    plan.routes.iter().map(|(name, route)| summary(name, route, &said)).collect()
}

/// Those that are asked for, busiest first.
pub fn busiest(plan: &RoutePlan, seen: &Seen) -> Vec<RouteSummary> {
    let said = Said::by(seen);
    let rate = |name: &DomainName| {
        let clusters = said.traffic(name).iter().flat_map(|traffic| traffic.clusters.values());
        clusters.map(|cluster| cluster.answers).sum::<f64>()
    };
    let mut asked: Vec<_> = said.traffic.keys().map(|name| (rate(name), *name)).collect();
    asked.retain(|(rate, _)| *rate > 0.0);
    asked.sort_by(|(one, a), (other, b)| other.total_cmp(one).then(a.cmp(b)));
    let known = asked.into_iter().filter_map(|(_, name)| Some((name, plan.routes.get(name)?)));
    known.take(BUSIEST_MAX).map(|(name, route)| summary(name, route, &said)).collect()
}

pub fn one(plan: &RoutePlan, seen: &Seen, name: &DomainName) -> Option<RouteView> {
    let route = plan.routes.get(name)?;
    let said = Said::by(seen);
    let endpoint = |endpoint: &Endpoint| {
        let verdicts = said.of(name, &endpoint.cluster).iter();
        RouteEndpoint {
            cluster: endpoint.cluster.clone(),
            addresses: endpoint.addresses.clone(),
            release: endpoint.release,
            drained: endpoint.drained.clone(),
            verdicts: verdicts.map(|(name, verdict)| ((*name).clone(), (*verdict).clone())).collect(),
        }
    };
    Some(RouteView {
        route: summary(name, route, &said),
        check: route.check.clone(),
        all_down: route.all_down.clone(),
        pool: route.pool.iter().map(endpoint).collect(),
        orders: orders(said.traffic(name)),
        clients: clients(said.traffic(name).iter().copied()),
        plan_generation: plan.generation,
        plan_issued_at: plan.issued,
    })
}

fn summary(name: &DomainName, route: &PlanRoute, said: &Said<'_>) -> RouteSummary {
    let traffic = said.traffic(name);
    let sum = |cluster: &ClusterName, what: fn(&ClusterTraffic) -> f64| {
        let told = traffic.iter().filter_map(|traffic| traffic.clusters.get(cluster)).map(what);
        (!traffic.is_empty()).then(|| told.sum())
    };
    let clusters = route.pool.iter().map(|endpoint| {
        let state = state(endpoint, said.of(name, &endpoint.cluster), said.nameservers);
        let cluster = &endpoint.cluster;
        let answers = sum(cluster, |traffic| traffic.answers);
        let demand = sum(cluster, |traffic| traffic.demand);
        (cluster.clone(), RouteCluster { state, answers, demand })
    });
    let clusters: BTreeMap<_, _> = clusters.collect();
    let out = |cluster: &RouteCluster| matches!(cluster.state, RouteState::Drained { .. } | RouteState::Unfit { .. });
    RouteSummary {
        name: name.clone(),
        stack: route.stack.clone(),
        policy: route.policy.clone(),
        ttl: route.ttl,
        checked: route.check.is_some(),
        all_down: clusters.values().all(out),
        clusters,
    }
}

/// `of`: connected nameservers. `at` is left empty where all of them say the same.
fn state(endpoint: &Endpoint, said: &[Verdicted<'_>], of: usize) -> RouteState {
    if let Some(reason) = &endpoint.drained {
        return RouteState::Drained { reason: reason.clone() };
    }
    let at = |found: &[&NameserverName]| {
        if found.len() == of { Vec::new() } else { found.iter().map(|name| (*name).clone()).collect() }
    };
    let unfit: Vec<_> = said
        .iter()
        .filter_map(|(name, verdict)| match &verdict.verdict {
            Verdict::Unfit(why) => Some((*name, why)),
            Verdict::Fit | Verdict::Unknown => None,
        })
        .collect();
    if let Some((_, why)) = unfit.first() {
        let names: Vec<_> = unfit.iter().map(|(name, _)| *name).collect();
        return RouteState::Unfit { why: (*why).clone(), at: at(&names) };
    }
    let gated: Vec<_> = said.iter().filter_map(|(name, verdict)| Some((*name, verdict.gate.as_ref()?))).collect();
    if let Some((_, why)) = gated.first() {
        let names: Vec<_> = gated.iter().map(|(name, _)| *name).collect();
        return RouteState::HeldBack { why: why.to_string(), at: at(&names) };
    }
    let limited: Vec<_> = said.iter().filter_map(|(name, verdict)| Some((*name, verdict.limited.as_ref()?))).collect();
    if let Some((_, least)) = limited.iter().min_by_key(|(_, limited)| limited.share.home) {
        let names: Vec<_> = limited.iter().map(|(name, _)| *name).collect();
        let percent = least.share.percent();
        return RouteState::Limited { percent, why: least.to_string(), at: at(&names) };
    }
    if said.iter().any(|(_, verdict)| verdict.verdict == Verdict::Fit) {
        RouteState::Answered
    } else {
        RouteState::Unknown
    }
}

fn orders(traffic: &[&RouteTraffic]) -> Vec<OrderTraffic> {
    let mut sums: BTreeMap<&[ClusterName], f64> = BTreeMap::new();
    for order in traffic.iter().flat_map(|traffic| &traffic.orders) {
        *sums.entry(&order.clusters).or_default() += order.per_second;
    }
    let sums = sums.into_iter().map(|(clusters, per_second)| OrderTraffic { clusters: clusters.into(), per_second });
    let mut orders: Vec<_> = sums.collect();
    orders.sort_by(|one, other| other.per_second.total_cmp(&one.per_second));
    orders.truncate(TRAFFIC_ORDERS_MAX);
    orders
}

/// The busiest client networks of several routes or nameservers.
pub fn clients<'a>(traffic: impl IntoIterator<Item = &'a RouteTraffic>) -> Vec<ClientTraffic> {
    let mut sums = BTreeMap::new();
    for client in traffic.into_iter().flat_map(|traffic| &traffic.clients) {
        let sum: &mut u32 = sums.entry(client.prefix).or_default();
        *sum = sum.saturating_add(client.questions);
    }
    let sums = sums.into_iter().map(|(prefix, questions)| ClientTraffic { prefix, questions });
    let mut clients: Vec<_> = sums.collect();
    clients.sort_by_key(|client| Reverse(client.questions));
    clients.truncate(TRAFFIC_CLIENTS_MAX);
    clients
}

#[cfg(test)]
mod tests;
