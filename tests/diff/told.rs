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
        let Recorded { networks, secrets, configs, services } = recorded;
        let mut bodies = BTreeMap::new();
        for (kind, of_kind) in [("network", networks), ("secret", secrets), ("config", configs), ("service", services)]
        {
            for (name, mut body) in of_kind {
                ids_to_names(&mut body)?;
                bodies.insert(format!("{kind}/{name}"), body);
            }
        }
        Ok(Bodies(bodies))
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
    }
    if let Some(Value::String(id)) = container.pointer_mut("/Privileges/CredentialSpec/Config") {
        *id = name_of(id).unwrap_or(id).to_owned();
    }
    Ok(())
}
