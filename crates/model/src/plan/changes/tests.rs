//! Golden cases: a plan is changed by commands; `changes` says what is different since it was last asked, `held` what
//! putting back the plan that `keep` kept would change.

use super::*;
use crate::plan::hold::held;
use crate::plan::{Endpoint, PlanCluster, PlanRoute};
use crate::script::{Command, World};
use serde_json::{Value, from_value, json};
use std::collections::BTreeMap;

#[test]
fn cases() {
    crate::script::check("plan", 5, Steering::default);
}

#[derive(Default)]
struct Steering {
    told: Option<RoutePlan>,
    kept: Option<RoutePlan>,
    now: RoutePlan,
    drained: BTreeMap<crate::ClusterName, String>,
    forced: BTreeMap<DomainName, BTreeMap<crate::ClusterName, crate::health::forced::Forced>>,
}

fn term(text: &str) -> Value {
    match text.split_once(':') {
        None => text.into(),
        Some(("failover", clusters)) => json!({"failover": clusters.split(',').collect::<Vec<_>>()}),
        Some(("weighted", weights)) => {
            let pairs = weights.split(',').filter_map(|pair| pair.split_once('/'));
            json!({"weighted": pairs.map(|(name, weight)| (name, weight.parse().unwrap())).collect::<BTreeMap<_, u32>>()})
        }
        Some((word, number)) => json!({word: number.parse::<u8>().unwrap()}),
    }
}

impl Steering {
    fn route(&mut self, command: &Command<'_>) {
        let name = command.word(1).parse().unwrap();
        let (endpoint, stack) = (Steering::endpoint, command.options.get("stack").copied().unwrap_or("shop"));
        let route = self.now.routes.entry(name).or_insert_with(|| PlanRoute {
            stack: stack.parse().unwrap(),
            policy: Default::default(),
            ttl: 5,
            check: None,
            all_down: Default::default(),
            https: None,
            pool: Vec::new(),
        });
        for (key, value) in &command.options {
            match *key {
                "policy" => route.policy = from_value(term(value)).unwrap(),
                "ttl" => route.ttl = value.parse().unwrap(),
                "check" => {
                    route.check = from_value(json!({"kind": "tcp", "port": value.parse::<u16>().unwrap()})).unwrap()
                }
                "https" => route.https = Some(from_value(json!({"alpn": [value]})).unwrap()),
                "all_down" => route.all_down = from_value((*value).into()).unwrap(),
                "pool" => {
                    let was = std::mem::take(&mut route.pool);
                    let old = |name: &str| was.iter().find(|one| one.cluster.as_str() == name).cloned();
                    let pool = value.split(',').enumerate();
                    route.pool = pool.map(|(at, name)| old(name).unwrap_or_else(|| endpoint(at, name))).collect();
                }
                _ => route.stack = value.parse().unwrap(),
            }
        }
    }

    fn endpoint(at: usize, name: &str) -> Endpoint {
        let addresses = vec![std::net::Ipv4Addr::new(192, 0, 2, at as u8 + 1).into()];
        Endpoint { cluster: name.parse().unwrap(), addresses, drained: None, release: None, forced: None }
    }

    fn endpoints(&mut self, name: &str) -> impl Iterator<Item = &mut Endpoint> {
        let routes = self.now.routes.values_mut().flat_map(|route| &mut route.pool);
        routes.filter(move |endpoint| endpoint.cluster.as_str() == name)
    }

    fn held(&self) -> RoutePlan {
        let mut stacks: std::collections::BTreeSet<_> = self.now.routes.values().map(|r| r.stack.clone()).collect();
        stacks.insert("shop".parse().unwrap());
        held(self.kept.as_ref().unwrap(), &self.now, &stacks, &self.drained, &self.forced)
    }
}

fn lines(changes: &[Change]) -> String {
    match changes {
        [] => "nothing\n".into(),
        some => some.iter().map(|change| format!("{change}\n")).collect(),
    }
}

