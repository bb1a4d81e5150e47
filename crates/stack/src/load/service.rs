//! One service of one file.

use super::{Context, attach, deploy, ports, volumes};
use crate::compose::{CredentialSpec, Healthcheck, Logging, Service};
use crate::problem::Place;
use crate::read::{At, Map, Spot};
use crate::scalar::{env_file, shell};
use crate::yaml::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Keys that `docker stack deploy` refuses, with what to use instead.
const FORBIDDEN: [(&str, &str); 8] = [
    ("extends", "use a second -c file instead"),
    ("volume_driver", "name the driver in the top-level volume instead"),
    ("volumes_from", "share a named volume instead"),
    ("cpu_quota", "use deploy.resources instead"),
    ("cpu_shares", "use deploy.resources instead"),
    ("cpuset", "use deploy.resources instead"),
    ("mem_limit", "use deploy.resources instead"),
    ("memswap_limit", "use deploy.resources instead"),
];

/// Keys that Swarm services do not have and `docker stack deploy` ignores.
const IGNORED: [&str; 14] = [
    "build",
    "cgroupns_mode",
    "cgroup_parent",
    "devices",
    "domainname",
    "external_links",
    "ipc",
    "links",
    "mac_address",
    "network_mode",
    "pid",
    "privileged",
    "security_opt",
    "shm_size",
];

const DEPRECATED: [&str; 2] = ["container_name", "expose"];

const KNOWN: [&str; 35] = [
    "image",
    "command",
    "entrypoint",
    "environment",
    "env_file",
    "labels",
    "hostname",
    "user",
    "working_dir",
    "stop_signal",
    "stop_grace_period",
    "init",
    "read_only",
    "tty",
    "stdin_open",
    "cap_add",
    "cap_drop",
    "dns",
    "dns_search",
    "extra_hosts",
    "sysctls",
    "ulimits",
    "logging",
    "healthcheck",
    "networks",
    "ports",
    "volumes",
    "secrets",
    "configs",
    "restart",
    "deploy",
    "depends_on",
    "isolation",
    "credential_spec",
    "oom_score_adj",
];

pub(super) fn read(context: &Context<'_>, at: Place, node: &At<'_>) -> Option<Service> {
    let mut map = node.map()?;
    for (key, instead) in FORBIDDEN {
        map.refuse(key, &format!("{key} is not possible in a stack; {instead}"));
    }
    let spot_bool = |map: &mut Map<'_>, key: &str| map.take(key).and_then(|at| Some(at.spot(at.bool()?)));
    let service = Service {
        at,
        image: map.take("image").and_then(|at| Some(at.spot(at.string()?))),
        command: map.take("command").and_then(|at| words(&at)),
        entrypoint: map.take("entrypoint").and_then(|at| words(&at)),
        environment: environment(context, &mut map),
        labels: map.labels("labels"),
        hostname: map.string("hostname"),
        user: map.string("user"),
        working_dir: map.string("working_dir"),
        stop_signal: map.string("stop_signal"),
        stop_grace_period: map.take("stop_grace_period").and_then(|at| at.nanos()),
        init: spot_bool(&mut map, "init"),
        read_only: spot_bool(&mut map, "read_only"),
        tty: spot_bool(&mut map, "tty"),
        stdin_open: spot_bool(&mut map, "stdin_open"),
        cap_add: strings(&mut map, "cap_add"),
        cap_drop: strings(&mut map, "cap_drop"),
        dns: map.take("dns").map(|at| addresses(&at)),
        dns_search: map.take("dns_search").and_then(|at| at.string_or_list()),
        extra_hosts: map.take("extra_hosts").map(|at| extra_hosts(&at)).unwrap_or_default(),
        sysctls: map.labels("sysctls"),
        ulimits: map.take("ulimits").map(|at| ulimits(&at)).unwrap_or_default(),
        logging: map.take("logging").and_then(|at| logging(&at)),
        healthcheck: map.take("healthcheck").and_then(|at| healthcheck(&at)),
        networks: map.take("networks").map(|at| attach::networks(&at)).unwrap_or_default(),
        ports: map.take("ports").map(|at| ports::read(&at)).unwrap_or_default(),
        volumes: map.take("volumes").map(|at| volumes::read(&at)).unwrap_or_default(),
        secrets: map.take("secrets").map(|at| attach::references(&at)).unwrap_or_default(),
        configs: map.take("configs").map(|at| attach::references(&at)).unwrap_or_default(),
        restart: map.take("restart").and_then(|at| Some(at.spot(at.string()?))),
        isolation: map.take("isolation").and_then(|at| Some(at.spot(at.string()?))),
        credential_spec: map.take("credential_spec").and_then(|at| credential_spec(&at)),
        oom_score_adj: map
            .take("oom_score_adj")
            .and_then(|at| Some(at.spot(at.int(i64::MIN, i64::MAX)?)))
            .unwrap_or_default(),
        deploy: map.take("deploy").and_then(|at| deploy::read(&at)).unwrap_or_default(),
    };
    for key in IGNORED.into_iter().chain(["userns_mode"]) {
        map.warn(key, &format!("{key} is ignored: Swarm services do not have it"));
    }
    for key in DEPRECATED {
        map.warn(key, &format!("{key} is deprecated and ignored"));
    }
    map.warn("depends_on", "depends_on is ignored: Swarm starts services in any order");
    map.warn("tmpfs", "tmpfs is ignored: use volumes with type: tmpfs");
    map.finish(&KNOWN);
    Some(service)
}

