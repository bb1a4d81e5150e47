//! One service → `ServiceSpec`.

use super::{Converter, DEFAULT_NETWORK, SERVICE_NAME_BYTES_MAX};
use crate::compose::{FileObject, FileReference, Healthcheck, Service};
use crate::objects::scoped;
use crate::objects::service::{
    Attachment, ConfigReference, ContainerSpec, DnsConfig, Driver, Healthcheck as EngineHealthcheck, PortConfig,
    Privileges, ReferenceFile, SecretReference, ServiceSpec, TaskSpec, Ulimit,
};
use crate::problem::Place;
use crate::read::Spot;
use crate::{image, labels};
use std::collections::{BTreeMap, BTreeSet};

impl Converter<'_> {
    /// Services by their name in the file.
    pub(super) fn services(&self) -> BTreeMap<String, ServiceSpec> {
        if self.file.services.is_empty() {
            self.report.error(&Place::default(), "no services are defined");
        }
        self.file.services.iter().map(|(name, service)| (name.clone(), self.service(name, service))).collect()
    }

    fn service(&self, key: &str, service: &Service) -> ServiceSpec {
        let name = scoped(&self.input.stack, key);
        if name.len() > SERVICE_NAME_BYTES_MAX {
            let message = format!("service name {name} is longer than {SERVICE_NAME_BYTES_MAX} characters");
            self.report.error(&service.at, message);
        }
        let image = self.image(key, service);
        let mut service_labels = self.stack_labels(&service.deploy.labels);
        service_labels.insert(labels::IMAGE.into(), image.clone());
        ServiceSpec {
            name,
            labels: service_labels,
            task_template: TaskSpec {
                container_spec: self.container(service, image),
                resources: Some(self.resources(&service.deploy)),
                restart_policy: self.restart_policy(service),
                placement: Some(self.placement(&service.deploy)),
                networks: self.attachments(key, service),
                log_driver: service.logging.as_ref().map(|logging| Driver {
                    name: logging.driver.clone().unwrap_or_default(),
                    options: logging.options.clone().unwrap_or_default(),
                }),
                force_update: 0,
            },
            mode: self.mode(service),
            update_config: self.update_config(service.deploy.update_config.as_ref(), service),
            rollback_config: self.update_config(service.deploy.rollback_config.as_ref(), service),
            endpoint_spec: Some(self.endpoint(service)),
        }
    }

    fn image(&self, key: &str, service: &Service) -> String {
        let Some(Spot { value, at }) = &service.image else {
            self.report.error(&service.at, format!("service {key} has no image"));
            return String::new();
        };
        if let Err(error) = image::parse(value) {
            self.report.error(at, error.to_string());
        }
        value.clone()
    }

    fn container(&self, service: &Service, image: String) -> ContainerSpec {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let on = |switch: &Option<Spot<bool>>| switch.as_ref().is_some_and(|switch| switch.value);
        let (capability_add, capability_drop) = capabilities(&service.cap_add, &service.cap_drop);
        let secrets = self.references("secret", &service.secrets, &self.file.secrets);
        let configs = self.references("config", &service.configs, &self.file.configs);
        ContainerSpec {
            image,
            labels: self.stack_labels(&service.labels),
            command: service.entrypoint.clone().unwrap_or_default(),
            args: service.command.clone().unwrap_or_default(),
            hostname: text(&service.hostname),
            env: environment(&service.environment),
            dir: text(&service.working_dir),
            user: text(&service.user),
            privileges: Some(Privileges::default()),
            init: service.init.as_ref().map(|init| init.value),
            stop_signal: text(&service.stop_signal),
            tty: on(&service.tty),
            open_stdin: on(&service.stdin_open),
            read_only: on(&service.read_only),
            mounts: self.mounts(service),
            stop_grace_period: service.stop_grace_period,
            healthcheck: service.healthcheck.as_ref().map(|check| self.healthcheck(check)),
            hosts: service.extra_hosts.iter().map(host).collect(),
            dns_config: dns(service),
            secrets: secrets
                .into_iter()
                .map(|(name, file)| SecretReference { file, id: String::new(), name })
                .collect(),
            configs: configs
                .into_iter()
                .map(|(name, file)| ConfigReference { file, id: String::new(), name })
                .collect(),
            sysctls: service.sysctls.clone(),
            capability_add,
            capability_drop,
            ulimits: ulimits(&service.ulimits),
        }
    }

    fn healthcheck(&self, check: &Spot<Healthcheck>) -> EngineHealthcheck {
        let Spot { value: check, at } = check;
        let test = check.test.clone().unwrap_or_default();
        let disabled = check.disable == Some(true);
        if disabled && !test.is_empty() {
            self.report.error(at, "test and disable cannot be set at the same time");
        }
        for (what, nanos) in
            [("interval", check.interval), ("timeout", check.timeout), ("start_period", check.start_period)]
        {
            if nanos.is_some_and(|nanos| nanos != 0 && nanos < 1_000_000) {
                self.report.error(at, format!("healthcheck {what} must be at least 1ms"));
            }
        }
        if disabled {
            return EngineHealthcheck { test: vec!["NONE".into()], ..EngineHealthcheck::default() };
        }
        EngineHealthcheck {
            test,
            interval: check.interval.unwrap_or_default(),
            timeout: check.timeout.unwrap_or_default(),
            start_period: check.start_period.unwrap_or_default(),
            retries: check.retries.unwrap_or_default(),
        }
    }

    /// Sorted by target. On networks made by users the service's name is an alias.
    fn attachments(&self, key: &str, service: &Service) -> Vec<Attachment> {
        let default = BTreeMap::from([(DEFAULT_NETWORK.to_owned(), Spot::default())]);
        let wanted = if service.networks.is_empty() { &default } else { &service.networks };
        let mut attachments = Vec::new();
        for (name, Spot { value, at }) in wanted {
            let target = match self.file.networks.get(name) {
                Some(network) => self.name(name, &network.value.name, network.value.external),
                None if name == DEFAULT_NETWORK => scoped(&self.input.stack, name),
                None => {
                    self.report.error(at, format!("undefined network {name:?}"));
                    continue;
                }
            };
            let mut aliases = value.aliases.clone();
            if !matches!(target.as_str(), "default" | "bridge" | "host" | "none") {
                aliases.push(key.to_owned());
            }
            attachments.push(Attachment { target, aliases, driver_opts: value.driver_opts.clone() });
        }
        attachments.sort_by(|a, b| a.target.cmp(&b.target));
        attachments
    }

    /// Name in the swarm and file in the container, sorted by name.
    fn references(
        &self,
        what: &str,
        references: &[Spot<FileReference>],
        objects: &BTreeMap<String, Spot<FileObject>>,
    ) -> Vec<(String, ReferenceFile)> {
        let mut found = Vec::new();
        let mut targets = BTreeSet::new();
        for Spot { value: reference, at } in references {
            let source = &reference.source;
            let Some(Spot { value: object, .. }) = objects.get(source) else {
                self.report.error(at, format!("undefined {what} {source:?}"));
                continue;
            };
            let target = reference.target.as_ref().unwrap_or(source);
            if !targets.insert(target) {
                self.report.error(at, format!("two {what}s have the target {target}"));
            }
            let file = ReferenceFile {
                name: target.clone(),
                uid: reference.uid.clone().unwrap_or_else(|| "0".into()),
                gid: reference.gid.clone().unwrap_or_else(|| "0".into()),
                mode: reference.mode.unwrap_or(0o444),
            };
            found.push((self.name(source, &object.name, object.external), file));
        }
        found.sort_by(|(a, x), (b, y)| (a, &x.name).cmp(&(b, &y.name)));
        found
    }
}

