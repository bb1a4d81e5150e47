use super::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use waggle_dns::{Health, Present};
use waggle_model::plan::RoutePlan;

fn route(all: &[&str]) -> Value {
    let pool = all.iter().zip(1..).map(|(cluster, number)| {
        json!({ "cluster": cluster, "addresses": [format!("192.0.2.{number}")], "drained": null, "release": null })
    });
    json!({ "stack": "shop", "policy": "nearest", "ttl": 5, "all_down": "last_good", "pool": pool.collect::<Vec<_>>(),
        "check": { "kind": "tcp", "port": 80 } })
}

fn plan() -> RoutePlan {
    let both = ["eu-1", "us-1"];
    let cluster = json!({ "region": null, "location": null, "weight": 1 });
    serde_json::from_value(json!({
        "generation": 1, "issued": 0, "client_map": {}, "nameservers": [], "health": {},
        "zones": { "shop.example": { "nameservers": ["ns.shop.example"], "contact": "c.shop.example" } },
        "clusters": { "eu-1": cluster, "us-1": cluster },
        "routes": { "a.shop.example": route(&both), "b.shop.example": route(&both), "c.shop.example": route(&both) },
    }))
    .unwrap()
}

/// One nameserver that sampled queries for `a` and only counted those for `b`.
fn seen(connected: bool) -> Seen {
    let samples = json!({ "name": "ns1", "at": 9000, "window_ms": 5000, "samples": 10, "routes": [{
        "route": "a.shop.example", "orders": [["eu-1", "mars"], []],
        "clients": [{ "client": "198.51.100.0/24", "order": 0, "per_second": 3.0 },
                    { "client": "203.0.113.0/24", "order": 1, "per_second": 1.0 }],
    }]});
    let traffic = |route: &str| json!({ "route": route, "clusters": {}, "orders": [{ "clusters": ["us-1"], "per_second": 8.0 }], "clients": [] });
    let status = json!({ "name": "ns1", "generation": 1, "at": 9000, "ledger": [], "verdicts": [], "queries": 50,
        "started": 1, "traffic": [traffic("a.shop.example"), traffic("b.shop.example")] });
    let one = SeenNameserver {
        connected,
        samples: Some(Arc::new(serde_json::from_value(samples).unwrap())),
        status: Some(serde_json::from_value(status).unwrap()),
        ..SeenNameserver::default()
    };
    Seen { nameservers: BTreeMap::from([("ns1".parse().unwrap(), one)]), ..Seen::default() }
}

#[test]
fn samples_serve_where_there_are_some_then_rates_then_weights() {
    let plan = plan();
    let snapshot = Snapshot::compile(&plan, None, [0; 16]).unwrap();
    let basis = |seen: &Seen| {
        let asked = questions(&snapshot, seen);
        let of = |route: usize| {
            let own: Vec<&Question> = asked.iter().filter(|question| question.route == route).collect();
            assert!(own.iter().all(|question| question.basis == own[0].basis), "{own:?}");
            (own[0].basis, own.iter().map(|question| question.rate).sum::<f64>().round())
        };
        [of(0), of(1), of(2)]
    };
    let none = (Basis::Weights, 0.0);
    assert_eq!(basis(&seen(true)), [(Basis::Samples, 4.0), (Basis::Demand, 8.0), none]);
    // What a nameserver last said before it went away is no longer so.
    assert_eq!(basis(&seen(false)), [none; 3]);

    let asked = questions(&snapshot, &seen(true));
    let placed: Vec<&[u8]> = asked.iter().take(2).map(|question| question.placed.as_slice()).collect();
    assert_eq!(placed, [&[0][..], &[]], "a cluster that left the route is passed over");
    let lost = ["us-1".parse().unwrap()].into();
    let found = simulate(&snapshot, &plan, &Present::of(Health::new(&snapshot)), &asked, &lost);
    assert_eq!((found.per_second.round(), found.broken.len()), (12.0, 0));
    assert_eq!(found.routes[&"b.shop.example".parse().unwrap()].moved.round(), 1.0);
    let by_weight = &found.routes[&"c.shop.example".parse().unwrap()];
    assert!((by_weight.moved - 0.5).abs() < 0.1 && by_weight.per_second == 0.0, "{by_weight:?}");
}
