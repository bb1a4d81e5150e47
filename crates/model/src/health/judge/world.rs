//! One judge for scripts: agents and peers that were given a word repeat it before every round and judgement.

use super::{Judge, Judgement};
use crate::health::forced::Forced;
use crate::health::{Beat, BeatStack, ProbeResult, View, ViewEntry};
use crate::plan::{Endpoint, PlanCluster, PlanRoute, RoutePlan};
use crate::release::{AllDown, Check, CheckKind, ReleaseId};
use crate::script::{Command, World};
use crate::{ClusterName, DomainName, Generation, NameserverName, Timestamp};
use std::collections::BTreeMap;
use std::time::Duration;

/// 12:00:00.
const START: u64 = 12 * 3600 * 1000;

pub(super) struct Observer {
    pub now: Timestamp,
    pub plan: RoutePlan,
    pub judge: Judge,
    agents: BTreeMap<ClusterName, Beat>,
    peers: BTreeMap<NameserverName, View>,
    seq: u64,
}

impl Observer {
    pub fn new() -> Observer {
        let plan = RoutePlan {
            generation: Generation(0),
            issued: Timestamp(0),
            zones: BTreeMap::new(),
            clusters: BTreeMap::new(),
            client_map: BTreeMap::new(),
            routes: BTreeMap::new(),
            nameservers: Vec::new(),
            ..RoutePlan::default()
        };
        let now = Timestamp(START);
        let judge = Judge::new("ns-1".parse().unwrap(), 1, now);
        Observer { now, plan, judge, agents: BTreeMap::new(), peers: BTreeMap::new(), seq: 0 }
    }

    pub fn command(&mut self, line: &str) -> String {
        crate::script::run_line(self, line)
    }

    pub fn judge(&mut self) -> Judgement {
        self.repeat();
        self.judge.judge(self.now)
    }

    /// Agents and peers say again what they said.
    fn repeat(&mut self) {
        self.seq += 1;
        for beat in self.agents.values() {
            self.judge.beat(self.now, Beat { seq: self.seq, ..beat.clone() }).unwrap();
        }
        for view in self.peers.values() {
            self.judge.view(self.now, View { seq: self.seq, ..view.clone() }).unwrap();
        }
    }

    fn take_plan(&mut self) {
        self.plan.generation = self.plan.generation.next();
        self.judge.plan(&self.plan).unwrap();
    }

    fn route(&mut self, command: &Command<'_>) {
        let all = |key: &str| command.options.get(key).map_or(vec![], |names| names.split(',').collect());
        let endpoints = all("clusters").into_iter().map(|name| Endpoint {
            cluster: name.parse().unwrap(),
            addresses: Vec::new(),
            drained: all("drained").contains(&name).then(|| "rollout".into()),
            release: command.options.get("release").map(|letter| release(letter)),
            forced: all("forced").into_iter().find_map(|text| self.forced(name, text)),
        });
        let check = |interval: &&str| Check {
            kind: CheckKind::Tcp,
            port: 80,
            interval: Duration::from_millis(Command::millis(interval)),
            timeout: Duration::from_millis(400),
            latency: None,
        };
        let all_down = match command.options.get("all_down") {
            Some(&"all") => AllDown::All,
            Some(&"fallback") => AllDown::Fallback(vec!["203.0.113.1".parse().unwrap()]),
            _ => AllDown::LastGood,
        };
        let route = PlanRoute {
            stack: "shop".parse().unwrap(),
            policy: Default::default(),
            ttl: 60,
            check: command.options.get("check").map(check),
            all_down,
            https: None,
            pool: endpoints.collect(),
        };
        for endpoint in &route.pool {
            let cluster = PlanCluster { region: None, location: None, weight: 1, capacity: None };
            self.plan.clusters.insert(endpoint.cluster.clone(), cluster);
        }
        self.plan.routes.insert(command.word(1).parse().unwrap(), route);
        self.take_plan();
    }

