//! What a manager refuses to create (moby/moby `daemon/cluster/convert`, moby/swarmkit `manager/controlapi`), so that a
//! stack which `docker` sends and no swarm takes counts as refused.
//!
//! Left out: what depends on plugins, nodes and other stacks, and the check of templates.

use super::Recorded;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const SERVICE_NAME_BYTES_MAX: usize = 63;
const PAYLOAD_NAME_BYTES_MAX: usize = 64;
/// Secrets are smaller than this, as base64.
const SECRET_BASE64_BYTES_MAX: usize = 500 * 1024 / 3 * 4;
/// Configs are smaller than this, as base64.
const CONFIG_BASE64_BYTES_MAX: usize = 1000 * 1024 / 3 * 4;
const NANO_CPUS_MIN: i64 = 1_000_000;
const MEMORY_BYTES_MIN: i64 = 4 << 20;
const NANOS_PER_MILLISECOND: i64 = 1_000_000;

type Refusal = Result<(), String>;

pub(super) fn network(body: &Value) -> Refusal {
    service_name(body)?;
    for config in items(&body["IPAM"]["Config"]) {
        let subnet = text(&config["Subnet"]);
        let (address, prefix) = subnet.split_once('/').unwrap_or((subnet, ""));
        let bits = address.parse::<std::net::IpAddr>().map(|address| if address.is_ipv4() { 32 } else { 128 });
        let valid = bits.is_ok_and(|bits| prefix.parse::<u8>().is_ok_and(|prefix| prefix <= bits));
        refuse_if(!valid, || format!("invalid subnet {subnet:?}"))?;
    }
    Ok(())
}

pub(super) fn secret(body: &Value) -> Refusal {
    payload_name(body)?;
    if body["Driver"].is_null() {
        payload_size(body, SECRET_BASE64_BYTES_MAX)?;
    }
    Ok(())
}

pub(super) fn config(body: &Value) -> Refusal {
    payload_name(body)?;
    payload_size(body, CONFIG_BASE64_BYTES_MAX)
}

pub(super) fn service(body: &Value, recorded: &Recorded) -> Refusal {
    service_name(body)?;
    let task = &body["TaskTemplate"];
    resources(&task["Resources"]["Limits"])?;
    resources(&task["Resources"]["Reservations"])?;
    restart(&task["RestartPolicy"])?;
    for constraint in items(&task["Placement"]["Constraints"]) {
        refuse_if(!is_constraint(text(constraint)), || format!("invalid constraint {constraint}"))?;
    }
    let container = &task["ContainerSpec"];
    targets(&container["Secrets"])?;
    targets(&container["Configs"])?;
    mounts(&container["Mounts"])?;
    healthcheck(&container["Healthcheck"])?;
    let job = ["ReplicatedJob", "GlobalJob"].iter().any(|mode| !body["Mode"][*mode].is_null());
    refuse_if(job && !body["UpdateConfig"].is_null(), || "Jobs may not have an update config".into())?;
    words(&body["UpdateConfig"])?;
    words(&body["RollbackConfig"])?;
    update(&body["UpdateConfig"])?;
    endpoint(&body["EndpointSpec"])?;
    let mut others = recorded.services.values().filter(|other| other["Name"] != body["Name"]);
    others.try_for_each(|other| conflict(&body["EndpointSpec"], &other["EndpointSpec"]))
}

fn refuse_if(condition: bool, why: impl FnOnce() -> String) -> Refusal {
    if condition { Err(why()) } else { Ok(()) }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn service_name(body: &Value) -> Refusal {
    let name = text(&body["Name"]);
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let inside = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let valid = inside && edge(name.bytes().next()) && edge(name.bytes().last());
    refuse_if(!valid || name.len() > SERVICE_NAME_BYTES_MAX, || format!("{name:?} is no valid name"))
}

fn payload_name(body: &Value) -> Refusal {
    let name = text(&body["Name"]);
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let inside = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    let valid = inside && edge(name.bytes().next()) && edge(name.bytes().last());
    refuse_if(!valid || name.len() > PAYLOAD_NAME_BYTES_MAX, || format!("invalid name {name:?}"))
}

fn payload_size(body: &Value, max: usize) -> Refusal {
    let size = text(&body["Data"]).len();
    refuse_if(size == 0 || size >= max, || format!("data of {size} bytes as base64"))
}

fn resources(resources: &Value) -> Refusal {
    let (cpus, memory) = (number(&resources["NanoCPUs"]), number(&resources["MemoryBytes"]));
    refuse_if(cpus != 0 && cpus < NANO_CPUS_MIN, || format!("invalid cpu value {cpus}"))?;
    refuse_if(memory != 0 && memory < MEMORY_BYTES_MIN, || format!("invalid memory value {memory}"))
}

fn restart(policy: &Value) -> Refusal {
    let condition = text(&policy["Condition"]);
    refuse_if(!matches!(condition, "" | "none" | "on-failure" | "any"), || format!("restart condition {condition}"))?;
    let negative = number(&policy["Delay"]) < 0 || number(&policy["Window"]) < 0;
    refuse_if(negative, || "negative restart time".into())
}

/// `key==value` or `key!=value`.
fn is_constraint(text: &str) -> bool {
    let Some((key, value)) = text.split_once("==").or_else(|| text.split_once("!=")) else { return false };
    let (key, value) = (key.trim().as_bytes(), value.trim());
    let key_valid = key.len() > 1
        && (key[0].is_ascii_alphabetic() || key[0] == b'_')
        && key[1..].iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte));
    let in_value = |c: char| c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || ":-_.*()?+[]\\^$|/".contains(c);
    key_valid && !value.is_empty() && value.chars().all(in_value)
}

