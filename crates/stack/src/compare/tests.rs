use super::*;
use crate::diff::{Wanted, diff};
use crate::objects::service::Platform;
use crate::{Input, Pin, Source, render};
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use waggle_model::release::Upkeep;

const FILE: &str = include_str!("../../testdata/docker/containers.yml");
const DEPLOY: &str = include_str!("../../testdata/docker/deploy.yml");
const VOLUMES: &str = include_str!("../../testdata/docker/volumes.yml");
const REFERENCES: &str = include_str!("../../testdata/docker/references.yml");

fn stack() -> StackName {
    "shop".parse().unwrap()
}

fn objects(text: &str) -> Objects {
    let sources = [Source { name: "f.yml".into(), text: text.into() }];
    let read = |path: &Path| Ok(path.display().to_string().into_bytes());
    let env = BTreeMap::new();
    let compat = Default::default();
    let input = Input { stack: stack(), sources: &sources, workdir: Path::new("/"), env: &env, read: &read, compat };
    let mut objects = render(&input).unwrap_or_else(|problems| panic!("{}", problems[0])).objects;
    let pin = |raw: String| {
        let mut image = crate::image::parse(&raw).unwrap();
        image.digest.get_or_insert_with(|| format!("sha256:{}", "a".repeat(64)));
        let platforms = vec![Platform { architecture: "amd64".into(), os: "linux".into() }];
        (raw, Pin { reference: image.familiar(), platforms })
    };
    let pins = objects.images().into_iter().map(pin).collect();
    objects.pin(&pins).unwrap();
    objects
}

/// A swarm that runs `objects` as sent.
fn running(objects: &Objects) -> Current {
    let service = |spec: &ServiceSpec| CurrentService { id: spec.name.clone(), version: 1, spec: spec.clone() };
    Current { services: objects.services.values().map(service).collect(), ..Current::default() }
}

/// Changes of the services when `new` replaces `old`.
fn changes(old: &str, new: &str) -> Vec<Change> {
    let (old, new) = (objects(old), objects(new));
    let all = compare(&stack(), &new, &running(&old));
    all.into_iter().filter(|change| change.kind == Kind::Service).collect()
}

fn one(change: &Change) -> String {
    format!("{change} ({:?})", change.restart)
}

/// A service `a` with these keys, before and after.
fn edited(before: &str, after: &str) -> Vec<String> {
    let file = |keys: &str| {
        format!(
            "services: {{a: {{image: nginx, {keys}}}}}\nnetworks: {{n: {{}}}}\nvolumes: {{vol: {{}}}}\n\
             secrets: {{s: {{file: s}}}}\nconfigs: {{c: {{file: c}}}}"
        )
    };
    changes(&file(before), &file(after)).iter().map(one).collect()
}

