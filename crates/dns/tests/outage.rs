//! Simulated outages: whatever the plan and the clients, shares add up and nobody moves without a reason.

mod support;

use proptest::prelude::*;
use std::collections::BTreeSet;
use std::net::IpAddr;
use support::{Query, Server, plan};
use waggle_dns::{Health, Present, Question, asker, outage};
use waggle_model::ClusterName;
use waggle_model::outage::{Basis, Broken, Note, Outage};
use waggle_model::plan::RoutePlan;

const CLUSTERS: [&str; 4] = ["ams", "fra", "nyc", "sin"];
const POLICIES: [&str; 4] = ["nearest", "{weighted: {ams: 3, nyc: 1}}", "{failover: [nyc, ams]}", "{multivalue: 2}"];

fn three_routes(policies: &[usize], capacity: Option<u32>) -> RoutePlan {
    let capacity = capacity.map(|capacity| format!("{{capacity: {capacity}}}")).unwrap_or_else(|| "{}".into());
    let clusters: Vec<String> = CLUSTERS.iter().map(|name| format!("{name}: {capacity}")).collect();
    let mut yaml = format!(
        "zones:\n  shop.example: {{nameservers: [ns.shop.example], contact: c.shop.example}}\n\
         clusters: {{{}}}\nclient_map: {{10.0.0.0/10: [fra], 44.0.0.0/8: [nyc, ams], 44.7.0.0/16: [sin]}}\nroutes:\n",
        clusters.join(", ")
    );
    for (route, policy) in policies.iter().enumerate() {
        yaml += &format!(
            "  r{route}.shop.example:\n    policy: {}\n    check: {{kind: tcp, port: 80}}\n    pool:\n",
            POLICIES[*policy]
        );
        for (name, number) in CLUSTERS.iter().zip(1..) {
            yaml += &format!("      - {{cluster: {name}, addresses: [192.0.{route}.{number}]}}\n");
        }
    }
    plan(&yaml)
}

