use super::*;
use crate::objects::service::Platform;
use crate::{Input, Pin, Source, render};
use std::path::Path;

const FILE: &str = "
services:
  web:
    image: nginx
    ports: ['80:80', {target: 53, published: 53, protocol: udp}]
    networks: {back: {aliases: [www]}}
    volumes: ['data:/data', {type: bind, source: /x, target: /x, bind: {}}]
    secrets: [token]
    configs: [app]
    environment: {B: b, A: a}
    healthcheck: {test: ['CMD', 'true'], interval: 5s}
    deploy: {update_config: {max_failure_ratio: 0.1}}
  job:
    image: nginx
    networks: [back]
    deploy: {mode: replicated-job}
networks: {back: {}}
volumes: {data: {}}
secrets: {token: {file: token}}
configs: {app: {file: app}}
";

/// `GET /services` answers with this, ids and defaults filled in.
const WEB: &str = include_str!("../../testdata/daemon/web.json");

fn stack() -> StackName {
    "shop".parse().unwrap()
}

fn release() -> ReleaseId {
    ReleaseId([7; 32])
}

fn desired(file: &str) -> Objects {
    let sources = [Source { name: "f.yml".into(), text: file.into() }];
    let env = BTreeMap::new();
    let read = |path: &Path| Ok(path.to_string_lossy().into_owned().into_bytes());
    let input = Input {
        stack: stack(),
        sources: &sources,
        workdir: Path::new("/"),
        env: &env,
        read: &read,
        compat: BTreeSet::new(),
    };
    let mut objects = render(&input).unwrap_or_else(|problems| panic!("{}", problems[0])).objects;
    let pin = Pin {
        reference: format!("nginx:latest@sha256:{}", "a".repeat(64)),
        platforms: vec![Platform { architecture: "amd64".into(), os: "linux".into() }],
    };
    objects.pin(&BTreeMap::from([("nginx".into(), pin)])).unwrap();
    objects
}

fn plan(file: &str, current: &Current) -> Vec<Action> {
    diff(&stack(), &desired(file), Some(&release()), current).unwrap()
}

fn conflicts(file: &str, current: &Current) -> Vec<Conflict> {
    diff(&stack(), &desired(file), Some(&release()), current).unwrap_err()
}

fn short(actions: &[Action]) -> Vec<String> {
    actions.iter().map(Action::to_string).collect()
}

/// What a swarm has after the actions, specs kept as sent.
fn applied(actions: &[Action]) -> Current {
    let mut current = Current::default();
    for action in actions {
        match action.clone() {
            Action::CreateNetwork { spec } => current.networks.push(CurrentNetwork {
                id: format!("net-{}", spec.name),
                name: spec.name,
                scope: "swarm".into(),
                driver: spec.driver,
                options: BTreeMap::from([("com.docker.network.driver.overlay.vxlanid_list".into(), "4097".into())]),
                subnets: vec!["10.0.1.0/24".into()],
                labels: spec.labels,
                ..CurrentNetwork::default()
            }),
            Action::CreateSecret { name, spec, .. } => {
                current.secrets.push(CurrentPayload { id: "sec-1".into(), version: 3, name, labels: spec.labels });
            }
            Action::CreateConfig { name, spec, .. } => {
                current.configs.push(CurrentPayload { id: "con-1".into(), version: 3, name, labels: spec.labels });
            }
            Action::CreateService { name, spec } => {
                current.services.push(CurrentService { id: format!("svc-{name}"), version: 9, spec: *spec });
            }
            other => panic!("{other:?}"),
        }
    }
    current
}

fn deployed() -> Current {
    let mut current = applied(&plan(FILE, &Current::default()));
    let web = current.services.iter_mut().find(|service| service.spec.name == "shop_web").unwrap();
    let returned: ServiceSpec = serde_json::from_str(WEB).unwrap();
    assert_eq!(returned.task_template.container_spec.healthcheck.as_ref().unwrap().interval, 5_000_000_000);
    web.spec = returned;
    current
}