    /// `CLUSTER:fit|unfit:SECONDS`
    fn forced(&self, cluster: &str, text: &str) -> Option<Forced> {
        let (word, seconds) = text.strip_prefix(cluster)?.strip_prefix(':')?.split_once(':')?;
        let until = self.now.after(Duration::from_millis(Command::millis(seconds)));
        Some(Forced { fit: word == "fit", reason: "new switch".into(), by: "ops".into(), until })
    }

    /// Every endpoint of the named clusters is probed; half a second passes after each round.
    fn rounds(&mut self, command: &Command<'_>) {
        for _ in 0..command.options.get("times").map_or(1, |times| times.parse().unwrap()) {
            self.repeat();
            for (name, said) in &command.options {
                let Ok(cluster) = name.parse::<ClusterName>() else { continue };
                let outcome = if *said == "ok" { Ok(()) } else { Err((*said).replace('_', " ")) };
                let checked = |route: &DomainName| self.plan.routes[route].check.is_some();
                for route in self.pooled(&cluster).into_iter().filter(checked) {
                    let result = ProbeResult { at: self.now, took: Duration::ZERO, outcome: outcome.clone() };
                    self.judge.probe(&route, &cluster, &result).unwrap();
                }
            }
            self.now = self.now.after(Duration::from_millis(500));
        }
    }

    fn beats(&mut self, command: &Command<'_>) {
        let every = Duration::from_millis(Command::millis(command.options["every"]));
        let beat = self.agents[&command.word(1).parse::<ClusterName>().unwrap()].clone();
        for _ in 0..command.options["times"].parse::<u32>().unwrap() {
            self.seq += 1;
            self.judge.beat(self.now, Beat { seq: self.seq, ..beat.clone() }).unwrap();
            self.now = self.now.after(every);
        }
    }

    fn pooled(&self, cluster: &ClusterName) -> Vec<DomainName> {
        let routes = self.plan.routes.iter();
        routes.filter(|(_, r)| r.pool.iter().any(|e| e.cluster == *cluster)).map(|(name, _)| name.clone()).collect()
    }

    fn beat(&self, command: &Command<'_>) -> Beat {
        let cluster: ClusterName = command.word(1).parse().unwrap();
        let yes = |key| command.options.get(key) != Some(&"no");
        let serving = self.pooled(&cluster).into_iter().map(|route| (route, yes("serving"))).collect();
        let release = command.options.get("release").map(|letter| release(letter));
        let stack = BeatStack { release, converged: yes("converged"), serving };
        let stacks = if yes("stack") { BTreeMap::from([("shop".parse().unwrap(), stack)]) } else { BTreeMap::new() };
        let number = |key| command.options.get(key).map_or(1, |text| text.parse().unwrap());
        Beat { cluster, boot: number("boot"), seq: number("seq"), engine_ok: yes("engine"), stacks }
    }

    fn view(&self, command: &Command<'_>) -> View {
        let mut entries = Vec::new();
        for (name, said) in command.options.iter().filter(|(_, said)| ["up", "down"].contains(said)) {
            let cluster: ClusterName = name.parse().unwrap();
            for route in self.pooled(&cluster) {
                entries.push(ViewEntry { route, cluster: cluster.clone(), up: *said == "up" });
            }
        }
        let number = |key| command.options.get(key).map_or(1, |text| text.parse().unwrap());
        let self_suspect = command.options.get("suspect") == Some(&"yes");
        let (from, demand) = (command.word(1).parse().unwrap(), BTreeMap::new());
        View { from, boot: number("boot"), seq: number("seq"), self_suspect, entries, demand, overrides: Vec::new() }
    }

    fn restart(&mut self, after: u64) {
        let kept = serde_json::to_string(&self.judge.persisted(self.now)).unwrap();
        self.now = self.now.after(Duration::from_millis(after));
        self.judge = Judge::new("ns-1".parse().unwrap(), 2, self.now);
        self.judge.plan(&self.plan).unwrap();
        self.judge.restore(&serde_json::from_str(&kept).unwrap(), self.now);
    }

