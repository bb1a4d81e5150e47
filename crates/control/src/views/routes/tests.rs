use super::*;
use crate::reconcile::SeenNameserver;
use serde_json::{Value, json};

fn plan() -> RoutePlan {
    serde_json::from_value(json!({
        "generation": 7, "issued": 1000, "zones": {}, "clusters": {}, "client_map": {}, "nameservers": [],
        "health": {},
        "routes": {
            "www.shop.example": {
                "stack": "shop", "policy": "nearest", "ttl": 5, "check": null, "all_down": "last_good",
                "pool": [
                    {"cluster": "ap-1", "addresses": ["192.0.2.3"], "drained": null, "release": null},
                    {"cluster": "eu-1", "addresses": ["192.0.2.1"], "drained": "rollout", "release": null},
                    {"cluster": "us-1", "addresses": ["192.0.2.2"], "drained": null, "release": null},
                ],
            },
        },
    }))
    .unwrap()
}

fn verdict(cluster: &str, verdict: Value) -> Value {
    json!({"route": "www.shop.example", "cluster": cluster, "verdict": verdict, "probe_up": null, "release": null})
}

fn says(seen: &mut Seen, name: &str, connected: bool, verdicts: Value, answers: f64) {
    let status = json!({
        "name": name, "generation": 7, "at": 0, "ledger": [], "queries": 0, "started": 0, "verdicts": verdicts,
        "traffic": [{
            "route": "www.shop.example",
            "clusters": {"us-1": {"answers": answers, "demand": answers / 2.0}},
            "orders": [{"clusters": ["us-1", "eu-1"], "per_second": answers}],
            "clients": [{"prefix": "198.51.100.0/24", "questions": 3}],
        }],
    });
    let status = Some(serde_json::from_value(status).unwrap());
    seen.nameservers.insert(name.parse().unwrap(), SeenNameserver { connected, status, ..SeenNameserver::default() });
}

fn states(plan: &RoutePlan, seen: &Seen) -> Vec<Value> {
    let all = all(plan, seen);
    all[0].clusters.values().map(|cluster| serde_json::to_value(&cluster.state).unwrap()).collect()
}

#[test]
fn the_worst_counts_and_who_is_alone_with_it_is_named() {
    let (plan, mut seen) = (plan(), Seen::default());
    assert_eq!(states(&plan, &seen), [json!("unknown"), json!({"drained": {"reason": "rollout"}}), json!("unknown")]);

    let half = json!({"share": {"home": 32768, "guests": 32768}, "why": "returning"});
    let mut limited = verdict("us-1", json!("fit"));
    limited["limited"] = half;
    says(&mut seen, "ns1", true, json!([verdict("ap-1", json!("fit")), limited.clone()]), 4.0);
    says(&mut seen, "ns2", true, json!([verdict("ap-1", json!({"unfit": "refused"})), limited]), 6.0);
    says(&mut seen, "ns3", false, json!([verdict("us-1", json!({"unfit": "old"}))]), 90.0);
    let why = "takes 50 % of its clients for now: it is just back";
    assert_eq!(
        states(&plan, &seen),
        [
            json!({"unfit": {"why": "refused", "at": ["ns2"]}}),
            json!({"drained": {"reason": "rollout"}}),
            json!({"limited": {"percent": 50, "why": why, "at": []}}),
        ]
    );
    assert!(!all(&plan, &seen)[0].all_down);
}

#[test]
fn a_cluster_that_is_held_back_is_not_answered() {
    let (plan, mut seen) = (plan(), Seen::default());
    let mut gated = verdict("us-1", json!("fit"));
    gated["gate"] = json!("not_converged");
    says(&mut seen, "ns1", true, json!([verdict("ap-1", json!("fit")), gated]), 1.0);
    let why = "not taken back: not converged on its release";
    assert_eq!(states(&plan, &seen)[2], json!({"held_back": {"why": why, "at": []}}));
    assert!(!all(&plan, &seen)[0].all_down);
}

#[test]
fn nobody_in_and_fit_is_said() {
    let (plan, mut seen) = (plan(), Seen::default());
    let down = |cluster| verdict(cluster, json!({"unfit": "refused"}));
    says(&mut seen, "ns1", true, json!([down("ap-1"), down("us-1")]), 1.0);
    assert!(all(&plan, &seen)[0].all_down);
}

#[test]
fn rates_are_those_of_all_that_are_there() {
    let (plan, mut seen) = (plan(), Seen::default());
    says(&mut seen, "ns1", true, json!([]), 4.0);
    says(&mut seen, "ns2", true, json!([]), 6.0);
    says(&mut seen, "ns3", false, json!([]), 90.0);
    let view = one(&plan, &seen, &"www.shop.example".parse().unwrap()).unwrap();
    let of = |name: &str| {
        let cluster = &view.route.clusters[&name.parse::<ClusterName>().unwrap()];
        (cluster.answers, cluster.demand)
    };
    assert_eq!((of("us-1"), of("ap-1")), ((Some(10.0), Some(5.0)), (Some(0.0), Some(0.0))));
    assert_eq!((view.orders.len(), view.orders[0].per_second, view.clients[0].questions), (1, 10.0, 6));
    assert_eq!(busiest(&plan, &seen).len(), 1);
    assert!(one(&plan, &seen, &"mail.shop.example".parse().unwrap()).is_none());
    seen.nameservers.clear();
    assert_eq!(
        (all(&plan, &seen)[0].clusters.values().next().unwrap().answers, busiest(&plan, &seen).len()),
        (None, 0)
    );
}