#[test]
fn every_kind_of_change_has_its_path_and_says_what_it_does_to_tasks() {
    for (before, after, expected) in [
        ("", "environment: {A: b}", "environment.A (none) → b (All)"),
        ("environment: {A: b}", "environment: {A: ''}", "environment.A b → \"\" (All)"),
        ("labels: {a: b}", "", "labels.a b → (none) (All)"),
        ("", "deploy: {labels: {a: b}}", "deploy.labels.a (none) → b (No)"),
        ("", "deploy: {replicas: 3}", "deploy.replicas 1 → 3 (No)"),
        ("", "ports: ['8080:80']", "ports 8080/tcp (none) → 80 ingress (All)"),
        ("ports: ['8080:80']", "ports: ['8080:81']", "ports 8080/tcp 80 ingress → 81 ingress (All)"),
        ("ports: ['80']", "", "ports :80/tcp 80 ingress → (none) (All)"),
        ("", "deploy: {endpoint_mode: dnsrr}", "deploy.endpoint_mode vip → dnsrr (All)"),
        ("", "command: run it", "command (none) → [\"run\",\"it\"] (All)"),
        ("", "entrypoint: [x]", "entrypoint (none) → [\"x\"] (All)"),
        ("", "init: false", "init (none) → false (All)"),
        ("", "read_only: true", "read_only (none) → true (All)"),
        ("", "stop_grace_period: 90s", "stop_grace_period (none) → 1m30s (All)"),
        ("healthcheck: {interval: 5s}", "healthcheck: {interval: 6s}", "healthcheck.interval 5s → 6s (All)"),
        ("", "dns: [192.0.2.1]", "dns (none) → [\"192.0.2.1\"] (All)"),
        ("", "cap_add: [net_admin]", "cap_add (none) → [\"CAP_NET_ADMIN\"] (All)"),
        ("", "sysctls: {a: 1}", "sysctls.a (none) → 1 (All)"),
        ("", "ulimits: {core: 1}", "ulimits.core (none) → {\"hard\":1,\"soft\":1} (All)"),
        ("", "isolation: process", "isolation (none) → process (All)"),
        ("", "credential_spec: {file: x}", "credential_spec.file (none) → x (All)"),
        ("", "logging: {driver: none}", "logging.driver (none) → none (All)"),
        (
            "networks: [n]",
            "networks: {n: {aliases: [x]}}",
            "networks shop_n {\"aliases\":[\"a\"],\"driver_opts\":{}} → \
            {\"aliases\":[\"a\",\"x\"],\"driver_opts\":{}} (All)",
        ),
        (
            "secrets: [s]",
            "secrets: [{source: s, mode: 0400}]",
            "secrets shop_s \
            {\"gid\":\"0\",\"mode\":\"0444\",\"target\":\"s\",\"uid\":\"0\"} → \
            {\"gid\":\"0\",\"mode\":\"0400\",\"target\":\"s\",\"uid\":\"0\"} (All)",
        ),
        (
            "volumes: ['/a:/x']",
            "volumes: ['/b:/x']",
            "volumes /x {\"read_only\":false,\"source\":\"/a\",\"type\":\"bind\"} → \
            {\"read_only\":false,\"source\":\"/b\",\"type\":\"bind\"} (All)",
        ),
        ("", "deploy: {resources: {limits: {cpus: '0.5'}}}", "deploy.resources.limits.cpus (none) → 0.5 (All)"),
        ("", "deploy: {resources: {limits: {pids: 5}}}", "deploy.resources.limits.pids (none) → 5 (All)"),
        (
            "",
            "deploy: {resources: {reservations: {memory: 64M}}}",
            "deploy.resources.reservations.memory (none) → 64M (All)",
        ),
        ("", "deploy: {restart_policy: {delay: 1s}}", "deploy.restart_policy.delay 5s → 1s (All)"),
        (
            "",
            "deploy: {placement: {constraints: [aa==b]}}",
            "deploy.placement.constraints (none) → [\"aa==b\"] (Misplaced)",
        ),
        (
            "",
            "deploy: {placement: {max_replicas_per_node: 2}}",
            "deploy.placement.max_replicas_per_node (none) → 2 (Misplaced)",
        ),
        (
            "deploy: {update_config: {}}",
            "deploy: {update_config: {order: start-first}}",
            "deploy.update_config.order stop-first → start-first (No)",
        ),
        (
            "deploy: {update_config: {}}",
            "deploy: {update_config: {parallelism: 0}}",
            "deploy.update_config.parallelism 1 → 0 (No)",
        ),
        (
            "deploy: {mode: replicated-job}",
            "deploy: {mode: replicated-job, replicas: 2}",
            "deploy.replicas 1 → 2 (All)",
        ),
    ] {
        assert_eq!(edited(before, after), [format!("service shop_a: {expected}")], "{before} → {after}");
    }
    // Labels of a job are not written.
    assert_eq!(edited("deploy: {mode: global-job}", "deploy: {mode: global-job, labels: {a: b}}"), [""; 0]);
}

#[test]
fn an_image_and_its_label() {
    let (old, new) = ("services: {a: {image: 'nginx:1'}}", "services: {a: {image: 'nginx:2'}}");
    let found = changes(old, new);
    let paths: Vec<_> = found.iter().map(|change| (change.path.as_str(), change.restart)).collect();
    assert_eq!(paths, [("deploy.labels.com.docker.stack.image", Restart::No), ("image", Restart::All)]);
    assert_eq!(restart(&found), Restart::All);
}

#[test]
fn ports_are_not_rolled_out_when_placement_alone_differs_besides() {
    let before = "services: {a: {image: nginx}}";
    let ports = "services: {a: {image: nginx, ports: ['80:80']}}";
    let both = "services: {a: {image: nginx, ports: ['80:80'], deploy: {placement: {constraints: [aa==b]}}}}";
    let three = "services: {a: {image: nginx, tty: true, deploy: {placement: {constraints: [aa==b]}}}}";
    assert_eq!(restart(&changes(before, ports)), Restart::All);
    assert_eq!(restart(&changes(before, both)), Restart::Misplaced);
    assert_eq!(restart(&changes(before, three)), Restart::All);
    assert_eq!(restart(&[]), Restart::No);
}

