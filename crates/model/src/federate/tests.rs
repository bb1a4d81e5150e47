//! Route plans and desired states built from whole states; problems found before anything is stored.

use super::*;
use crate::DomainName;
use crate::fleet_state::{OperatorDrain, Settled};
use crate::release::{ReleaseBody, ReleaseId};
use serde_json::json;

fn id(letter: u8) -> ReleaseId {
    ReleaseId([letter; 32])
}

fn body(stack: &str, routes: serde_json::Value) -> ReleaseBody {
    let body = json!({
        "stack": stack, "objects": "{}", "routes": routes, "images": {}, "payloads": [], "promotion": {},
    });
    serde_json::from_value(body).unwrap()
}

fn state() -> State {
    let federation = json!({
        "clusters": {
            "eu-1": {"addresses": ["192.0.2.1", "2001:db8::1"]},
            "us-1": {"addresses": ["192.0.2.2", "2001:db8::2"], "weight": 3},
        },
        "zones": {"shop.example": {
            "nameservers": ["ns.shop.example"], "contact": "admin.shop.example",
            "records": [{"name": "mail.shop.example", "type": "a", "values": ["192.0.2.9"]}],
        }},
    });
    State { federation: serde_json::from_value(federation).unwrap(), ..State::default() }
}

fn settle(state: &mut State, stack: &str, letter: u8, routes: serde_json::Value, clusters: &[&str]) {
    let entry = state.stacks.entry(stack.parse().unwrap()).or_default();
    entry.releases.insert(id(letter), body(stack, routes));
    for cluster in clusters {
        entry.settled.insert(cluster.parse().unwrap(), Settled { release: Some(id(letter)), attempt: 1 });
    }
}

fn now() -> Timestamp {
    Timestamp(1_000_000)
}