impl World for Steering {
    fn run(&mut self, command: &Command<'_>) -> String {
        match command.word(0) {
            "cluster" => {
                let name = command.word(1).parse().unwrap();
                let cluster = self.now.clusters.entry(name);
                let cluster =
                    cluster.or_insert(PlanCluster { region: None, location: None, weight: 1, capacity: None });
                for (key, value) in &command.options {
                    match *key {
                        "weight" => cluster.weight = value.parse().unwrap(),
                        "capacity" => cluster.capacity = value.parse().ok(),
                        _ => cluster.region = Some((*value).into()),
                    }
                }
            }
            "no-cluster" => drop(self.now.clusters.remove(&command.word(1).parse::<crate::ClusterName>().unwrap())),
            "zone" => {
                let nameservers = command.options["nameservers"].split(',').collect::<Vec<_>>();
                let records = command
                    .options
                    .get("record")
                    .map(|name| json!({"name": name, "type": "A", "values": ["192.0.2.9"]}));
                let zone = json!({"nameservers": nameservers, "contact": "admin.example", "records": records.into_iter().collect::<Vec<_>>()});
                self.now.zones.insert(command.word(1).parse().unwrap(), from_value(zone).unwrap());
            }
            "clients" => {
                let clusters = command.words[2..].iter().map(|name| name.parse().unwrap()).collect();
                self.now.client_map.insert(command.word(1).parse().unwrap(), clusters);
            }
            "no-clients" => drop(self.now.client_map.remove(&command.word(1).parse::<ipnet::IpNet>().unwrap())),
            "nameserver" => {
                let peer = json!({"name": command.word(1), "address": command.word(2)});
                let peer: crate::fleet::NameserverPeer = from_value(peer).unwrap();
                self.now.nameservers.retain(|other| other.name != peer.name);
                self.now.nameservers.push(peer);
            }
            "route" => self.route(command),
            "no-route" => drop(self.now.routes.remove(&command.word(1).parse::<DomainName>().unwrap())),
            "drain" => {
                let why = command.rest(2);
                self.endpoints(command.word(1)).for_each(|endpoint| endpoint.drained = Some(why.clone()));
            }
            "readmit" => self.endpoints(command.word(1)).for_each(|endpoint| endpoint.drained = None),
            "serves" => {
                let id = crate::release::ReleaseId([command.word(2).as_bytes()[0]; 32]);
                self.endpoints(command.word(1)).for_each(|endpoint| endpoint.release = Some(id));
            }
            "keep" => self.kept = Some(self.now.clone()),
            "force" => {
                let forced = json!({"fit": false, "reason": command.rest(3), "by": "ops", "until": 3_600_000});
                let clusters = self.forced.entry(command.word(1).parse().unwrap()).or_default();
                clusters.insert(command.word(2).parse().unwrap(), from_value(forced).unwrap());
            }
            "safety" => self.now.safety.max_loss_percent = command.word(1).parse().unwrap(),
            "key" => {
                let key = format!("ed25519:{}", command.word(1).repeat(64)).parse().unwrap();
                self.now.override_keys.push(key);
            }
            "no-keys" => self.now.override_keys.clear(),
            "operator-drains" => drop(self.drained.insert(command.word(1).parse().unwrap(), command.rest(2))),
            "held" => return lines(&changes(Some(&self.now), &self.held())),
            "held-against-kept" => return lines(&changes(self.kept.as_ref(), &self.held())),
            "changes" => {
                let text = lines(&changes(self.told.as_ref(), &self.now));
                self.told = Some(self.now.clone());
                return text;
            }
            other => panic!("{other}"),
        }
        String::new()
    }
}

#[test]
fn who_is_concerned() {
    let shop: StackName = "shop".parse().unwrap();
    let (www, api): (DomainName, DomainName) =
        ("www.shop.example".parse().unwrap(), "api.shop.example".parse().unwrap());
    let change = |stack: Option<&StackName>, routes: &[&DomainName], whole_stack| Change {
        stack: stack.cloned(),
        routes: routes.iter().map(|name| (*name).clone()).collect(),
        more: 0,
        whole_stack,
        text: String::new(),
    };
    assert!(change(None, &[], false).concerns(&www, None), "what is about the federation");
    assert!(change(Some(&shop), &[&www], false).concerns(&www, Some(&shop)));
    assert!(!change(Some(&shop), &[&api], false).concerns(&www, Some(&shop)));
    assert!(change(Some(&shop), &[&api], true).concerns(&www, Some(&shop)));
    assert!(!change(Some(&shop), &[&api], true).concerns(&www, None));
}
