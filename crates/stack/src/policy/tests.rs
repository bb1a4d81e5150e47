use super::*;
use crate::{Input, Source, render};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Objects of a Compose file whose one service `web` has `body`, and what follows it.
fn objects(body: &str, rest: &str) -> Objects {
    let text = format!("version: '3.8'\nservices:\n  web:\n    {}\n{rest}", body.replace('\n', "\n    "));
    let sources = [Source { name: "compose.yml".into(), text }];
    let input = Input {
        stack: "shop".parse().unwrap(),
        sources: &sources,
        workdir: Path::new("/"),
        env: &BTreeMap::new(),
        read: &|_| Err("nothing is there".into()),
        compat: BTreeSet::new(),
    };
    render(&input).unwrap_or_else(|problems| panic!("{problems:?}")).objects
}

fn refused(policy: &Policy, body: &str, rest: &str) -> Vec<(&'static str, String)> {
    check(policy, &objects(body, rest)).into_iter().map(|refusal| (refusal.key, refusal.setting)).collect()
}

fn policy(toml: &str) -> Policy {
    let policy: Policy = serde_json::from_str(toml).unwrap();
    assert_eq!(policy.problem(), None);
    policy
}

#[test]
fn what_any_container_has_passes() {
    let body = "image: nginx\ncap_drop: [ALL]\ncap_add: [NET_BIND_SERVICE, chown]\nvolumes: ['data:/data', '/anonymous']\n\
                sysctls: {net.core.somaxconn: 1024}\nulimits: {nofile: 1000}\nread_only: true";
    assert_eq!(refused(&Policy::default(), body, "volumes: {data: {}}\n"), []);
    let nfs = "volumes: {data: {driver_opts: {type: nfs, o: 'addr=192.0.2.1,rw', device: ':/export'}}}\n";
    assert_eq!(refused(&Policy::default(), "image: nginx\nvolumes: ['data:/data']", nfs), []);
}

