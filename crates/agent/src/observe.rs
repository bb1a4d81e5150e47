//! Reports: the whole observed state, and the few bits of it that are beaten to nameservers. Pure.

use crate::drift::Drifts;
use crate::engine::{Service, Task};
use crate::judge;
use crate::memory::Memory;
use crate::seen::Seen;
use std::collections::BTreeMap;
use std::sync::Arc;
use waggle_model::desired::{Desired, DesiredStack};
use waggle_model::health::BeatStack;
use waggle_model::observed::{
    Observed, ObservedService, ObservedStack, ObservedTask, Phase, Swarm, TASKS_REPORTED_MAX,
};
use waggle_model::{ClusterName, DomainName, StackName, Timestamp};
use waggle_stack::Objects;
use waggle_stack::labels;

/// Version that reports bear.
pub const AGENT_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The report of one look. Stacks without a phase are not reported.
pub fn observed(
    seen: &Seen,
    desired: &Desired,
    objects: &BTreeMap<StackName, Arc<Objects>>,
    phases: &BTreeMap<StackName, Phase>,
    drift: &Drifts,
    now: Timestamp,
) -> Observed {
    let stacks = phases.iter().map(|(name, phase)| {
        let mut stack = match desired.stacks.get(name) {
            Some(stack) => wanted_stack(seen, stack, objects.get(name).map(Arc::as_ref), phase),
            None => leaving_stack(seen, name, phase),
        };
        stack.drift = drift.said(name, now);
        (name.clone(), stack)
    });
    let mut stacks: BTreeMap<_, _> = stacks.collect();
    let gone: Vec<StackName> = stacks.keys().filter(|name| !desired.stacks.contains_key(*name)).cloned().collect();
    for name in gone.iter().filter(|name| !seen.has(name)) {
        stacks.remove(name);
    }
    Observed {
        cluster: desired.cluster.clone(),
        generation: desired.generation,
        at: now,
        agent_version: AGENT_VERSION.into(),
        swarm: seen.swarm(),
        stacks,
    }
}

/// The report before there is any desired state: the swarm alone.
pub fn idle(seen: &Seen, cluster: &ClusterName, now: Timestamp) -> Observed {
    Observed { swarm: seen.swarm(), ..empty(cluster, now) }
}

/// The last report again, when the Engine could not be asked.
pub fn stale(memory: &Memory, cluster: &ClusterName, now: Timestamp, error: Option<String>) -> Observed {
    let mut observed = memory.last.clone().unwrap_or_else(|| empty(cluster, now));
    observed.at = now;
    observed.generation = memory.generation();
    observed.swarm.error = error;
    observed
}

/// Stacks whose attempt is not the reported one wait for the Engine.
pub fn pending(observed: &mut Observed, desired: &Desired, error: &str) {
    for (name, stack) in &desired.stacks {
        let same = |known: &ObservedStack| known.release == Some(stack.release) && known.attempt == stack.attempt;
        if observed.stacks.get(name).is_some_and(same) {
            continue;
        }
        let known = observed.stacks.remove(name);
        let (services, serving) = known.map(|known| (known.services, known.serving)).unwrap_or_default();
        let phase = Phase::Applying(error.to_owned());
        let stack = ObservedStack {
            release: Some(stack.release),
            attempt: stack.attempt,
            phase,
            services,
            serving,
            drift: Vec::new(),
        };
        observed.stacks.insert(name.clone(), stack);
    }
}

fn empty(cluster: &ClusterName, now: Timestamp) -> Observed {
    Observed {
        cluster: cluster.clone(),
        generation: Default::default(),
        at: now,
        agent_version: AGENT_VERSION.into(),
        swarm: Swarm::default(),
        stacks: BTreeMap::new(),
    }
}

/// What nameservers are told of a report.
pub fn beats(observed: &Observed) -> BTreeMap<StackName, BeatStack> {
    let beat = |stack: &ObservedStack| BeatStack {
        release: stack.release,
        converged: stack.phase == Phase::Converged,
        serving: stack.serving.clone(),
    };
    observed.stacks.iter().map(|(name, stack)| (name.clone(), beat(stack))).collect()
}

fn wanted_stack(seen: &Seen, stack: &DesiredStack, objects: Option<&Objects>, phase: &Phase) -> ObservedStack {
    let specs = || objects.into_iter().flat_map(|objects| &objects.services);
    let services = specs().filter_map(|(key, spec)| Some((key.clone(), service(seen, seen.service(&spec.name)?))));
    let serving = |key: &String| -> bool {
        let found = specs().find(|(name, _)| *name == key).and_then(|(_, spec)| seen.service(&spec.name));
        found.is_some_and(|service| seen.tasks_of(&service.id).any(|task| seen.is_serving(task)))
    };
    let serving: BTreeMap<DomainName, bool> =
        stack.routes.iter().map(|(route, key)| (route.clone(), serving(key))).collect();
    ObservedStack {
        release: Some(stack.release),
        attempt: stack.attempt,
        phase: phase.clone(),
        services: services.collect(),
        serving,
        drift: Vec::new(),
    }
}

fn leaving_stack(seen: &Seen, name: &StackName, phase: &Phase) -> ObservedStack {
    let of_stack =
        |service: &&Service| service.spec.labels.get(labels::NAMESPACE).is_some_and(|stack| stack == name.as_str());
    let prefix = format!("{name}_");
    let services = seen.services.iter().filter(of_stack).map(|s| {
        let key = s.spec.name.strip_prefix(&prefix).unwrap_or(&s.spec.name);
        (key.to_owned(), service(seen, s))
    });
    ObservedStack {
        release: None,
        attempt: 0,
        phase: phase.clone(),
        services: services.collect(),
        serving: BTreeMap::new(),
        drift: Vec::new(),
    }
}

fn service(seen: &Seen, service: &Service) -> ObservedService {
    let count = judge::count(seen, service);
    let mut tasks: Vec<&Task> = seen.tasks_of(&service.id).collect();
    // Of a job, what is done counts.
    let running = match service.spec.is_job() {
        true => count.have,
        false => tasks.iter().filter(|task| seen.is_serving(task)).count() as u64,
    };
    tasks.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
    let tasks = tasks.into_iter().take(TASKS_REPORTED_MAX).map(|task| ObservedTask {
        id: task.id.clone(),
        slot: task.slot,
        node: seen.node_name(&task.node).to_owned(),
        image: task.image.clone(),
        desired_state: task.desired.clone(),
        state: task.state.clone(),
        error: Some(task.error.clone()).filter(|error| !error.is_empty()),
        at: task.at,
    });
    ObservedService {
        id: service.id.clone(),
        image: service.spec.task_template.container_spec.image.clone(),
        mode: service.spec.mode.name().to_owned(),
        desired: count.wanted,
        running,
        update: service.update.as_ref().map(|status| status.state.clone()),
        ports: service.ports.clone(),
        tasks: tasks.collect(),
    }
}
