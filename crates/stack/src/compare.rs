//! What differs between what is desired and what a swarm has, field by field in the words of Compose files: for plans
//! before a deploy, for proofs after it, for drift, and for adopting what docker deployed.
//!
//! Both sides are in the normal form by which [`crate::diff`] decides, so there is a change here exactly when there is
//! something to write. A spec becomes a flat list of facts ([`facts`]), and facts are compared: that way nothing has to
//! know how an old and a new list belong together.

mod facts;
#[cfg(test)]
mod tests;
mod words;

use crate::diff::{Current, CurrentService, normal};
use crate::labels;
use crate::objects::service::ServiceSpec;
use crate::objects::{Labels, Network, Objects, Payload};
use facts::Part;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;
use waggle_model::StackName;

/// Longest text of one value in `Display`, in characters.
const SHOWN_CHARS_MAX: usize = 120;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Network,
    Secret,
    Config,
    Service,
}

/// What a change does to tasks that run (moby/swarmkit `manager/orchestrator/task.go`, `IsTaskDirty`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// Nothing.
    No,
    /// Tasks on nodes that no longer satisfy the constraints are replaced.
    Misplaced,
    /// All are replaced. Of a job: it runs again.
    All,
}

/// One difference. Values are texts, numbers and booleans as people write them in a Compose file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    pub kind: Kind,
    /// In the swarm.
    pub name: String,
    /// `image`, `environment.FOO`, `ports 8080/tcp`, `deploy.replicas`; empty: the whole object.
    pub path: String,
    /// `None`: not there.
    pub old: Option<Value>,
    /// `None`: not there.
    pub new: Option<Value>,
    pub restart: Restart,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Network => "network",
            Kind::Secret => "secret",
            Kind::Config => "config",
            Kind::Service => "service",
        };
        let dot = if self.path.is_empty() { "" } else { ": " };
        write!(f, "{kind} {}{dot}{}", self.name, self.path)?;
        match (&self.old, &self.new) {
            (None, None) => Ok(()),
            (None, Some(_)) if self.path.is_empty() => f.write_str(" is missing"),
            (Some(_), None) if self.path.is_empty() => f.write_str(" is not in the release"),
            (old, new) => write!(f, " {} → {}", shown(old.as_ref()), shown(new.as_ref())),
        }
    }
}