#[test]
fn what_nobody_modelled_is_a_change() {
    let objects = objects("services: {a: {image: nginx}}");
    let mut current = running(&objects);
    let mut answer = serde_json::to_value(&current.services[0].spec).unwrap();
    answer["TaskTemplate"]["ContainerSpec"]["Groups"] = json!(["video"]);
    answer["TaskTemplate"]["ContainerSpec"]["Privileges"]["NoNewPrivileges"] = json!(true);
    answer["TaskTemplate"]["Resources"]["SwapBytes"] = json!(0);
    current.services[0].spec = serde_json::from_value(answer).unwrap();
    let found: Vec<_> =
        compare(&stack(), &objects, &current).iter().filter(|c| c.kind == Kind::Service).map(one).collect();
    let expected = [
        "service shop_a: NoNewPrivileges true → (none) (All)",
        "service shop_a: TaskTemplate.ContainerSpec.Groups [\"video\"] → (none) (All)",
    ];
    assert_eq!(found, expected);
}

#[test]
fn whole_objects_and_their_content() {
    let file = "services: {a: {image: nginx, networks: [n], secrets: [s]}}\nnetworks: {n: {}, e: {external: true}}\n\
        secrets: {s: {file: s}}\nconfigs: {c: {file: c}}";
    let objects = objects(file);
    let shown = |current: &Current| -> Vec<String> {
        compare(&stack(), &objects, current).iter().map(ToString::to_string).collect()
    };
    let missing = [
        "network shop_n is missing",
        "secret shop_s is missing",
        "config shop_c is missing",
        "service shop_a is missing",
    ];
    assert_eq!(shown(&Current::default()), missing);

    let labels: Labels = [(labels::NAMESPACE.to_owned(), "shop".to_owned())].into();
    let mut current = running(&objects);
    current.networks.push(crate::diff::CurrentNetwork {
        name: "shop_n".into(),
        driver: "overlay".into(),
        internal: true,
        labels: labels.clone(),
        ..Default::default()
    });
    let payload = |name: &str, more: Option<&str>| {
        let mut labels = labels.clone();
        labels.extend(more.map(|hash| (labels::SHA256.to_owned(), hash.to_owned())));
        crate::diff::CurrentPayload { name: name.into(), labels, ..Default::default() }
    };
    current.secrets.push(payload("shop_s", Some("00")));
    current.configs.push(payload("shop_c", None));
    current.configs.push(payload("shop_old", None));
    let hash = objects.secrets["shop_s"].sha256().unwrap();
    let expected = [
        "network shop_n: internal true → false".to_owned(),
        format!("secret shop_s: content sha256:00 → sha256:{hash}"),
        "config shop_old is not in the release".to_owned(),
    ];
    assert_eq!(shown(&current), expected);
}

#[test]
fn labels_of_secrets_and_configs() {
    let labelled = "secrets: {s: {file: s, labels: {team: sea, old: b}}}\nconfigs: {c: {file: c, labels: {a: b}}}";
    let objects = objects(&format!("services: {{a: {{image: nginx}}}}\n{labelled}"));
    let labels = |more: &[(&str, &str)]| -> Labels {
        let all =
            [(labels::NAMESPACE, "shop")].iter().chain(more).map(|(key, value)| (key.to_string(), value.to_string()));
        all.collect()
    };
    let payload = |name: &str, more: &[(&str, &str)]| crate::diff::CurrentPayload {
        name: name.into(),
        labels: labels(more),
        ..Default::default()
    };
    let mut current = running(&objects);
    // Whose it is and what it holds is written beside them, and is no difference.
    current
        .secrets
        .push(payload("shop_s", &[("team", "land"), ("old", "b"), ("gone", "x"), (labels::MANAGED, "true")]));
    current.configs.push(payload("shop_c", &[("a", "b")]));
    // The first is the network that nobody made.
    let shown: Vec<String> = compare(&stack(), &objects, &current).iter().skip(1).map(ToString::to_string).collect();
    assert_eq!(shown, ["secret shop_s: labels.gone x → (none)", "secret shop_s: labels.team land → sea"]);
}

#[test]
fn a_change_reads_back_from_its_json() {
    let found = changes("services: {a: {image: nginx}}", "services: {a: {image: nginx, tty: true}}");
    let text = serde_json::to_string(&found).unwrap();
    let expected = r#"[{"kind":"service","name":"shop_a","path":"tty","old":null,"new":true,"restart":"all"}]"#;
    assert_eq!(text, expected);
    assert_eq!(serde_json::from_str::<Vec<Change>>(&text).unwrap(), found);
}

/// Every leaf of a JSON value, with another value in it or without it.
fn leaves(value: &Value, path: String, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| leaves(value, format!("{path}/{key}"), found)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(i, value)| leaves(value, format!("{path}/{i}"), found))
        }
        _ => found.push(path),
    }
}

