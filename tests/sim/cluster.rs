//! One simulated cluster: the behaving fake Engine and the agent's own logic over it.

use std::sync::Arc;
use waggle_agent::apply::{Given, apply};
use waggle_agent::engine::fake::{Behaviour, Fake};
use waggle_agent::engine::{Engine, Resolved};
use waggle_agent::logins::Logins;
use waggle_agent::memory::Memory;
use waggle_agent::order::Payloads;
use waggle_agent::policy::Policy;
use waggle_model::desired::Desired;
use waggle_model::health::{Beat, BeatStack};
use waggle_model::observed::{Observed, Phase};
use waggle_model::{ClusterName, Timestamp};
use waggle_wire::document::{self, Intake};
use waggle_wire::proto::document::Document;

/// What an agent has on disk.
#[derive(Clone, Default)]
struct Disk {
    desired: Option<(Desired, Vec<u8>)>,
}

pub struct Cluster {
    pub name: ClusterName,
    pub engine: Arc<Fake>,
    pub agent_up: bool,
    pub observed: Option<Observed>,
    disk: Disk,
    memory: Memory,
    boot: u64,
    seq: u64,
}

impl Cluster {
    pub fn new(name: &str, seed: u64, now: Timestamp) -> anyhow::Result<Cluster> {
        let engine = Arc::new(Fake::new(name, 1, seed, now));
        for (image, behaviour) in [("good", Behaviour::Runs), ("bad", Behaviour::Unhealthy)] {
            engine.script(image, behaviour);
        }
        for version in 0..VERSIONS {
            for kind in ["good", "bad"] {
                let resolved = Resolved { digest: digest(kind, version), platforms: Vec::new() };
                engine.publish(&format!("registry.test/{kind}:{version}"), resolved);
            }
        }
        Ok(Cluster {
            name: name.parse()?,
            engine,
            agent_up: true,
            observed: None,
            disk: Disk::default(),
            memory: Memory::default(),
            boot: now.0,
            seq: 0,
        })
    }

    /// Takes a document as the session does: newer ones only.
    pub fn offer(&mut self, offered: &Document) -> anyhow::Result<()> {
        let have = self.disk.desired.as_ref().map(|(desired, sha256)| (desired.generation, sha256.as_slice()));
        if document::intake(have, offered) == Intake::Take {
            self.disk.desired = Some((document::decode(offered)?, offered.sha256.to_vec()));
        }
        Ok(())
    }

    pub fn generation(&self) -> u64 {
        self.disk.desired.as_ref().map_or(0, |(desired, _)| desired.generation.0)
    }

    /// One pass of the agent, if it runs.
    pub async fn work(&mut self, now: Timestamp) {
        if !self.agent_up {
            return;
        }
        if let Some((desired, _)) = &self.disk.desired {
            let policy = Policy { registries: Some(vec!["registry.test".into()]), ..Policy::default() };
            let given = Given { payloads: &Payloads::default(), logins: &Logins::default(), policy: &policy };
            let report = apply(&*self.engine, desired, given, &mut self.memory, now).await;
            self.observed = Some(report.observed);
        }
    }

    pub fn beat(&mut self) -> Option<Beat> {
        let observed = self.observed.as_ref().filter(|_| self.agent_up)?;
        self.seq += 1;
        let stacks = observed.stacks.iter().map(|(name, stack)| {
            let converged = stack.phase == Phase::Converged;
            (name.clone(), BeatStack { release: stack.release, converged, serving: stack.serving.clone() })
        });
        Some(Beat {
            cluster: self.name.clone(),
            boot: self.boot,
            seq: self.seq,
            engine_ok: observed.swarm.error.is_none(),
            stacks: stacks.collect(),
        })
    }

    /// kill -9: what is not on disk is gone.
    pub fn kill_agent(&mut self) {
        self.agent_up = false;
        self.observed = None;
        (self.memory.seen, self.memory.last) = (None, None);
    }

    pub fn start_agent(&mut self, now: Timestamp) {
        self.agent_up = true;
        self.boot = now.0;
        self.seq = 0;
    }

    /// Whether a request to the cluster's public address would be served right now.
    pub async fn serves(&self) -> bool {
        let tasks = self.engine.tasks().await.unwrap_or_default();
        tasks.iter().any(|task| task.state == "running" && task.desired == "running")
    }
}

/// Versions of each image that the registry has.
pub const VERSIONS: u64 = 64;

pub fn digest(kind: &str, version: u64) -> String {
    let hash = document::digest(format!("{kind}:{version}").as_bytes());
    format!("sha256:{}", document::hex(&hash))
}
