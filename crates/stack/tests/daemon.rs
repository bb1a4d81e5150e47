//! What an Engine 20.10 answered after the objects of `full.yml` had been created in it (`testdata/daemon/full.json`):
//! nothing is left to do, defaults and ids that the Engine filled in notwithstanding.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use waggle_model::release::Upkeep;
use waggle_stack::diff::{Action, Current, CurrentNetwork, CurrentPayload, CurrentService, Wanted, diff};
use waggle_stack::objects::service::Platform;
use waggle_stack::{Input, Objects, Pin, Source, image, render};

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

fn objects(edit: impl Fn(String) -> String) -> Objects {
    let text = edit(std::fs::read_to_string(testdata().join("full.yml")).unwrap());
    let sources = [Source { name: "full.yml".into(), text }];
    let env = BTreeMap::from([("HOME_PORT".to_owned(), "8080".to_owned())]);
    let read = |path: &Path| {
        std::fs::read(testdata().join(path.strip_prefix("/dir").unwrap())).map_err(|error| error.to_string())
    };
    let stack = "shop".parse().unwrap();
    let input =
        Input { stack, sources: &sources, workdir: Path::new("/dir"), env: &env, read: &read, compat: BTreeSet::new() };
    let mut objects = render(&input).unwrap().objects;
    let platform = |architecture: &str| Platform { architecture: architecture.into(), os: "linux".into() };
    let pin = |raw: String| {
        let mut image = image::parse(&raw).unwrap();
        image.digest.get_or_insert_with(|| format!("sha256:{}", "a".repeat(64)));
        (raw, Pin { reference: image.familiar(), platforms: vec![platform("amd64"), platform("arm")] })
    };
    let pins = objects.images().into_iter().map(pin).collect();
    objects.pin(&pins).unwrap();
    objects
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    serde_json::from_value::<Option<_>>(value.clone()).unwrap().unwrap_or_default()
}

fn list<'a>(all: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    all[key].as_array().unwrap().iter()
}

fn current() -> Current {
    let all: Value = serde_json::from_slice(&std::fs::read(testdata().join("daemon/full.json")).unwrap()).unwrap();
    let payload = |value: &Value| CurrentPayload {
        id: text(&value["ID"]),
        version: 1,
        name: text(&value["Spec"]["Name"]),
        labels: texts(&value["Spec"]["Labels"]),
        ..CurrentPayload::default()
    };
    let service = |value: &Value| CurrentService {
        id: text(&value["ID"]),
        version: 1,
        spec: serde_json::from_value(value["Spec"].clone()).unwrap(),
    };
    let network = |value: &Value| CurrentNetwork {
        id: text(&value["Id"]),
        name: text(&value["Name"]),
        scope: text(&value["Scope"]),
        driver: text(&value["Driver"]),
        internal: value["Internal"].as_bool().unwrap(),
        attachable: value["Attachable"].as_bool().unwrap(),
        options: texts(&value["Options"]),
        subnets: value["IPAM"]["Config"].as_array().into_iter().flatten().map(|c| text(&c["Subnet"])).collect(),
        labels: texts(&value["Labels"]),
    };
    Current {
        networks: list(&all, "networks").map(network).collect(),
        secrets: list(&all, "secrets").map(payload).collect(),
        configs: list(&all, "configs").map(payload).collect(),
        services: list(&all, "services").map(service).collect(),
    }
}

/// What is to be written but labels of secrets and configs, of which the Engine that was asked had fewer.
fn actions(objects: &Objects) -> Vec<Action> {
    let (upkeep, overrides) = (Upkeep::default(), BTreeMap::new());
    let wanted = Wanted { objects, release: None, upkeep: &upkeep, overrides: &overrides };
    let plan = diff(&"shop".parse().unwrap(), &wanted, &current()).unwrap();
    let is_label = |action: &Action| matches!(action, Action::LabelSecret { .. } | Action::LabelConfig { .. });
    plan.actions.into_iter().filter(|action| !is_label(action)).chain(plan.afterwards).collect()
}

#[test]
fn what_the_engine_returns_is_as_wanted() {
    assert_eq!(actions(&objects(|text| text)), []);
}

#[test]
fn each_change_is_seen_in_what_the_engine_returns() {
    for (from, to) in [
        ("user: \"1000\"", "user: \"1001\""),
        ("init: true", "init: false"),
        ("retries: 3", "retries: 4"),
        ("mode: 0440", "mode: 0400"),
        ("order: start-first, ", ""),
        ("rollback_config: {}", "rollback_config: {parallelism: 0}"),
        ("max_attempts: 0", "max_attempts: 1"),
        ("size: 1048576", "size: 2097152"),
        ("hard: 4096", "hard: 4097"),
        ("pids: 100", "pids: 101"),
        ("keep: \"yes\"", "keep: \"no\""),
        ("propagation: rslave", "propagation: rprivate"),
        ("published: 53", "published: 54"),
        ("\"flag\"]", "\"flag=on\"]"),
    ] {
        let edit = |text: String| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        };
        let actions = actions(&objects(edit));
        assert!(
            matches!(&actions[..], [Action::UpdateService { name, .. }] if name == "shop_web"),
            "{to}: {actions:?}"
        );
    }
}
