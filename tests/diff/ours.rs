//! Our side: the `stack` crate in process, with the same files and the same environment.

use crate::case::{Case, STACK, environment};
use crate::told::{Bodies, Told};
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::Path;
use waggle_stack::{ApiVersion, Deviation, EngineJsonOptions, Input, Problem, Source, engine_json};

/// `workdir` is where the case was written; `compat`: deviations that are switched off.
pub fn told(case: &Case, workdir: &Path, home: &Path, api_version: &str, compat: &[Deviation]) -> Result<Told> {
    let (major, minor) = api_version.split_once('.').context("API version")?;
    let options = EngineJsonOptions { api_version: ApiVersion(major.parse()?, minor.parse()?), pins: None };
    with_input(case, workdir, home, compat, |input| {
        let deploy = match waggle_stack::render(input) {
            Ok(rendered) => Ok(bodies(&engine_json(&rendered, options))?),
            Err(problems) => Err(messages(&problems)),
        };
        let config = waggle_stack::config(input, true).map(|printed| printed.text);
        Ok(Told { deploy, config: config.map_err(|problems| messages(&problems)) })
    })
}

/// A case as input of the `stack` crate.
pub fn with_input<T>(
    case: &Case,
    workdir: &Path,
    home: &Path,
    compat: &[Deviation],
    then: impl FnOnce(&Input<'_>) -> Result<T>,
) -> Result<T> {
    let text = |(name, text): &(String, String)| Source { name: name.clone(), text: text.clone() };
    let sources: Vec<Source> = case.files.iter().map(text).collect();
    let env = environment(case, home);
    let read = |path: &Path| std::fs::read(path).map_err(|error| error.to_string());
    let first = case.files.first().map_or(Path::new(""), |(name, _)| Path::new(name));
    let workdir = &workdir.join(first.parent().unwrap_or(Path::new("")));
    let compat = compat.iter().copied().collect();
    then(&Input { stack: STACK.parse()?, sources: &sources, workdir, env: &env, read: &read, compat })
}

pub fn messages(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn bodies(all: &Value) -> Result<Bodies> {
    let mut bodies = Bodies::default();
    for kind in ["network", "secret", "config", "service"] {
        let of_kind = all[format!("{kind}s")].as_array().with_context(|| format!("no {kind}s"))?;
        for named in of_kind {
            let name = named["name"].as_str().context("a body without a name")?;
            bodies.0.insert(format!("{kind}/{name}"), named["body"].clone());
        }
    }
    Ok(bodies)
}
