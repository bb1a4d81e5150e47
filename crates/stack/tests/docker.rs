//! The same bodies as `docker stack deploy` of the docker command line 28.2.2 sent: `testdata/docker/NAME.json` holds
//! what a recording Engine API received from it for `NAME.yml`, an Engine of API 1.41, `--resolve-image never`, ids of
//! secrets and configs being their names. These files come from docker and from nothing else: they are not blessed.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use waggle_stack::objects::service::Platform;
use waggle_stack::{ApiVersion, EngineJsonOptions, Input, Pin, Rendered, Source, engine_json, render};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/docker")
}

fn rendered(name: &str) -> Rendered {
    let text = std::fs::read_to_string(directory().join(format!("{name}.yml"))).unwrap();
    let sources = [Source { name: format!("{name}.yml"), text }];
    let workdir = directory();
    let read = |path: &Path| std::fs::read(path).map_err(|error| error.to_string());
    let stack = "shop".parse().unwrap();
    let env = BTreeMap::new();
    let compat = Default::default();
    let input = Input { stack, sources: &sources, workdir: &workdir, env: &env, read: &read, compat };
    render(&input).unwrap_or_else(|problems| panic!("{name}: {}", problems[0]))
}

/// Where two values differ, one line each.
fn differences(path: &str, docker: &Value, ours: &Value, found: &mut Vec<String>) {
    match (docker, ours) {
        (Value::Object(docker), Value::Object(ours)) => {
            let keys: std::collections::BTreeSet<&String> = docker.keys().chain(ours.keys()).collect();
            for key in keys {
                let path = format!("{path}.{key}");
                match (docker.get(key), ours.get(key)) {
                    (Some(docker), Some(ours)) => differences(&path, docker, ours, found),
                    (docker, ours) => found.push(format!("{path}: docker {docker:?}, we {ours:?}")),
                }
            }
        }
        (Value::Array(docker), Value::Array(ours)) if docker.len() == ours.len() => {
            for (index, (docker, ours)) in docker.iter().zip(ours).enumerate() {
                let name = docker["name"].as_str().map_or(index.to_string(), str::to_owned);
                differences(&format!("{path}[{name}]"), docker, ours, found);
            }
        }
        (docker, ours) if docker != ours => found.push(format!("{path}: docker {docker}, we {ours}")),
        _ => {}
    }
}

fn check(recorded: &str, rendered: &Rendered, options: EngineJsonOptions<'_>) {
    let text = std::fs::read_to_string(directory().join(format!("{recorded}.json"))).unwrap();
    let docker: Value = serde_json::from_str(&text).unwrap();
    let mut ours = engine_json(rendered, options);
    ours.as_object_mut().unwrap().remove("warnings");
    let mut found = Vec::new();
    differences("", &docker, &ours, &mut found);
    assert!(found.is_empty(), "{recorded}:\n{}", found.join("\n"));
}

#[test]
fn every_body_is_what_docker_sends() {
    for name in ["containers", "deploy", "references", "networks", "volumes"] {
        check(name, &rendered(name), EngineJsonOptions::default());
    }
}

/// `networks.yml` sent to an Engine of API 1.44 with `--resolve-image always`, the registry answering with this.
#[test]
fn a_newer_engine_and_pinned_images() {
    let platform = |os: &str, architecture: &str| Platform { os: os.into(), architecture: architecture.into() };
    let pin = Pin {
        reference: format!("nginx:latest@sha256:{}", "a".repeat(64)),
        platforms: vec![platform("linux", "amd64"), platform("linux", "arm"), platform("unknown", "unknown")],
    };
    let pins = BTreeMap::from([("nginx".to_owned(), pin)]);
    let options = EngineJsonOptions { api_version: ApiVersion(1, 44), pins: Some(&pins) };
    check("pinned", &rendered("networks"), options);
}