/// As a nameserver reads it from a query.
fn question(server: &Server, route: usize, client: [u8; 4], rate: f64) -> Question {
    let query =
        Query::new(&format!("r{route}.shop.example"), 1).subnet(IpAddr::from([client[0], client[1], client[2], 0]), 24);
    let asker = asker(&server.snapshot, &query.bytes(), "203.0.113.53".parse().unwrap()).expect("a route decides");
    Question {
        route: asker.route,
        client: asker.client.addr(),
        placed: asker.order.placed,
        rate,
        basis: Basis::Samples,
    }
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

fn check(found: &Outage, lost: &BTreeSet<ClusterName>, limited: bool) {
    let all = [(found.moved, &found.flows)].into_iter();
    for (moved, flows) in all.chain(found.routes.values().map(|route| (route.moved, &route.flows))) {
        assert!(close(flows.iter().map(|flow| flow.share).sum(), moved), "{found:#?}");
        assert!(limited || flows.iter().all(|flow| lost.contains(&flow.from)), "somebody else moves: {found:#?}");
        assert!(flows.iter().all(|flow| flow.to.as_ref().is_none_or(|to| !lost.contains(to))), "{found:#?}");
    }
    for route in found.routes.values() {
        let of_lost: f64 = route.before.iter().filter(|(name, _)| lost.contains(name)).map(|(_, share)| share).sum();
        let from_lost: f64 = route.flows.iter().filter(|flow| lost.contains(&flow.from)).map(|flow| flow.share).sum();
        assert!(close(of_lost, from_lost), "{of_lost} was theirs, {from_lost} moves: {route:#?}");
        let nobody: f64 = route.flows.iter().filter(|flow| flow.to.is_none()).map(|flow| flow.share).sum();
        assert!(close(route.after.values().sum::<f64>() + nobody, 1.0), "{route:#?}");
        assert!(close(route.before.values().sum::<f64>(), 1.0), "{route:#?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn shares_add_up_and_only_clients_of_the_lost_move(
        policies in prop::collection::vec(0..POLICIES.len(), 1..4),
        asked in prop::collection::vec((0usize..3, any::<[u8; 3]>(), 1u32..50), 1..80),
        lost in 1u8..16,
        capacity in prop::option::of(1u32..2000),
        mapped in any::<bool>(),
    ) {
        let plan = three_routes(&policies, capacity);
        let server = Server::new(&plan);
        let questions: Vec<Question> = asked
            .iter()
            .map(|(route, [a, b, c], rate)| {
                let client = if mapped { [if *a < 128 { 10 } else { 44 }, *b, *c, 0] } else { [80 + a % 16, *b, *c, 0] };
                question(&server, route % policies.len(), client, f64::from(*rate))
            })
            .collect();
        let lost: BTreeSet<ClusterName> =
            CLUSTERS.iter().enumerate().filter(|(bit, _)| lost & 1 << bit != 0).map(|(_, name)| name.parse().unwrap()).collect();
        let found = outage(&server.snapshot, &plan, &Present::of(Health::new(&server.snapshot)), &questions, &lost);
        check(&found, &lost, capacity.is_some());
        let total: f64 = questions.iter().map(|question| question.rate).sum();
        prop_assert!(close(found.per_second, total));
        let down = found.broken.iter().filter(|broken| matches!(broken, Broken::AllDown { .. })).count();
        prop_assert_eq!(down, if lost.len() == CLUSTERS.len() { policies.len() } else { 0 });
        // What the living cannot take together is said; what they can is not.
        if let Some(capacity) = capacity.filter(|_| !policies.contains(&3)) {
            let living = CLUSTERS.len() - lost.len();
            let exceeded = found.broken.iter().any(|broken| matches!(broken, Broken::Capacity { .. }));
            if living > 0 && total > f64::from(capacity) * living as f64 * 1.05 {
                prop_assert!(exceeded, "{} to {living} of {capacity}: {:#?}", total, found.clusters);
            }
            if total <= f64::from(capacity) {
                prop_assert!(!exceeded, "{:#?}", found.clusters);
            }
        }
    }
}

/// The clusters with these bits.
fn named(bits: u64) -> BTreeSet<ClusterName> {
    let own = CLUSTERS.iter().enumerate().filter(|(bit, _)| bits & 1 << bit != 0);
    own.map(|(_, name)| name.parse().unwrap()).collect()
}

#[test]
fn clusters_that_are_held_back_take_clients_only_when_nothing_else_is_left() {
    let plan = three_routes(&[0], None);
    let server = Server::new(&plan);
    let questions: Vec<Question> = (0..200).map(|net| question(&server, 0, [80, net, 0, 0], 1.0)).collect();
    let present = || {
        let health = Health::new(&server.snapshot);
        health.set(0, 0b1110, u32::MAX);
        Present { gated: vec![0b0001], ..Present::of(health) }
    };
    let some = outage(&server.snapshot, &plan, &present(), &questions, &named(0b0010));
    check(&some, &named(0b0010), false);
    let route = some.routes.values().next().unwrap();
    let [held] = <[ClusterName; 1]>::try_from(named(0b0001).into_iter().collect::<Vec<_>>()).unwrap();
    assert!(!route.before.contains_key(&held) && !route.after.contains_key(&held), "{some:#?}");
    let back = |note: &Note| matches!(note, Note::HeldBack { cluster, .. } if *cluster == held);
    assert!(!some.notes.iter().any(back), "{some:#?}");

    let rest = outage(&server.snapshot, &plan, &present(), &questions, &named(0b1110));
    check(&rest, &named(0b1110), false);
    assert!(rest.broken.is_empty() && rest.notes.iter().any(back), "{rest:#?}");
    assert!(close(rest.routes.values().next().unwrap().after[&held], 1.0), "{rest:#?}");
}

#[test]
fn a_lost_cluster_that_is_forced_fit_is_left_by_nobody() {
    let plan = three_routes(&[0], None);
    let server = Server::new(&plan);
    let questions: Vec<Question> = (0..200).map(|net| question(&server, 0, [80, net, 0, 0], 1.0)).collect();
    let lost = named(0b0010);
    let present = Present { forced_fit: vec![0b0010], ..Present::of(Health::new(&server.snapshot)) };
    let found = outage(&server.snapshot, &plan, &present, &questions, &lost);
    check(&found, &lost, false);
    assert!(
        matches!(found.broken.as_slice(), [Broken::ForcedFit { lost: one, .. }] if lost.contains(one)),
        "{found:#?}"
    );
    let route = found.routes.values().next().unwrap();
    assert!(route.moved > 0.0 && route.flows.iter().all(|flow| flow.to.is_none()), "{route:#?}");
    assert_eq!(route.noticed_ms, None);
}
