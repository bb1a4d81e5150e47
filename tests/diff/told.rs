//! What one side says to a case, in a form that can be compared.

use anyhow::{Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use waggle_tests::engine_stub::{Recorded, id_of, name_of};

/// Refusals carry the message.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub deploy: Result<Bodies, String>,
    /// Text of `docker stack config`.
    pub config: Result<String, String>,
}

/// Bodies of create requests, by `kind/name in the swarm`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bodies(pub BTreeMap<String, Value>);

impl Bodies {
    /// Ids of secrets and configs become their names; everything else stays as it was sent.
    pub fn from_recorded(recorded: Recorded) -> Result<Bodies> {
        let Recorded { networks, secrets, configs, services, updates } = recorded;
        let mut bodies = BTreeMap::new();
        for (kind, of_kind) in [
            ("network", networks),
            ("secret", secrets),
            ("config", configs),
            ("service", services),
            ("update", updates),
        ] {
            for (name, mut body) in of_kind {
                ids_to_names(&mut body)?;
                bodies.insert(format!("{kind}/{name}"), body);
            }
        }
        Ok(Bodies(bodies))
    }
}

/// Docker gives references to one object in an order that changes from run to run; here they are sorted by target, those
/// for the runtime last.
fn sort_the_same(references: Option<&mut Value>, name: &str) {
    let Some(references) = references.and_then(Value::as_array_mut) else { return };
    for same in references.chunk_by_mut(|a, b| a[name] == b[name]) {
        let file = |reference: &Value| reference["File"]["Name"].as_str().map(str::to_owned);
        same.sort_by_key(|reference| (file(reference).is_none(), file(reference)));
    }
}

fn ids_to_names(body: &mut Value) -> Result<()> {
    let Some(container) = body.pointer_mut("/TaskTemplate/ContainerSpec") else { return Ok(()) };
    for (list, id, name) in [("Secrets", "SecretID", "SecretName"), ("Configs", "ConfigID", "ConfigName")] {
        for reference in container.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let wanted = id_of(reference[name].as_str().unwrap_or_default());
            ensure!(reference[id] == wanted.as_str(), "{id} is {}, not {wanted}", reference[id]);
            reference[id] = reference[name].clone();
        }
        sort_the_same(container.get_mut(list), name);
    }
    if let Some(Value::String(id)) = container.pointer_mut("/Privileges/CredentialSpec/Config") {
        *id = name_of(id).unwrap_or(id).to_owned();
    }
    Ok(())
}
