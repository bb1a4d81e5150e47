//! Everything the simulated swarm is, and how its time passes.

use super::update::Update;
use super::{Behaviour, Timing};
use crate::engine::{Kind, Network, Node, Resolved, Stored, UpdateStatus};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::watch;
use waggle_model::Timestamp;
use waggle_stack::ApiVersion;
use waggle_stack::objects::service::{EndpointSpec, ServiceSpec, TaskSpec};

/// Events handled in one [`State::advance`]; more of them means that something spins.
const EVENTS_MAX: usize = 1_000_000;
/// Ended tasks kept per slot (moby/swarmkit: TaskHistoryRetentionLimit, 5).
pub(super) const HISTORY: usize = 5;

pub(super) struct State {
    pub id: String,
    pub api_version: ApiVersion,
    pub now: Timestamp,
    pub timing: Timing,
    pub behaviours: Vec<(String, Behaviour)>,
    pub registry: BTreeMap<String, Resolved>,
    /// Registries that want a login.
    pub closed: BTreeSet<String>,
    /// Service → version of its login.
    pub logins: BTreeMap<String, u64>,
    pub reachable: bool,
    pub leader: bool,
    pub conflicts: u32,
    pub writes: u64,
    pub nodes: BTreeMap<String, Node>,
    pub networks: BTreeMap<String, Network>,
    pub stored: BTreeMap<(Kind, String), Stored>,
    /// By id.
    pub data: BTreeMap<String, Bytes>,
    /// Volumes that tasks made: name → stack.
    pub volumes: BTreeMap<String, String>,
    /// Bytes, by name of the node.
    pub memory: BTreeMap<String, i64>,
    /// Counts what happened to services and tasks.
    pub changes: watch::Sender<u64>,
    pub services: BTreeMap<String, Running>,
    pub tasks: BTreeMap<String, Part>,
    /// Bytes of each image that no container uses.
    pub unused_images: Vec<u64>,
    random: u64,
    ids: u64,
    version: u64,
}

/// A service and what its orchestrator is at.
pub(super) struct Running {
    pub version: u64,
    pub spec: ServiceSpec,
    pub previous: Option<ServiceSpec>,
    pub status: Option<UpdateStatus>,
    pub update: Option<Update>,
    /// Jobs: runs so far.
    pub iteration: Option<u64>,
}

/// Number of a replica, or a node of a global service.
pub(super) type Slot = (u64, String);

/// A task.
pub(super) struct Part {
    pub service: String,
    pub slot: Slot,
    pub node: String,
    pub spec: TaskSpec,
    pub endpoint: Option<EndpointSpec>,
    pub desired: &'static str,
    pub state: &'static str,
    pub error: String,
    pub exit_code: Option<i64>,
    pub iteration: Option<u64>,
    /// Of the state.
    pub at: Timestamp,
    /// When the next thing happens to it by itself.
    pub due: Option<Timestamp>,
    pub running_since: Option<Timestamp>,
}

impl Part {
    pub fn is_over(&self) -> bool {
        matches!(self.state, "complete" | "shutdown" | "failed" | "rejected" | "orphaned")
    }

    pub fn is_wanted(&self) -> bool {
        matches!(self.desired, "running" | "ready" | "complete")
    }
}

impl State {
    pub fn new(id: &str, nodes: u32, seed: u64, now: Timestamp) -> State {
        let node = |n: u32| {
            let node = Node {
                id: format!("node{n}"),
                name: format!("n{n}"),
                state: "ready".into(),
                availability: "active".into(),
                reachable: (n == 1).then_some(true),
                leader: n == 1,
                address: (n == 1).then(|| "192.0.2.1:2377".to_owned()),
                engine_version: "20.10.24-fake".into(),
            };
            (node.id.clone(), node)
        };
        State {
            id: id.to_owned(),
            api_version: ApiVersion::default(),
            now,
            timing: Timing::default(),
            behaviours: Vec::new(),
            registry: BTreeMap::new(),
            closed: BTreeSet::new(),
            logins: BTreeMap::new(),
            reachable: true,
            leader: true,
            conflicts: 0,
            writes: 0,
            nodes: (1..=nodes).map(node).collect(),
            networks: BTreeMap::new(),
            stored: BTreeMap::new(),
            data: BTreeMap::new(),
            volumes: BTreeMap::new(),
            memory: BTreeMap::new(),
            changes: watch::Sender::new(0),
            services: BTreeMap::new(),
            tasks: BTreeMap::new(),
            unused_images: Vec::new(),
            random: seed,
            ids: 0,
            version: 10,
        }
    }

    pub fn next_id(&mut self, kind: &str) -> String {
        self.ids += 1;
        format!("{kind}{:08}", self.ids)
    }

    pub fn next_version(&mut self) -> u64 {
        self.changed();
        self.version += 1;
        self.version
    }

    pub fn changed(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// SplitMix64 (Steele, Lea, Flood 2014).
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// `time` from now, a little later by chance.
    pub fn soon(&mut self, time: Duration) -> Timestamp {
        let jitter = self.timing.jitter.as_millis() as u64;
        let more = if jitter == 0 { 0 } else { self.random() % jitter };
        self.now.after(time + Duration::from_millis(more))
    }

    pub fn behaviour(&self, image: &str) -> Behaviour {
        let told = self.behaviours.iter().find(|(part, _)| image.contains(part.as_str()));
        told.map_or(Behaviour::Runs, |(_, behaviour)| *behaviour)
    }

    pub fn advance(&mut self, until: Timestamp) {
        for _ in 0..EVENTS_MAX {
            self.settle();
            let tasks = self.tasks.values().filter_map(|task| task.due);
            let updates = self.services.values().filter_map(|s| s.update.as_ref()?.due(self.now));
            let Some(next) = tasks.chain(updates).min().filter(|next| *next <= until) else {
                self.now = self.now.max(until);
                return;
            };
            self.now = self.now.max(next);
            self.task_events();
        }
        self.now = self.now.max(until);
    }

    /// What the orchestrators do at this instant.
    pub fn settle(&mut self) {
        let ids: Vec<String> = self.services.keys().cloned().collect();
        for id in ids {
            self.orchestrate(&id);
            self.step_update(&id);
        }
    }

    pub fn set_node(&mut self, name: &str, ready: bool) {
        let state = if ready { "ready" } else { "down" };
        let Some(node) = self.nodes.values_mut().find(|node| node.name == name) else {
            return;
        };
        node.state = state.into();
        if node.reachable.is_some() {
            node.reachable = Some(ready);
        }
        let id = node.id.clone();
        if !ready {
            self.leave_node(&id);
        }
        self.settle();
    }

    pub fn drain_node(&mut self, name: &str, drained: bool) {
        let Some(node) = self.nodes.values_mut().find(|node| node.name == name) else {
            return;
        };
        node.availability = if drained { "drain" } else { "active" }.into();
        let id = node.id.clone();
        if drained {
            let tasks: Vec<String> = self.tasks_where(|task| task.node == id && task.is_wanted());
            for task in tasks {
                self.stop(&task);
            }
        }
        self.settle();
    }

    pub fn tasks_where(&self, wanted: impl Fn(&Part) -> bool) -> Vec<String> {
        self.tasks.iter().filter(|(_, task)| wanted(task)).map(|(id, _)| id.clone()).collect()
    }
}
