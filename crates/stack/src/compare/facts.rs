//! A service spec as facts: path in the words of Compose files → value. Every struct is taken apart in full, so that a
//! field that is added to the types and forgotten here does not compile.

use super::words;
use crate::objects::service::{
    Attachment, BindOptions, ConfigReference, ContainerSpec, CredentialSpec, DnsConfig, Driver, EndpointSpec,
    GenericResource, Healthcheck, Limit, Mode, Mount, Placement, Platform, PortConfig, Privileges, ReferenceFile,
    Reservation, Resources, RestartPolicy, SecretReference, ServiceSpec, TaskSpec, TmpfsOptions, UpdateConfig,
    VolumeOptions,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Where in the spec a fact is, which is what decides about tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Service,
    Task,
    Placement,
    Endpoint,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fact {
    pub part: Part,
    pub value: Value,
}

const PORTS: &str = "ports ";
const ENDPOINT_MODE: &str = "deploy.endpoint_mode";

pub(super) fn is_endpoint(path: &str) -> bool {
    path == ENDPOINT_MODE || path.starts_with(PORTS)
}

/// Of a spec in normal form.
pub(super) fn facts(spec: &ServiceSpec) -> BTreeMap<String, Fact> {
    let mut facts = Facts { part: Part::Service, all: BTreeMap::new() };
    let ServiceSpec { name: _, labels, task_template, mode, update_config, rollback_config, endpoint_spec, unknown } =
        spec;
    facts.texts("deploy.labels", labels);
    facts.mode(mode);
    facts.update("deploy.update_config", update_config.as_ref());
    facts.update("deploy.rollback_config", rollback_config.as_ref());
    facts.part = Part::Task;
    for (path, value) in unknown {
        let task = path.starts_with("TaskTemplate.");
        facts
            .all
            .insert(path.clone(), Fact { part: if task { Part::Task } else { Part::Service }, value: value.clone() });
    }
    facts.task(task_template);
    facts.part = Part::Endpoint;
    facts.endpoint(endpoint_spec.as_ref());
    facts.all
}

struct Facts {
    part: Part,
    all: BTreeMap<String, Fact>,
}

impl Facts {
    /// Zero values are no facts.
    fn add(&mut self, path: impl Into<String>, value: impl Into<Value>) {
        let value = value.into();
        let zero = match &value {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Number(number) => number.as_f64() == Some(0.0),
            _ => false,
        };
        if !zero {
            self.put(path, value);
        }
    }

    fn put(&mut self, path: impl Into<String>, value: impl Into<Value>) {
        // Two of one path: the second gets a number.
        let path = path.into();
        let mut key = path.clone();
        let mut count = 1;
        while self.all.contains_key(&key) {
            count += 1;
            key = format!("{path} #{count}");
        }
        self.all.insert(key, Fact { part: self.part, value: value.into() });
    }

    fn texts(&mut self, path: &str, texts: &BTreeMap<String, String>) {
        for (key, value) in texts {
            self.put(format!("{path}.{key}"), value.clone());
        }
    }

    fn nanos(&mut self, path: String, nanos: i64) {
        if nanos != 0 {
            self.put(path, words::duration(nanos));
        }
    }

    fn mode(&mut self, mode: &Mode) {
        let Mode { replicated, global: _, replicated_job, global_job: _ } = mode;
        self.put("deploy.mode", mode.name());
        if let Some(replicated) = replicated {
            self.put("deploy.replicas", replicated.replicas);
        }
        if let Some(job) = replicated_job {
            self.put("deploy.replicas", job.total_completions);
            if job.max_concurrent != job.total_completions {
                self.put("deploy.replicas at once", job.max_concurrent);
            }
        }
    }

    fn update(&mut self, path: &str, config: Option<&UpdateConfig>) {
        let Some(UpdateConfig { parallelism, delay, failure_action, monitor, max_failure_ratio, order }) = config
        else {
            return;
        };
        self.put(format!("{path}.parallelism"), *parallelism);
        self.nanos(format!("{path}.delay"), *delay);
        self.add(format!("{path}.failure_action"), failure_action.as_str());
        self.nanos(format!("{path}.monitor"), *monitor);
        self.add(format!("{path}.max_failure_ratio"), *max_failure_ratio);
        self.add(format!("{path}.order"), order.as_str());
    }

    fn task(&mut self, task: &TaskSpec) {
        let TaskSpec {
            resources,
            restart_policy,
            placement,
            networks,
            log_driver,
            runtime,
            container_spec,
            force_update: _,
        } = task;
        self.container(container_spec);
        self.add("runtime", runtime.as_str());
        if let Some(Resources { limits, reservations }) = resources {
            if let Some(Limit { nano_cpus, memory_bytes, pids }) = limits {
                self.cpus_and_memory("deploy.resources.limits", *nano_cpus, *memory_bytes);
                self.add("deploy.resources.limits.pids", *pids);
            }
            if let Some(Reservation { nano_cpus, memory_bytes, generic_resources }) = reservations {
                self.cpus_and_memory("deploy.resources.reservations", *nano_cpus, *memory_bytes);
                for GenericResource { discrete } in generic_resources {
                    let discrete = discrete.clone().unwrap_or_default();
                    let path = format!("deploy.resources.reservations.generic_resources.{}", discrete.kind);
                    self.put(path, discrete.value);
                }
            }
        }
        if let Some(RestartPolicy { condition, delay, max_attempts, window }) = restart_policy {
            self.add("deploy.restart_policy.condition", condition.as_str());
            self.nanos("deploy.restart_policy.delay".into(), delay.unwrap_or_default());
            self.add("deploy.restart_policy.max_attempts", *max_attempts);
            self.nanos("deploy.restart_policy.window".into(), window.unwrap_or_default());
        }
        self.driver("logging", log_driver.as_ref());
        for Attachment { target, aliases, driver_opts } in networks {
            self.put(format!("networks {target}"), json!({"aliases": aliases, "driver_opts": driver_opts}));
        }
        if let Some(placement) = placement {
            self.part = Part::Placement;
            self.placement(placement);
        }
    }

    fn placement(&mut self, placement: &Placement) {
        let Placement { constraints, preferences, max_replicas, platforms } = placement;
        let spreads = preferences.iter().map(|p| p.spread.as_ref().map_or("", |spread| spread.descriptor.as_str()));
        let platform = |Platform { architecture, os }: &Platform| format!("{os}/{architecture}");
        self.add("deploy.placement.constraints", constraints.as_slice());
        self.add("deploy.placement.preferences", spreads.collect::<Vec<_>>());
        self.add("deploy.placement.max_replicas_per_node", *max_replicas);
        self.add("deploy.placement.platforms", platforms.iter().map(platform).collect::<Vec<_>>());
    }

    fn cpus_and_memory(&mut self, path: &str, nano_cpus: i64, memory_bytes: i64) {
        if nano_cpus != 0 {
            self.put(format!("{path}.cpus"), words::cpus(nano_cpus));
        }
        if memory_bytes != 0 {
            self.put(format!("{path}.memory"), words::memory(memory_bytes));
        }
    }

    /// Present is a fact: without options it is another driver than the default.
    fn driver(&mut self, path: &str, driver: Option<&Driver>) {
        let Some(Driver { name, options }) = driver else { return };
        self.put(format!("{path}.driver"), name.as_str());
        self.texts(&format!("{path}.options"), options);
    }

    fn container(&mut self, container: &ContainerSpec) {
        let ContainerSpec {
            image,
            labels,
            command,
            args,
            hostname,
            env,
            dir,
            user,
            privileges,
            init,
            stop_signal,
            tty,
            open_stdin,
            read_only,
            mounts,
            stop_grace_period,
            healthcheck,
            hosts,
            dns_config,
            secrets,
            configs,
            isolation,
            sysctls,
            capability_add,
            capability_drop,
            ulimits,
            oom_score_adj,
        } = container;
        for (path, text) in [
            ("image", image),
            ("hostname", hostname),
            ("working_dir", dir),
            ("user", user),
            ("stop_signal", stop_signal),
            ("isolation", isolation),
        ] {
            self.add(path, text.as_str());
        }
        for (path, list) in [
            ("entrypoint", command),
            ("command", args),
            ("extra_hosts", hosts),
            ("cap_add", capability_add),
            ("cap_drop", capability_drop),
        ] {
            self.add(path, list.as_slice());
        }
        for (path, on) in [("tty", tty), ("stdin_open", open_stdin), ("read_only", read_only)] {
            self.add(path, *on);
        }
        if let Some(init) = init {
            self.put("init", *init);
        }
        if let Some(nanos) = stop_grace_period {
            self.put("stop_grace_period", words::duration(*nanos));
        }
        self.texts("labels", labels);
        self.texts("sysctls", sysctls);
        for line in env {
            let (key, value) = line.split_once('=').map_or((line.as_str(), None), |(key, value)| (key, Some(value)));
            self.put(format!("environment.{key}"), value);
        }
        for limit in ulimits {
            self.put(format!("ulimits.{}", limit.name), json!({"soft": limit.soft, "hard": limit.hard}));
        }
        self.add("oom_score_adj", *oom_score_adj);
        self.privileges(privileges.as_ref());
        self.healthcheck(healthcheck.as_ref());
        self.dns(dns_config.as_ref());
        mounts.iter().for_each(|mount| self.mount(mount));
        for SecretReference { file, id: _, name } in secrets {
            self.reference("secrets", name, file.as_ref());
        }
        for ConfigReference { file, runtime: _, id: _, name } in configs {
            self.reference("configs", name, file.as_ref());
        }
    }

    /// Without a file: for the runtime.
    fn reference(&mut self, what: &str, name: &str, file: Option<&ReferenceFile>) {
        let value = file.map(|ReferenceFile { name, uid, gid, mode }| {
            json!({"target": name, "uid": uid, "gid": gid, "mode": format!("{mode:04o}")})
        });
        self.put(format!("{what} {name}"), value.unwrap_or_else(|| "runtime".into()));
    }

    fn privileges(&mut self, privileges: Option<&Privileges>) {
        let Some(Privileges { credential_spec, selinux_context, no_new_privileges }) = privileges else { return };
        if let Some(CredentialSpec { config, file, registry }) = credential_spec {
            self.add("credential_spec.config", config.as_str());
            self.add("credential_spec.file", file.as_str());
            self.add("credential_spec.registry", registry.as_str());
        }
        self.add("SELinuxContext", selinux_context.clone());
        self.add("NoNewPrivileges", *no_new_privileges);
    }

    fn healthcheck(&mut self, check: Option<&Healthcheck>) {
        let Some(Healthcheck { test, interval, timeout, start_period, start_interval, retries }) = check else {
            return;
        };
        self.add("healthcheck.test", test.as_slice());
        self.nanos("healthcheck.interval".into(), *interval);
        self.nanos("healthcheck.timeout".into(), *timeout);
        self.nanos("healthcheck.start_period".into(), *start_period);
        self.nanos("healthcheck.start_interval".into(), *start_interval);
        self.add("healthcheck.retries", *retries);
    }

    fn dns(&mut self, dns: Option<&DnsConfig>) {
        let Some(DnsConfig { nameservers, search, options }) = dns else { return };
        self.add("dns", nameservers.as_slice());
        self.add("dns_search", search.as_slice());
        self.add("dns_opt", options.as_slice());
    }

    fn mount(&mut self, mount: &Mount) {
        let Mount {
            kind,
            source,
            target,
            read_only,
            consistency: _,
            bind_options,
            volume_options,
            tmpfs_options,
            cluster_options: _,
        } = mount;
        let mut value =
            BTreeMap::from([("type", json!(kind)), ("source", json!(source)), ("read_only", json!(read_only))]);
        if let Some(BindOptions { propagation }) = bind_options {
            value.insert("bind", json!({"propagation": propagation}));
        }
        if let Some(VolumeOptions { no_copy, labels, subpath, driver_config }) = volume_options {
            let driver =
                driver_config.as_ref().map(|Driver { name, options }| json!({"name": name, "options": options}));
            let volume = json!({"nocopy": no_copy, "labels": labels, "subpath": subpath, "driver": driver});
            value.insert("volume", volume);
        }
        if let Some(TmpfsOptions { size_bytes }) = tmpfs_options {
            value.insert("tmpfs", json!({"size": size_bytes}));
        }
        self.put(format!("volumes {target}"), json!(value));
    }

    fn endpoint(&mut self, endpoint: Option<&EndpointSpec>) {
        let Some(EndpointSpec { mode, ports }) = endpoint else { return };
        self.add(ENDPOINT_MODE, mode.as_str());
        for PortConfig { name, protocol, target_port, published_port, publish_mode } in ports {
            let path = match published_port {
                0 => format!("{PORTS}:{target_port}/{protocol}"),
                published => format!("{PORTS}{published}/{protocol}"),
            };
            self.put(path, format!("{name}{target_port} {publish_mode}"));
        }
    }
}
