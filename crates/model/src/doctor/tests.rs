//! Golden cases. Each begins with two nameservers and two clusters where everything is in order; `set POINTER JSON` changes
//! one fact, `unset POINTER` takes one away, `good` begins anew, and `examine` prints what is found beyond what is in order.

use super::facts::Facts;
use super::{Level, examine};
use crate::script::{Command, World};
use serde_json::{Value, json};

/// Two nameservers, two clusters, everything in order.
fn good() -> Value {
    let server = |address: &str| {
        json!({
            "addresses": {"Ok": [address]},
            "answers": [{"udp": {"Ok": 12}, "tcp": {"Ok": 12}}],
        })
    };
    let names = ["ns1.shop.example", "ns2.shop.example"];
    let nameserver = json!({
        "connected": true, "version": "1.0.0", "skew_ms": -20, "certificate_until": 1_792_592_000_000u64,
        "clients": [{"prefix": "198.51.100.0/24", "questions": 500}, {"prefix": "10.0.0.0/24", "questions": 5}],
    });
    let agent = json!({ "connected": true, "version": "1.0.0", "skew_ms": -900 });
    json!({
        "now": 1_790_000_000_000u64, "version": "1.0.0", "plan_generation": 12, "attention": [],
        "agents": {"eu-1": agent, "us-1": agent},
        "nameservers": {"ns1": nameserver, "ns2": nameserver},
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
        "routes": {"www.shop.example": {
            "ttl": 5, "checked": true, "all_down": false,
            "clusters": {
                "eu-1": {"drained": false, "answers": 300.0},
                "us-1": {"drained": false, "answers": 200.0},
            },
        }},
        "zones": {"shop.example": {
            "resolved": {"Ok": names}, "delegated": {"Ok": names},
            "glue": {"ns1.shop.example": ["192.0.2.53"], "ns2.shop.example": ["198.51.100.53"]},
            "servers": {"ns1.shop.example": server("192.0.2.53"), "ns2.shop.example": server("198.51.100.53")},
        }},
    })
}

struct Patient(Value);

impl World for Patient {
    fn run(&mut self, command: &Command<'_>) -> String {
        match command.word(0) {
            "good" => self.0 = good(),
            "set" => {
                let (parent, key) = command.word(1).rsplit_once('/').unwrap();
                let value = serde_json::from_str(&command.rest(2)).unwrap();
                let parent = self.0.pointer_mut(parent).unwrap_or_else(|| panic!("nothing is at {parent}"));
                match key.parse::<usize>().ok().filter(|_| parent.is_array()) {
                    Some(at) => parent[at] = value,
                    None => parent[key.replace("~1", "/")] = value,
                }
            }
            "unset" => {
                let (parent, key) = command.word(1).rsplit_once('/').unwrap();
                let parent = self.0.pointer_mut(parent).and_then(Value::as_object_mut).unwrap();
                assert!(parent.remove(key).is_some(), "nothing is at {}", command.word(1));
            }
            "examine" => {
                let facts: Facts = serde_json::from_value(self.0.clone()).unwrap();
                let found = examine(&facts);
                let beyond = found.iter().filter(|finding| finding.level != Level::Ok);
                let text: String = beyond.map(|finding| format!("{finding}\n")).collect();
                return if text.is_empty() { format!("{} checks in order", found.len()) } else { text };
            }
            other => panic!("no such command: {other}"),
        }
        String::new()
    }
}

#[test]
fn cases() {
    crate::script::check("doctor", 5, || Patient(good()));
}
