//! `deploy` of a service of the merged file.

use super::{Deploy, Resources, RestartPolicy, Update};
use crate::read::{At, Map, Spot};
use crate::scalar::cpus::{self, Nanos};

pub(super) fn read(at: &At<'_>) -> Option<Deploy> {
    let mut map = at.map()?;
    let mut deploy = Deploy {
        mode: map.take("mode").and_then(|at| Some(at.spot(at.string()?))),
        endpoint_mode: map.take("endpoint_mode").and_then(|at| endpoint_mode(&at)),
        replicas: map.take("replicas").and_then(|at| Some(at.spot(at.count()?))),
        labels: map.labels("labels"),
        update_config: map.take("update_config").and_then(|at| update(&at)),
        rollback_config: map.take("rollback_config").and_then(|at| update(&at)),
        restart_policy: map.take("restart_policy").and_then(|at| restart_policy(&at)),
        ..Deploy::default()
    };
    if let Some(mut resources) = map.take("resources").and_then(|at| at.map()) {
        deploy.limits = resources.take("limits").and_then(|at| limits(&at));
        deploy.reservations = resources.take("reservations").and_then(|at| reservations(&at));
    }
    if let Some(mut placement) = map.take("placement").and_then(|at| at.map()) {
        deploy.constraints = placement.strings("constraints");
        for item in placement.take("preferences").and_then(|at| at.items()).unwrap_or_default() {
            deploy.preferences.push(item.map().and_then(|mut item| item.string("spread")).unwrap_or_default());
        }
        deploy.max_replicas = placement.count("max_replicas_per_node");
    }
    Some(deploy)
}

/// Docker writes it in lower case.
fn endpoint_mode(at: &At<'_>) -> Option<String> {
    chosen(at, at.string()?.to_ascii_lowercase(), &["vip", "dnsrr"])
}

/// One of `words` as it is written, since a manager takes no other; empty stays empty.
fn word(at: &At<'_>, words: &[&str]) -> Option<String> {
    chosen(at, at.string()?, words)
}

fn chosen(at: &At<'_>, text: String, words: &[&str]) -> Option<String> {
    if text.is_empty() || words.contains(&text.as_str()) {
        return Some(text);
    }
    at.error(format!("{text:?} is none of {}", words.join(", ")));
    None
}

fn update(at: &At<'_>) -> Option<Spot<Update>> {
    let mut map = at.map()?;
    let update = Update {
        parallelism: map.count("parallelism"),
        delay: map.integer("delay"),
        failure_action: map.take("failure_action").and_then(|at| word(&at, &["pause", "continue", "rollback"])),
        monitor: map.integer("monitor"),
        max_failure_ratio: map.take("max_failure_ratio").and_then(|at| at.float()),
        order: map.string("order"),
    };
    Some(at.spot(update))
}

fn restart_policy(at: &At<'_>) -> Option<RestartPolicy> {
    let mut map = at.map()?;
    Some(RestartPolicy {
        condition: map.take("condition").and_then(|at| word(&at, &["none", "on-failure", "any"])),
        delay: map.integer("delay"),
        max_attempts: map.count("max_attempts"),
        window: map.integer("window"),
    })
}

fn limits(at: &At<'_>) -> Option<Resources> {
    let mut map = at.map()?;
    let pids = map.integer("pids");
    Some(Resources { pids, ..cpus_and_memory(&mut map) })
}

fn reservations(at: &At<'_>) -> Option<Resources> {
    let mut map = at.map()?;
    let mut reservations = cpus_and_memory(&mut map);
    for item in map.take("generic_resources").and_then(|at| at.items()).unwrap_or_default() {
        let spec = item.map().and_then(|mut item| item.take("discrete_resource_spec")).and_then(|at| at.map());
        reservations.generic.push(
            spec.map(|mut spec| (spec.string("kind").unwrap_or_default(), spec.integer("value").unwrap_or_default())),
        );
    }
    Some(reservations)
}

/// Least CPU and memory Swarm takes; a size beyond what a number holds is less than nothing.
const NANO_CPUS_MIN: i64 = 1_000_000;
const MEMORY_BYTES_MIN: i64 = 4 << 20;

fn cpus_and_memory(map: &mut Map<'_>) -> Resources {
    let mut cut_cpus = None;
    let nano_cpus = map.take("cpus").and_then(|at| {
        let text = at.string().filter(|text| !text.is_empty())?;
        match cpus::nano_cpus(&text) {
            Ok(Nanos { value: ..=-1 | 1..NANO_CPUS_MIN, .. }) => at.error("the least number of CPUs is 0.001"),
            Ok(Nanos { value, cut }) => {
                cut_cpus = cut.then(|| at.spot(value));
                return Some(value);
            }
            Err(why) => at.error(format!("{text:?} is not a number of CPUs: {why}")),
        }
        None
    });
    let memory_bytes = map.take("memory").and_then(|at| {
        let bytes = at.int(i64::MIN, i64::MAX)?;
        match bytes {
            ..=-1 => at.error("it is more memory than a number can say"),
            1..MEMORY_BYTES_MIN => at.error("the least amount of memory is 4M"),
            _ => {}
        }
        Some(bytes)
    });
    Resources { nano_cpus, cut_cpus, memory_bytes, ..Resources::default() }
}