fn other(value: &Value) -> Value {
    match value {
        Value::String(text) => json!(format!("{text}x")),
        Value::Number(number) if number.is_f64() => json!(0.25),
        Value::Number(number) => json!(number.as_i64().unwrap_or_default() + 1),
        Value::Bool(on) => json!(!on),
        _ => Value::Null,
    }
}

/// Nothing that differs in normal form goes unnamed, and nothing is named that does not differ.
#[test]
fn every_leaf_of_every_spec_is_compared() {
    let mut seen = 0;
    for file in [FILE, DEPLOY, VOLUMES, REFERENCES] {
        let objects = objects(file);
        let current = running(&objects);
        assert_eq!(compare(&stack(), &objects, &current).iter().filter(|c| c.kind == Kind::Service).count(), 0);
        for existing in &current.services {
            let spec = serde_json::to_value(&existing.spec).unwrap();
            let mut paths = Vec::new();
            leaves(&spec, String::new(), &mut paths);
            for path in paths {
                let mut answer = spec.clone();
                let leaf = answer.pointer_mut(&path).unwrap();
                *leaf = other(leaf);
                let Ok(drifted) = serde_json::from_value::<ServiceSpec>(answer) else { continue };
                let desired = objects.services.values().find(|spec| spec.name == existing.spec.name).unwrap();
                let drifted = CurrentService { spec: drifted, ..existing.clone() };
                let same = {
                    let (mut to, mut from) = (normal::desired(desired), normal::current(&drifted.spec, &current));
                    (to.name, from.name) = Default::default();
                    if desired.is_job() {
                        (to.labels, from.labels) = Default::default();
                    }
                    to == from
                };
                let found = service(desired, &drifted, &current);
                assert_eq!(found.is_empty(), same, "{} {path}: {found:?}", desired.name);
                seen += 1;
            }
        }
    }
    assert!(seen > 600, "{seen}");
}

/// Parts of a service that are there or not.
const KEYS: [&str; 12] = [
    "tty: true",
    "environment: {A: b}",
    "labels: {x: y}",
    "dns: []",
    "healthcheck: {}",
    "stop_grace_period: 0s",
    "logging: {}",
    "volumes: ['vol:/v']",
    "networks: [n]",
    "secrets: [s]",
    "configs: [c]",
    "isolation: default",
];
const DEPLOYS: [&str; 8] = [
    "replicas: 1",
    "labels: {x: y}",
    "update_config: {}",
    "rollback_config: {parallelism: 1}",
    "restart_policy: {}",
    "resources: {limits: {}}",
    "placement: {}",
    "endpoint_mode: vip",
];

fn file(keys: &[bool], deploys: &[bool]) -> String {
    let pick = |all: &[&str], picked: &[bool]| {
        let texts = all.iter().zip(picked).filter(|(_, picked)| **picked).map(|(text, _)| *text);
        texts.collect::<Vec<_>>().join(", ")
    };
    let keys = pick(&KEYS, keys);
    let comma = if keys.is_empty() { "" } else { ", " };
    format!(
        "services: {{a: {{image: nginx, deploy: {{{}}}{comma}{keys}}}}}\nnetworks: {{n: {{}}}}\nvolumes: {{vol: {{}}}}\n\
         secrets: {{s: {{file: s}}}}\nconfigs: {{c: {{file: c}}}}",
        pick(&DEPLOYS, deploys)
    )
}

proptest! {
    #[test]
    fn there_is_a_change_exactly_when_there_is_a_write(
        old in prop::collection::vec(any::<bool>(), 12), old_deploy in prop::collection::vec(any::<bool>(), 8),
        new in prop::collection::vec(any::<bool>(), 12), new_deploy in prop::collection::vec(any::<bool>(), 8),
    ) {
        let (old, new) = (objects(&file(&old, &old_deploy)), objects(&file(&new, &new_deploy)));
        let mut current = running(&old);
        for service in &mut current.services {
            service.spec.labels.insert(labels::MANAGED.into(), "true".into());
        }
        let changes = compare(&stack(), &new, &current);
        let changed = changes.iter().any(|change| change.kind == Kind::Service);
        let (upkeep, overrides) = (Upkeep::default(), BTreeMap::new());
        let wanted = Wanted { objects: &new, release: None, upkeep: &upkeep, overrides: &overrides };
        let plan = diff(&stack(), &wanted, &current).unwrap();
        let written = plan.actions.iter().any(|action| action.to_string() == "update service shop_a");
        prop_assert_eq!(changed, written, "{:?}", changes);
    }
}