fn shown(value: Option<&Value>) -> String {
    let text = match value {
        None => return "(none)".into(),
        Some(Value::String(text)) if text.is_empty() => return "\"\"".into(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// All differences of a stack: networks, secrets, configs, then services, by name. Objects of the stack that are not
/// desired are there too, whoever made them.
pub fn compare(stack: &StackName, desired: &Objects, current: &Current) -> Vec<Change> {
    let mut changes = Vec::new();
    networks(desired, current, &mut changes);
    payloads(Kind::Secret, desired, current, &mut changes);
    payloads(Kind::Config, desired, current, &mut changes);
    for spec in desired.services.values() {
        match current.services.iter().find(|service| service.spec.name == spec.name) {
            Some(existing) => changes.extend(service(spec, existing, current)),
            None => changes.push(whole(Kind::Service, &spec.name, true)),
        }
    }
    surplus(stack, desired, current, &mut changes);
    changes.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    changes
}

/// What an update does to the tasks of a service. More than the most of its changes: Swarm looks at placement first, and
/// when nothing else in the task differs, it does not look at ports any more.
pub fn restart(changes: &[Change]) -> Restart {
    let misplaced = changes.iter().any(|change| change.restart == Restart::Misplaced);
    let endpoint = |change: &&Change| facts::is_endpoint(&change.path);
    let all = changes.iter().filter(|change| change.restart == Restart::All);
    match (misplaced, all.clone().any(|change| !endpoint(&change)), all.count() > 0) {
        (_, true, _) => Restart::All,
        (true, false, _) => Restart::Misplaced,
        (false, false, true) => Restart::All,
        (false, false, false) => Restart::No,
    }
}

/// Differences of one service.
pub fn service(desired: &ServiceSpec, existing: &CurrentService, current: &Current) -> Vec<Change> {
    let job = desired.is_job();
    let (mut to, mut from) = (normal::desired(desired), normal::current(&existing.spec, current));
    if job {
        // As in `diff`: labels alone are not written, because the job would run again.
        to.labels.clear();
        from.labels.clear();
    }
    let (new, old) = (facts::facts(&to), facts::facts(&from));
    let keys: BTreeSet<&String> = new.keys().chain(old.keys()).collect();
    let mut changes = Vec::new();
    for key in keys {
        let (old, new) = (old.get(key), new.get(key));
        let (Some(part), true) = (new.or(old).map(|fact| fact.part), old != new) else { continue };
        let value = |fact: Option<&facts::Fact>| fact.map(|fact| fact.value.clone());
        changes.push(Change {
            kind: Kind::Service,
            name: desired.name.clone(),
            path: key.clone(),
            old: value(old),
            new: value(new),
            restart: match part {
                _ if job => Restart::All,
                Part::Service => Restart::No,
                Part::Placement => Restart::Misplaced,
                Part::Endpoint | Part::Task => Restart::All,
            },
        });
    }
    changes
}

fn whole(kind: Kind, name: &str, desired: bool) -> Change {
    let is = |there: bool| there.then_some(Value::Bool(true));
    let (old, new) = (is(!desired), is(desired));
    Change { kind, name: name.to_owned(), path: String::new(), old, new, restart: Restart::No }
}

fn networks(desired: &Objects, current: &Current, changes: &mut Vec<Change>) {
    for (name, network) in &desired.networks {
        let existing = current.networks.iter().find(|existing| existing.name == *name);
        match (network, existing) {
            (Network::External, None) if matches!(name.as_str(), "host" | "bridge" | "none") => {}
            (_, None) => changes.push(whole(Kind::Network, name, true)),
            (Network::External, Some(_)) => {}
            (Network::Managed(spec), Some(existing)) => {
                changes.extend(normal::network_changes(spec, existing).into_iter().map(|change| Change {
                    kind: Kind::Network,
                    name: name.clone(),
                    path: change.key.map_or(change.field.to_owned(), |key| format!("{}.{key}", change.field)),
                    old: Some(change.old).filter(|old| !old.is_null()),
                    new: Some(change.new),
                    restart: Restart::No,
                }));
            }
        }
    }
}

fn payloads(kind: Kind, desired: &Objects, current: &Current, changes: &mut Vec<Change>) {
    let (desired, current) = match kind {
        Kind::Secret => (&desired.secrets, &current.secrets),
        _ => (&desired.configs, &current.configs),
    };
    for (name, payload) in desired {
        let Some(existing) = current.iter().find(|existing| existing.name == *name) else {
            changes.push(whole(kind, name, true));
            continue;
        };
        let Payload::Managed { sha256, spec } = payload else { continue };
        let mut differs = |path: String, old: Option<String>, new: Option<String>| {
            let (old, new) = (old.map(Value::String), new.map(Value::String));
            changes.push(Change { kind, name: name.clone(), path, old, new, restart: Restart::No });
        };
        if let Some(old) = existing.hash().filter(|old| *old != sha256) {
            differs("content".into(), Some(format!("sha256:{old}")), Some(format!("sha256:{sha256}")));
        }
        let keys: BTreeSet<&String> = spec.labels.keys().chain(existing.labels.keys()).collect();
        for key in keys.into_iter().filter(|key| !labels::is_own(key)) {
            let (old, new) = (existing.labels.get(key), spec.labels.get(key));
            if old != new {
                differs(format!("labels.{key}"), old.cloned(), new.cloned());
            }
        }
    }
}

fn surplus(stack: &StackName, desired: &Objects, current: &Current, changes: &mut Vec<Change>) {
    let of_stack = |labels: &Labels| labels.get(labels::NAMESPACE).is_some_and(|name| name == stack.as_str());
    let wanted: BTreeSet<&str> = desired.services.values().map(|spec| spec.name.as_str()).collect();
    let lacks = |payloads: &std::collections::BTreeMap<String, Payload>, name: &str| !payloads.contains_key(name);
    let mut add = |kind, name: &str, labels: &Labels, lacking: bool| {
        if lacking && of_stack(labels) {
            changes.push(whole(kind, name, false));
        }
    };
    for network in &current.networks {
        add(Kind::Network, &network.name, &network.labels, !desired.networks.contains_key(&network.name));
    }
    for secret in &current.secrets {
        add(Kind::Secret, &secret.name, &secret.labels, lacks(&desired.secrets, &secret.name));
    }
    for config in &current.configs {
        add(Kind::Config, &config.name, &config.labels, lacks(&desired.configs, &config.name));
    }
    for service in &current.services {
        let spec = &service.spec;
        add(Kind::Service, &spec.name, &spec.labels, !wanted.contains(spec.name.as_str()));
    }
}
