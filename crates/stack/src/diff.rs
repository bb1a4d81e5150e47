//! What has to be done in a swarm so that it runs the desired objects, and nothing more: what is as wanted is left alone,
//! because every `ServiceUpdate` overwrites Swarm's previous spec and runs a job again.
//!
//! The result is decided whole before anything is written. A state that no sequence of writes can bring about (another
//! owner's name, other bytes under a name) is a [`Conflict`], and then there are no actions at all.

mod form;
pub(crate) mod normal;
mod payloads;
mod removal;
mod services;
#[cfg(test)]
mod tests;

pub use form::{Forms, forms};
pub use removal::removal;
pub use services::again;

use crate::labels;
use crate::objects::service::ServiceSpec;
use crate::objects::{Labels, Network, NetworkSpec, Objects, PayloadSpec};
use payloads::What;
use std::collections::BTreeMap;
use std::fmt;
use waggle_model::desired::Override;
use waggle_model::release::{Prune, ReleaseId, Upkeep};
use waggle_model::{StackName, Timestamp};

/// What a stack should be in one swarm.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub objects: &'a Objects,
    pub release: Option<&'a ReleaseId>,
    pub upkeep: &'a Upkeep,
    /// By service as in the file.
    pub overrides: &'a BTreeMap<String, Override>,
}

/// What is to be written, in the order of execution.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Until the release runs.
    pub actions: Vec<Action>,
    /// Once it runs: networks, secrets and configs that it lacks. Swarm's own rollback needs them until then. Each may be
    /// refused as long as something uses it.
    pub afterwards: Vec<Action>,
}

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
    pub created: Timestamp,
    /// SHA-256 (hex) of its bytes, where the Engine gives them: of configs.
    pub content: Option<String>,
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
    CreateNetwork {
        spec: NetworkSpec,
    },
    CreateSecret {
        name: String,
        sha256: String,
        spec: PayloadSpec,
    },
    CreateConfig {
        name: String,
        sha256: String,
        spec: PayloadSpec,
    },
    /// Changes labels alone.
    LabelSecret {
        id: String,
        version: u64,
        name: String,
        /// Hash of the bytes to send along: Swarm refuses them unless they are those that it has.
        verify: Option<String>,
        spec: PayloadSpec,
    },
    /// Changes labels alone.
    LabelConfig {
        id: String,
        version: u64,
        name: String,
        spec: PayloadSpec,
    },
    CreateService {
        name: String,
        spec: Box<ServiceSpec>,
    },
    UpdateService {
        id: String,
        version: u64,
        name: String,
        spec: Box<ServiceSpec>,
        /// Its tasks are replaced.
        restarts: bool,
    },
    RemoveService {
        id: String,
        name: String,
    },
    RemoveSecret {
        id: String,
        name: String,
    },
    RemoveConfig {
        id: String,
        name: String,
    },
    RemoveNetwork {
        id: String,
        name: String,
    },
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, what, name) = match self {
            Action::CreateNetwork { spec } => ("create", "network", &spec.name),
            Action::CreateSecret { name, .. } => ("create", "secret", name),
            Action::CreateConfig { name, .. } => ("create", "config", name),
            Action::LabelSecret { name, .. } => ("label", "secret", name),
            Action::LabelConfig { name, .. } => ("label", "config", name),
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
        "{what} {name} is there with other content, and Swarm cannot change it: give it a new name in the file \
         (`name: {name}_v2`), or remove it here"
    )]
    OtherContent { what: &'static str, name: String },
    #[error(
        "{field} of network {name} changed; Swarm cannot change it in place: give it a new name (`name: {name}_v2`)"
    )]
    NetworkChanged { name: String, field: &'static str },
    #[error("mode of service {name} changed from {from} to {to}; Swarm cannot change it: give the service a new name")]
    ModeChanged { name: String, from: &'static str, to: &'static str },
}

/// What brings `current` to `wanted`; nothing if all is as wanted.
///
/// What is written bears our labels ([`labels::is_own`]); a difference in them alone never restarts a task. Objects of
/// the stack that docker made are taken over when desired; others of them stay unless [`Upkeep::prune`] says so.
pub fn diff(stack: &StackName, wanted: &Wanted<'_>, current: &Current) -> Result<Plan, Vec<Conflict>> {
    let mut diff = Diff { stack, wanted: *wanted, current, conflicts: Vec::new() };
    let mut actions = diff.networks();
    actions.extend(diff.payloads(What::Secret));
    actions.extend(diff.payloads(What::Config));
    actions.extend(diff.services());
    let afterwards = diff.afterwards();
    if diff.conflicts.is_empty() { Ok(Plan { actions, afterwards }) } else { Err(diff.conflicts) }
}

struct Diff<'a> {
    stack: &'a StackName,
    wanted: Wanted<'a>,
    current: &'a Current,
    conflicts: Vec<Conflict>,
}

impl<'a> Diff<'a> {
    fn is_of_stack(&self, labels: &Labels) -> bool {
        is_of(self.stack, labels)
    }

    /// To be removed when the release lacks it.
    fn may_go(&self, labels: &Labels) -> bool {
        self.is_of_stack(labels) && (is_managed(labels) || self.wanted.upkeep.prune != Prune::None)
    }

    fn taken(&mut self, what: &'static str, name: &str) {
        self.conflicts.push(Conflict::NameTaken { what, name: name.to_owned(), stack: self.stack.clone() });
    }

    fn networks(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        for (name, network) in &self.wanted.objects.networks {
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
}

/// Has the stack's label.
fn is_of(stack: &StackName, labels: &Labels) -> bool {
    labels.get(labels::NAMESPACE).is_some_and(|of| of == stack.as_str())
}

/// Written by us.
fn is_managed(labels: &Labels) -> bool {
    labels.get(labels::MANAGED).is_some_and(|managed| managed == "true")
}

fn marked_network(spec: &NetworkSpec) -> NetworkSpec {
    let mut spec = spec.clone();
    spec.labels.insert(labels::MANAGED.into(), "true".into());
    spec
}
