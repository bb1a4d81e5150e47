//! The federation: its processes, routes, clients, and what is left when the largest cluster is lost.

use super::super::facts::Facts;
use super::{Findings, list};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use waggle_control::api::types::RouteState;
use waggle_model::ClusterName;

/// Seconds. A resolver may send users to a lost cluster for so long.
const ROUTE_TTL_MAX: u32 = 60;
/// Milliseconds between two clocks.
const SKEW_MAX: i64 = 2000;
/// Questions lately from which on a single source is telling.
const QUESTIONS_MIN: u32 = 100;
/// Routes named in one finding.
const ROUTES_NAMED: usize = 5;

pub(super) fn examine(facts: &Facts, found: &mut Findings) {
    let at = "federation";
    found.check("attention", at, "nothing needs a person", |f| {
        for line in &facts.status.attention {
            f.warning("control", line.clone(), "`waggle status` shows it as long as it is so");
        }
    });
    found.check("versions", at, "all run the version of control", |f| versions(facts, f));
    found.check("clocks", at, "clocks agree", |f| clocks(facts, f));
    found.check("routes", at, "every route is probed and fails over quickly", |f| routes(facts, f));
    found.check("clients", at, "nameservers see clients' addresses", |f| sources(facts, f));
    found.check("client_map", at, "every prefix of the client map has clusters that serve", |f| client_map(facts, f));
    found.check("capacity", at, "the others can take the load of any one cluster", |f| capacity(facts, f));
}

fn versions(facts: &Facts, found: &mut Findings) {
    let ours = &facts.status.version;
    let agents = facts.status.clusters.iter().map(|one| (format!("agent of {}", one.name), &one.agent_version));
    let nameservers = facts.status.nameservers.iter().map(|one| (format!("nameserver {}", one.name), &one.version));
    for (place, version) in agents.chain(nameservers) {
        if let Some(version) = version.as_ref().filter(|version| *version != ours) {
            let text = format!("runs version {version}, control {ours}");
            found.warning(place, text, "update control first, then nameservers one at a time, then agents");
        }
    }
}

/// A nameserver reports every second; an agent's report may be older, so only its clock being ahead is certain.
fn clocks(facts: &Facts, found: &mut Findings) {
    let help = "run a time service (NTP) on that machine and on control's";
    for one in facts.status.nameservers.iter().filter(|one| one.connected) {
        if let Some(skew) = one.skew_ms.filter(|skew| skew.abs() > SKEW_MAX) {
            found.warning(format!("nameserver {}", one.name), differs(skew), help);
        }
    }
    for one in facts.status.clusters.iter().filter(|one| one.connected) {
        if let Some(skew) = one.skew_ms.filter(|skew| *skew > SKEW_MAX) {
            found.warning(format!("agent of {}", one.name), differs(skew), help);
        }
    }
}

fn differs(skew: i64) -> String {
    let way = if skew > 0 { "ahead of" } else { "behind" };
    format!("its clock is {}.{} s {way} control's", skew.abs() / 1000, skew.abs() % 1000 / 100)
}

fn routes(facts: &Facts, found: &mut Findings) {
    let named = |routes: &[String]| match routes.get(..ROUTES_NAMED) {
        Some(first) if routes.len() > ROUTES_NAMED => {
            format!("{} and {} more", first.join(", "), routes.len() - first.len())
        }
        _ => list(routes),
    };
    let which = |filter: fn(&waggle_control::api::types::RouteSummary) -> bool| -> Vec<String> {
        facts.routes.iter().filter(|route| filter(route)).map(|route| route.name.to_string()).collect()
    };
    let slow = which(|route| route.ttl > ROUTE_TTL_MAX);
    if !slow.is_empty() {
        let text = format!("a ttl of more than {ROUTE_TTL_MAX} s: users stay with a lost cluster as long");
        found.warning(named(&slow), text, "set `ttl` of the route to a few seconds");
    }
    let blind = which(|route| !route.checked);
    if !blind.is_empty() {
        let text = "has no check: only agents say what is fit, so a lost cluster is left late";
        found.warning(named(&blind), text, "add `check: {http: {path: /health, port: 80}}` to the route");
    }
    let alone = which(|route| route.clusters.len() < 2);
    if !alone.is_empty() {
        found.warning(
            named(&alone),
            "has one cluster: nothing takes over when it is lost",
            "deploy the stack to another one",
        );
    }
    let dead = which(|route| route.all_down);
    if !dead.is_empty() {
        let text = "no cluster is in and fit: its last resort is answered";
        found.problem(named(&dead), text, "`waggle route show NAME` says why");
    }
}

/// Behind Swarm's routing mesh every question comes from one address of the swarm itself.
fn sources(facts: &Facts, found: &mut Findings) {
    for one in &facts.status.nameservers {
        let [only] = one.clients.as_slice() else { continue };
        if only.questions >= QUESTIONS_MIN && is_private(&only.prefix) {
            let text = format!("all of its clients seem to be in {}: their addresses are hidden from it", only.prefix);
            let help = "publish its port with `mode: host`, or put it on the host's network; behind the routing mesh \
                        nobody is steered by place";
            found.warning(format!("nameserver {}", one.name), text, help);
        }
    }
}

fn is_private(prefix: &IpNet) -> bool {
    match prefix.addr() {
        IpAddr::V4(address) => address.is_private() || address.is_loopback() || address.is_link_local(),
        IpAddr::V6(address) => address.is_unique_local() || address.is_loopback(),
    }
}

fn client_map(facts: &Facts, found: &mut Findings) {
    let serving: BTreeSet<&ClusterName> = facts.routes.iter().flat_map(|route| route.clusters.keys()).collect();
    for (prefix, clusters) in &facts.federation.client_map {
        if clusters.is_empty() {
            let help = "name its clusters in `client_map`, best first, or take the prefix out";
            found.warning(prefix, "is mapped to no cluster", help);
        } else if !facts.routes.is_empty() && !clusters.iter().any(|name| serving.contains(name)) {
            let text = format!("is mapped to {}, where no route is served", list(clusters));
            found.warning(prefix, text, "name clusters that serve routes in `client_map`");
        }
    }
}

/// Questions and capacities are both counted in answers per second, of all nameservers together.
fn capacity(facts: &Facts, found: &mut Findings) {
    let mut load: BTreeMap<&ClusterName, f64> = BTreeMap::new();
    for (name, cluster) in facts.routes.iter().flat_map(|route| &route.clusters) {
        let drained = matches!(cluster.state, RouteState::Drained { .. });
        let answers = cluster.answers.unwrap_or_default();
        if !drained || answers > 0.0 {
            *load.entry(name).or_default() += answers;
        }
    }
    let total: f64 = load.values().sum();
    let Some((lost, _)) = load.iter().max_by(|one, other| one.1.total_cmp(other.1)) else { return };
    let others = load.keys().filter(|name| name != &lost);
    let capacities = others.map(|name| facts.federation.clusters.get(*name).and_then(|cluster| cluster.capacity));
    let Some(capacities) = capacities.collect::<Option<Vec<u32>>>() else { return };
    let room: f64 = capacities.iter().copied().map(f64::from).sum();
    if total > 0.0 && !capacities.is_empty() && total > room {
        let text =
            format!("without {lost} the others have room for {room:.0} of the {total:.0} answers per second asked for");
        found.warning("federation", text, "raise `capacity` where machines allow it, or add a cluster");
    }
}
