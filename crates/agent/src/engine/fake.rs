//! A small swarm that behaves: the Engine port's second implementation, for the simulation and for tests.
//!
//! Time is pushed ([`Fake::advance`]), chance comes from a seed, nothing iterates a hash map: the same calls give the same
//! history. It plays what decides about rollouts: scheduling on nodes, tasks that take time and fail, the restart
//! supervisor, rolling updates with parallelism, order, monitor and failure action, and Swarm's own rollback. A node's memory
//! and ports are limited; volumes are names that tasks leave behind. It plays no networks and asks nobody for health: how an
//! image behaves is told it by a [`Behaviour`].

use super::{Engine, EngineError, Info, Kind, Network, Node, Resolved, Service, Stored, Task};
use super::{JoinTokens, LogOf, LogOptions, LogStream, Pruned, Whose};
use crate::logins::Login;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, unfold};
use serde_json::Value;
use state::State;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use waggle_model::ask::ObjectKind;
use waggle_model::{StackName, Timestamp};
use waggle_stack::ApiVersion;
use waggle_stack::objects::service::ServiceSpec;
use waggle_stack::objects::{NetworkSpec, PayloadSpec};

mod ask;
mod objects;
mod state;
mod tasks;
mod update;

/// What tasks of an image do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// Start and run; jobs end well after the time of [`Timing::job`].
    #[default]
    Runs,
    /// Start and never get healthy: they fail instead of becoming `running`.
    Unhealthy,
    /// Run for a while, then exit with a code.
    Exits { after: Duration, code: i64 },
    /// The image is not to be had.
    Missing,
    /// Hang in `preparing` for ever.
    Hangs,
}

/// How long things take; each time varies by up to `jitter`.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    pub prepare: Duration,
    pub start: Duration,
    pub stop: Duration,
    pub job: Duration,
    pub jitter: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        let ms = Duration::from_millis;
        Timing { prepare: ms(200), start: ms(300), stop: ms(200), job: ms(1000), jitter: ms(50) }
    }
}

/// One simulated swarm.
pub struct Fake {
    state: Mutex<State>,
    log: ask::Log,
}

impl Fake {
    /// A swarm of `nodes` nodes, `n1` the one manager. `id` is the swarm's.
    pub fn new(id: &str, nodes: u32, seed: u64, now: Timestamp) -> Fake {
        Fake { state: Mutex::new(State::new(id, nodes, seed, now)), log: ask::Log::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state if the Engine answers at all.
    fn reach(&self) -> Result<MutexGuard<'_, State>, EngineError> {
        let state = self.state();
        if state.reachable {
            return Ok(state);
        }
        Err(EngineError::Unreachable { socket: PathBuf::from("/fake.sock"), why: "made unreachable".into() })
    }

    /// As [`reach`](Fake::reach), for a write.
    fn write(&self) -> Result<MutexGuard<'_, State>, EngineError> {
        let mut state = self.reach()?;
        if !state.leader {
            return Err(EngineError::NoLeader("The swarm does not have a leader".into()));
        }
        state.writes += 1;
        Ok(state)
    }

    /// Lets everything happen that is due until `now`.
    pub fn advance(&self, now: Timestamp) {
        self.state().advance(now);
    }

    pub fn set_timing(&self, timing: Timing) {
        self.state().timing = timing;
    }

    /// Tasks whose image reference contains `image` behave so from their start on; the latest call wins.
    pub fn script(&self, image: &str, behaviour: Behaviour) {
        self.state().behaviours.insert(0, (image.to_owned(), behaviour));
    }

    /// What `resolve` answers for `image`.
    pub fn publish(&self, image: &str, resolved: Resolved) {
        self.state().registry.insert(image.to_owned(), resolved);
    }

    /// From now on `resolve` of images of this registry needs a login.
    pub fn close_registry(&self, registry: &str) {
        self.state().closed.insert(registry.to_owned());
    }

    /// Version of the login that the swarm last got for a service.
    pub fn login_of(&self, service: &str) -> Option<u64> {
        let state = self.state();
        let (id, _) = state.services.iter().find(|(_, running)| running.spec.name == service)?;
        state.logins.get(id).copied()
    }

