use super::*;
use serde_json::{Value, json};

const ROUTE: &str = "www.shop.example";

fn plan(forced: Value) -> RoutePlan {
    let endpoint = |name: &str, last: u8| {
        let forced = forced.get(name).cloned().unwrap_or(Value::Null);
        json!({ "cluster": name, "addresses": [format!("192.0.2.{last}")], "drained": null, "release": null, "forced": forced })
    };
    let pool = [endpoint("ap-1", 1), endpoint("eu-1", 2), endpoint("us-1", 3)];
    let cluster = json!({ "region": null, "location": null, "weight": 1 });
    let route =
        json!({ "stack": "shop", "policy": "nearest", "ttl": 5, "all_down": "last_good", "check": null, "pool": pool });
    serde_json::from_value(json!({
        "generation": 1, "issued": 0, "client_map": {}, "nameservers": [], "health": {},
        "zones": { "shop.example": { "nameservers": ["ns.shop.example"], "contact": "c.shop.example" } },
        "clusters": { "ap-1": cluster, "eu-1": cluster, "us-1": cluster }, "routes": { ROUTE: route },
    }))
    .unwrap()
}

fn verdict(cluster: &str, verdict: Value, gate: Value) -> EndpointVerdict {
    serde_json::from_value(json!({
        "route": ROUTE, "cluster": cluster, "verdict": verdict, "probe_up": null, "release": null, "gate": gate,
    }))
    .unwrap()
}

/// Mask, gated, forced fit; in bits of ap-1, eu-1, us-1 from the right.
fn bits(forced: Value, verdicts: &[EndpointVerdict], overrides: &[ActiveOverride]) -> (u64, u64, u64) {
    let plan = plan(forced);
    let snapshot = Snapshot::compile(&plan, None, [0; 16]).unwrap();
    let told = Told { by: None, verdicts, overrides };
    let found = present(&snapshot, &plan, told, Timestamp(1000));
    (found.health.get(0).0, found.gated[0], found.forced_fit[0])
}

fn word(fit: bool, until: u64) -> Value {
    json!({ "fit": fit, "reason": "test", "by": "ops", "until": until })
}

#[test]
fn what_people_said_counts_over_what_is_seen_and_as_long_as_it_holds() {
    let down = [verdict("eu-1", json!({ "unfit": "refused" }), Value::Null)];
    assert_eq!(bits(json!({}), &[], &[]), (0b111, 0, 0), "nobody said anything");
    assert_eq!(bits(json!({}), &down, &[]), (0b101, 0, 0));
    assert_eq!(bits(json!({ "eu-1": word(true, 2000) }), &down, &[]), (0b111, 0, 0b010));
    assert_eq!(bits(json!({ "eu-1": word(true, 1000) }), &down, &[]), (0b101, 0, 0), "its time is over");
    assert_eq!(bits(json!({ "us-1": word(false, 2000) }), &down, &[]), (0b001, 0, 0));
}

#[test]
fn the_gate_holds_back_unless_nothing_else_is_left_or_people_say_otherwise() {
    let gate = json!("not_converged");
    let held = verdict("ap-1", json!("fit"), gate);
    let down = |cluster| verdict(cluster, json!({ "unfit": "refused" }), Value::Null);
    assert_eq!(bits(json!({}), std::slice::from_ref(&held), &[]), (0b110, 0b001, 0));
    assert_eq!(bits(json!({}), &[held.clone(), down("eu-1"), down("us-1")], &[]), (0b001, 0b001, 0));
    assert_eq!(bits(json!({ "ap-1": word(true, 2000) }), &[held], &[]), (0b111, 0, 0b001));
}

#[test]
fn an_override_counts_more_than_the_plan() {
    let signed: ActiveOverride = serde_json::from_value(json!({
        "target": { "route": null, "cluster": "eu-1" }, "effect": "fit", "reason": "r", "until": 9000,
        "key": format!("ed25519:{}", "ab".repeat(32)),
    }))
    .unwrap();
    let told = [verdict("eu-1", json!("fit"), Value::Null)];
    assert_eq!(bits(json!({ "eu-1": word(false, 2000) }), &told, std::slice::from_ref(&signed)), (0b111, 0, 0b010));
    // Drained by another override, which counts: the verdict says so.
    let out = [verdict("eu-1", json!({ "unfit": "override" }), Value::Null)];
    assert_eq!(bits(json!({}), &out, &[signed]), (0b101, 0, 0));
}
