//! Agents and nameservers by hand: agents run what they are told by the next look, unless the release is broken;
//! nameservers answer from the newest plan and find everything fit that runs what it should.

use super::{Dying, LOOKS_MAX};
use crate::api::Caller;
use crate::deploy::store_release;
use crate::reconcile::{Seen, SeenAgent, SeenNameserver, activate, load};
use crate::records::{Edit, NameserverIdentity, RolloutRecord, get, keys};
use crate::store::redb::Redb;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use waggle_model::desired::Desired;
use waggle_model::fleet::{Cluster, Federation, Zone};
use waggle_model::health::Verdict;
use waggle_model::observed::{Observed, ObservedStack, Phase, Swarm};
use waggle_model::plan::{EndpointVerdict, NameserverStatus, RoutePlan};
use waggle_model::release::{Promotion, Release, ReleaseBody, ReleaseId, Route};
use waggle_model::rollout::{Rollout, State};
use waggle_model::{ClusterName, Generation, NameserverName, Timestamp};
use waggle_stack::Objects;
use waggle_stack::release::release_id;

const STEP: Duration = Duration::from_millis(500);

pub(super) mod ids {
    use waggle_model::{ClusterName, StackName};

    pub(in super::super) fn stack() -> StackName {
        "shop".parse().unwrap()
    }

    pub(in super::super) fn cluster(name: &str) -> ClusterName {
        name.parse().unwrap()
    }
}

pub(super) struct World {
    pub(super) store: Arc<Redb>,
    pub(super) seen: Seen,
    pub(super) now: Timestamp,
    pub(super) broken: BTreeSet<ReleaseId>,
    pub(super) plan: Option<RoutePlan>,
    desired: BTreeMap<ClusterName, Desired>,
}

