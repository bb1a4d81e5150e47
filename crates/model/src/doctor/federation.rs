//! The federation: its processes, routes, clients, and what is left when the largest cluster is lost.

use super::facts::{Facts, ProcessFacts, RouteFacts};
use super::{Findings, list};
use crate::ClusterName;
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Seconds. A resolver may send users to a lost cluster for so long.
const ROUTE_TTL_MAX: u32 = 60;
/// Days that a certificate is good for when somebody should look: it is renewed when 29 are left.
const CERTIFICATE_DAYS_MIN: u64 = 20;
/// Milliseconds between two clocks.
const SKEW_MAX: i64 = 2000;
/// Questions lately from which on a single source is telling.
const QUESTIONS_MIN: u32 = 100;
/// Part of the questions that come from one network when addresses are hidden.
const HIDDEN_PERCENT: u64 = 95;
/// Routes named in one finding.
const ROUTES_NAMED: usize = 5;

pub(super) fn examine(facts: &Facts, found: &mut Findings) {
    let at = "federation";
    found.check("attention", at, "nothing needs a person", |f| {
        for line in &facts.attention {
            f.warning("control", line.clone(), "`waggle status` shows it as long as it is so");
        }
    });
    found.check("versions", at, "all run the version of control", |f| versions(facts, f));
    found.check("certificates", at, "certificates are renewed", |f| certificates(facts, f));
    found.check("clocks", at, "clocks agree", |f| clocks(facts, f));
    found.check("routes", at, "every route is probed and fails over quickly", |f| routes(facts, f));
    found.check("types", at, "clusters of a route have the same kinds of addresses", |f| types(facts, f));
    found.check("clients", at, "nameservers see clients' addresses", |f| sources(facts, f));
    found.check("client_map", at, "every prefix of the client map has clusters that serve", |f| client_map(facts, f));
    found.check("capacity", at, "the others can take the load of any one cluster", |f| capacity(facts, f));
}

/// Agents and nameservers, as people call them.
fn processes(facts: &Facts) -> impl Iterator<Item = (String, &ProcessFacts)> {
    let agents = facts.agents.iter().map(|(name, one)| (format!("agent of {name}"), one));
    agents.chain(facts.nameservers.iter().map(|(name, one)| (format!("nameserver {name}"), one)))
}

fn versions(facts: &Facts, found: &mut Findings) {
    let ours = &facts.version;
    for (place, one) in processes(facts) {
        if let Some(version) = one.version.as_ref().filter(|version| *version != ours) {
            let text = format!("runs version {version}, control {ours}");
            found.warning(place, text, "update control first, then nameservers one at a time, then agents");
        }
    }
}

/// They live for thirty days and are renewed every day.
fn certificates(facts: &Facts, found: &mut Findings) {
    for (place, one) in processes(facts) {
        let Some(until) = one.certificate_until else { continue };
        let days = until.until(facts.now).as_secs() / 86_400;
        let day = until.utc();
        if facts.now >= until {
            let text = format!("its certificate ran out at {day} UTC: it can connect to nobody any more");
            let help = "make a token (`waggle cluster join-token`, `waggle nameserver join-token`), give it as `token_file`, \
                        and start it again";
            found.problem(place, text, help);
        } else if days < CERTIFICATE_DAYS_MIN {
            let text = format!("its certificate runs out in {days} days, at {day} UTC, and was not renewed for long");
            let help = if one.connected {
                "its log says why it cannot renew; restart it to try at once"
            } else {
                "it is not connected: start it, or let it through to control, before that"
            };
            found.warning(place, text, help);
        }
    }
}

