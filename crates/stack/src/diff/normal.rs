//! Specs brought to one form before they are compared: what the Engine fills in when it returns a spec is filled in on
//! both sides, ids become names, and what says nothing about drift is left out.

use super::{Current, CurrentNetwork};
use crate::labels;
use crate::objects::service::{
    ContainerSpec, Limit, Mount, PortConfig, ReferenceFile, Replicated, Reservation, Resources, RestartPolicy,
    ServiceSpec, TaskSpec, UpdateConfig, single,
};
use crate::objects::{NetworkSpec, placeable};
use serde_json::{Value, json};

/// Swarm's defaults, in nanoseconds (moby/swarmkit api/defaults).
const RESTART_DELAY: i64 = 5_000_000_000;
const UPDATE_MONITOR: i64 = 5_000_000_000;

/// A desired spec in comparable form.
pub(crate) fn desired(spec: &ServiceSpec) -> ServiceSpec {
    let mut spec = spec.clone();
    spec.labels.retain(|key, _| !labels::is_own(key));
    task(&mut spec.task_template);
    if let Some(Replicated { replicas }) = &mut spec.mode.replicated {
        replicas.get_or_insert(1);
    }
    if let Some(job) = &mut spec.mode.replicated_job {
        let total = *job.total_completions.get_or_insert(1);
        job.max_concurrent.get_or_insert(total);
    }
    for update in [&mut spec.update_config, &mut spec.rollback_config].into_iter().flatten() {
        fill_update(update);
    }
    let mut endpoint = spec.endpoint_spec.take().unwrap_or_default();
    default(&mut endpoint.mode, "vip");
    endpoint.ports.iter_mut().for_each(fill_port);
    endpoint.ports.sort_by_key(|p| (p.published_port, p.target_port, p.protocol.clone(), p.publish_mode.clone()));
    spec.endpoint_spec = Some(endpoint);
    spec
}

/// A spec as the Engine returned it in comparable form.
pub(crate) fn current(spec: &ServiceSpec, current: &Current) -> ServiceSpec {
    let mut spec = spec.clone();
    for attachment in &mut spec.task_template.networks {
        if let Some(network) = current.networks.iter().find(|network| network.id == attachment.target) {
            attachment.target.clone_from(&network.name);
        }
    }
    desired(&spec)
}

fn default(text: &mut String, value: &str) {
    if text.is_empty() {
        value.clone_into(text);
    }
}

fn clear(text: &mut String, default: &str) {
    if text == default {
        text.clear();
    }
}

fn task(task: &mut TaskSpec) {
    task.force_update = 0;
    clear(&mut task.runtime, "container");
    let container = &mut task.container_spec;
    references(container);
    container.privileges.take_if(|privileges| *privileges == Default::default());
    container.env.sort();
    clear(&mut container.isolation, "default");
    container.dns_config.take_if(|dns| *dns == Default::default());
    container.healthcheck.take_if(|check| *check == Default::default());
    container.ulimits.sort_by(|a, b| a.name.cmp(&b.name));
    container.mounts.iter_mut().for_each(fill_mount);
    task.networks.iter_mut().for_each(|attachment| attachment.aliases.sort());
    task.networks.sort_by(|a, b| a.target.cmp(&b.target));
    task.resources = Some(plain_resources(task.resources.take().unwrap_or_default()));
    task.restart_policy = Some(fill_restart(task.restart_policy.take().unwrap_or_default()));
    let mut placement = task.placement.take().unwrap_or_default();
    placement.platforms = placeable(&placement.platforms);
    placement.platforms.sort_by(|a, b| (&a.os, &a.architecture).cmp(&(&b.os, &b.architecture)));
    task.placement = Some(placement);
}

/// The config of a credential spec by name, as it is in what is desired; an Engine answers with its id.
pub(super) fn name_credential_config(container: &mut ContainerSpec) {
    if let Some(spec) = container.privileges.as_mut().and_then(|privileges| privileges.credential_spec.as_mut())
        && let Some(config) = container.configs.iter().find(|config| !config.id.is_empty() && config.id == spec.config)
    {
        spec.config.clone_from(&config.name);
    }
}

