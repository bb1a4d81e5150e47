//! A compilation that remembers the one before gives the same snapshot, and the same problems, as one from scratch.

mod support;

use ipnet::IpNet;
use std::cell::Cell;
use std::net::IpAddr;
use support::{KEY, plan};
use waggle_dns::{Geo, Memo, Snapshot};
use waggle_model::Generation;
use waggle_model::fleet::{Location, Zone};
use waggle_model::plan::RoutePlan;

const PLAN: &str = "
zones:
  z.example:
    nameservers: [ns.z.example]
    contact: c.z.example
    records: [{name: ns.z.example, type: A, values: [192.0.2.53]}]
    master: 'mail 60 MX 10 mx.z.example.'
  y.example: {nameservers: [ns.z.example], contact: c.z.example}
clusters: {a: {}, b: {weight: 3}}
client_map: {44.0.0.0/8: [b, a], 45.0.0.0/8: [a]}
routes:
  www.z.example: {pool: [{cluster: a, addresses: [192.0.2.1]}, {cluster: b, addresses: [192.0.2.2]}]}
";

/// Each changes the plan a little; some break it, and the next one mends it again.
const CHANGES: [fn(&mut RoutePlan); 11] = [
    |plan| plan.routes.values_mut().for_each(|route| route.pool[0].drained = Some("upgrade".into())),
    |plan| plan.client_map.values_mut().for_each(|order| order.reverse()),
    |plan| plan.clusters.values_mut().for_each(|cluster| cluster.weight += 1),
    |plan| first(plan).records[0].values.push("192.0.2.54".into()),
    |plan| first(plan).records[0].values.push("nonsense".into()),
    |plan| first(plan).records[0].values.truncate(1),
    |plan| first(plan).master = Some("mail 60 MX".into()),
    |plan| first(plan).master = Some("mail 60 MX 20 mx.z.example.".into()),
    |plan| first(plan).ttl = 77,
    |plan| drop(plan.zones.remove(&"y.example".parse().unwrap())),
    |plan| {
        let zone = Zone { records: Vec::new(), master: None, ..first(plan).clone() };
        plan.zones.insert("y.example".parse().unwrap(), zone);
    },
];

fn first(plan: &mut RoutePlan) -> &mut Zone {
    plan.zones.get_mut(&"z.example".parse().unwrap()).unwrap()
}

#[test]
fn it_makes_no_difference_but_in_time() {
    let (mut plan, mut memo) = (plan(PLAN), Memo::default());
    let mut refused = 0;
    // Twice around, so that each change also comes after each other's traces.
    for (change, generation) in CHANGES.iter().cycle().take(3 * CHANGES.len()).zip(8..) {
        change(&mut plan);
        plan.generation = Generation(generation);
        let (scratch, again) =
            (Snapshot::compile(&plan, None, KEY), Snapshot::compile_with(&plan, None, KEY, &mut memo));
        refused += usize::from(again.is_err());
        assert_eq!(format!("{scratch:?}"), format!("{again:?}"), "generation {generation}");
        assert!(memo.knows_places(&plan));
    }
    assert_eq!(refused, 6, "plans with problems were among them");
    memo.forget_places();
    assert!(!memo.knows_places(&plan));
}

#[test]
fn geo_data_is_asked_for_once() {
    struct Once(Cell<usize>);
    impl Geo for Once {
        fn lookup(&self, _: IpAddr) -> Option<(IpNet, Location)> {
            None
        }

        fn networks(&self, visit: &mut dyn FnMut(IpNet, Location) -> bool) {
            self.0.set(self.0.get() + 1);
            visit("44.0.0.0/8".parse().unwrap(), Location { latitude: 50.0, longitude: 8.0 });
        }
    }
    let (plan, mut memo, geo) = (plan(PLAN), Memo::default(), Once(Cell::new(0)));
    for _ in 0..3 {
        Snapshot::compile_with(&plan, Some(&geo), KEY, &mut memo).unwrap();
    }
    assert_eq!(geo.0.get(), 1);
    memo.forget_places();
    Snapshot::compile_with(&plan, Some(&geo), KEY, &mut memo).unwrap();
    assert_eq!(geo.0.get(), 2);
}
