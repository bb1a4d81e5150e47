//! Secrets and configs: what is missing is made, what docker made is taken over, what was superseded may go.
//!
//! The Engine does not give the bytes of a secret back, so a label has their hash. A secret without one was made by
//! somebody else; whether its bytes are ours is for Swarm to say: an update of the labels that carries other bytes is
//! refused (moby/swarmkit: manager/controlapi/secret.go). Configs can be read.

use super::{Action, Conflict, CurrentPayload, Diff};
use crate::labels;
use crate::objects::{Labels, Payload, PayloadSpec};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Secret,
    Config,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            What::Secret => "secret",
            What::Config => "config",
        }
    }

    fn create(self, name: &str, sha256: &str, spec: PayloadSpec) -> Action {
        let (name, sha256) = (name.to_owned(), sha256.to_owned());
        match self {
            What::Secret => Action::CreateSecret { name, sha256, spec },
            What::Config => Action::CreateConfig { name, sha256, spec },
        }
    }

    fn label(self, existing: &CurrentPayload, verify: Option<String>, spec: PayloadSpec) -> Action {
        let (id, version, name) = (existing.id.clone(), existing.version, existing.name.clone());
        match self {
            What::Secret => Action::LabelSecret { id, version, name, verify, spec },
            What::Config => Action::LabelConfig { id, version, name, spec },
        }
    }

    pub fn remove(self, existing: &CurrentPayload) -> Action {
        let (id, name) = (existing.id.clone(), existing.name.clone());
        match self {
            What::Secret => Action::RemoveSecret { id, name },
            What::Config => Action::RemoveConfig { id, name },
        }
    }
}

impl<'a> Diff<'a> {
    fn stored(&self, what: What) -> (&'a BTreeMap<String, Payload>, &'a [CurrentPayload]) {
        match what {
            What::Secret => (&self.wanted.objects.secrets, &self.current.secrets),
            What::Config => (&self.wanted.objects.configs, &self.current.configs),
        }
    }

    pub(super) fn payloads(&mut self, what: What) -> Vec<Action> {
        let (desired, current) = self.stored(what);
        let mut actions = Vec::new();
        for (name, payload) in desired {
            let existing = current.iter().find(|existing| existing.name == *name);
            match (payload, existing) {
                (Payload::External, Some(_)) => {}
                (Payload::External, None) => {
                    self.conflicts.push(Conflict::ExternalMissing { what: what.name(), name: name.clone() });
                }
                (Payload::Managed { sha256, spec }, None) => {
                    actions.push(what.create(name, sha256, marked(spec, sha256)));
                }
                (Payload::Managed { .. }, Some(existing)) if !self.is_of_stack(&existing.labels) => {
                    self.taken(what.name(), name);
                }
                (Payload::Managed { sha256, spec }, Some(existing)) => match existing.hash() {
                    Some(hash) if hash != sha256 => {
                        self.conflicts.push(Conflict::OtherContent { what: what.name(), name: name.clone() });
                    }
                    known => {
                        let verify = (known.is_none() && spec.driver.is_none()).then(|| sha256.clone());
                        let spec = marked(spec, sha256);
                        if spec.labels != existing.labels {
                            actions.push(what.label(existing, verify, spec));
                        }
                    }
                },
            }
        }
        actions
    }

    /// What the release lacks and need not be kept as an earlier version of what it has.
    pub(super) fn superfluous_payloads(&self, what: What) -> impl Iterator<Item = &'a CurrentPayload> {
        let (desired, current) = self.stored(what);
        let plain: BTreeSet<&str> = desired.iter().filter_map(|(name, payload)| payload.plain_name(name)).collect();
        let mut superfluous: Vec<_> =
            current.iter().filter(|p| self.may_go(&p.labels) && !desired.contains_key(&p.name)).collect();
        superfluous.sort_by(|a, b| (b.created, &b.id).cmp(&(a.created, &a.id)));
        let mut versions: BTreeMap<&str, u16> = BTreeMap::new();
        superfluous.retain(|payload| {
            let name = plain_name(&payload.labels, &payload.name);
            if !plain.contains(name) {
                return true;
            }
            let seen = versions.entry(name).or_default();
            *seen = seen.saturating_add(1);
            *seen > self.wanted.upkeep.versions_kept
        });
        superfluous.into_iter()
    }
}

impl CurrentPayload {
    /// SHA-256 of the bytes, as far as it can be known.
    pub(crate) fn hash(&self) -> Option<&String> {
        self.content.as_ref().or_else(|| self.labels.get(labels::SHA256))
    }
}

impl Payload {
    /// Name under which versions of it belong together; `name` is its own.
    fn plain_name<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        match self {
            Payload::External => None,
            Payload::Managed { spec, .. } => Some(plain_name(&spec.labels, name)),
        }
    }
}

fn plain_name<'a>(labels: &'a Labels, name: &'a str) -> &'a str {
    labels.get(labels::NAME).map_or(name, String::as_str)
}

/// With the hash of the bytes, which the Engine does not give back.
fn marked(spec: &PayloadSpec, sha256: &str) -> PayloadSpec {
    let mut spec = spec.clone();
    spec.labels.insert(labels::MANAGED.into(), "true".into());
    spec.labels.insert(labels::SHA256.into(), sha256.to_owned());
    let name = spec.name.clone();
    spec.labels.entry(labels::NAME.into()).or_insert(name);
    spec
}