#[test]
fn a_new_stack_is_created_in_order() {
    let actions = plan(FILE, &Current::default());
    let expected = [
        "create network shop_back",
        "create secret shop_token",
        "create config shop_app",
        "create service shop_job",
        "create service shop_web",
    ];
    assert_eq!(short(&actions), expected);
    let Some(Action::CreateService { spec, .. }) = actions.last() else { panic!() };
    assert_eq!(spec.labels[labels::RELEASE], release().to_string());
    assert_eq!(spec.labels[labels::MANAGED], "true");
}

#[test]
fn what_is_as_wanted_is_left_alone() {
    assert_eq!(short(&plan(FILE, &deployed())), [""; 0]);
    let other = diff(&stack(), &desired(FILE), Some(&ReleaseId([9; 32])), &deployed()).unwrap();
    assert_eq!(short(&other), [""; 0], "a newer release id alone changes nothing");
}

#[test]
fn a_change_updates_that_service_and_keeps_the_counter_of_forced_updates() {
    let actions = plan(&FILE.replace("A: a", "A: x"), &deployed());
    let [Action::UpdateService { id, version, spec, .. }] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!((id.as_str(), *version), ("svc-shop_web", 9));
    assert_eq!(spec.task_template.force_update, 4);
    assert_eq!(spec.labels[labels::RELEASE], release().to_string());
    for (from, to) in [
        ("interval: 5s", "interval: 6s"),
        ("'80:80'", "'81:80'"),
        ("aliases: [www]", "aliases: [w]"),
        ("configs: [app]", "configs: [{source: app, mode: 0400}]"),
        ("max_failure_ratio: 0.1", "parallelism: 2"),
        ("max_failure_ratio: 0.1}", "max_failure_ratio: 0.1}, replicas: 2"),
        ("max_failure_ratio: 0.1}", "max_failure_ratio: 0.1}, restart_policy: {delay: 1s}"),
    ] {
        assert!(FILE.contains(from), "{from}");
        assert_eq!(short(&plan(&FILE.replace(from, to), &deployed())), ["update service shop_web"], "{to}");
    }
}

#[test]
fn drift_is_seen() {
    let mut current = deployed();
    let web = current.services.iter_mut().find(|service| service.spec.name == "shop_web").unwrap();
    web.spec.task_template.container_spec.image = "nginx:latest".into();
    assert_eq!(short(&plan(FILE, &current)), ["update service shop_web"]);
}

#[test]
fn what_is_written_bears_our_labels_and_what_is_rendered_does_not() {
    let objects = desired(FILE);
    assert!(!objects.canonical_json().contains("io.waggle."));
    let sha256 = |payloads: &BTreeMap<String, Payload>, name: &str| payloads[name].sha256().unwrap().to_owned();
    let (secret, config) = (sha256(&objects.secrets, "shop_token"), sha256(&objects.configs, "shop_app"));
    let mut seen = 0;
    for action in plan(FILE, &Current::default()) {
        let (labels, hash) = match &action {
            Action::CreateNetwork { spec } => (&spec.labels, None),
            Action::CreateSecret { spec, .. } => (&spec.labels, Some(&secret)),
            Action::CreateConfig { spec, .. } => (&spec.labels, Some(&config)),
            Action::CreateService { spec, .. } => {
                assert_eq!(spec.labels[labels::RELEASE], release().to_string());
                assert!(
                    !spec.task_template.container_spec.labels.keys().any(|key| labels::is_own(key)),
                    "restarts tasks"
                );
                (&spec.labels, None)
            }
            other => panic!("{other}"),
        };
        assert_eq!(labels[labels::MANAGED], "true", "{action}");
        assert_eq!(labels.get(labels::SHA256), hash, "{action}");
        seen += 1;
    }
    assert_eq!(seen, 5);
}

#[test]
fn our_labels_are_no_difference() {
    let mut current = deployed();
    current.services.iter_mut().for_each(|service| service.spec.labels.retain(|key, _| !labels::is_own(key)));
    assert_eq!(short(&plan(FILE, &current)), [""; 0], "docker deployed it");
    current.services.iter_mut().for_each(|service| {
        service.spec.labels.insert("other".into(), "x".into());
    });
    assert_eq!(short(&plan(FILE, &current)), ["update service shop_web"], "a job is not run again for labels");
}