    fn verdicts(&self) -> String {
        let lines = self.judge.verdicts(self.now).into_iter().map(|entry| {
            let release = entry.release.map_or("none".to_owned(), |release| release.short());
            let probe = entry.probe_up.map_or("unknown", |up| if up { "up" } else { "down" });
            let gate = entry.gate.map(|gate| format!(", {gate}")).unwrap_or_default();
            format!("{} {}: {:?}, probe {probe}, release {release}{gate}\n", entry.route, entry.cluster, entry.verdict)
        });
        lines.collect()
    }
}

fn release(letter: &str) -> ReleaseId {
    ReleaseId([letter.as_bytes()[0]; 32])
}

impl World for Observer {
    fn run(&mut self, command: &Command<'_>) -> String {
        let refused = |result: Result<(), super::Refused>| result.err().map(|e| e.to_string()).unwrap_or_default();
        match command.word(0) {
            "nameservers" => {
                for name in &command.words[1..] {
                    let address = "192.0.2.99:7700".parse().unwrap();
                    let peer = crate::fleet::NameserverPeer { name: name.parse().unwrap(), address };
                    self.plan.nameservers.push(peer);
                }
            }
            "route" => self.route(command),
            "no-route" => {
                self.plan.routes.remove(&command.word(1).parse::<DomainName>().unwrap());
                self.take_plan();
            }
            "older-plan" => {
                let older = RoutePlan { generation: Generation(0), ..self.plan.clone() };
                return refused(self.judge.plan(&older));
            }
            "ramp" => {
                self.plan.health.ramp = Duration::from_millis(Command::millis(command.word(1)));
                self.take_plan();
            }
            "round" => self.rounds(command),
            "agent" => {
                let beat = self.beat(command);
                self.agents.insert(beat.cluster.clone(), beat);
            }
            "peer" => {
                let view = self.view(command);
                self.peers.insert(view.from.clone(), view);
            }
            "beat" => return refused(self.judge.beat(self.now, self.beat(command))),
            "view" => return refused(self.judge.view(self.now, self.view(command))),
            // `beats eu-1 every=0.25 times=40`: the agent's word again and again, with that time after each.
            "beats" => self.beats(command),
            // The observer itself stands still; its loop turns before and after.
            "stand-still" => {
                self.judge.turn(self.now);
                self.now = self.now.after(Duration::from_millis(Command::millis(command.word(1))));
                self.judge.turn(self.now);
            }
            // Its clock is set back; its loop turns before and after.
            "clock-back" => {
                self.judge.turn(self.now);
                self.now = self.now.before(Duration::from_millis(Command::millis(command.word(1))));
                self.judge.turn(self.now);
            }
            "silent" => {
                for name in &command.words[1..] {
                    self.agents.retain(|agent, _| agent.as_str() != *name);
                    self.peers.retain(|peer, _| peer.as_str() != *name);
                }
            }
            "wait" => self.now = self.now.after(Duration::from_millis(Command::millis(command.word(1)))),
            "judge" => return self.judge().to_string(),
            "restart" => self.restart(Command::millis(command.word(1))),
            "verdicts" => return self.verdicts(),
            "own-view" => {
                let view = self.judge.own_view(self.now);
                let said = |entry: &ViewEntry| {
                    format!("{} {} {}", entry.route, entry.cluster, if entry.up { "up" } else { "down" })
                };
                let entries: Vec<_> = view.entries.iter().map(said).collect();
                return format!(
                    "boot {} seq {} suspect {}: {}",
                    view.boot,
                    view.seq,
                    view.self_suspect,
                    entries.join(", ")
                );
            }
            other => panic!("no such command: {other}"),
        }
        String::new()
    }
}
