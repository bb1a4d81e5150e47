//! What the tests share: plans from YAML, queries from words, replies as text.

#![allow(dead_code, unused_imports, reason = "each test target uses its part")]

use hickory_proto::op::Message;
use hickory_proto::rr::RData;
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use serde_json::{Value, json};
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use waggle_dns::{Health, Ledger, Snapshot, Transport, answer};
use waggle_model::Timestamp;
use waggle_model::plan::RoutePlan;

pub mod query;

pub use query::*;

pub const KEY: [u8; 16] = *b"0123456789abcdef";
pub const NOW: Timestamp = Timestamp(1_000_000);

/// A plan from YAML in which everything may be left out.
pub fn plan(yaml: &str) -> RoutePlan {
    let mut plan = json!({
        "generation": 7, "issued": 0, "zones": {}, "clusters": {}, "client_map": {}, "routes": {}, "nameservers": [],
        "health": {},
    });
    let given: Value = serde_saphyr::from_str(yaml).expect("YAML");
    merge(&mut plan, given);
    for cluster in plan["clusters"].as_object_mut().into_iter().flat_map(|map| map.values_mut()) {
        fill(cluster, &[("region", Value::Null), ("location", Value::Null), ("weight", json!(1))]);
    }
    for route in plan["routes"].as_object_mut().into_iter().flat_map(|map| map.values_mut()) {
        let defaults =
            [("stack", json!("shop")), ("policy", json!("nearest")), ("ttl", json!(5)), ("check", Value::Null)];
        fill(route, &defaults);
        fill(route, &[("all_down", json!("last_good"))]);
        for endpoint in route["pool"].as_array_mut().into_iter().flatten() {
            fill(endpoint, &[("drained", Value::Null), ("release", Value::Null)]);
        }
    }
    serde_json::from_value(plan).expect("a route plan")
}

fn merge(into: &mut Value, from: Value) {
    if let Value::Object(fields) = from {
        for (key, value) in fields {
            into[key] = value;
        }
    }
}

fn fill(object: &mut Value, defaults: &[(&str, Value)]) {
    for (key, value) in defaults {
        if object.get(key).is_none() {
            object[*key] = value.clone();
        }
    }
}

pub struct Server {
    pub snapshot: Snapshot,
    pub health: Health,
    pub ledger: Ledger,
}

impl Server {
    pub fn new(plan: &RoutePlan) -> Server {
        let snapshot = Snapshot::compile(plan, None, KEY).expect("the plan compiles");
        let (health, ledger) = (Health::new(&snapshot), Ledger::new(&snapshot));
        Server { snapshot, health, ledger }
    }

    pub fn ask(&self, query: &[u8], source: SocketAddr, transport: Transport) -> Option<Vec<u8>> {
        let mut out = vec![0xee; 65_535];
        let len = answer(&self.snapshot, &self.health, &self.ledger, query, source, transport, NOW, &mut out)?;
        out.truncate(len);
        Some(out)
    }
}

/// Addresses in the order of the reply, and the scope of the client subnet, which must be there.
pub fn answered(reply: &[u8]) -> (Vec<IpAddr>, u8) {
    let message = Message::from_vec(reply).expect("a well-formed reply");
    let address = |record: &hickory_proto::rr::Record| match &record.data {
        RData::A(a) => IpAddr::V4(a.0),
        RData::AAAA(aaaa) => IpAddr::V6(aaaa.0),
        other => panic!("{other}"),
    };
    let Some(EdnsOption::Subnet(subnet)) = message.edns.as_ref().and_then(|edns| edns.option(EdnsCode::Subnet)) else {
        panic!("the subnet is echoed");
    };
    (message.answers.iter().map(address).collect(), subnet.scope_prefix())
}

/// As `dig` would show it, shorter.
pub fn show(reply: &[u8]) -> String {
    let message = Message::from_vec(reply).expect("a well-formed reply");
    let mut text = String::new();
    let head = &message.metadata;
    let mut flags = String::new();
    for (set, name) in [
        (head.authoritative, " aa"),
        (head.truncation, " tc"),
        (head.recursion_desired, " rd"),
        (head.recursion_available, " ra"),
        (head.authentic_data, " ad"),
        (head.checking_disabled, " cd"),
    ] {
        flags.push_str(if set { name } else { "" });
    }
    writeln!(text, "{:?}{flags}, {} octets", head.response_code, reply.len()).unwrap();
    for query in &message.queries {
        writeln!(text, "question   {} {} {}", query.name(), query.query_class(), query.query_type()).unwrap();
    }
    for (section, records) in
        [("answer", &message.answers), ("authority", &message.authorities), ("additional", &message.additionals)]
    {
        for record in records {
            writeln!(text, "{section:10} {record}").unwrap();
        }
    }
    if let Some(edns) = &message.edns {
        let dnssec = if edns.flags().dnssec_ok { " do" } else { "" };
        write!(text, "edns       version {} size {}{dnssec}", edns.version(), edns.max_payload()).unwrap();
        if let Some(EdnsOption::Subnet(subnet)) = edns.option(EdnsCode::Subnet) {
            write!(text, " subnet {}/{} scope {}", subnet.addr(), subnet.source_prefix(), subnet.scope_prefix())
                .unwrap();
        }
        text.push('\n');
    }
    text
}
