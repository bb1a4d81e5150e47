use super::*;
use crate::objects::Payload;
use crate::objects::service::Platform;
use crate::{Input, Pin, Source, render};
use std::collections::BTreeSet;
use std::path::Path;
use waggle_model::release::Upkeep;

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

fn try_diff(objects: &Objects, care: &Care, current: &Current) -> Result<Plan, Vec<Conflict>> {
    let release = release();
    let wanted = Wanted { objects, release: Some(&release), upkeep: &care.upkeep, overrides: &care.overrides };
    diff(&stack(), &wanted, current)
}

/// What people ask for beyond the objects.
#[derive(Default)]
struct Care {
    upkeep: Upkeep,
    overrides: BTreeMap<String, Override>,
}

/// All that is to be written.
fn cared(file: &str, care: &Care, current: &Current) -> Vec<Action> {
    let plan = try_diff(&desired(file), care, current).unwrap();
    plan.actions.into_iter().chain(plan.afterwards).collect()
}

fn plan(file: &str, current: &Current) -> Vec<Action> {
    cared(file, &Care::default(), current)
}

fn conflicts(file: &str, current: &Current) -> Vec<Conflict> {
    try_diff(&desired(file), &Care::default(), current).unwrap_err()
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
                let (id, labels) = ("sec-1".into(), spec.labels);
                current.secrets.push(CurrentPayload { id, version: 3, name, labels, ..CurrentPayload::default() });
            }
            Action::CreateConfig { name, sha256, spec } => {
                let (id, labels, content) = ("con-1".into(), spec.labels, Some(sha256));
                let (version, created) = (3, Timestamp(0));
                current.configs.push(CurrentPayload { id, version, name, labels, created, content });
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
    let mut returned: ServiceSpec = serde_json::from_str(WEB).unwrap();
    returned.labels.insert(labels::MANAGED.into(), "true".into());
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
    let (objects, newer, care) = (desired(FILE), ReleaseId([9; 32]), Care::default());
    let wanted = Wanted { objects: &objects, release: Some(&newer), upkeep: &care.upkeep, overrides: &care.overrides };
    assert_eq!(diff(&stack(), &wanted, &deployed()).unwrap(), Plan::default(), "a newer release alone changes nothing");
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
    current.services.iter_mut().for_each(|service| {
        service.spec.labels.insert(labels::RELEASE.into(), "another".into());
    });
    assert_eq!(short(&plan(FILE, &current)), [""; 0]);
    current.services.iter_mut().for_each(|service| {
        service.spec.labels.insert("other".into(), "x".into());
    });
    assert_eq!(short(&plan(FILE, &current)), ["update service shop_web"], "a job is not run again for labels");
}

