//! How far a service is, from one look: pure.
//!
//! The rules are those by which the docker CLI waits (docker/cli: cli/command/service/progress/progress.go), with two
//! differences: a rollback is a failure, and tasks of other specs never count.

use crate::advice::advice;
use crate::engine::{Service, Task};
use crate::seen::Seen;
use std::collections::BTreeSet;
use waggle_model::Timestamp;
use waggle_stack::objects::service::ServiceSpec;

/// Errors of tasks named in one message.
const ERRORS_MAX: usize = 3;
/// Characters of one task's error.
const ERROR_CHARS_MAX: usize = 300;

/// Tasks of the current spec against those wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub wanted: u64,
    /// Running, or for jobs completed.
    pub have: u64,
}

pub fn count(seen: &Seen, service: &Service) -> Count {
    let current = || seen.tasks_of(&service.id).filter(|task| seen.up_to_date.contains(&task.id));
    let iteration = |task: &&Task| service.job_iteration.is_none() || task.job_iteration == service.job_iteration;
    let distinct = |key: fn(&Task) -> (u64, &str), wanted: &dyn Fn(&Task) -> bool| {
        let keys: BTreeSet<_> = current().filter(iteration).filter(|task| wanted(task)).map(key).collect();
        keys.len() as u64
    };
    let by_slot: fn(&Task) -> (u64, &str) = |task| (task.slot, "");
    let by_node: fn(&Task) -> (u64, &str) = |task| (0, task.node.as_str());
    let serving = |task: &Task| seen.is_serving(task);
    let done = |task: &Task| task.state == "complete";
    let meant = |task: &Task| matches!(task.desired.as_str(), "running" | "ready" | "complete");
    let mode = &service.spec.mode;
    match mode.name() {
        "global" => Count { wanted: distinct(by_node, &meant), have: distinct(by_node, &serving) },
        "global-job" => Count { wanted: distinct(by_node, &meant), have: distinct(by_node, &done) },
        "replicated-job" => {
            let total = mode.replicated_job.as_ref().and_then(|job| job.total_completions);
            Count { wanted: total.unwrap_or(1), have: distinct(by_slot, &done) }
        }
        _ => {
            let replicas = mode.replicated.as_ref().and_then(|replicated| replicated.replicas);
            Count { wanted: replicas.unwrap_or(1), have: distinct(by_slot, &serving) }
        }
    }
}

/// What a service still waits for; `None` when its tasks are all there and Swarm is done with it.
pub fn waits_for(seen: &Seen, key: &str, spec: &ServiceSpec, since: Timestamp) -> Option<String> {
    let Some(service) = seen.service(&spec.name) else {
        return Some(format!("{key}: not there yet"));
    };
    let count = count(seen, service);
    let nowhere = service.spec.mode.name().starts_with("global") && count.wanted == 0;
    if count.have >= count.wanted && !nowhere {
        return None;
    }
    let doing = if spec.is_job() { "completed" } else { "running" };
    let current = |task: &Task| seen.up_to_date.contains(&task.id);
    let errors = match errors(seen, service, since, &current) {
        errors if errors.is_empty() && nowhere => {
            "no node fits; see `deploy.placement.constraints` and the nodes' availability".to_owned()
        }
        errors => errors,
    };
    let why = if errors.is_empty() { String::new() } else { format!(" ({errors})") };
    Some(format!("{key}: {} of {} tasks {doing}{why}", count.have, count.wanted.max(1)))
}

/// Swarm has not said yet that an update went well.
pub fn is_watched(seen: &Seen, spec: &ServiceSpec) -> bool {
    let status = seen.service(&spec.name).and_then(|service| service.update.as_ref());
    status.is_some_and(|status| status.state == "updating")
}

/// What went wrong since `since` with the tasks of a service that are `meant`: distinct errors, newest first, and what
/// to do about the newest.
fn errors(seen: &Seen, service: &Service, since: Timestamp, meant: &dyn Fn(&Task) -> bool) -> String {
    let unwell = |task: &&Task| {
        let stuck = task.state == "pending" || (task.state == "preparing" && !task.error.is_empty());
        matches!(task.state.as_str(), "failed" | "rejected") && task.at >= since || stuck && !task.error.is_empty()
    };
    let mut tasks: Vec<&Task> = seen.tasks_of(&service.id).filter(unwell).filter(|task| meant(task)).collect();
    tasks.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
    let mut said: Vec<String> = Vec::new();
    for task in tasks {
        let text = error_of(seen, task);
        if !said.contains(&text) {
            said.push(text);
        }
        if said.len() == ERRORS_MAX {
            break;
        }
    }
    let way_out = said.iter().find_map(|text| advice(text)).map(str::to_owned);
    said.extend(way_out);
    said.join("; ")
}

fn error_of(seen: &Seen, task: &Task) -> String {
    let text = match (task.error.is_empty(), task.exit_code) {
        (true, Some(code)) => format!("a task exited with {code}"),
        (true, None) => format!("a task is {}", task.state),
        (false, _) => task.error.clone(),
    };
    let said = seen.health.get(&task.container).map(|said| said.split_whitespace().collect::<Vec<_>>().join(" "));
    let text = match said.filter(|said| !said.is_empty()) {
        Some(said) => format!("{text}; its health check said: {said}"),
        None => text,
    };
    text.chars().take(ERROR_CHARS_MAX).collect()
}

/// Why Swarm's own verdict on an update makes the attempt a failure.
pub fn verdict(seen: &Seen, key: &str, service: &Service, state: &str, message: &str, since: Timestamp) -> String {
    let what = match state {
        "paused" => format!("Swarm paused the update of {key}"),
        "rollback_paused" => format!("Swarm's rollback of {key} is paused"),
        "rollback_started" => format!("Swarm is rolling {key} back"),
        _ => format!("Swarm rolled {key} back"),
    };
    // Once Swarm goes back, the tasks that failed are of a spec that is not the current one any more.
    let of_update = |task: &Task| seen.up_to_date.contains(&task.id) == (state == "paused");
    let errors = errors(seen, service, since, &of_update);
    match (errors.is_empty(), message.is_empty()) {
        (false, _) => format!("{what}: {errors}"),
        (true, false) => format!("{what}: {message}"),
        (true, true) => what,
    }
}
