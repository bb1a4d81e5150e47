//! Our side: the `stack` crate in process, with the same files and the same environment.

use crate::case::{Case, STACK, environment};
use crate::told::{Bodies, Told};
use anyhow::Result;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use waggle_stack::objects::{Network, Payload};
use waggle_stack::{Deviation, Input, Problem, Rendered, Source};

/// `workdir` is where the case was written; `compat`: deviations that are switched off.
pub fn told(case: &Case, workdir: &Path, home: &Path, compat: &[Deviation]) -> Result<Told> {
    let text = |(name, text): &(String, String)| Source { name: name.clone(), text: text.clone() };
    let sources: Vec<Source> = case.files.iter().map(text).collect();
    let env = environment(case, home);
    let read = |path: &Path| std::fs::read(path).map_err(|error| error.to_string());
    let first = case.files.first().map_or(Path::new(""), |(name, _)| Path::new(name));
    let workdir = &workdir.join(first.parent().unwrap_or(Path::new("")));
    let compat = compat.iter().copied().collect();
    let input = Input { stack: STACK.parse()?, sources: &sources, workdir, env: &env, read: &read, compat };
    let deploy = match waggle_stack::render(&input) {
        Ok(rendered) => Ok(bodies(&rendered)?),
        Err(problems) => Err(messages(&problems)),
    };
    Ok(Told { deploy, config: None })
}

fn messages(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn bodies(rendered: &Rendered) -> Result<Bodies> {
    let mut bodies = BTreeMap::new();
    for (name, network) in &rendered.objects.networks {
        if let Network::Managed(spec) = network {
            bodies.insert(format!("network/{name}"), plain(serde_json::to_value(spec)?));
        }
    }
    for (kind, all) in [("secret", &rendered.objects.secrets), ("config", &rendered.objects.configs)] {
        for (name, payload) in all {
            if let Payload::Managed { spec, .. } = payload {
                bodies.insert(format!("{kind}/{name}"), plain(serde_json::to_value(spec)?));
            }
        }
    }
    for spec in rendered.objects.services.values() {
        bodies.insert(format!("service/{}", spec.name), plain(serde_json::to_value(spec)?));
    }
    Ok(Bodies(bodies))
}

fn plain(mut body: Value) -> Value {
    if let Some(labels) = body["Labels"].as_object_mut() {
        labels.retain(|key, _| !key.starts_with("io.waggle."));
    }
    if body == json!(null) { json!({}) } else { body }
}
