//! The simulated control: the real store (in memory), the real reconciler and the real way of storing a release.
//! What lives in the store survives a kill; what was heard does not.

use crate::cluster::digest;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use waggle_control::api::Caller;
use waggle_control::deploy;
use waggle_control::reconcile::{Seen, activate, load};
use waggle_control::records::{DrainRecord, Edit, NameserverIdentity, RolloutRecord, Stored, get, keys, list};
use waggle_control::store::Store;
use waggle_control::store::redb::Redb;
use waggle_model::fleet::{Cluster, Federation, Zone};
use waggle_model::observed::Observed;
use waggle_model::plan::NameserverStatus;
use waggle_model::release::{Release, ReleaseBody, ReleaseId};
use waggle_model::rollout::Rollout;
use waggle_model::{ClusterName, NameserverName, StackName, Timestamp};
use waggle_stack::release::{release_body, release_id};
use waggle_stack::{Input, Pin, Source, render};
use waggle_wire::document::from_json;
use waggle_wire::proto::document::Document;

/// Runs in a row that may write: each may make the next step possible, and there are few steps that wait for nothing.
const ACTIVATIONS_MAX: usize = 12;

pub struct Control {
    pub up: bool,
    /// Some release has been rolled out to the end.
    pub settled_once: bool,
    store: Arc<dyn Store>,
    seen: Seen,
    last_summary: String,
}

impl Control {
    pub fn new(now: Timestamp) -> Result<Control> {
        let store: Arc<dyn Store> = Arc::new(Redb::in_memory()?);
        let seen = Seen { started: now, ..Seen::default() };
        Ok(Control { up: true, settled_once: false, store, seen, last_summary: String::new() })
    }

    pub async fn configure(&mut self, clusters: &[(&str, Ipv4Addr)], now: Timestamp) -> Result<()> {
        let mut federation = Federation::default();
        for (name, address) in clusters {
            let cluster = Cluster { addresses: vec![(*address).into()], weight: 1, ..Cluster::default() };
            federation.clusters.insert(name.parse()?, cluster);
        }
        let zone = Zone {
            nameservers: vec!["ns1.shop.example".parse()?],
            contact: "hostmaster.shop.example".parse()?,
            ttl: 300,
            negative_ttl: 5,
            records: Vec::new(),
            master: None,
        };
        federation.zones.insert("shop.example".parse()?, zone);
        for (network, (name, _)) in clusters.iter().enumerate() {
            let prefix = format!("198.51.{}.0/24", 100 + network).parse()?;
            federation.client_map.insert(prefix, vec![name.parse()?]);
        }
        let mut edit = Edit::new();
        edit.put(keys::federation(), &federation)?;
        for (number, name) in ["ns1", "ns2"].into_iter().enumerate() {
            let advertise = format!("192.0.2.{}:7445", 101 + number).parse()?;
            let identity = NameserverIdentity { name: name.parse()?, advertise, joined: now };
            edit.put(keys::nameserver(&identity.name), &identity)?;
        }
        edit.touch("")?;
        edit.commit(&*self.store).await?.context("nobody else writes")?;
        Ok(())
    }

    pub fn kill(&mut self) {
        self.up = false;
        self.seen = Seen::default();
    }

    pub fn start(&mut self, now: Timestamp) {
        if !self.up {
            self.up = true;
            self.seen = Seen { started: now, ..Seen::default() };
        }
    }

    pub fn hear_agent(&mut self, name: &ClusterName, connected: bool, report: Option<Observed>, now: Timestamp) {
        let seen = self.seen.agents.entry(name.clone()).or_default();
        seen.connected = connected;
        if connected {
            seen.last = now;
        }
        if let Some(report) = report {
            seen.observed = Some((report, now));
        }
    }

    pub fn hear_nameserver(
        &mut self,
        name: &NameserverName,
        connected: bool,
        status: Option<NameserverStatus>,
        now: Timestamp,
    ) {
        let seen = self.seen.nameservers.entry(name.clone()).or_default();
        seen.connected = connected;
        if connected {
            seen.last = now;
        }
        if status.is_some() {
            seen.status = status;
        }
    }

    /// Activates until nothing more is written: a reconciler that runs again with nothing new must have no effect.
    pub async fn activate(&mut self, now: Timestamp) -> Result<()> {
        for _ in 0..ACTIVATIONS_MAX {
            let activation = activate(&*self.store, &self.seen, now).await?;
            self.last_summary = activation.reports.iter().map(|report| format!("{report}\n")).collect();
            anyhow::ensure!(activation.problems.is_empty(), "the reconciler reports {:?}", activation.problems);
            if !activation.committed {
                self.settled_once |= load(&*self.store).await?.stacks.values().any(|stack| !stack.settled.is_empty());
                return Ok(());
            }
        }
        anyhow::bail!("the reconciler still writes after {ACTIVATIONS_MAX} runs with nothing new")
    }

    pub fn tell(&self) -> &str {
        &self.last_summary
    }

    pub async fn desired(&self, cluster: &ClusterName) -> Result<Option<Document>> {
        let entry = self.store.get(&keys::desired(cluster)).await?;
        Ok(entry.map(|entry| Stored::open(&entry)).transpose()?.map(document))
    }