    /// A dead Engine, as the agent sees it; the swarm goes on.
    pub fn set_reachable(&self, reachable: bool) {
        self.state().reachable = reachable;
    }

    /// Without a leader nothing can be written; tasks go on.
    pub fn set_api_version(&self, version: ApiVersion) {
        self.state().api_version = version;
    }

    pub fn set_leader(&self, leader: bool) {
        self.state().leader = leader;
    }

    /// A node is lost or comes back. Tasks of a lost one are replaced elsewhere.
    pub fn set_node(&self, name: &str, ready: bool) {
        self.state().set_node(name, ready);
    }

    pub fn drain_node(&self, name: &str, drained: bool) {
        self.state().drain_node(name, drained);
    }

    /// The running tasks of a service exit with `code`; returns how many.
    pub fn kill(&self, service: &str, code: i64) -> usize {
        self.state().kill(service, code)
    }

    /// The next `count` updates meet a version that somebody else has just changed.
    pub fn conflict(&self, count: u32) {
        self.state().conflicts = count;
    }

    /// Somebody else changes a service by hand.
    pub fn meddle(&self, service: &str, change: impl FnOnce(&mut ServiceSpec)) {
        self.state().meddle(service, change);
    }

    /// Every running task of a service writes a line.
    pub fn say(&self, service: &str, text: &str) {
        let lines = self.state().lines(service, text);
        self.log.say(lines);
    }

    /// Images that no container uses on the Engine's node, each with its bytes.
    pub fn leave_images(&self, images: &[u64]) {
        self.state().unused_images.extend(images);
    }

    /// What the failing health check of [`Behaviour::Unhealthy`] prints.
    pub const HEALTH_OUTPUT: &str = "connection refused\nno answer on port 80";

    /// A node has this much memory, in bytes; the others have all that is wanted.
    pub fn set_memory(&self, node: &str, bytes: i64) {
        self.state().memory.insert(node.to_owned(), bytes);
    }

    /// Writes asked for so far, refused ones included.
    pub fn writes(&self) -> u64 {
        self.state().writes
    }
}

#[async_trait]
impl Engine for Fake {
    async fn info(&self) -> Result<Info, EngineError> {
        let state = self.reach()?;
        let (engine_version, swarm_id) = ("20.10.24-fake".into(), state.id.clone());
        Ok(Info { engine_version, api_version: state.api_version, swarm_id })
    }

    async fn nodes(&self) -> Result<Vec<Node>, EngineError> {
        Ok(self.reach()?.nodes.values().cloned().collect())
    }

    async fn networks(&self) -> Result<Vec<Network>, EngineError> {
        Ok(self.reach()?.networks.values().cloned().collect())
    }

    async fn stored(&self, kind: Kind) -> Result<Vec<Stored>, EngineError> {
        let state = self.reach()?;
        let of_kind = state.stored.iter().filter(|((k, _), _)| *k == kind);
        Ok(of_kind.map(|(_, stored)| stored.clone()).collect())
    }

    async fn services(&self) -> Result<Vec<Service>, EngineError> {
        Ok(self.reach()?.list_services())
    }

    async fn tasks(&self) -> Result<Vec<Task>, EngineError> {
        Ok(self.reach()?.list_tasks())
    }

    async fn tasks_up_to_date(&self) -> Result<BTreeSet<String>, EngineError> {
        Ok(self.reach()?.up_to_date())
    }

    async fn create_network(&self, spec: &NetworkSpec) -> Result<String, EngineError> {
        self.write()?.create_network(spec)
    }

    async fn remove_network(&self, id: &str) -> Result<(), EngineError> {
        self.write()?.remove_network(id)
    }

    async fn create_stored(&self, kind: Kind, spec: &PayloadSpec, data: &Bytes) -> Result<String, EngineError> {
        self.write()?.create_stored(kind, spec, data)
    }

    async fn update_stored(
        &self,
        kind: Kind,
        id: &str,
        version: u64,
        spec: &PayloadSpec,
        data: Option<&Bytes>,
    ) -> Result<(), EngineError> {
        self.write()?.update_stored(kind, id, version, spec, data)
    }

    async fn remove_stored(&self, kind: Kind, id: &str) -> Result<(), EngineError> {
        self.write()?.remove_stored(kind, id)
    }

