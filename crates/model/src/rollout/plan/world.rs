//! A small federation for the planner's tests: builders and planner are the real ones, agents and nameservers do what the
//! script says.

use super::plan;
use crate::federate::{desired, route_plan, same_plan};
use crate::fleet::{Cluster, NameserverPeer, Zone};
use crate::fleet_state::{OperatorDrain, Settled, State};
use crate::health::Verdict;
use crate::observed::{Observed, ObservedStack, Phase, Swarm};
use crate::plan::hold::{Hold, held};
use crate::plan::{EndpointVerdict, LedgerEntry, NameserverStatus, RoutePlan};
use crate::release::{
    Check, CheckKind, OnFailure, Promotion, ReleaseBody, ReleaseId, Route, Strategy, check_interval, check_timeout,
};
use crate::rollout::{Begin, Facts, NameserverFacts, Report, Rollout, begin};
use crate::script::{Command, World};
use crate::{ClusterName, Generation, NameserverName, StackName, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

/// 12:00:00.
const START: u64 = 12 * 3600 * 1000;

pub(super) struct Fleet {
    pub now: Timestamp,
    pub state: State,
    pub plan: Option<RoutePlan>,
    kept: Option<RoutePlan>,
    agents: BTreeMap<ClusterName, (bool, Option<(Observed, Timestamp)>)>,
    nameservers: BTreeMap<NameserverName, NameserverFacts>,
    /// Nameserver and cluster → what it says instead of "fit".
    verdicts: BTreeMap<(NameserverName, ClusterName), (Verdict, Option<bool>)>,
    routes: Vec<Route>,
    rollouts: u64,
}

pub(super) fn stack() -> StackName {
    "shop".parse().unwrap()
}

pub(super) fn release_id(letter: &str) -> ReleaseId {
    ReleaseId([letter.as_bytes()[0]; 32])
}

impl Fleet {
    pub fn new() -> Fleet {
        let mut state = State::default();
        let zone: Zone =
            serde_json::from_str(r#"{"nameservers": ["ns.shop.example"], "contact": "admin.shop.example"}"#).unwrap();
        state.federation.zones.insert("shop.example".parse().unwrap(), zone);
        Fleet {
            now: Timestamp(START),
            state,
            plan: None,
            kept: None,
            agents: BTreeMap::new(),
            nameservers: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            routes: Vec::new(),
            rollouts: 0,
        }
    }

    pub fn command(&mut self, line: &str) -> String {
        crate::script::run_line(self, line)
    }

    pub fn rollout(&self) -> &Rollout {
        self.state.stacks[&stack()].rollout.as_ref().unwrap()
    }

    fn set_rollout(&mut self, rollout: Rollout) {
        self.state.stacks.entry(stack()).or_default().rollout = Some(rollout);
    }

    fn ask(&mut self, command: impl FnOnce(&Rollout) -> Result<Rollout, crate::rollout::Refused>) -> String {
        match command(self.rollout()) {
            Ok(next) => self.set_rollout(next),
            Err(refused) => return refused.to_string(),
        }
        String::new()
    }

    pub fn facts(&self) -> Facts {
        let agents = |name: &ClusterName| {
            let (connected, observed) = &self.agents[name];
            (*connected, observed.as_ref().map(|(observed, at)| (observed, *at)))
        };
        let nameservers = |name: &NameserverName| self.nameservers.get(name).cloned();
        Facts::gather(&self.state, &stack(), agents, nameservers, self.plan.as_ref(), self.now)
    }

    pub fn plan(&mut self) -> Report {
        let (next, report) = plan(self.rollout(), &self.facts(), self.now);
        self.set_rollout(next);
        report
    }

    pub fn publish(&mut self) -> String {
        let (mut plan, problems) = route_plan(&self.state, self.now);
        if let (Some(kept), true) = (&self.kept, self.state.hold.as_ref().is_some_and(|hold| hold.in_force(self.now))) {
            let stacks = self.state.stacks.keys().cloned().collect();
            plan = held(kept, &plan, &stacks, &BTreeMap::new(), &BTreeMap::new());
        }
        let mut out: String = problems.iter().map(|problem| format!("problem: {problem}\n")).collect();
        if self.plan.as_ref().is_some_and(|old| same_plan(old, &plan)) {
            return out;
        }
        plan.generation = self.plan.as_ref().map_or(Generation(1), |old| old.generation.next());
        for (name, route) in &plan.routes {
            let pool = route.pool.iter().map(|endpoint| match &endpoint.drained {
                Some(why) => format!("{} drained ({why})", endpoint.cluster),
                None => endpoint.cluster.to_string(),
            });
            writeln!(out, "route plan {}: {name}: {}", plan.generation, pool.collect::<Vec<_>>().join(", ")).unwrap();
        }
        self.plan = Some(plan);
        out
    }

    /// A connected agent's report: the stack at `phase`, as desired.
    fn report(&mut self, cluster: &ClusterName, phase: &Phase) {
        let wanted = desired(cluster, &self.state);
        let now = self.now;
        let stacks = wanted.stacks.iter().map(|(name, stack)| {
            let (services, serving) = (BTreeMap::new(), BTreeMap::new());
            let (release, attempt) = (Some(stack.release), stack.attempt);
            (
                name.clone(),
                ObservedStack { release, attempt, phase: phase.clone(), services, serving, drift: Vec::new() },
            )
        });
        let swarm = Swarm { managers: 1, managers_reachable: 1, ..Swarm::default() };
        let observed = Observed {
            cluster: cluster.clone(),
            generation: Generation::default(),
            at: now,
            agent_version: String::new(),
            swarm,
            stacks: stacks.collect(),
        };
        let agent = self.agents.get_mut(cluster).unwrap();
        if agent.0 {
            agent.1 = Some((observed, now));
        }
    }

    fn converge(&mut self) {
        for cluster in self.agents.keys().cloned().collect::<Vec<_>>() {
            self.report(&cluster, &Phase::Converged);
        }
    }

    /// Every connected nameserver takes the plan, answers with what is not drained, and reports.
    pub fn acknowledge(&mut self) {
        let Some(plan) = self.plan.clone() else { return };
        for (name, facts) in self.nameservers.iter_mut().filter(|(_, facts)| facts.connected) {
            let mut ledger = facts.status.take().map(|status| status.ledger).unwrap_or_default();
            let mut verdicts = Vec::new();
            for (route, endpoint) in plan.routes.iter().flat_map(|(n, r)| r.pool.iter().map(move |e| ((n, r), e))) {
                let cluster = endpoint.cluster.clone();
                let said = self.verdicts.get(&(name.clone(), cluster.clone())).cloned();
                let (verdict, probe_up) = said.unwrap_or((Verdict::Fit, Some(true)));
                let observed = self.agents[&cluster].1.as_ref();
                let release = observed.and_then(|(observed, _)| observed.stacks.get(&route.1.stack)?.release);
                if endpoint.drained.is_none() {
                    let cached_until = self.now.after(Duration::from_secs(u64::from(route.1.ttl)));
                    ledger.retain(|entry| entry.cluster != cluster || entry.route != *route.0);
                    ledger.push(LedgerEntry { route: route.0.clone(), cluster: cluster.clone(), cached_until });
                }
                let (route, limited) = (route.0.clone(), None);
                verdicts.push(EndpointVerdict {
                    route,
                    cluster,
                    verdict,
                    probe_up,
                    probe_ms: None,
                    release,
                    limited,
                    gate: None,
                });
            }
            facts.heard = self.now;
            facts.status = Some(NameserverStatus {
                name: name.clone(),
                generation: plan.generation,
                at: self.now,
                ledger,
                verdicts,
                queries: 0,
                started: Timestamp(0),
                traffic: Vec::new(),
                refused: None,
                overrides: Vec::new(),
            });
        }
    }

    /// One second of life: plan, publish, agents converge, nameservers acknowledge.
    pub fn tick(&mut self) -> String {
        let report = self.plan();
        let clock = self.now.clock();
        let mut out: String = report.notes.iter().map(|note| format!("{clock} {note}\n")).collect();
        out += &self.publish();
        self.converge();
        self.acknowledge();
        self.now = self.now.after(Duration::from_secs(1));
        out
    }

    fn release(&mut self, command: &Command<'_>) -> String {
        let number = |key| command.options.get(key).map(|text| Command::millis(text));
        let mut promotion = Promotion::default();
        if let Some(stages) = command.options.get("stages") {
            let stage = |stage: &str| stage.split(',').map(|name| name.parse().unwrap()).collect();
            promotion.stages = stages.split('/').map(stage).collect();
        }
        if let Some(max) = command.options.get("max_parallel") {
            promotion.max_parallel = max.parse().unwrap();
        }
        if command.options.get("strategy") == Some(&"in_place") {
            promotion.strategy = Strategy::InPlace;
        }
        if command.options.get("on_failure") == Some(&"hold") {
            promotion.on_failure = OnFailure::Hold;
        }
        promotion.monitor = Duration::from_millis(number("monitor").unwrap_or(2000));
        promotion.progress_deadline = Duration::from_millis(number("deadline").unwrap_or(60_000));
        let body = ReleaseBody {
            stack: stack(),
            objects: String::new(),
            routes: self.routes.clone(),
            promotion,
            upkeep: Default::default(),
            images: BTreeMap::new(),
            payloads: Vec::new(),
        };
        let problems = crate::federate::check_release(&self.state.federation, &BTreeMap::new(), &body);
        self.state.stacks.entry(stack()).or_default().releases.insert(release_id(command.word(1)), body);
        problems.iter().map(|problem| format!("problem: {problem}\n")).collect()
    }

    fn route(&mut self, command: &Command<'_>) {
        let check = |port: &&str| Check {
            kind: CheckKind::Tcp,
            port: port.parse().unwrap(),
            interval: check_interval(),
            timeout: check_timeout(),
            latency: None,
        };
        self.routes.push(Route {
            name: command.word(1).parse().unwrap(),
            service: "web".into(),
            policy: Default::default(),
            ttl: command.options.get("ttl").map_or(5, |ttl| ttl.parse().unwrap()),
            clusters: command
                .options
                .get("clusters")
                .map_or(vec![], |names| names.split(',').map(|name| name.parse().unwrap()).collect()),
            check: command.options.get("check").map(check),
            all_down: Default::default(),
            https: None,
        });
    }

    fn settle(&mut self, command: &Command<'_>) {
        let clusters: BTreeSet<ClusterName> = match command.words.len() {
            2 => self.agents.keys().cloned().collect(),
            _ => command.words[2..].iter().map(|name| name.parse().unwrap()).collect(),
        };
        let settled = Settled { release: Some(release_id(command.word(1))), attempt: 1 };
        let stack = self.state.stacks.entry(stack()).or_default();
        stack.settled.extend(clusters.into_iter().map(|name| (name, settled)));
        self.converge();
        self.publish();
        self.acknowledge();
    }

    fn deploy(&mut self, letter: &str) {
        self.rollouts += 1;
        let clusters = self.agents.keys().cloned().collect();
        let stack_state = self.state.stacks.get_mut(&stack()).unwrap();
        let promotion = stack_state.releases[&release_id(letter)].promotion.clone();
        let older = stack_state.rollout.clone();
        let next = begin(Begin {
            id: self.rollouts,
            stack: stack(),
            release: release_id(letter),
            promotion,
            clusters,
            settled: &stack_state.settled,
            older: older.as_ref(),
            now: self.now,
        });
        stack_state.settle();
        stack_state.rollout = Some(next);
    }

    fn link(&mut self, name: &str, up: bool) {
        let (cluster, nameserver) = (name.parse::<ClusterName>().unwrap(), name.parse::<NameserverName>().unwrap());
        if let Some(agent) = self.agents.get_mut(&cluster) {
            agent.0 = up;
        }
        if let Some(facts) = self.nameservers.get_mut(&nameserver) {
            facts.connected = up;
        }
    }

    fn say(&mut self, command: &Command<'_>) {
        let key = (command.word(1).parse().unwrap(), command.word(2).parse().unwrap());
        let said = match command.word(3) {
            "fit" => (Verdict::Fit, Some(true)),
            "unfit" => (Verdict::Unfit("2 of 2 observers fail to reach it".into()), Some(false)),
            "unknown" => (Verdict::Unknown, None),
            other => panic!("{other}"),
        };
        self.verdicts.insert(key, said);
    }

    fn each_cluster(&mut self, command: &Command<'_>) {
        for (at, name) in command.words[1..].iter().enumerate() {
            let addresses = vec![std::net::Ipv4Addr::new(192, 0, 2, at as u8 + 1).into()];
            let cluster = Cluster { addresses, weight: 1, ..Cluster::default() };
            self.state.federation.clusters.insert(name.parse().unwrap(), cluster);
            self.agents.insert(name.parse().unwrap(), (true, None));
        }
    }
}

impl World for Fleet {
    fn run(&mut self, command: &Command<'_>) -> String {
        match command.word(0) {
            "clusters" => self.each_cluster(command),
            "nameservers" => {
                for name in &command.words[1..] {
                    let address = "192.0.2.99:7700".parse().unwrap();
                    self.state.nameservers.push(NameserverPeer { name: name.parse().unwrap(), address });
                    let facts = NameserverFacts { connected: true, heard: self.now, status: None };
                    self.nameservers.insert(name.parse().unwrap(), facts);
                }
            }
            "route" => self.route(command),
            "no-route" => self.routes.clear(),
            "release" => return self.release(command),
            "settled" => self.settle(command),
            "deploy" => self.deploy(command.word(1)),
            "plan" => return self.plan().to_string(),
            "hold" => {
                let until = self.now.after(Duration::from_millis(Command::millis(command.word(1))));
                let (by, reason) = ("ops".to_owned(), "test".to_owned());
                self.kept = self.plan.clone();
                let generation = self.plan.as_ref().unwrap().generation;
                self.state.hold = Some(Hold { generation, by, reason, since: self.now, until });
            }
            "publish" => return self.publish(),
            "ack" => self.acknowledge(),
            "agents" => self.converge(),
            "agent" => {
                let text = command.rest(3);
                let phase = match command.word(2) {
                    "applying" => Phase::Applying(text),
                    "failed" => Phase::Failed(text),
                    _ => Phase::Converged,
                };
                self.report(&command.word(1).parse().unwrap(), &phase);
            }
            "swarm" => {
                let agent = self.agents.get_mut(&command.word(1).parse::<ClusterName>().unwrap()).unwrap();
                let (observed, _) = agent.1.as_mut().unwrap();
                observed.swarm.managers = command.options["managers"].parse().unwrap();
                observed.swarm.managers_reachable = command.options["reachable"].parse().unwrap();
            }
            "says" => self.say(command),
            "connect" => self.link(command.word(1), true),
            "disconnect" => self.link(command.word(1), false),
            "restarted" => {
                let facts = self.nameservers.get_mut(&command.word(1).parse::<NameserverName>().unwrap()).unwrap();
                let status = facts.status.as_mut().unwrap();
                (status.started, status.ledger) = (status.at, Vec::new());
            }
            "drain" => {
                let (reason, by) = (command.rest(2), "ops".to_owned());
                self.state.drains.insert(command.word(1).parse().unwrap(), OperatorDrain { reason, by, until: None });
            }
            "leave" => _ = self.state.federation.clusters.remove(&command.word(1).parse::<ClusterName>().unwrap()),
            "pause" => return self.ask(|rollout| rollout.pause("ops")),
            "resume" => return self.ask(Rollout::resume),
            "abort" => return self.ask(|rollout| rollout.abort("ops")),
            "wait" => self.now = self.now.after(Duration::from_millis(Command::millis(command.word(1)))),
            "run" => return (0..command.word(1).parse().unwrap()).map(|_| self.tick()).collect(),
            "desired" => {
                let desired = desired(&command.word(1).parse().unwrap(), &self.state);
                let stack = desired.stacks.get(&stack());
                return stack.map_or("nothing".into(), |s| format!("{} attempt {}", s.release.short(), s.attempt));
            }
            other => panic!("no such command: {other}"),
        }
        String::new()
    }
}