/// Ids of secrets and configs give way to their names.
fn references(container: &mut ContainerSpec) {
    name_credential_config(container);
    container.secrets.iter_mut().for_each(|reference| reference.id.clear());
    container.configs.iter_mut().for_each(|reference| reference.id.clear());
    let file = |file: &Option<ReferenceFile>| file.as_ref().map(|file| file.name.clone());
    container.secrets.sort_by_key(|reference| (reference.name.clone(), file(&reference.file)));
    container.configs.sort_by_key(|reference| (reference.name.clone(), file(&reference.file)));
}

fn plain_resources(mut resources: Resources) -> Resources {
    resources.limits.take_if(|limits| *limits == Limit::default());
    resources.reservations.take_if(|reservations| *reservations == Reservation::default());
    resources
}

fn fill_restart(mut policy: RestartPolicy) -> RestartPolicy {
    default(&mut policy.condition, "any");
    policy.delay.get_or_insert(RESTART_DELAY);
    policy.max_attempts.get_or_insert(0);
    policy.window.get_or_insert(0);
    policy
}

fn fill_update(update: &mut UpdateConfig) {
    default(&mut update.failure_action, "pause");
    default(&mut update.order, "stop-first");
    if update.monitor == 0 {
        update.monitor = UPDATE_MONITOR;
    }
    update.max_failure_ratio = single(update.max_failure_ratio);
}

fn fill_port(port: &mut PortConfig) {
    default(&mut port.protocol, "tcp");
    default(&mut port.publish_mode, "ingress");
}

fn fill_mount(mount: &mut Mount) {
    default(&mut mount.kind, "volume");
    // The Engine takes these two and does not keep them.
    mount.consistency.clear();
    mount.cluster_options = None;
    if let Some(bind) = &mut mount.bind_options {
        clear(&mut bind.propagation, "rprivate");
    }
    mount.bind_options.take_if(|bind| *bind == Default::default());
    mount.volume_options.take_if(|volume| *volume == Default::default());
    mount.tmpfs_options.take_if(|tmpfs| *tmpfs == Default::default());
}

/// The first field in which an existing network is not what is desired; the Engine cannot change any of them.
pub(super) fn network_change(spec: &NetworkSpec, existing: &CurrentNetwork) -> Option<&'static str> {
    network_changes(spec, existing).first().map(|change| change.field)
}

/// A field in which an existing network is not what is desired.
pub(crate) struct NetworkChange {
    /// As in the file.
    pub field: &'static str,
    /// Of a mapping.
    pub key: Option<String>,
    pub old: Value,
    pub new: Value,
}

/// Options and subnets that the Engine chose by itself do not count.
pub(crate) fn network_changes(spec: &NetworkSpec, existing: &CurrentNetwork) -> Vec<NetworkChange> {
    let mut found = Vec::new();
    let mut add = |field, key: Option<&String>, old: Value, new: Value| {
        if old != new {
            found.push(NetworkChange { field, key: key.cloned(), old, new });
        }
    };
    add("driver", None, json!(existing.driver), json!(spec.driver));
    add("internal", None, json!(existing.internal), json!(spec.internal));
    add("attachable", None, json!(existing.attachable), json!(spec.attachable));
    for (key, value) in spec.options.iter().flatten() {
        add("driver_opts", Some(key), json!(existing.options.get(key)), json!(value));
    }
    let configs = spec.ipam.iter().flat_map(|ipam| &ipam.config).flatten();
    let subnets: Vec<&String> = configs.map(|config| &config.subnet).collect();
    if subnets.iter().any(|subnet| !existing.subnets.contains(subnet)) {
        add("ipam", None, json!(existing.subnets), json!(subnets));
    }
    for (key, value) in spec.labels.iter().filter(|(key, _)| *key != labels::NAMESPACE && !labels::is_own(key)) {
        add("labels", Some(key), json!(existing.labels.get(key)), json!(value));
    }
    found
}
