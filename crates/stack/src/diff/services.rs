//! Services: created, updated in what differs, removed when the release lacks them.
//!
//! An update whose tasks may stay carries the very task template that the swarm has: Swarm compares templates as they
//! are stored, and one that says the same in other words would restart every task. Only the config of a credential spec
//! is named instead of given by id: names are what the executor turns into ids.

use super::{Action, Conflict, Current, CurrentService, Diff, Wanted, is_managed, normal};
use crate::labels;
use crate::objects::service::{PortConfig, ServiceSpec};
use crate::objects::{Labels, Objects};
use std::collections::BTreeSet;

impl<'a> Diff<'a> {
    /// Removals that free a published port come first, then creations and updates, then the other removals.
    pub(super) fn services(&mut self) -> Vec<Action> {
        let services = &self.wanted.objects.services;
        let ports: BTreeSet<_> = services.values().flat_map(published).collect();
        let (freeing, others): (Vec<_>, Vec<_>) =
            self.superfluous_services().partition(|service| published(&service.spec).any(|port| ports.contains(&port)));
        let mut actions: Vec<Action> = freeing.into_iter().map(remove).collect();
        for (key, spec) in services {
            let existing = self.current.services.iter().find(|service| service.spec.name == spec.name);
            match existing {
                None => {
                    let spec = Box::new(self.wanted.spec(key, spec, None));
                    actions.push(Action::CreateService { name: spec.name.clone(), spec });
                }
                Some(existing) if !self.is_of_stack(&existing.spec.labels) => self.taken("service", &spec.name),
                Some(existing) => actions.extend(self.update(key, spec, existing)),
            }
        }
        actions.extend(others.into_iter().map(remove));
        actions
    }

    fn superfluous_services(&self) -> impl Iterator<Item = &'a CurrentService> + use<'a> {
        let wanted: BTreeSet<&str> = self.wanted.objects.services.values().map(|spec| spec.name.as_str()).collect();
        let superfluous = |s: &&CurrentService| self.may_go(&s.spec.labels) && !wanted.contains(s.spec.name.as_str());
        let superfluous: Vec<_> = self.current.services.iter().filter(superfluous).collect();
        superfluous.into_iter()
    }

    fn update(&mut self, key: &str, spec: &ServiceSpec, existing: &CurrentService) -> Option<Action> {
        let (from, to) = (existing.spec.mode.name(), spec.mode.name());
        if from != to {
            self.conflicts.push(Conflict::ModeChanged { name: spec.name.clone(), from, to });
            return None;
        }
        update(&self.wanted, key, spec, existing, self.current)
    }
}

fn update(
    wanted: &Wanted<'_>,
    key: &str,
    spec: &ServiceSpec,
    existing: &CurrentService,
    current: &Current,
) -> Option<Action> {
    let mut written = wanted.spec(key, spec, Some(&existing.spec));
    let (mut to, mut from) = (normal::desired(&written), normal::current(&existing.spec, current));
    let force = wanted.force(key) > forced(&existing.spec.labels);
    let restarts = force
        || to.task_template != from.task_template
        || to.endpoint_spec != from.endpoint_spec
        || to.unknown != from.unknown;
    if spec.is_job() {
        // Writing labels alone would run the job again.
        to.labels.clear();
        from.labels.clear();
    }
    let adopted = spec.is_job() || is_managed(&existing.spec.labels);
    if to == from && !force && adopted {
        return None;
    }
    if restarts {
        written.task_template.force_update = existing.spec.task_template.force_update + u64::from(force);
    } else {
        written.task_template = existing.spec.task_template.clone();
        normal::name_credential_config(&mut written.task_template.container_spec);
        written.endpoint_spec = existing.spec.endpoint_spec.clone();
    }
    let (id, version, name) = (existing.id.clone(), existing.version, written.name.clone());
    Some(Action::UpdateService { id, version, name, spec: Box::new(written), restarts })
}

/// The same write again, of a service that is as wanted: it sets an update going that Swarm paused.
pub fn again(wanted: &Wanted<'_>, key: &str, spec: &ServiceSpec, existing: &CurrentService) -> Action {
    let mut spec = wanted.spec(key, spec, Some(&existing.spec));
    spec.task_template.force_update = existing.spec.task_template.force_update;
    let (id, version, name) = (existing.id.clone(), existing.version, spec.name.clone());
    Action::UpdateService { id, version, name, spec: Box::new(spec), restarts: true }
}

impl Wanted<'_> {
    /// The service as it is written over `existing`: marked as ours, with the release it comes from and with what people
    /// changed since.
    fn spec(&self, key: &str, spec: &ServiceSpec, existing: Option<&ServiceSpec>) -> ServiceSpec {
        let mut spec = spec.clone();
        spec.labels.insert(labels::MANAGED.into(), "true".into());
        if let Some(release) = self.release {
            spec.labels.insert(labels::RELEASE.into(), release.to_string());
        }
        let force = existing.map_or(0, |existing| forced(&existing.labels)).max(self.force(key));
        if force > 0 {
            spec.labels.insert(labels::FORCE.into(), force.to_string());
        }
        if let Some(replicated) = &mut spec.mode.replicated
            && let Some(replicas) = self.replicas(key, existing)
        {
            replicated.replicas = Some(replicas);
        }
        spec
    }

    /// The objects with the numbers of replicas that they are written with over what is there.
    pub fn over(&self, current: &Current) -> Objects {
        let mut objects = self.objects.clone();
        for (key, spec) in &mut objects.services {
            let existing = current.services.iter().find(|existing| existing.spec.name == spec.name);
            let replicas = self.replicas(key, existing.map(|existing| &existing.spec));
            if let (Some(replicated), Some(replicas)) = (&mut spec.mode.replicated, replicas) {
                replicated.replicas = Some(replicas);
            }
        }
        objects
    }

    /// Where the file does not decide.
    fn replicas(&self, key: &str, existing: Option<&ServiceSpec>) -> Option<u64> {
        let kept = || {
            let running = existing.filter(|_| self.upkeep.keep_replicas.contains(key))?;
            running.mode.replicated.as_ref()?.replicas
        };
        self.overrides.get(key).and_then(|change| change.replicas).or_else(kept)
    }

    fn force(&self, key: &str) -> u32 {
        self.overrides.get(key).map_or(0, |change| change.force)
    }
}

/// Restarts that the service has behind it.
fn forced(labels: &Labels) -> u32 {
    labels.get(labels::FORCE).and_then(|count| count.parse().ok()).unwrap_or(0)
}

pub(super) fn remove(service: &CurrentService) -> Action {
    Action::RemoveService { id: service.id.clone(), name: service.spec.name.clone() }
}

/// Ports taken in the routing mesh.
fn published(spec: &ServiceSpec) -> impl Iterator<Item = (u32, String)> {
    let in_mesh = |port: &&PortConfig| port.published_port != 0 && port.publish_mode != "host";
    let key = |port: &PortConfig| {
        let protocol = if port.protocol.is_empty() { "tcp" } else { &port.protocol };
        (port.published_port, protocol.to_owned())
    };
    let ports = spec.endpoint_spec.as_ref().map_or(&[][..], |endpoint| &endpoint.ports);
    ports.iter().filter(in_mesh).map(key)
}