fn texts(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_settled_stack_is_routed_to_every_cluster_that_runs_it() {
    let mut state = state();
    settle(&mut state, "shop", 1, json!([{"name": "www.shop.example", "service": "web"}]), &["eu-1", "us-1"]);
    let (plan, problems) = route_plan(&state, now());
    assert_eq!(problems, []);
    let route = &plan.routes[&"www.shop.example".parse::<DomainName>().unwrap()];
    let pool: Vec<_> =
        route.pool.iter().map(|e| (e.cluster.as_str(), e.addresses.len(), e.drained.is_some())).collect();
    assert_eq!(pool, [("eu-1", 2, false), ("us-1", 2, false)]);
    assert_eq!(route.pool[0].release, Some(id(1)));
    assert_eq!(plan.clusters[&"us-1".parse::<ClusterName>().unwrap()].weight, 3);
    assert!(same_plan(&plan, &RoutePlan { generation: Generation(7), issued: now(), ..plan.clone() }));
}

#[test]
fn an_operators_drain_ends_by_itself() {
    let mut state = state();
    settle(&mut state, "shop", 1, json!([{"name": "www.shop.example", "service": "web"}]), &["eu-1", "us-1"]);
    let until = Timestamp(now().0 + 1000);
    let drain = OperatorDrain { reason: "new switch".into(), by: "ops".into(), until: Some(until) };
    state.drains.insert("eu-1".parse().unwrap(), drain);
    let drained = |at| route_plan(&state, at).0.routes.into_values().next().unwrap().pool[0].drained.clone();
    assert_eq!(drained(now()).as_deref(), Some("new switch"));
    assert_eq!(drained(until), None);
}

#[test]
fn a_route_belongs_to_one_stack() {
    let mut state = state();
    let routes = json!([{"name": "www.shop.example", "service": "web"}]);
    settle(&mut state, "blog", 1, routes.clone(), &["eu-1"]);
    settle(&mut state, "shop", 2, routes.clone(), &["us-1"]);
    let (plan, problems) = route_plan(&state, now());
    assert_eq!(texts(&problems), ["route www.shop.example already belongs to stack blog"]);
    assert_eq!(plan.routes.values().next().unwrap().stack.as_str(), "blog");
    let claimed = state.claimed(&"shop".parse().unwrap());
    let problems = check_release(&state.federation, &claimed, &body("shop", routes));
    assert_eq!(texts(&problems), ["route www.shop.example already belongs to stack blog"]);
}

#[test]
fn record_types_that_not_all_clusters_offer_are_left_out() {
    let mut state = state();
    state.federation.clusters.get_mut(&"us-1".parse::<ClusterName>().unwrap()).unwrap().addresses.pop();
    settle(&mut state, "shop", 1, json!([{"name": "www.shop.example", "service": "web"}]), &["eu-1", "us-1"]);
    let (plan, problems) = route_plan(&state, now());
    assert!(texts(&problems)[0].contains("cluster eu-1 has an IPv6 address and us-1 has none"), "{problems:?}");
    assert!(plan.routes.values().next().unwrap().pool.iter().all(|e| e.addresses.iter().all(|a| a.is_ipv4())));
}

#[test]
fn every_problem_of_a_release_is_named() {
    let routes = json!([
        {"name": "www.other.example", "service": "web"},
        {"name": "mail.shop.example", "service": "web", "ttl": 0},
        {"name": "www.shop.example", "service": "web", "https": {"alpn": ["h2", "h3", "h2"]}, "clusters": ["mars-1"], "all_down": {"fallback": []}},
        {"name": "www.shop.example", "service": "web", "policy": {"failover": ["eu-1", "moon-1"]},
         "check": {"kind": "tcp", "port": 0, "interval_ms": 0, "latency_ms": 400}},
    ]);
    let mut release = body("shop", routes);
    release.promotion.stages =
        vec![vec!["eu-1".parse().unwrap()], vec!["eu-1".parse().unwrap(), "mars-1".parse().unwrap()]];
    release.promotion.max_parallel = 0;
    let found = texts(&check_release(&state().federation, &Default::default(), &release));
    assert_eq!(
        found,
        [
            "route www.other.example lies in no zone of the federation",
            "route mail.shop.example: ttl 0 is not within 1 and 86400 seconds",
            "route mail.shop.example: the zone has static A records of that name",
            "routes.www.shop.example.clusters: there is no cluster mars-1",
            "route www.shop.example: no cluster can answer it",
            "route www.shop.example: the fallback has no address",
            "route www.shop.example: https alpn lists a protocol twice",
            "route www.shop.example is listed twice",
            "routes.www.shop.example.policy: there is no cluster moon-1",
            "route www.shop.example: check interval and timeout must be longer than 0",
            "route www.shop.example: 0 is no port to check",
            "route www.shop.example: check latency must be longer than 0 and shorter than the timeout",
            "promotion.stages: cluster eu-1 is listed twice",
            "promotion.stages[1]: there is no cluster mars-1",
            "promotion.max_parallel: 0 would never begin",
        ]
    );
    assert_eq!(check_release(&state().federation, &Default::default(), &body("shop", json!([]))), []);
}

#[test]
fn desired_state_names_what_each_cluster_runs() {
    let mut state = state();
    settle(&mut state, "shop", 1, json!([{"name": "www.shop.example", "service": "web"}]), &["eu-1"]);
    settle(&mut state, "blog", 2, json!([]), &["eu-1", "us-1"]);
    let eu = desired(&"eu-1".parse().unwrap(), &state);
    let us = desired(&"us-1".parse().unwrap(), &state);
    assert_eq!(eu.stacks.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["blog", "shop"]);
    assert_eq!(us.stacks.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["blog"]);
    assert_eq!(eu.stacks[&"shop".parse().unwrap()].routes[&"www.shop.example".parse().unwrap()], "web");
    assert!(same_desired(&eu, &Desired { generation: Generation(9), ..eu.clone() }));
}
