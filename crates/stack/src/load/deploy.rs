//! `deploy:` of a service.

use crate::compose::{Deploy, Resources, RestartPolicy, Update};
use crate::read::{At, Map, Spot};
use crate::scalar::bytes;

pub(super) fn read(at: &At<'_>) -> Option<Deploy> {
    let mut map = at.map()?;
    let mut deploy = Deploy {
        mode: map.take("mode").and_then(|at| Some(at.spot(at.string()?))),
        endpoint_mode: map.take("endpoint_mode").and_then(|at| word(&at, &["vip", "dnsrr"])),
        replicas: map.take("replicas").and_then(|at| Some(at.spot(at.count()?))),
        labels: map.labels("labels"),
        update_config: map.take("update_config").and_then(|at| update(&at, &["pause", "continue", "rollback"])),
        rollback_config: map.take("rollback_config").and_then(|at| update(&at, &["pause", "continue"])),
        restart_policy: map.take("restart_policy").and_then(|at| restart_policy(&at)),
        ..Deploy::default()
    };
    if let Some(mut resources) = map.take("resources").and_then(|at| at.map()) {
        deploy.limits = resources.take("limits").and_then(|at| limits(&at));
        deploy.reservations = resources.take("reservations").and_then(|at| reservations(&at));
        resources.finish(&["limits", "reservations"]);
    }
    if let Some(mut placement) = map.take("placement").and_then(|at| at.map()) {
        deploy.constraints = placement.take("constraints").and_then(|at| at.strings()).unwrap_or_default();
        for item in placement.take("preferences").and_then(|at| at.items()).unwrap_or_default() {
            let Some(mut preference) = item.map() else { continue };
            deploy.preferences.extend(preference.string("spread"));
            preference.finish(&["spread"]);
        }
        deploy.max_replicas = placement.take("max_replicas_per_node").and_then(|at| at.count());
        placement.finish(&["constraints", "preferences", "max_replicas_per_node"]);
    }
    map.finish(&[
        "mode",
        "endpoint_mode",
        "replicas",
        "labels",
        "update_config",
        "rollback_config",
        "restart_policy",
        "resources",
        "placement",
    ]);
    Some(deploy)
}

/// One of `words`, in lower case; empty stays empty.
fn word(at: &At<'_>, words: &[&str]) -> Option<String> {
    let text = at.string()?.to_ascii_lowercase();
    if text.is_empty() || words.contains(&text.as_str()) {
        return Some(text);
    }
    at.error(format!("{text:?} is none of {}", words.join(", ")));
    None
}

fn nanos(map: &mut Map<'_>, key: &str) -> Option<i64> {
    map.take(key).and_then(|at| at.nanos())
}

fn update(at: &At<'_>, actions: &[&str]) -> Option<Spot<Update>> {
    let mut map = at.map()?;
    let update = Update {
        parallelism: map.take("parallelism").and_then(|at| at.count()),
        delay: nanos(&mut map, "delay"),
        failure_action: map.take("failure_action").and_then(|at| word(&at, actions)),
        monitor: nanos(&mut map, "monitor"),
        max_failure_ratio: map.take("max_failure_ratio").and_then(|at| at.float()),
        order: map.take("order").and_then(|at| word(&at, &["start-first", "stop-first"])),
    };
    map.finish(&["parallelism", "delay", "failure_action", "monitor", "max_failure_ratio", "order"]);
    Some(at.spot(update))
}

fn restart_policy(at: &At<'_>) -> Option<RestartPolicy> {
    let mut map = at.map()?;
    let policy = RestartPolicy {
        condition: map.take("condition").and_then(|at| word(&at, &["none", "on-failure", "any"])),
        delay: nanos(&mut map, "delay"),
        max_attempts: map.take("max_attempts").and_then(|at| at.count()),
        window: nanos(&mut map, "window"),
    };
    map.finish(&["condition", "delay", "max_attempts", "window"]);
    Some(policy)
}

fn limits(at: &At<'_>) -> Option<Resources> {
    let mut map = at.map()?;
    let mut limits = cpus_and_memory(&mut map);
    limits.pids = map.take("pids").and_then(|at| at.int(-1, i64::MAX));
    map.finish(&["cpus", "memory", "pids"]);
    Some(limits)
}

fn reservations(at: &At<'_>) -> Option<Resources> {
    let mut map = at.map()?;
    let mut reservations = cpus_and_memory(&mut map);
    for item in map.take("generic_resources").and_then(|at| at.items()).unwrap_or_default() {
        let Some(mut item) = item.map() else { continue };
        let Some(mut spec) = item.take("discrete_resource_spec").and_then(|at| at.map()) else {
            item.finish(&["discrete_resource_spec"]);
            continue;
        };
        let value = spec.take("value").and_then(|at| at.int(0, i64::MAX));
        if let (Some(kind), Some(value)) = (spec.string("kind"), value) {
            reservations.generic.push((kind, value));
        }
        spec.finish(&["kind", "value"]);
        item.finish(&["discrete_resource_spec"]);
    }
    map.refuse("devices", "reservations.devices belongs to the Compose specification; stacks do not have it");
    map.finish(&["cpus", "memory", "generic_resources"]);
    Some(reservations)
}

/// Least CPU and memory Swarm takes.
const NANO_CPUS_MIN: i64 = 1_000_000;
const MEMORY_BYTES_MIN: i64 = 4 << 20;

fn cpus_and_memory(map: &mut Map<'_>) -> Resources {
    let nano_cpus = map.take("cpus").and_then(|at| {
        let text = at.string()?;
        match bytes::nano_cpus(&text) {
            Ok(1..NANO_CPUS_MIN) => at.error("the least number of CPUs is 0.001"),
            Ok(cpus) => return Some(cpus),
            Err(why) => at.error(format!("{text:?} is not a number of CPUs: {why}")),
        }
        None
    });
    let memory_bytes = map.take("memory").and_then(|at| {
        let bytes = at.bytes()?;
        if (1..MEMORY_BYTES_MIN).contains(&bytes) {
            at.error("the least amount of memory is 4M");
        }
        Some(bytes)
    });
    Resources { nano_cpus, memory_bytes, ..Resources::default() }
}