fn targets(references: &Value) -> Refusal {
    let mut taken = BTreeSet::new();
    for file in items(references).map(|reference| &reference["File"]).filter(|file| !file.is_null()) {
        let name = text(&file["Name"]);
        refuse_if(name.is_empty(), || "a reference without a target".into())?;
        refuse_if(!taken.insert(name), || format!("conflicting target {name}"))?;
    }
    Ok(())
}

fn mounts(mounts: &Value) -> Refusal {
    let mut taken = BTreeSet::new();
    for mount in items(mounts) {
        let kind = text(&mount["Type"]).to_lowercase();
        let known = matches!(kind.as_str(), "bind" | "volume" | "tmpfs" | "npipe" | "cluster");
        refuse_if(!known, || format!("invalid mount type {kind:?}"))?;
        let propagation = text(&mount["BindOptions"]["Propagation"]).to_lowercase();
        let known = ["", "rprivate", "private", "rshared", "shared", "rslave", "slave"].contains(&&*propagation);
        refuse_if(!known, || format!("invalid propagation {propagation:?}"))?;
        let target = text(&mount["Target"]);
        refuse_if(!taken.insert(target), || format!("duplicate mount point {target}"))?;
    }
    Ok(())
}

fn healthcheck(check: &Value) -> Refusal {
    for key in ["Interval", "Timeout", "StartPeriod", "StartInterval"] {
        let nanos = number(&check[key]);
        refuse_if(nanos != 0 && nanos < NANOS_PER_MILLISECOND, || format!("{key} is less than a millisecond"))?;
    }
    refuse_if(number(&check["Retries"]) < 0, || "negative retries".into())
}

fn words(update: &Value) -> Refusal {
    let action = text(&update["FailureAction"]);
    refuse_if(!matches!(action, "" | "pause" | "continue" | "rollback"), || format!("failure action {action:?}"))?;
    let order = text(&update["Order"]);
    refuse_if(!matches!(order, "" | "stop-first" | "start-first"), || format!("update order {order:?}"))
}

fn update(update: &Value) -> Refusal {
    let negative = number(&update["Delay"]) < 0 || number(&update["Monitor"]) < 0;
    refuse_if(negative, || "negative update time".into())?;
    let ratio = update["MaxFailureRatio"].as_f64().unwrap_or_default();
    refuse_if(!(0.0..=1.0).contains(&ratio), || format!("max failure ratio {ratio}"))
}

/// Published port and protocol → whether it is published on the nodes. An unknown protocol is tcp, an unknown mode ingress.
fn published(endpoint: &Value) -> Vec<((i64, String), bool)> {
    let port = |port: &Value| {
        let protocol = match text(&port["Protocol"]).to_lowercase().as_str() {
            known @ ("udp" | "sctp") => known.to_owned(),
            _ => "tcp".to_owned(),
        };
        ((number(&port["PublishedPort"]), protocol), text(&port["PublishMode"]).eq_ignore_ascii_case("host"))
    };
    items(&endpoint["Ports"]).map(port).collect()
}

fn endpoint(endpoint: &Value) -> Refusal {
    let mode = text(&endpoint["Mode"]);
    refuse_if(!matches!(mode, "" | "vip" | "dnsrr"), || format!("invalid resolution mode {mode:?}"))?;
    let mut taken = BTreeSet::new();
    for (port, on_nodes) in published(endpoint) {
        refuse_if(mode == "dnsrr" && !on_nodes, || "ingress ports cannot be used with dnsrr".into())?;
        let free = port.0 == 0 || taken.insert(port.clone());
        refuse_if(!free, || format!("duplicate published port {port:?}"))?;
    }
    Ok(())
}

/// Ports of two services: those on the nodes may be the same, the scheduler keeps the tasks apart.
fn conflict(one: &Value, other: &Value) -> Refusal {
    let taken: BTreeMap<_, _> = published(other).into_iter().collect();
    for (port, on_nodes) in published(one) {
        let both = taken.get(&port).is_some_and(|others_on_nodes| !(on_nodes && *others_on_nodes));
        refuse_if(port.0 != 0 && both, || format!("port {port:?} is already in use"))?;
    }
    Ok(())
}