#[test]
fn superfluous_objects_go_and_freed_ports_come_first() {
    let smaller = "services: {other: {image: nginx, ports: ['80:80'], networks: [new]}}\nnetworks: {new: {}}";
    let expected =
        ["create network shop_new", "remove service shop_web", "create service shop_other", "remove service shop_job"];
    let plan = try_diff(&desired(smaller), &Care::default(), &deployed()).unwrap();
    assert_eq!(short(&plan.actions), expected);
    let expected = ["remove secret shop_token", "remove config shop_app", "remove network shop_back"];
    assert_eq!(short(&plan.afterwards), expected, "Swarm may still go back");
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
    let expected = [
        "remove service shop_job",
        "remove service shop_web",
        "remove secret shop_token",
        "remove secret by-hand",
        "remove config shop_app",
        "remove network shop_back",
    ];
    assert_eq!(short(&removal(&stack(), &current)), expected);
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

/// As if docker had deployed it.
fn by_docker() -> Current {
    let mut current = deployed();
    let strip = |labels: &mut Labels| labels.retain(|key, _| !labels::is_own(key));
    strip(&mut current.networks[0].labels);
    strip(&mut current.secrets[0].labels);
    strip(&mut current.configs[0].labels);
    current.services.iter_mut().for_each(|service| strip(&mut service.spec.labels));
    current
}

#[test]
fn what_docker_deployed_is_adopted_by_labels_alone() {
    let (current, objects) = (by_docker(), desired(FILE));
    let actions = plan(FILE, &current);
    assert_eq!(
        short(&actions),
        ["label secret shop_token", "label config shop_app", "update service shop_web"],
        "a job would run again"
    );
    let Action::LabelSecret { verify, spec, .. } = &actions[0] else { panic!() };
    assert_eq!(verify.as_deref(), objects.secrets["shop_token"].sha256(), "Swarm says whether the bytes are ours");
    assert_eq!(spec.labels[labels::NAME], "shop_token");
    let Action::UpdateService { spec, restarts, .. } = &actions[2] else { panic!() };
    let web = current.services.iter().find(|service| service.spec.name == "shop_web").unwrap();
    assert!(!restarts);
    assert_eq!(spec.task_template, web.spec.task_template, "to the letter");
    assert_eq!(spec.endpoint_spec, web.spec.endpoint_spec);
    assert_eq!(spec.labels[labels::MANAGED], "true");
    let mut adopted = current.clone();
    adopted.services = deployed().services;
    (adopted.secrets, adopted.configs) = (deployed().secrets, deployed().configs);
    assert_eq!(short(&plan(FILE, &adopted)), [""; 0], "the network stays as docker made it");
}

/// The executor turns names into ids, and knows no config whose name is an id.
#[test]
fn a_kept_template_names_the_config_of_its_credential_spec() {
    let file = "services: {a: {image: nginx, credential_spec: {config: c}}}\nconfigs: {c: {file: c}}\n";
    let mut current = applied(&plan(file, &Current::default()));
    let spec = &mut current.services[0].spec;
    spec.labels.remove(labels::MANAGED);
    spec.fill_ids(|_| String::new(), |name| format!("id-of-{name}"));
    let actions = plan(file, &current);
    let [Action::UpdateService { spec, restarts: false, .. }] = &actions[..] else { panic!("{actions:?}") };
    let privileges = spec.task_template.container_spec.privileges.as_ref().unwrap();
    assert_eq!(privileges.credential_spec.as_ref().unwrap().config, "shop_c");
}

#[test]
fn what_docker_made_and_the_release_lacks_goes_when_asked_for() {
    let smaller = "services: {other: {image: nginx, networks: [new]}}\nnetworks: {new: {}}";
    let made = ["create network shop_new", "create service shop_other"];
    assert_eq!(short(&plan(smaller, &by_docker())), made);
    let care = Care { upkeep: Upkeep { prune: Prune::Objects, ..Upkeep::default() }, ..Care::default() };
    let gone = [
        "remove service shop_job",
        "remove service shop_web",
        "remove secret shop_token",
        "remove config shop_app",
        "remove network shop_back",
    ];
    assert_eq!(short(&cared(smaller, &care, &by_docker())), [&made[..], &gone[..]].concat());
}

#[test]
fn earlier_versions_stay_as_long_as_wanted() {
    let mut current = deployed();
    for age in 1..=3 {
        let mut labels = current.secrets[0].labels.clone();
        labels.insert(labels::SHA256.into(), age.to_string().repeat(64));
        let (id, name) = (format!("sec-old{age}"), format!("shop_token-{age}"));
        let created = Timestamp(100 - age);
        current.secrets.push(CurrentPayload { id, name, labels, created, ..CurrentPayload::default() });
    }
    let kept = |versions_kept| {
        let care = Care { upkeep: Upkeep { versions_kept, ..Upkeep::default() }, ..Care::default() };
        short(&cared(FILE, &care, &current))
    };
    assert_eq!(kept(3), [""; 0]);
    assert_eq!(kept(1), ["remove secret shop_token-2", "remove secret shop_token-3"]);
    assert_eq!(kept(0).len(), 3);
    let without = FILE.replace("secrets: {token: {file: token}}", "").replace("    secrets: [token]\n", "");
    assert_eq!(short(&plan(&without, &current)).len(), 5, "the key is gone from the file: no version is kept");
}

#[test]
fn replicas_are_kept_or_overridden_without_a_restart() {
    let mut current = deployed();
    let web = current.services.iter_mut().find(|service| service.spec.name == "shop_web").unwrap();
    web.spec.mode.replicated.as_mut().unwrap().replicas = Some(4);
    let scaled = |actions: &[Action]| match actions {
        [Action::UpdateService { spec, restarts: false, .. }] => {
            Some(spec.mode.replicated.as_ref().unwrap().replicas.unwrap_or(1))
        }
        [] => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(scaled(&plan(FILE, &current)), Some(1), "the file's number");
    let keep = Upkeep { keep_replicas: ["web".into()].into(), ..Upkeep::default() };
    let mut care = Care { upkeep: keep, ..Care::default() };
    assert_eq!(scaled(&cared(FILE, &care, &current)), None);
    care.overrides.insert("web".into(), Override { replicas: Some(7), force: 0 });
    assert_eq!(scaled(&cared(FILE, &care, &current)), Some(7), "said later than the number that is kept");
    care.overrides.insert("web".into(), Override { replicas: Some(4), force: 0 });
    assert_eq!(scaled(&cared(FILE, &care, &current)), None);
}

#[test]
fn a_forced_restart_happens_once() {
    let mut current = deployed();
    let mut care = Care::default();
    care.overrides.insert("web".into(), Override { replicas: None, force: 2 });
    let actions = cared(FILE, &care, &current);
    let [Action::UpdateService { spec, restarts: true, .. }] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!((spec.task_template.force_update, spec.labels[labels::FORCE].as_str()), (5, "2"));
    let web = current.services.iter_mut().find(|service| service.spec.name == "shop_web").unwrap();
    web.spec.labels.insert(labels::FORCE.into(), "2".into());
    assert_eq!(short(&cared(FILE, &care, &current)), [""; 0]);
    let changed = plan(&FILE.replace("A: a", "A: x"), &current);
    let [Action::UpdateService { spec, .. }] = &changed[..] else { panic!("{changed:?}") };
    assert_eq!(spec.labels[labels::FORCE], "2", "kept, so that it never counts again");
}

#[test]
fn what_swarm_cannot_change_is_said() {
    let mut current = deployed();
    current.secrets[0].labels.insert(labels::SHA256.into(), "0".repeat(64));
    current.configs[0].content = Some("0".repeat(64));
    let found = conflicts(FILE, &current);
    let expected = "secret shop_token is there with other content, and Swarm cannot change it: give it a new name in the \
                    file (`name: shop_token_v2`), or remove it here";
    assert_eq!(found[0].to_string(), expected);
    assert_eq!(found[1], Conflict::OtherContent { what: "config", name: "shop_app".into() });
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
