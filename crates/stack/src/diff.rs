//! What has to be done in a swarm so that it runs the desired objects, and nothing more: what is as wanted is left alone,
//! because every `ServiceUpdate` overwrites Swarm's previous spec and runs a job again.
//!
//! The result is decided whole before anything is written. A state that no sequence of writes can bring about (another
//! owner's name, changed bytes of a secret) is a [`Conflict`], and then there are no actions at all.

pub(crate) mod normal;
#[cfg(test)]
mod tests;

use crate::labels;
use crate::objects::service::{PortConfig, ServiceSpec};
use crate::objects::{Labels, Network, NetworkSpec, Objects, Payload, PayloadSpec};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use waggle_model::StackName;
use waggle_model::release::ReleaseId;

/// What the swarm has: *all* of its objects, other stacks' too, so that taken names are seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Current {
    pub networks: Vec<CurrentNetwork>,
    pub secrets: Vec<CurrentPayload>,
    pub configs: Vec<CurrentPayload>,
    pub services: Vec<CurrentService>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct CurrentNetwork {
    pub id: String,
    pub name: String,
    /// `swarm`, `local` or `global`.
    pub scope: String,
    pub driver: String,
    pub internal: bool,
    pub attachable: bool,
    /// As configured when it was created; the Engine adds some of its own.
    pub options: BTreeMap<String, String>,
    /// As the Engine reports them, chosen ones too.
    pub subnets: Vec<String>,
    pub labels: Labels,
}

/// A secret or config.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CurrentPayload {
    pub id: String,
    pub version: u64,
    pub name: String,
    pub labels: Labels,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct CurrentService {
    pub id: String,
    /// `Version.Index`, needed for an update.
    pub version: u64,
    /// `Spec` as the Engine returns it.
    pub spec: ServiceSpec,
}

/// One write, in the order of execution. Specs name networks, secrets and configs; the ids of secret and config
/// references are for the executor to fill in, who knows them after the creations before.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    CreateNetwork { spec: NetworkSpec },
    CreateSecret { name: String, sha256: String, spec: PayloadSpec },
    CreateConfig { name: String, sha256: String, spec: PayloadSpec },
    CreateService { name: String, spec: Box<ServiceSpec> },
    UpdateService { id: String, version: u64, name: String, spec: Box<ServiceSpec> },
    RemoveService { id: String, name: String },
    RemoveSecret { id: String, name: String },
    RemoveConfig { id: String, name: String },
    RemoveNetwork { id: String, name: String },
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, what, name) = match self {
            Action::CreateNetwork { spec } => ("create", "network", &spec.name),
            Action::CreateSecret { name, .. } => ("create", "secret", name),
            Action::CreateConfig { name, .. } => ("create", "config", name),
            Action::CreateService { name, .. } => ("create", "service", name),
            Action::UpdateService { name, .. } => ("update", "service", name),
            Action::RemoveService { name, .. } => ("remove", "service", name),
            Action::RemoveSecret { name, .. } => ("remove", "secret", name),
            Action::RemoveConfig { name, .. } => ("remove", "config", name),
            Action::RemoveNetwork { name, .. } => ("remove", "network", name),
        };
        write!(f, "{verb} {what} {name}")
    }
}

/// What no action can bring about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    #[error("the name {name} is taken by a {what} that does not belong to stack {stack}")]
    NameTaken { what: &'static str, name: String, stack: StackName },
    #[error("external {what} {name} does not exist")]
    ExternalMissing { what: &'static str, name: String },
    #[error("external network {name} has scope {scope}, not swarm")]
    ExternalScope { name: String, scope: String },
    #[error(
        "content of {what} {name} changed; Swarm cannot change it in place: give it a new name (`name: {name}_v2`)"
    )]
    ContentChanged { what: &'static str, name: String },
    #[error(
        "{field} of network {name} changed; Swarm cannot change it in place: give it a new name (`name: {name}_v2`)"
    )]
    NetworkChanged { name: String, field: &'static str },
    #[error("mode of service {name} changed from {from} to {to}; Swarm cannot change it: give the service a new name")]
    ModeChanged { name: String, from: &'static str, to: &'static str },
}

