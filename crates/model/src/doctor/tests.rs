use super::super::facts::Facts;
use super::super::text;
use super::{Level, examine};
use serde_json::{Value, json};

/// Two nameservers, two clusters, everything in order.
fn good() -> Value {
    let server = |address: &str| {
        json!({
            "addresses": {"Ok": [address]},
            "answers": [{"address": address, "udp": {"Ok": 12}, "tcp": {"Ok": 12}}],
        })
    };
    let names = ["ns1.shop.example", "ns2.shop.example"];
    let nameserver = |name: &str| {
        json!({
            "name": name, "peer": {"name": name, "address": "192.0.2.53:7445"}, "connected": true, "last_seen_at": 0,
            "plan_generation": 12, "queries": 5, "version": "1.0.0", "skew_ms": -20, "verdicts": [],
            "clients": [{"prefix": "198.51.100.0/24", "questions": 500}, {"prefix": "10.0.0.0/24", "questions": 5}],
        })
    };
    json!({
        "status": {
            "version": "1.0.0", "clusters": [], "stacks": [], "rollouts": [], "plan_generation": 12, "attention": [],
            "nameservers": [nameserver("ns1"), nameserver("ns2")],
        },
        "federation": {
            "clusters": {
                "eu-1": {"addresses": ["203.0.113.1"], "capacity": 1000},
                "us-1": {"addresses": ["203.0.113.2"], "capacity": 1000},
            },
            "zones": {"shop.example": {
                "nameservers": names, "contact": "admin.shop.example",
                "records": [
                    {"name": names[0], "type": "A", "values": ["192.0.2.53"]},
                    {"name": names[1], "type": "A", "values": ["198.51.100.53"]},
                ],
            }},
            "client_map": {"198.51.100.0/24": ["eu-1"]},
        },
        "routes": [{
            "name": "www.shop.example", "stack": "shop", "policy": "nearest", "ttl": 5, "checked": true,
            "all_down": false,
            "clusters": {
                "eu-1": {"state": "answered", "answers": 300.0, "demand": 300.0},
                "us-1": {"state": "answered", "answers": 200.0, "demand": 200.0},
            },
        }],
        "zones": {"shop.example": {
            "resolved": {"Ok": names}, "delegated": {"Ok": names},
            "glue": {"ns1.shop.example": ["192.0.2.53"]},
            "servers": {"ns1.shop.example": server("192.0.2.53"), "ns2.shop.example": server("198.51.100.53")},
        }},
    })
}

fn findings(facts: Value) -> String {
    let facts: Facts = serde_json::from_value(facts).unwrap();
    text(&examine(&facts), false, false)
}