    pub async fn plan(&self) -> Result<Option<Document>> {
        let entry = self.store.get(&keys::plan()).await?;
        Ok(entry.map(|entry| Stored::open(&entry)).transpose()?.map(document))
    }

    pub async fn releases(&self) -> Result<u64> {
        Ok(list::<Release>(&*self.store, keys::RELEASES).await?.len() as u64)
    }

    /// The stack's newest rollout.
    pub async fn rollout(&self) -> Result<Option<Rollout>> {
        let loaded = load(&*self.store).await?;
        Ok(loaded.rollouts.values().next_back().map(|record| record.rollout.clone()))
    }

    /// What this cluster should run now.
    pub async fn wanted(&self, cluster: &ClusterName) -> Result<Option<ReleaseId>> {
        let loaded = load(&*self.store).await?;
        Ok(loaded.state.stacks.values().next().and_then(|stack| stack.wanted(cluster).release))
    }

    pub async fn deploy(&mut self, kind: &str, version: u64, now: Timestamp) -> Result<()> {
        if self.up {
            let body = body(kind, version)?;
            let release = Release { id: release_id(&body), body, created: now, author: "simulation".into() };
            let caller = Caller { name: "simulation".into(), traceparent: String::new() };
            let written = deploy::store_release(&*self.store, &caller, release, now).await;
            written.map_err(|refused| anyhow::anyhow!("{refused:?}"))?;
        }
        Ok(())
    }

    pub async fn pause(&mut self, now: Timestamp) -> Result<()> {
        self.change_rollout(now, |rollout| rollout.pause("simulation").ok()).await
    }

    pub async fn resume(&mut self, now: Timestamp) -> Result<()> {
        self.change_rollout(now, |rollout| rollout.resume().ok()).await
    }

    pub async fn abort(&mut self, now: Timestamp) -> Result<()> {
        self.change_rollout(now, |rollout| rollout.abort("simulation").ok()).await
    }

    async fn change_rollout(&mut self, _now: Timestamp, change: impl Fn(&Rollout) -> Option<Rollout>) -> Result<()> {
        let Some(rollout) = self.rollout().await?.filter(|_| self.up) else { return Ok(()) };
        let Some(next) = change(&rollout) else { return Ok(()) };
        let key = keys::rollout(next.id);
        let Some(found) = get::<RolloutRecord>(&*self.store, &key).await? else { return Ok(()) };
        let mut edit = Edit::new();
        edit.put(key, &RolloutRecord { rollout: next, ..found.value })?;
        edit.touch("")?;
        edit.commit(&*self.store).await?;
        Ok(())
    }

    /// One cluster at a time: two drained ones and a rollout would leave no way out.
    pub async fn drain(&mut self, cluster: &str, now: Timestamp) -> Result<()> {
        let loaded = load(&*self.store).await?;
        if !self.up || !loaded.drains.is_empty() {
            return Ok(());
        }
        let record = DrainRecord { reason: "maintenance".into(), by: "simulation".into(), since: now };
        let mut edit = Edit::new();
        edit.put(keys::drain(&cluster.parse()?), &record)?;
        edit.touch("")?;
        edit.commit(&*self.store).await?;
        Ok(())
    }

    pub async fn readmit(&mut self, cluster: &str, _now: Timestamp) -> Result<()> {
        if self.up {
            let mut edit = Edit::new();
            edit.delete(keys::drain(&cluster.parse()?));
            edit.touch("")?;
            edit.commit(&*self.store).await?;
        }
        Ok(())
    }
}

fn document(stored: Stored) -> Document {
    from_json(stored.generation, stored.json.to_vec(), stored.traceparent)
}

/// A release as the command line and control would make it of a Compose file.
fn body(kind: &str, version: u64) -> Result<ReleaseBody> {
    let stack: StackName = "shop".parse()?;
    let image = format!("registry.test/{kind}:{version}");
    let text = format!(
        "services:\n  web:\n    image: {image}\n    deploy: {{update_config: {{failure_action: rollback, monitor: 1s}}}}\n\
         x-waggle:\n  routes:\n    - {{name: www.shop.example, service: web, ttl: 2s, check: {{tcp: {{port: 80}}, \
         interval: 300ms, timeout: 200ms}}}}\n  promotion: {{monitor: 1s, progress_deadline: 30s}}\n"
    );
    let sources = [Source { name: "shop.yml".into(), text }];
    let nothing = |path: &Path| Err(format!("{} is not there", path.display()));
    let input = Input {
        stack: stack.clone(),
        sources: &sources,
        workdir: Path::new("/"),
        env: &BTreeMap::new(),
        read: &nothing,
        compat: BTreeSet::new(),
    };
    let rendered = render(&input).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    let mut objects = rendered.objects;
    let reference = format!("{image}@{}", digest(kind, version));
    objects.pin(&[(image.clone(), Pin { reference: reference.clone(), platforms: Vec::new() })].into())?;
    Ok(release_body(
        stack,
        &objects,
        [(image, reference)].into(),
        rendered.routes,
        rendered.promotion,
        rendered.upkeep,
        Vec::new(),
    ))
}