/// Actions that bring `current` to `desired`; none if all is as wanted. Empty `desired` removes the stack.
///
/// What is written bears our labels ([`labels::is_own`]); a difference in them alone is none, so a service that bears an
/// older release's label, or none at all because docker deployed it, is unchanged. Objects of the stack without our label
/// are adopted when desired and never removed.
pub fn diff(
    stack: &StackName,
    desired: &Objects,
    release: Option<&ReleaseId>,
    current: &Current,
) -> Result<Vec<Action>, Vec<Conflict>> {
    let mut diff = Diff { stack, release, desired, current, conflicts: Vec::new() };
    let mut actions = diff.networks();
    actions.extend(diff.payloads(SECRET));
    actions.extend(diff.payloads(CONFIG));
    actions.extend(diff.services());
    actions.extend(diff.removals());
    if diff.conflicts.is_empty() { Ok(actions) } else { Err(diff.conflicts) }
}

const SECRET: &str = "secret";
const CONFIG: &str = "config";

struct Diff<'a> {
    stack: &'a StackName,
    release: Option<&'a ReleaseId>,
    desired: &'a Objects,
    current: &'a Current,
    conflicts: Vec<Conflict>,
}

impl<'a> Diff<'a> {
    /// Has the stack's label.
    fn is_of_stack(&self, labels: &Labels) -> bool {
        labels.get(labels::NAMESPACE).is_some_and(|stack| stack == self.stack.as_str())
    }

    /// Ours to remove.
    fn is_managed(&self, labels: &Labels) -> bool {
        self.is_of_stack(labels) && labels.get(labels::MANAGED).is_some_and(|managed| managed == "true")
    }

    fn taken(&mut self, what: &'static str, name: &str) {
        self.conflicts.push(Conflict::NameTaken { what, name: name.to_owned(), stack: self.stack.clone() });
    }

    fn networks(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        for (name, network) in &self.desired.networks {
            let existing: Vec<_> = self.current.networks.iter().filter(|n| n.name == *name).collect();
            match network {
                Network::External => self.external_network(name, &existing),
                Network::Managed(spec) => match existing.iter().find(|n| self.is_of_stack(&n.labels)) {
                    Some(existing) => self.conflicts.extend(
                        normal::network_change(spec, existing)
                            .map(|field| Conflict::NetworkChanged { name: name.clone(), field }),
                    ),
                    None if existing.is_empty() => actions.push(Action::CreateNetwork { spec: marked_network(spec) }),
                    None => self.taken("network", name),
                },
            }
        }
        actions
    }

    fn external_network(&mut self, name: &str, existing: &[&CurrentNetwork]) {
        if matches!(name, "host" | "bridge" | "none") || existing.iter().any(|network| network.scope == "swarm") {
            return;
        }
        self.conflicts.push(match existing.first() {
            Some(network) => Conflict::ExternalScope { name: name.to_owned(), scope: network.scope.clone() },
            None => Conflict::ExternalMissing { what: "network", name: name.to_owned() },
        });
    }

    fn stored(&self, what: &str) -> (&'a BTreeMap<String, Payload>, &'a [CurrentPayload]) {
        match what {
            SECRET => (&self.desired.secrets, &self.current.secrets),
            _ => (&self.desired.configs, &self.current.configs),
        }
    }

    fn payloads(&mut self, what: &'static str) -> Vec<Action> {
        let (desired, current) = self.stored(what);
        let mut actions = Vec::new();
        for (name, payload) in desired {
            let existing = current.iter().find(|existing| existing.name == *name);
            match (payload, existing) {
                (Payload::External, Some(_)) => {}
                (Payload::External, None) => {
                    self.conflicts.push(Conflict::ExternalMissing { what, name: name.clone() });
                }
                (Payload::Managed { sha256, spec }, None) => {
                    let (name, spec) = (name.clone(), marked_payload(spec, sha256));
                    let sha256 = sha256.clone();
                    actions.push(match what {
                        SECRET => Action::CreateSecret { name, sha256, spec },
                        _ => Action::CreateConfig { name, sha256, spec },
                    });
                }
                (Payload::Managed { sha256, .. }, Some(existing)) => {
                    if !self.is_of_stack(&existing.labels) {
                        self.taken(what, name);
                    } else if existing.labels.get(labels::SHA256).is_some_and(|hash| hash != sha256) {
                        self.conflicts.push(Conflict::ContentChanged { what, name: name.clone() });
                    }
                }
            }
        }
        actions
    }

    /// Removals that free a published port come first, then creations and updates.
    fn services(&mut self) -> Vec<Action> {
        let wanted: BTreeSet<_> = self.desired.services.values().flat_map(published).collect();
        let mut actions: Vec<Action> = self
            .superfluous_services()
            .filter(|service| published(&service.spec).any(|port| wanted.contains(&port)))
            .map(remove_service)
            .collect();
        for spec in self.desired.services.values() {
            let existing = self.current.services.iter().find(|service| service.spec.name == spec.name);
            match existing {
                None => {
                    let spec = Box::new(marked(spec, self.release));
                    actions.push(Action::CreateService { name: spec.name.clone(), spec });
                }
                Some(existing) if !self.is_of_stack(&existing.spec.labels) => self.taken("service", &spec.name),
                Some(existing) => actions.extend(self.update(spec, existing)),
            }
        }
        actions
    }