/// A policy, a service and what follows it, the key that is refused, and what would allow it.
type Case = (&'static str, &'static str, &'static str, Option<(&'static str, &'static str)>);
const CASES: [Case; 24] = [
    ("{}", "image: registry.example/web", "", Some(("image", r#"registries = ["registry.example"]"#))),
    (r#"{"registries": ["registry.example"]}"#, "image: registry.example/web", "", None),
    (r#"{"registries": ["https://registry.example/"]}"#, "image: registry.example/web", "", None),
    (r#"{"registries": ["registry.example"]}"#, "image: nginx", "", Some(("image", r#"registries = ["docker.io"]"#))),
    (r#"{"registries": ["*"]}"#, "image: 192.0.2.1:5000/web", "", None),
    (r#"{"registries": []}"#, "image: nginx", "", Some(("image", r#"registries = ["docker.io"]"#))),
    ("{}", "image: a\nvolumes: ['/etc:/e:ro']", "", Some(("volumes", r#"bind_mounts = ["/etc"]"#))),
    (r#"{"bind_mounts": ["/srv/data"]}"#, "image: a\nvolumes: ['/srv/data/x:/e']", "", None),
    (r#"{"bind_mounts": ["/srv/data/"]}"#, "image: a\nvolumes: ['/srv//data:/e']", "", None),
    (
        r#"{"bind_mounts": ["/srv/data"]}"#,
        "image: a\nvolumes: ['/srv/database:/e']",
        "",
        Some(("volumes", r#"bind_mounts = ["/srv/database"]"#)),
    ),
    (
        r#"{"bind_mounts": ["/srv"]}"#,
        "image: a\nvolumes: ['/srv/../etc:/e']",
        "",
        Some(("volumes", r#"bind_mounts = ["/srv/../etc"]"#)),
    ),
    (
        "{}",
        "image: a\nvolumes: ['/var/run/docker.sock:/var/run/docker.sock']",
        "",
        Some(("volumes", r#"bind_mounts = ["/var/run/docker.sock"]"#)),
    ),
    (
        "{}",
        "image: a\nvolumes: ['vol:/e']",
        "volumes: {vol: {driver_opts: {type: none, o: bind, device: /etc}}}",
        Some(("volumes", r#"bind_mounts = ["/etc"]"#)),
    ),
    (
        "{}",
        "image: a\nvolumes: ['vol:/e']",
        "volumes: {vol: {driver: local, driver_opts: {type: tmpfs, o: 'size=1m,rbind', device: /etc}}}",
        Some(("volumes", r#"bind_mounts = ["/etc"]"#)),
    ),
    (
        "{}",
        "image: a\nvolumes: ['vol:/e']",
        "volumes: {vol: {driver_opts: {type: ext4, device: /dev/sda1}}}",
        Some(("volumes", r#"bind_mounts = ["/dev/sda1"]"#)),
    ),
    (
        r#"{"bind_mounts": ["/"]}"#,
        "image: a\nvolumes: ['vol:/e']",
        "volumes: {vol: {driver_opts: {type: overlay, device: overlay, o: 'lowerdir=/etc'}}}",
        Some(("volumes", r#"bind_mounts = ["overlay"]"#)),
    ),
    ("{}", "image: a\nnetworks: [h]", HOST, Some(("networks", "host_network = true"))),
    (r#"{"host_network": true}"#, "image: a\nnetworks: [h]", HOST, None),
    ("{}", "image: a\ncap_add: [net_admin]", "", Some(("cap_add", r#"capabilities = ["CAP_NET_ADMIN"]"#))),
    (r#"{"capabilities": ["NET_ADMIN"]}"#, "image: a\ncap_add: [CAP_NET_ADMIN]", "", None),
    (r#"{"capabilities": ["ALL"]}"#, "image: a\ncap_add: [SYS_ADMIN]", "", None),
    (r#"{"capabilities": ["SYS_ADMIN"]}"#, "image: a\ncap_add: [ALL]", "", Some(("cap_add", "privileged = true"))),
    (r#"{"privileged": true}"#, "image: a\ncap_add: [ALL]", "", None),
    (r#"{"privileged": true}"#, "image: a\nvolumes: ['/etc:/e']", "", Some(("volumes", r#"bind_mounts = ["/etc"]"#))),
];
const HOST: &str = "networks: {h: {external: true, name: host}}";

#[test]
fn what_is_not_listed_is_refused_with_what_would_allow_it() {
    for (policy_json, body, rest, want) in CASES {
        let want: Vec<_> = want.into_iter().map(|(key, setting)| (key, setting.to_owned())).collect();
        assert_eq!(refused(&policy(policy_json), body, rest), want, "{policy_json} {body} {rest}");
    }
}

#[test]
fn confinement_that_is_taken_away_is_seen_in_any_form() {
    for (json, off) in [
        (r#"{"Seccomp": {"Mode": "unconfined"}}"#, true),
        (r#"{"AppArmor": {"Mode": "disabled"}}"#, true),
        (r#"{"SELinuxContext": {"Disable": true}}"#, true),
        (r#"{"SELinuxContext": {"Type": "spc_t"}}"#, true),
        (r#"{"SELinuxContext": {"Disable": false}}"#, false),
        (r#"{"AppArmor": {"Mode": "default"}, "NoNewPrivileges": true}"#, false),
    ] {
        // What the types cannot carry cannot come from a stack either.
        let privileges = serde_json::from_str::<crate::objects::service::Privileges>(json).unwrap();
        let (sent, wanted) = (serde_json::to_value(&privileges).unwrap(), serde_json::from_str::<Value>(json).unwrap());
        let carried = wanted.as_object().unwrap().iter().all(|(key, value)| sent.get(key) == Some(value));
        let container = ContainerSpec { privileges: Some(privileges), ..ContainerSpec::default() };
        assert_eq!(Policy::default().confinement(&container).is_some(), off && carried, "{json}");
        assert_eq!(Policy { privileged: true, ..Policy::default() }.confinement(&container), None);
    }
}

#[test]
fn a_refusal_says_service_key_and_setting() {
    let found = check(&Policy::default(), &objects("image: r.example/a\ncap_add: [SYS_ADMIN]\nvolumes: ['/a:/b']", ""));
    let keys: Vec<_> = found.iter().map(|refusal| refusal.key).collect();
    assert_eq!(keys, ["image", "volumes", "cap_add"], "all at once");
    let want = "service web: volumes: /a of the host is mounted, which this cluster does not allow; below [allow] in its \
                agent.toml, `bind_mounts = [\"/a\"]` would";
    assert_eq!(found[1].to_string(), want);
}

#[test]
fn a_policy_that_cannot_be_meant_is_refused() {
    for bad in [r#"{"bind_mounts": ["srv"]}"#, r#"{"bind_mounts": ["/a/../b"]}"#, r#"{"registries": ["a b"]}"#] {
        assert!(serde_json::from_str::<Policy>(bad).unwrap().problem().is_some(), "{bad}");
    }
}