/// A nameserver reports every second; an agent's report may be older, so only its clock being ahead is certain.
fn clocks(facts: &Facts, found: &mut Findings) {
    let help = "run a time service (NTP) on that machine and on control's";
    for (name, one) in facts.nameservers.iter().filter(|(_, one)| one.connected) {
        if let Some(skew) = one.skew_ms.filter(|skew| skew.abs() > SKEW_MAX) {
            found.warning(format!("nameserver {name}"), differs(skew), help);
        }
    }
    for (name, one) in facts.agents.iter().filter(|(_, one)| one.connected) {
        if let Some(skew) = one.skew_ms.filter(|skew| *skew > SKEW_MAX) {
            found.warning(format!("agent of {name}"), differs(skew), help);
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
    let which = |filter: fn(&RouteFacts) -> bool| -> Vec<String> {
        facts.routes.iter().filter(|(_, route)| filter(route)).map(|(name, _)| name.to_string()).collect()
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

/// Resolvers keep "there is no such record" for all their clients, so what not every cluster has is answered by none.
fn types(facts: &Facts, found: &mut Findings) {
    let help = "give every cluster of the route addresses of both kinds, or none of that one";
    for (route, planned) in &facts.routes {
        let pool = planned.clusters.keys().filter_map(|name| Some((name, facts.federation.clusters.get(name)?)));
        let pool: Vec<_> = pool.collect();
        let mut common = false;
        let mut partial = None;
        for kind in ["IPv4", "IPv6"] {
            let is_of = |address: &IpAddr| address.is_ipv4() == (kind == "IPv4");
            let (with, without): (Vec<_>, Vec<_>) =
                pool.iter().map(|(name, cluster)| (name, cluster.addresses.iter().any(is_of))).partition(|one| one.1);
            common |= without.is_empty();
            if let (Some((with, _)), Some((without, _))) = (with.first(), without.first()) {
                partial =
                    Some(format!("{with} has {kind} addresses and {without} has none: nobody is answered with {kind}"));
            }
        }
        match partial {
            Some(text) if common => found.warning(route, text, help),
            Some(_) => {
                let text = "its clusters have no kind of address in common: its route plan is refused";
                found.problem(route, text, help);
            }
            None => {}
        }
    }
}

/// Behind Swarm's routing mesh every question comes from one network of the swarm itself, but for those that are asked on
/// the machine.
fn sources(facts: &Facts, found: &mut Findings) {
    for (name, one) in &facts.nameservers {
        let all: u64 = one.clients.iter().map(|client| u64::from(client.questions)).sum();
        let Some(most) = one.clients.iter().max_by_key(|client| client.questions) else { continue };
        let telling = most.questions >= QUESTIONS_MIN && u64::from(most.questions) * 100 >= all * HIDDEN_PERCENT;
        if telling && is_private(&most.prefix) {
            let how_many = if one.clients.len() == 1 { "all" } else { "nearly all" };
            let text =
                format!("{how_many} of its clients seem to be in {}: their addresses are hidden from it", most.prefix);
            let help = "publish its port with `mode: host`, or put it on the host's network; behind the routing mesh \
                        nobody is steered by place";
            found.warning(format!("nameserver {name}"), text, help);
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
    let serving: BTreeSet<&ClusterName> = facts.routes.values().flat_map(|route| route.clusters.keys()).collect();
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
    for (name, share) in facts.routes.values().flat_map(|route| &route.clusters) {
        let answers = share.answers.unwrap_or_default();
        if !share.drained || answers > 0.0 {
            *load.entry(name).or_default() += answers;
        }
    }
    let total: f64 = load.values().sum();
    let room = |lost: &ClusterName| -> Option<f64> {
        let others = load.keys().filter(|name| **name != lost);
        let capacities = others.map(|name| facts.federation.clusters.get(*name)?.capacity);
        let capacities = capacities.collect::<Option<Vec<u32>>>().filter(|capacities| !capacities.is_empty())?;
        Some(capacities.into_iter().map(f64::from).sum())
    };
    let least = load.keys().filter_map(|lost| Some((lost, room(lost)?))).min_by(|one, other| one.1.total_cmp(&other.1));
    if let Some((lost, room)) = least.filter(|(_, room)| total > *room) {
        let text =
            format!("without {lost} the others have room for {room:.0} of the {total:.0} answers per second asked for");
        found.warning("federation", text, "raise `capacity` where machines allow it, or add a cluster");
    }
}