/// The facts with one of them changed, and what is found then beyond what is in order.
fn with(pointer: &str, value: Value) -> String {
    let mut facts = good();
    *facts.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
    let text = findings(facts);
    text.lines()
        .filter(|line| line.starts_with("problem") || line.starts_with("warning"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn all_is_in_order() {
    assert_eq!(findings(good()), "0 problems, 0 warnings, 12 checks in order\n");
    let facts: Facts = serde_json::from_value(good()).unwrap();
    assert!(examine(&facts).iter().all(|finding| finding.level == Level::Ok));
}

#[test]
fn zones() {
    let zone = "/federation/zones/shop.example";
    let said = "/zones/shop.example";
    for (pointer, value, wanted) in [
        (
            format!("{zone}/nameservers"),
            json!(["ns1.shop.example"]),
            "problem: shop.example: has a single nameserver: when it is lost, every route is\n\
             problem: shop.example: the parent zone names ns2.shop.example, not listed in the zone's `nameservers`",
        ),
        (
            format!("{said}/servers/ns2.shop.example/addresses"),
            json!({"Ok": ["192.0.2.54"]}),
            "warning: shop.example: all nameservers are in 192.0.2.0/24: one failure domain",
        ),
        (
            format!("{said}/delegated"),
            json!({"Ok": ["ns1.shop.example"]}),
            "warning: shop.example: the parent zone does not name ns2.shop.example",
        ),
        (
            format!("{said}/delegated"),
            json!({"Ok": []}),
            "problem: shop.example: the parent zone knows no nameserver of it",
        ),
        (format!("{said}/delegated"), json!({"Err": "no answer"}), ""),
        (
            format!("{said}/glue/ns1.shop.example"),
            json!(["192.0.2.99"]),
            "problem: ns1.shop.example: the parent's glue says 192.0.2.99, the zone 192.0.2.53",
        ),
        (
            format!("{said}/servers/ns1.shop.example/answers/0/tcp"),
            json!({"Err": "refused"}),
            "problem: ns1.shop.example: does not answer over TCP: refused",
        ),
        (
            format!("{said}/servers/ns1.shop.example/answers/0/udp"),
            json!({"Ok": 9}),
            "problem: ns1.shop.example: answers shop.example from route plan 9; control has 12",
        ),
        (format!("{said}/servers/ns1.shop.example/answers/0/udp"), json!({"Ok": 13}), ""),
        (
            format!("{said}/servers/ns1.shop.example/addresses"),
            json!({"Err": "it has no address"}),
            "problem: ns1.shop.example: its address is not found: it has no address",
        ),
    ] {
        assert_eq!(with(&pointer, value), wanted, "{pointer}");
    }
}

#[test]
fn lives_of_records() {
    let mut facts = good();
    facts["federation"]["zones"]["shop.example"]["negative_ttl"] = json!(900);
    facts["federation"]["zones"]["shop.example"]["ttl"] = json!(172_800);
    let text = findings(facts);
    assert!(text.contains("negative_ttl is 900 s: so long may a new route seem not to exist"), "{text}");
    assert!(text.contains("its ttl of 172800 s keeps old NS records in caches for long"), "{text}");
}

#[test]
fn lame_and_lost_together() {
    let mut facts = good();
    let server = facts.pointer_mut("/zones/shop.example/servers/ns1.shop.example/answers/0").unwrap();
    server["udp"] = json!({"Err": "no answer"});
    server["tcp"] = json!({"Err": "refused"});
    assert!(findings(facts).starts_with("problem: ns1.shop.example: is lame for shop.example: no answer\n  start it"));
    let mut facts = good();
    for name in ["ns1.shop.example", "ns2.shop.example"] {
        facts["zones"]["shop.example"]["servers"][name]["addresses"] = json!({"Ok": ["203.0.113.1"]});
    }
    assert!(findings(facts).contains("problem: shop.example: all nameservers live in cluster eu-1"));
    let mut facts = good();
    facts["zones"]["shop.example"]["delegated"] = json!({"Err": "one"});
    facts["zones"]["shop.example"]["resolved"] = json!({"Err": "other"});
    assert!(findings(facts).contains("warning: shop.example: not known: the parent: one; the resolver: other"));
}

#[test]
fn the_federation() {
    for (pointer, value, wanted) in [
        ("/status/attention", json!(["rollout 3 is held"]), "warning: control: rollout 3 is held"),
        ("/status/nameservers/0/version", json!("0.9.0"), "warning: nameserver ns1: runs version 0.9.0, control 1.0.0"),
        ("/status/nameservers/1/skew_ms", json!(-4700), "warning: nameserver ns2: its clock is 4.7 s behind control's"),
        (
            "/status/nameservers/0/clients",
            json!([{"prefix": "10.0.0.0/24", "questions": 500}]),
            "warning: nameserver ns1: all of its clients seem to be in 10.0.0.0/24: their addresses are hidden from it",
        ),
        ("/status/nameservers/0/clients", json!([{"prefix": "10.0.0.0/24", "questions": 5}]), ""),
        ("/status/nameservers/0/clients", json!([{"prefix": "8.8.8.0/24", "questions": 500}]), ""),
        (
            "/routes/0/ttl",
            json!(300),
            "warning: www.shop.example: a ttl of more than 60 s: users stay with a lost cluster as long",
        ),
        (
            "/routes/0/checked",
            json!(false),
            "warning: www.shop.example: has no check: only agents say what is fit, so a lost cluster is left late",
        ),
        (
            "/routes/0/all_down",
            json!(true),
            "problem: www.shop.example: no cluster is in and fit: its last resort is answered",
        ),
        ("/federation/client_map/198.51.100.0~124", json!([]), "warning: 198.51.100.0/24: is mapped to no cluster"),
        (
            "/federation/clusters/us-1/capacity",
            json!(400),
            "warning: federation: without eu-1 the others have room for 400 of the 500 answers per second asked for",
        ),
        ("/federation/clusters/us-1/capacity", json!(null), ""),
    ] {
        assert_eq!(with(pointer, value), wanted, "{pointer}");
    }
}