fn dns(service: &Service) -> Option<DnsConfig> {
    if service.dns.is_empty() && service.dns_search.is_empty() {
        return None;
    }
    Some(DnsConfig { nameservers: service.dns.clone(), search: service.dns_search.clone(), options: Vec::new() })
}

/// `host:address` → `address host`; brackets around an address go.
fn host(entry: &Spot<String>) -> String {
    let (host, address) = entry.value.split_once(':').unwrap_or((&entry.value, ""));
    let address = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    format!("{address} {host}")
}

fn environment(environment: &BTreeMap<String, Option<String>>) -> Vec<String> {
    let line = |(key, value): (&String, &Option<String>)| match value {
        Some(value) => format!("{key}={value}"),
        None => key.clone(),
    };
    let mut lines: Vec<String> = environment.iter().map(line).collect();
    lines.sort();
    lines
}

fn ulimits(ulimits: &BTreeMap<String, (i64, i64)>) -> Vec<Ulimit> {
    ulimits.iter().map(|(name, (soft, hard))| Ulimit { name: name.clone(), hard: *hard, soft: *soft }).collect()
}

/// Upper case with `CAP_`, sorted, once each; `ALL` swallows the others; what is added is not dropped.
fn capabilities(add: &[String], drop: &[String]) -> (Vec<String>, Vec<String>) {
    let normal = |list: &[String]| -> BTreeSet<String> {
        let one = |name: &String| {
            let name = name.trim().to_ascii_uppercase();
            if name == "ALL" || name.starts_with("CAP_") { name } else { format!("CAP_{name}") }
        };
        let all: BTreeSet<String> = list.iter().map(one).collect();
        if all.contains("ALL") { BTreeSet::from(["ALL".to_owned()]) } else { all }
    };
    let add = normal(add);
    let drop = normal(drop).into_iter().filter(|name| !add.contains(name)).collect();
    (add.into_iter().collect(), drop)
}

/// By published port, then target, protocol and mode.
pub(super) fn sorted(mut ports: Vec<PortConfig>) -> Vec<PortConfig> {
    ports.sort_by(|a, b| {
        let key = |p: &PortConfig| (p.published_port, p.target_port, p.protocol.clone(), p.publish_mode.clone());
        key(a).cmp(&key(b))
    });
    ports
}