#[test]
fn superfluous_objects_go_and_freed_ports_come_first() {
    let smaller = "services: {other: {image: nginx, ports: ['80:80'], networks: [new]}}\nnetworks: {new: {}}";
    let expected = [
        "create network shop_new",
        "remove service shop_web",
        "create service shop_other",
        "remove service shop_job",
        "remove secret shop_token",
        "remove config shop_app",
        "remove network shop_back",
    ];
    assert_eq!(short(&plan(smaller, &deployed())), expected);
}

#[test]
fn nothing_desired_removes_the_stack_and_only_it() {
    let mut current = deployed();
    let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    current.secrets.push(CurrentPayload {
        name: "by-hand".into(),
        labels: labels(&[(labels::NAMESPACE, "shop")]),
        ..CurrentPayload::default()
    });
    current.networks.push(CurrentNetwork {
        name: "other_back".into(),
        labels: labels(&[(labels::NAMESPACE, "other"), (labels::MANAGED, "true")]),
        ..CurrentNetwork::default()
    });
    let actions = diff(&stack(), &Objects::default(), None, &current).unwrap();
    let expected = [
        "remove service shop_job",
        "remove service shop_web",
        "remove secret shop_token",
        "remove config shop_app",
        "remove network shop_back",
    ];
    assert_eq!(short(&actions), expected);
}

#[test]
fn names_of_others_are_not_taken_over() {
    let mut current = deployed();
    let foreign = |labels: &mut Labels| {
        labels.insert(labels::NAMESPACE.into(), "other".into());
    };
    foreign(&mut current.networks[0].labels);
    foreign(&mut current.secrets[0].labels);
    foreign(&mut current.configs[0].labels);
    current.services.iter_mut().for_each(|service| foreign(&mut service.spec.labels));
    let found = conflicts(FILE, &current);
    assert_eq!(found.len(), 5, "{found:?}");
    assert!(found.iter().all(|conflict| matches!(conflict, Conflict::NameTaken { .. })));
    assert!(found[0].to_string().contains("shop_back"));
}

#[test]
fn what_was_deployed_by_hand_is_adopted() {
    let mut current = deployed();
    for labels in [&mut current.networks[0].labels, &mut current.secrets[0].labels, &mut current.configs[0].labels] {
        labels.remove(labels::MANAGED);
        labels.remove(labels::SHA256);
    }
    assert_eq!(short(&plan(FILE, &current)), [""; 0]);
}

#[test]
fn what_swarm_cannot_change_is_said() {
    let mut current = deployed();
    current.secrets[0].labels.insert(labels::SHA256.into(), "0".repeat(64));
    let found = conflicts(FILE, &current);
    let expected = "content of secret shop_token changed; Swarm cannot change it in place: give it a new name (`name: shop_token_v2`)";
    assert_eq!(found[0].to_string(), expected);
    let found = conflicts(&FILE.replace("back: {}", "back: {internal: true}"), &deployed());
    assert_eq!(found, [Conflict::NetworkChanged { name: "shop_back".into(), field: "internal" }]);
    let found = conflicts(&FILE.replace("deploy: {update_config", "deploy: {mode: global, update_config"), &deployed());
    assert_eq!(found, [Conflict::ModeChanged { name: "shop_web".into(), from: "replicated", to: "global" }]);
}

#[test]
fn externals_must_exist() {
    let file = "services: {a: {image: nginx, networks: [n, host], secrets: [s]}}
networks: {n: {external: true}, host: {external: true}}
secrets: {s: {external: true}}";
    let found = conflicts(file, &Current::default());
    let missing = |what, name: &str| Conflict::ExternalMissing { what, name: name.into() };
    assert_eq!(found, [missing("network", "n"), missing("secret", "s")]);
    let mut current = Current::default();
    current.networks.push(CurrentNetwork { name: "n".into(), scope: "local".into(), ..CurrentNetwork::default() });
    current.secrets.push(CurrentPayload { name: "s".into(), ..CurrentPayload::default() });
    assert!(matches!(conflicts(file, &current)[..], [Conflict::ExternalScope { .. }]));
    current.networks[0].scope = "swarm".into();
    assert_eq!(short(&plan(file, &current)), ["create service shop_a"]);
}