impl World {
    pub(super) async fn new(clusters: &[&str]) -> World {
        let now = Timestamp(1_700_000_000_000);
        let store = Arc::new(Redb::in_memory().unwrap());
        let cluster = |(at, name): (usize, &&str)| {
            let addresses = vec![format!("192.0.2.{}", at + 1).parse().unwrap()];
            (name.parse().unwrap(), Cluster { addresses, weight: 1, ..Cluster::default() })
        };
        let zone: Zone = serde_json::from_str(r#"{"nameservers":["ns1.example"],"contact":"admin.example"}"#).unwrap();
        let federation = Federation {
            clusters: clusters.iter().enumerate().map(cluster).collect(),
            zones: [("shop.example".parse().unwrap(), zone)].into(),
            ..Federation::default()
        };
        let name: NameserverName = "ns-1".parse().unwrap();
        let advertise = "127.0.0.1:7000".parse().unwrap();
        let mut edit = Edit::new();
        edit.put(keys::federation(), &federation).unwrap();
        edit.put(keys::nameserver(&name), &NameserverIdentity { name: name.clone(), advertise, joined: now }).unwrap();
        edit.touch("").unwrap();
        edit.commit(&*store).await.unwrap();
        let seen = Seen { started: now, ..Seen::default() };
        World { store, seen, now, broken: BTreeSet::new(), plan: None, desired: BTreeMap::new() }
    }

    pub(super) fn release(&self, text: &str) -> Release {
        let route: Route = serde_json::from_str(r#"{"name":"www.shop.example","service":"web"}"#).unwrap();
        let promotion = Promotion { monitor: Duration::from_secs(1), ..Promotion::default() };
        let body = ReleaseBody {
            stack: ids::stack(),
            objects: Objects { services: [(text.into(), Default::default())].into(), ..Objects::default() }
                .canonical_json(),
            routes: vec![route],
            promotion,
            upkeep: Default::default(),
            images: BTreeMap::new(),
            payloads: Vec::new(),
        };
        Release { id: release_id(&body), body, created: self.now, author: "test".into() }
    }

    pub(super) async fn deploy(&mut self, text: &str) -> u64 {
        let caller = Caller { name: "test".into(), traceparent: String::new() };
        store_release(&*self.store, &caller, self.release(text), self.now).await.unwrap().rollout
    }

    /// Control looks once, then the others take in what it wrote.
    pub(super) async fn look(&mut self) {
        activate(&*self.store, &self.seen, self.now).await.unwrap();
        self.settle().await;
    }

    async fn settle(&mut self) {
        self.now = self.now.after(STEP);
        let loaded = load(&*self.store).await.unwrap();
        for (cluster, stored) in &loaded.desired {
            let desired: Desired = serde_json::from_slice(&stored.json).unwrap();
            let before = self.desired.get(cluster).map(|before| before.generation).unwrap_or_default();
            assert!(desired.generation >= before, "{cluster} was sent back to an older generation");
            self.desired.insert(cluster.clone(), desired);
        }
        if let Some(plan) = loaded.route_plan().unwrap() {
            let before = self.plan.as_ref().map(|before| before.generation).unwrap_or_default();
            assert!(plan.generation >= before, "nameservers were sent back to an older generation");
            self.plan = Some(plan);
        }
        self.observe();
        self.judge();
    }

    fn observe(&mut self) {
        for (cluster, desired) in &self.desired {
            let stacks = desired.stacks.iter().map(|(name, stack)| {
                let phase = if self.broken.contains(&stack.release) {
                    Phase::Failed("broken".into())
                } else {
                    Phase::Converged
                };
                let serving = stack.routes.keys().map(|route| (route.clone(), phase == Phase::Converged)).collect();
                let (release, attempt) = (Some(stack.release), stack.attempt);
                (
                    name.clone(),
                    ObservedStack { release, attempt, phase, services: BTreeMap::new(), serving, drift: Vec::new() },
                )
            });
            let swarm =
                Swarm { id: "s".into(), managers: 1, managers_reachable: 1, nodes_ready: 1, ..Swarm::default() };
            let observed = Observed {
                cluster: cluster.clone(),
                generation: desired.generation,
                at: self.now,
                agent_version: "test".into(),
                swarm,
                stacks: stacks.collect(),
            };
            let agent = SeenAgent {
                connected: true,
                last: self.now,
                policy: None,
                version: "test".into(),
                certificate_until: None,
                observed: Some((observed, self.now)),
            };
            self.seen.agents.insert(cluster.clone(), agent);
        }
    }

    fn judge(&mut self) {
        let Some(plan) = &self.plan else { return };
        let mut verdicts = Vec::new();
        for (route, planned) in &plan.routes {
            for endpoint in &planned.pool {
                let stack = self.desired.get(&endpoint.cluster).and_then(|desired| desired.stacks.get(&planned.stack));
                let release = stack.map(|stack| stack.release);
                let up = release.is_some_and(|release| !self.broken.contains(&release));
                let verdict = if up { Verdict::Fit } else { Verdict::Unfit("down".into()) };
                let (route, cluster) = (route.clone(), endpoint.cluster.clone());
                let probe_up = Some(up);
                verdicts.push(EndpointVerdict {
                    route,
                    cluster,
                    verdict,
                    probe_up,
                    probe_ms: None,
                    release,
                    limited: None,
                    gate: None,
                });
            }
        }
        let name: NameserverName = "ns-1".parse().unwrap();
        let status = NameserverStatus {
            name: name.clone(),
            generation: plan.generation,
            at: self.now,
            ledger: Vec::new(),
            verdicts,
            queries: 0,
            started: self.seen.started,
            traffic: Vec::new(),
            refused: None,
            overrides: Vec::new(),
        };
        let seen = SeenNameserver {
            connected: true,
            last: self.now,
            version: "test".into(),
            status: Some(status),
            certificate_until: None,
            samples: None,
        };
        self.seen.nameservers.insert(name, seen);
    }

    /// Clusters that some route does not answer with.
    pub(super) fn drained(&self) -> Vec<ClusterName> {
        let pools = self.plan.iter().flat_map(|plan| plan.routes.values()).flat_map(|route| &route.pool);
        pools.filter(|endpoint| endpoint.drained.is_some()).map(|endpoint| endpoint.cluster.clone()).collect()
    }

    pub(super) async fn wanted(&self) -> BTreeMap<ClusterName, Option<ReleaseId>> {
        let loaded = load(&*self.store).await.unwrap();
        let read = |json: &[u8]| serde_json::from_slice::<Desired>(json).unwrap();
        let desired = loaded.desired.iter().map(|(cluster, stored)| (cluster.clone(), read(&stored.json)));
        desired
            .map(|(cluster, desired)| (cluster, desired.stacks.get(&ids::stack()).map(|stack| stack.release)))
            .collect()
    }

    async fn rollout(&self, id: u64) -> Rollout {
        get::<RolloutRecord>(&*self.store, &keys::rollout(id)).await.unwrap().unwrap().value.rollout
    }

    pub(super) async fn state(&self, id: u64) -> State {
        self.rollout(id).await.state
    }

    pub(super) async fn until(&mut self, id: u64, done: impl Fn(&Rollout) -> bool) -> State {
        for _ in 0..LOOKS_MAX {
            let rollout = self.rollout(id).await;
            if done(&rollout) {
                return rollout.state;
            }
            self.look().await;
        }
        panic!("rollout {id} comes to no end: {:#?}", self.rollout(id).await);
    }

    pub(super) async fn until_final(&mut self, id: u64) -> State {
        self.until(id, |rollout| rollout.state.is_final()).await
    }

    /// Two releases one after the other, with a control that dies before one commit and is started again. How many
    /// commits there were.
    pub(super) async fn story(&mut self, death: Option<usize>) -> usize {
        let mut control = Dying::new(self.store.clone(), death);
        let mut commits = 0;
        for text in ["one", "two"] {
            let id = self.deploy(text).await;
            for _ in 0..LOOKS_MAX {
                if activate(&control, &self.seen, self.now).await.is_err() {
                    commits += control.commits();
                    control = Dying::new(self.store.clone(), None);
                }
                self.settle().await;
                if self.state(id).await.is_final() {
                    break;
                }
            }
            for _ in 0..3 {
                let _ = activate(&control, &self.seen, self.now).await;
                self.settle().await;
            }
        }
        commits + control.commits()
    }

    /// What counts in the end; numbers of generations may differ.
    pub(super) async fn end(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        let loaded = load(&*self.store).await.unwrap();
        let desired: BTreeMap<_, _> =
            loaded.desired.iter().map(|(cluster, stored)| (cluster.clone(), stored.content.clone())).collect();
        let settled: Vec<_> = loaded.stacks.values().map(|stack| (stack.settled.clone(), stack.rollout)).collect();
        let states: Vec<_> = loaded.rollouts.values().map(|record| record.rollout.state.clone()).collect();
        let plan = loaded.plan.as_ref().map(|plan| plan.content.clone());
        assert!(loaded.plan.is_some_and(|plan| plan.generation > Generation(0)));
        (desired, settled, states, plan)
    }
}