    async fn create_service(&self, spec: &ServiceSpec, login: Option<&Login>) -> Result<String, EngineError> {
        let mut state = self.write()?;
        let id = state.create_service(spec)?;
        state.keep_login(&id, login);
        Ok(id)
    }

    async fn update_service(
        &self,
        id: &str,
        version: u64,
        spec: &ServiceSpec,
        login: Option<&Login>,
    ) -> Result<(), EngineError> {
        let mut state = self.write()?;
        state.update_service(id, version, spec)?;
        state.keep_login(id, login);
        Ok(())
    }

    async fn renew_login(&self, id: &str, login: &Login) -> Result<(), EngineError> {
        let mut state = self.write()?;
        state.renew_login(id, login)?;
        state.keep_login(id, Some(login));
        Ok(())
    }

    async fn remove_service(&self, id: &str) -> Result<(), EngineError> {
        self.write()?.remove_service(id)
    }

    async fn tasks_of(&self, whose: &Whose) -> Result<Vec<Task>, EngineError> {
        let wanted = |task: &Task| match whose {
            Whose::Everybodys => true,
            Whose::Service(id) => task.service == *id,
            Whose::Node(id) => task.node == *id,
        };
        Ok(self.reach()?.list_tasks().into_iter().filter(wanted).collect())
    }

    async fn inspect(&self, kind: ObjectKind, name: &str) -> Result<Value, EngineError> {
        self.reach()?.inspect(kind, name)
    }

    async fn logs(&self, of: &LogOf, options: &LogOptions) -> Result<LogStream, EngineError> {
        drop(self.reach()?);
        Ok(self.log.read(of, options))
    }

    async fn write_service(&self, id: &str, version: u64, spec: &Value, rollback: bool) -> Result<(), EngineError> {
        self.write()?.write_service(id, version, spec, rollback)
    }

    async fn write_node(&self, id: &str, version: u64, spec: &Value) -> Result<(), EngineError> {
        self.write()?.write_node(id, version, spec)
    }

    async fn join_tokens(&self) -> Result<JoinTokens, EngineError> {
        let id = self.reach()?.id.clone();
        Ok(JoinTokens { worker: format!("SWMTKN-1-{id}-worker"), manager: format!("SWMTKN-1-{id}-manager") })
    }

    async fn own_node(&self) -> Result<String, EngineError> {
        Ok(self.reach()?.nodes.values().find(|node| node.leader).map(|node| node.name.clone()).unwrap_or_default())
    }

    async fn prune_images(&self, all: bool) -> Result<Pruned, EngineError> {
        let unused = std::mem::take(&mut self.write()?.unused_images);
        // All of them have names here.
        let gone = if all { unused } else { Vec::new() };
        Ok(Pruned { images: gone.len() as u64, bytes: gone.iter().sum() })
    }

    async fn changes(&self) -> Result<BoxStream<'static, ()>, EngineError> {
        let changed = |mut changes: watch::Receiver<u64>| async move {
            changes.changed().await.ok()?;
            Some(((), changes))
        };
        Ok(unfold(self.reach()?.changes.subscribe(), changed).boxed())
    }

    async fn volumes(&self, stack: &StackName, used: bool) -> Result<Vec<String>, EngineError> {
        Ok(self.reach()?.volumes_of(stack, used))
    }

    async fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        self.write()?
            .volumes
            .remove(name)
            .map(drop)
            .ok_or_else(|| EngineError::NotFound(format!("no such volume: {name}")))
    }

    async fn health_output(&self, container: &str) -> Result<Option<String>, EngineError> {
        Ok(self.reach()?.health_output(container))
    }

    async fn resolve(&self, image: &str, login: Option<&Login>) -> Result<Resolved, EngineError> {
        let state = self.reach()?;
        if state.closed.iter().any(|registry| image.starts_with(registry.as_str())) && login.is_none() {
            return Err(EngineError::Refused("unauthorized: authentication required".into()));
        }
        let known = state.registry.get(image).cloned();
        known.ok_or_else(|| EngineError::NotFound(format!("manifest for {image} not found")))
    }
}

#[cfg(test)]
mod tests;