    fn update(&mut self, spec: &ServiceSpec, existing: &CurrentService) -> Option<Action> {
        let (from, to) = (existing.spec.mode.name(), spec.mode.name());
        if from != to {
            self.conflicts.push(Conflict::ModeChanged { name: spec.name.clone(), from, to });
            return None;
        }
        let mut wanted = normal::desired(spec);
        let mut found = normal::current(&existing.spec, self.current);
        if spec.is_job() {
            // Writing labels alone would run the job again.
            wanted.labels.clear();
            found.labels.clear();
        }
        if wanted == found {
            return None;
        }
        let mut spec = marked(spec, self.release);
        spec.task_template.force_update = existing.spec.task_template.force_update;
        let (id, name) = (existing.id.clone(), spec.name.clone());
        Some(Action::UpdateService { id, version: existing.version, name, spec: Box::new(spec) })
    }

    fn superfluous_services(&self) -> impl Iterator<Item = &'a CurrentService> {
        let wanted: BTreeSet<&str> = self.desired.services.values().map(|spec| spec.name.as_str()).collect();
        let managed = |service: &&CurrentService| self.is_managed(&service.spec.labels);
        let superfluous: Vec<_> = self
            .current
            .services
            .iter()
            .filter(managed)
            .filter(|service| !wanted.contains(service.spec.name.as_str()))
            .collect();
        superfluous.into_iter()
    }

    fn removals(&self) -> Vec<Action> {
        let wanted: BTreeSet<_> = self.desired.services.values().flat_map(published).collect();
        let mut actions: Vec<Action> = self
            .superfluous_services()
            .filter(|service| !published(&service.spec).any(|port| wanted.contains(&port)))
            .map(remove_service)
            .collect();
        for what in [SECRET, CONFIG] {
            let (desired, current) = self.stored(what);
            let superfluous = |p: &&CurrentPayload| self.is_managed(&p.labels) && !desired.contains_key(&p.name);
            actions.extend(current.iter().filter(superfluous).map(|payload| {
                let (id, name) = (payload.id.clone(), payload.name.clone());
                if what == SECRET { Action::RemoveSecret { id, name } } else { Action::RemoveConfig { id, name } }
            }));
        }
        let superfluous =
            |n: &&CurrentNetwork| self.is_managed(&n.labels) && !self.desired.networks.contains_key(&n.name);
        actions.extend(
            self.current
                .networks
                .iter()
                .filter(superfluous)
                .map(|network| Action::RemoveNetwork { id: network.id.clone(), name: network.name.clone() }),
        );
        actions
    }
}

/// The service as it is written: marked as ours to change and remove, and with the release it comes from.
pub fn marked(spec: &ServiceSpec, release: Option<&ReleaseId>) -> ServiceSpec {
    let mut spec = spec.clone();
    spec.labels.insert(labels::MANAGED.into(), "true".into());
    if let Some(release) = release {
        spec.labels.insert(labels::RELEASE.into(), release.to_string());
    }
    spec
}

fn marked_network(spec: &NetworkSpec) -> NetworkSpec {
    let mut spec = spec.clone();
    spec.labels.insert(labels::MANAGED.into(), "true".into());
    spec
}

/// With the hash of the bytes, which the Engine does not give back.
fn marked_payload(spec: &PayloadSpec, sha256: &str) -> PayloadSpec {
    let mut spec = spec.clone();
    spec.labels.insert(labels::MANAGED.into(), "true".into());
    spec.labels.insert(labels::SHA256.into(), sha256.to_owned());
    spec
}

fn remove_service(service: &CurrentService) -> Action {
    Action::RemoveService { id: service.id.clone(), name: service.spec.name.clone() }
}

/// Ports taken in the routing mesh.
fn published(spec: &ServiceSpec) -> impl Iterator<Item = (u32, String)> {
    let in_mesh = |port: &&PortConfig| port.published_port != 0 && port.publish_mode != "host";
    let key = |port: &PortConfig| {
        let protocol = if port.protocol.is_empty() { "tcp" } else { &port.protocol };
        (port.published_port, protocol.to_owned())
    };
    let ports = spec.endpoint_spec.as_ref().map_or(&[][..], |endpoint| &endpoint.ports);
    ports.iter().filter(in_mesh).map(key)
}
