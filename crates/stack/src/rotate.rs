//! Other bytes, another name: Swarm cannot change a secret or config in place, so a new version of one is a new object.
//!
//! The first bytes that a name is given keep it as it is, which is what `docker stack deploy` would have created and what
//! it may have created already. Other bytes get the name with a part of their hash, whatever order releases come in, so
//! the same content always has the same name and going back to an older release finds its objects again. Decided once,
//! by control, for all clusters. Rejected: numbers (`key_v2`), which need a counter that survives, and hashes in every
//! name, which would restart every task of a stack that docker deployed.
//!
//! The driver that has the bytes and the one that fills in templates count as part of the bytes: Swarm ignores another
//! one in an update.

use crate::labels;
use crate::objects::{Objects, Payload, PayloadSpec};
use crate::release::sha256_hex;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Names remembered per kind; when there are more, those that a release lacks are forgotten.
pub const BOUND_MAX: usize = 1000;
/// Longest secret or config name (moby/swarmkit: manager/controlapi/common.go).
const NAME_BYTES_MAX: usize = 64;
/// Digits of the hash in a name; more of them if the name is taken.
const DIGITS: usize = 10;

/// Which content a stack's names were first given: its hash ([`content`]) by name as docker would call the object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Bound {
    pub secrets: BTreeMap<String, String>,
    pub configs: BTreeMap<String, String>,
}

impl Bound {
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty() && self.configs.is_empty()
    }
}

impl Objects {
    /// Renames every secret and config whose bytes are not those its name was first given, in the services too, and notes
    /// names that were never given. What containers see (file names and targets) stays.
    pub fn rotate(&mut self, bound: &mut Bound) {
        let secrets = rename(&mut self.secrets, &mut bound.secrets);
        let configs = rename(&mut self.configs, &mut bound.configs);
        let follow = |renamed: &BTreeMap<String, String>, name: &mut String| {
            if let Some(to) = renamed.get(name) {
                name.clone_from(to);
            }
        };
        for spec in self.services.values_mut() {
            let container = &mut spec.task_template.container_spec;
            container.secrets.iter_mut().for_each(|reference| follow(&secrets, &mut reference.name));
            container.secrets.sort_by(|a, b| a.name.cmp(&b.name));
            container.configs.iter_mut().for_each(|reference| follow(&configs, &mut reference.name));
            container.configs.sort_by(|a, b| a.name.cmp(&b.name));
            if let Some(spec) = container.privileges.as_mut().and_then(|p| p.credential_spec.as_mut()) {
                follow(&configs, &mut spec.config);
            }
        }
    }
}

/// From → to of what has another name now.
fn rename(payloads: &mut BTreeMap<String, Payload>, bound: &mut BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut taken: BTreeSet<String> = payloads.keys().cloned().collect();
    let (mut renamed, mut kept) = (BTreeMap::new(), BTreeMap::new());
    for (name, payload) in std::mem::take(payloads) {
        let Payload::Managed { sha256, mut spec } = payload else {
            kept.insert(name, payload);
            continue;
        };
        let content = content(&sha256, &spec);
        if bound.entry(name.clone()).or_insert_with(|| content.clone()) == &content {
            kept.insert(name, Payload::Managed { sha256, spec });
            continue;
        }
        let free = |candidate: &String| {
            !taken.contains(candidate) && bound.get(candidate).is_none_or(|first| *first == content)
        };
        let longer = (DIGITS..=content.len()).map(|digits| versioned(&name, &content, digits));
        let to = longer.into_iter().find(free).unwrap_or_else(|| name.clone());
        taken.insert(to.clone());
        spec.name.clone_from(&to);
        spec.labels.insert(labels::NAME.into(), name.clone());
        kept.insert(to.clone(), Payload::Managed { sha256, spec });
        renamed.insert(name, to);
    }
    if bound.len() > BOUND_MAX {
        bound.retain(|name, _| kept.contains_key(name) || renamed.contains_key(name));
    }
    *payloads = kept;
    renamed
}

/// SHA-256 (hex) of the bytes; with the drivers, if there are any.
fn content(sha256: &str, spec: &PayloadSpec) -> String {
    if spec.driver.is_none() && spec.templating.is_none() {
        return sha256.to_owned();
    }
    let drivers = serde_json::json!([sha256, spec.driver, spec.templating]);
    sha256_hex(drivers.to_string().as_bytes())
}

/// `name-0123456789`. A name that must be cut takes part in the hash, so that two with one beginning stay two.
fn versioned(name: &str, content: &str, digits: usize) -> String {
    let room = NAME_BYTES_MAX.saturating_sub(digits + 1);
    if name.len() <= room {
        return format!("{name}-{}", &content[..digits]);
    }
    let mixed = sha256_hex(format!("{name}\0{content}").as_bytes());
    let stem: String = name.chars().take(room).collect();
    format!("{stem}-{}", &mixed[..digits.min(mixed.len())])
}

#[cfg(test)]
mod tests;
