//! What people ask of the simulated swarm: objects as JSON, logs, changes of nodes and of services that others made.

use super::state::State;
use crate::engine::{EngineError, Kind, LogOf, LogOptions, LogRecord, LogStream};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream::{StreamExt, iter, unfold};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use waggle_model::ask::ObjectKind;

/// Lines that are kept: the simulation writes few.
const LINES_MAX: usize = 200_000;

/// Everything that tasks wrote.
#[derive(Default)]
pub(super) struct Log {
    lines: Arc<Mutex<Vec<LogRecord>>>,
    /// How many there are.
    written: watch::Sender<usize>,
}

impl Log {
    pub fn say(&self, new: Vec<LogRecord>) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.extend(new);
        lines.truncate(LINES_MAX);
        self.written.send_replace(lines.len());
    }

    pub fn read(&self, of: &LogOf, options: &LogOptions) -> LogStream {
        let (of, options) = (of.clone(), options.clone());
        let lines = self.lines.clone();
        let select = move |from: usize, until: usize| -> Vec<LogRecord> {
            let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            let wanted = |line: &&LogRecord| {
                let meant = match &of {
                    LogOf::Service(id) => line.service == *id,
                    LogOf::Task(id) => line.task == *id,
                };
                meant && options.since.is_none_or(|since| line.at >= since)
            };
            lines.get(from..until).unwrap_or_default().iter().filter(wanted).cloned().collect()
        };
        let mut written = self.written.subscribe();
        let now = *written.borrow_and_update();
        let old = iter(tail(select(0, now), options.tail)).map(Ok);
        if !options.follow {
            return old.boxed();
        }
        let new = unfold((written, now, select), |(mut written, from, select)| async move {
            written.changed().await.ok()?;
            let until = *written.borrow_and_update();
            Some((iter(select(from, until)), (written, until, select)))
        });
        old.chain(new.flatten().map(Ok)).boxed()
    }
}

/// The last `count` lines of each task.
fn tail(mut lines: Vec<LogRecord>, count: Option<u64>) -> Vec<LogRecord> {
    let Some(count) = count else { return lines };
    let mut kept: BTreeMap<String, u64> = BTreeMap::new();
    lines.reverse();
    lines.retain(|line| {
        let kept = kept.entry(line.task.clone()).or_default();
        *kept += 1;
        *kept <= count
    });
    lines.reverse();
    lines
}

impl State {
    pub(super) fn lines(&self, service: &str, text: &str) -> Vec<LogRecord> {
        let of_service = |id: &str| self.services.get(id).is_some_and(|running| running.spec.name == service);
        let running = self.tasks.iter().filter(|(_, part)| part.state == "running" && of_service(&part.service));
        let line = |(id, part): (&String, &super::state::Part)| LogRecord {
            at: self.now,
            task: id.clone(),
            service: part.service.clone(),
            node: part.node.clone(),
            stderr: false,
            text: Bytes::from(text.to_owned()),
        };
        running.map(line).collect()
    }

    pub(super) fn inspect(&self, kind: ObjectKind, name: &str) -> Result<Value, EngineError> {
        let found = match kind {
            ObjectKind::Service => self.services.iter().find(|(id, s)| *id == name || s.spec.name == name).map(
                |(id, s)| json!({ "ID": id, "Version": { "Index": s.version }, "Spec": s.spec, "PreviousSpec": s.previous }),
            ),
            ObjectKind::Node => self.nodes.values().find(|node| node.id == name || node.name == name).map(|node| {
                let role = if node.reachable.is_some() { "manager" } else { "worker" };
                let spec = json!({ "Role": role, "Availability": node.availability, "Labels": {} });
                json!({ "ID": node.id, "Version": { "Index": 1 }, "Spec": spec, "Description": { "Hostname": node.name } })
            }),
            ObjectKind::Secret => self.inspect_stored(Kind::Secret, name),
            ObjectKind::Config => self.inspect_stored(Kind::Config, name),
            ObjectKind::Network => self.networks.values().find(|n| n.id == name || n.name == name).map(|network| {
                json!({ "Id": network.id, "Name": network.name, "Scope": network.scope, "Labels": network.labels })
            }),
            ObjectKind::Task => self.tasks.get_key_value(name).map(|(id, part)| {
                json!({ "ID": id, "ServiceID": part.service, "NodeID": part.node, "Status": { "State": part.state } })
            }),
        };
        found.ok_or_else(|| EngineError::NotFound(format!("{kind:?} {name} not found").to_lowercase()))
    }

    fn inspect_stored(&self, kind: Kind, name: &str) -> Option<Value> {
        let of_kind = self.stored.iter().filter(|((k, _), _)| *k == kind).map(|(_, stored)| stored);
        let stored = of_kind.into_iter().find(|stored| stored.id == name || stored.name == name)?;
        let mut spec = json!({ "Name": stored.name, "Labels": stored.labels });
        if kind == Kind::Config {
            spec["Data"] = json!(STANDARD.encode(self.data.get(&stored.id)?));
        }
        Some(json!({ "ID": stored.id, "Version": { "Index": stored.version }, "Spec": spec }))
    }

    pub(super) fn write_service(
        &mut self,
        id: &str,
        version: u64,
        spec: &Value,
        rollback: bool,
    ) -> Result<(), EngineError> {
        let previous = self.services.get(id).and_then(|service| service.previous.clone());
        let spec = match (rollback, previous) {
            (true, Some(previous)) => previous,
            (true, None) => return Err(EngineError::Refused("service does not have a previous spec".into())),
            (false, _) => serde_json::from_value(spec.clone()).map_err(|e| EngineError::Refused(e.to_string()))?,
        };
        self.update_service(id, version, &spec)
    }

    pub(super) fn write_node(&mut self, id: &str, _version: u64, spec: &Value) -> Result<(), EngineError> {
        let node = self.nodes.get_mut(id).ok_or_else(|| EngineError::NotFound(format!("node {id} not found")))?;
        let (name, before) = (node.name.clone(), node.availability.clone());
        let availability = spec["Availability"].as_str().unwrap_or_default().to_owned();
        match spec["Role"].as_str() {
            Some("manager") => node.reachable = Some(true),
            _ => node.reachable = None,
        }
        node.availability = availability.clone();
        if (availability == "drain") != (before == "drain") {
            self.drain_node(&name, availability == "drain");
        }
        Ok(())
    }
}