fn strings(map: &mut Map<'_>, key: &str) -> Vec<String> {
    map.take(key).and_then(|at| at.strings()).unwrap_or_default()
}

fn addresses(at: &At<'_>) -> Vec<String> {
    let addresses = at.string_or_list().unwrap_or_default();
    for address in addresses.iter().filter(|address| address.parse::<std::net::IpAddr>().is_err()) {
        at.error(format!("{address:?} is not an IP address"));
    }
    addresses
}

fn words(at: &At<'_>) -> Option<Vec<String>> {
    match &at.node.value {
        Value::Seq(_) => at.strings(),
        Value::Null => None,
        Value::String(text) => {
            shell::split(text).map_err(|why| at.error(format!("cannot split into words: {why}"))).ok()
        }
        _ => at.wrong("a string or a list of strings"),
    }
}

/// `env_file` in order, then `environment`. A value that is missing or empty is taken from the outside if set there.
fn environment(context: &Context<'_>, map: &mut Map<'_>) -> BTreeMap<String, Option<String>> {
    let mut pairs = Vec::new();
    if let Some(at) = map.take("env_file") {
        for file in at.string_or_list().unwrap_or_default() {
            match read_env_file(context, &file) {
                Ok(more) => pairs.extend(more.into_iter().map(|(key, value)| (key, Some(value)))),
                Err(why) => at.error(format!("env file {file}: {why}")),
            }
        }
    }
    pairs.extend(map.take("environment").and_then(|at| at.pairs('=')).unwrap_or_default());
    let outside = |(key, value): (String, Option<String>)| match (value.as_deref(), context.input.env.get(&key)) {
        (None | Some(""), Some(outer)) => (key, Some(outer.clone())),
        _ => (key, value),
    };
    pairs.into_iter().map(outside).collect()
}

fn read_env_file(context: &Context<'_>, file: &str) -> Result<Vec<(String, String)>, String> {
    let bytes = (context.input.read)(&context.input.workdir.join(Path::new(file)))?;
    env_file::parse(&bytes, context.input.env)
}

fn extra_hosts(at: &At<'_>) -> Vec<Spot<String>> {
    let mut hosts = Vec::new();
    for (host, address) in at.pairs(':').unwrap_or_default() {
        match address.filter(|address| !address.is_empty()) {
            Some(address) => hosts.push(at.spot(format!("{host}:{address}"))),
            None => at.error(format!("extra host {host:?} has no address: write host:address")),
        }
    }
    if let Value::Map(_) = at.node.value {
        hosts.sort_by(|a, b| a.value.cmp(&b.value));
    }
    hosts
}

fn ulimits(at: &At<'_>) -> BTreeMap<String, (i64, i64)> {
    let Some(mut map) = at.map() else { return BTreeMap::new() };
    let read = |(name, _, at): (&str, Place, At<'_>)| {
        let limits = match &at.node.value {
            Value::Map(_) => {
                let mut map = at.map()?;
                let soft = map.take("soft").and_then(|at| at.int(-1, i64::MAX));
                let hard = map.take("hard").and_then(|at| at.int(-1, i64::MAX));
                map.finish(&["soft", "hard"]);
                match (soft, hard) {
                    (Some(soft), Some(hard)) => (soft, hard),
                    _ => return at.wrong("an integer, or soft and hard"),
                }
            }
            _ => at.int(-1, i64::MAX).map(|both| (both, both))?,
        };
        Some((name.to_owned(), limits))
    };
    map.rest().into_iter().filter_map(read).collect()
}

fn credential_spec(at: &At<'_>) -> Option<Spot<CredentialSpec>> {
    let mut map = at.map()?;
    let mut text = |key: &str| map.string(key).filter(|text| !text.is_empty());
    let spec = CredentialSpec { config: text("config"), file: text("file"), registry: text("registry") };
    map.finish(&["config", "file", "registry"]);
    Some(at.spot(spec))
}

fn logging(at: &At<'_>) -> Option<Logging> {
    let mut map = at.map()?;
    let logging = Logging {
        driver: map.string("driver").filter(|driver| !driver.is_empty()),
        options: map.take("options").and_then(|at| at.labels()),
    };
    map.finish(&["driver", "options"]);
    Some(logging)
}

fn healthcheck(at: &At<'_>) -> Option<Spot<Healthcheck>> {
    let mut map = at.map()?;
    let test = map.take("test").and_then(|at| match &at.node.value {
        Value::String(text) => Some(vec!["CMD-SHELL".to_owned(), text.clone()]),
        _ => at.strings(),
    });
    let mut nanos = |key: &str| map.take(key).and_then(|at| at.nanos());
    let (interval, timeout) = (nanos("interval"), nanos("timeout"));
    let (start_period, start_interval) = (nanos("start_period"), nanos("start_interval"));
    let healthcheck = Healthcheck {
        test,
        interval,
        timeout,
        start_period,
        start_interval,
        retries: map.take("retries").and_then(|at| at.count()),
        disable: map.bool("disable"),
    };
    map.finish(&["test", "interval", "timeout", "start_period", "start_interval", "retries", "disable"]);
    Some(at.spot(healthcheck))
}
