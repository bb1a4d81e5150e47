//! One service → `ServiceSpec`.

use super::{Converter, DEFAULT_NETWORK, SERVICE_NAME_BYTES_MAX};
use crate::compose::{Healthcheck, Service};
use crate::objects::scoped;
use crate::objects::service::{
    Attachment, ContainerSpec, DnsConfig, Driver, Healthcheck as EngineHealthcheck, Privileges, ServiceSpec, TaskSpec,
    Ulimit,
};
use crate::problem::Place;
use crate::read::Spot;
use crate::{Deviation, image, labels};
use std::collections::{BTreeMap, BTreeSet};

impl Converter<'_> {
    /// Services by their name in the file.
    pub(super) fn services(&self) -> BTreeMap<String, ServiceSpec> {
        if self.file.services.is_empty() && !self.file.compat.contains(&Deviation::D15) {
            let help = "to remove the stack: waggle stack rm";
            let message = "no services are defined; deployed, it would remove every service that the stack has";
            self.report.error_help(&Place::default(), message, help);
        }
        self.file.services.iter().map(|(name, service)| (name.clone(), self.service(name, service))).collect()
    }

    fn service(&self, key: &str, service: &Service) -> ServiceSpec {
        let name = scoped(&self.input.stack, key);
        if name.len() > SERVICE_NAME_BYTES_MAX {
            let message = format!("service name {name} is longer than {SERVICE_NAME_BYTES_MAX} characters");
            self.report.error(&service.at, message);
        }
        self.check_service(&name, service);
        self.check_impossible(service);
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
                ..TaskSpec::default()
            },
            mode: self.mode(service),
            update_config: self.update_config(service.deploy.update_config.as_ref()),
            rollback_config: self.update_config(service.deploy.rollback_config.as_ref()),
            endpoint_spec: Some(self.endpoint(service)),
            unknown: BTreeMap::new(),
        }
    }

    fn image(&self, key: &str, service: &Service) -> String {
        let Some(Spot { value, at }) = &service.image else {
            self.report.error(&service.at, format!("service {key} has no image"));
            return String::new();
        };
        if image::is_id(value) {
            if !self.file.compat.contains(&Deviation::D14) {
                let help = "name a repository; nodes pull from a registry, which knows no ids";
                self.report.error_help(at, format!("image {value:?} is an image id"), help);
            }
        } else if let Err(error) = image::parse(value) {
            self.report.error(at, error.to_string());
        }
        value.clone()
    }

    fn container(&self, service: &Service, image: String) -> ContainerSpec {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let on = |switch: &Option<Spot<bool>>| switch.as_ref().is_some_and(|switch| switch.value);
        let (capability_add, capability_drop) = capabilities(&service.cap_add, &service.cap_drop);
        ContainerSpec {
            image,
            labels: self.stack_labels(&service.labels),
            command: service.entrypoint.clone().unwrap_or_default(),
            args: service.command.clone().unwrap_or_default(),
            hostname: text(&service.hostname),
            env: environment(&service.environment),
            dir: text(&service.working_dir),
            user: text(&service.user),
            privileges: Some(Privileges { credential_spec: self.credential_spec(service), ..Privileges::default() }),
            init: service.init.as_ref().map(|init| init.value),
            stop_signal: text(&service.stop_signal),
            tty: on(&service.tty),
            open_stdin: on(&service.stdin_open),
            read_only: on(&service.read_only),
            mounts: self.mounts(service),
            stop_grace_period: service.stop_grace_period,
            healthcheck: service.healthcheck.as_ref().map(|check| self.healthcheck(check)),
            hosts: service.extra_hosts.iter().filter_map(host).collect(),
            dns_config: dns(service),
            secrets: self.secret_references(service),
            configs: self.config_references(service),
            isolation: service.isolation.as_ref().map(|isolation| isolation.value.clone()).unwrap_or_default(),
            sysctls: service.sysctls.clone(),
            capability_add,
            capability_drop,
            ulimits: ulimits(&service.ulimits),
            oom_score_adj: self.oom_score_adj(service),
        }
    }

    /// The schema has the key and docker drops it (docker/cli `cli/compose/types` names no key for the field). Sent, an
    /// Engine before API 1.46 would drop it too, and would never be as wanted.
    fn oom_score_adj(&self, service: &Service) -> i64 {
        let Spot { value, at } = &service.oom_score_adj;
        if *value != 0 {
            self.report.warn(at, "oom_score_adj is ignored: docker stack deploy does not send it");
        }
        0
    }

    fn healthcheck(&self, check: &Spot<Healthcheck>) -> EngineHealthcheck {
        let Spot { value: check, at } = check;
        let test = check.test.clone().unwrap_or_default();
        let disabled = check.disable == Some(true);
        if disabled && !test.is_empty() {
            self.report.error(at, "test and disable cannot be set at the same time");
        }
        for (what, nanos) in [
            ("interval", check.interval),
            ("timeout", check.timeout),
            ("start_period", check.start_period),
            ("start_interval", check.start_interval),
        ] {
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
            start_interval: check.start_interval.unwrap_or_default(),
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
            if is_user_defined(&target) {
                aliases.push(key.to_owned());
            }
            attachments.push(Attachment { target, aliases, driver_opts: value.driver_opts.clone() });
        }
        attachments.sort_by(|a, b| a.target.cmp(&b.target));
        attachments
    }
}

/// Networks that Docker comes with take no aliases.
fn is_user_defined(network: &str) -> bool {
    !matches!(network, "default" | "bridge" | "host" | "none") && !network.starts_with("container:")
}

fn dns(service: &Service) -> Option<DnsConfig> {
    if service.dns.is_none() && service.dns_search.is_none() {
        return None;
    }
    let list = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    Some(DnsConfig { nameservers: list(&service.dns), search: list(&service.dns_search), options: Vec::new() })
}

/// `host:address` → `address host`, brackets around an address gone; docker passes over an entry without colon.
fn host(entry: &Spot<String>) -> Option<String> {
    let (host, address) = entry.value.split_once(':')?;
    let address = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    Some(format!("{address} {host}"))
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

/// Upper case with `CAP_`, sorted, once each; `ALL` swallows the others; what is added is not dropped. `RESET` means
/// something in `docker service update` only.
fn capabilities(add: &[String], drop: &[String]) -> (Vec<String>, Vec<String>) {
    let normal = |list: &[String]| -> BTreeSet<String> {
        let one = |name: &String| {
            let name = name.trim().to_uppercase();
            if matches!(name.as_str(), "ALL" | "RESET") || name.starts_with("CAP_") {
                name
            } else {
                format!("CAP_{name}")
            }
        };
        let all: BTreeSet<String> = list.iter().map(one).collect();
        if all.contains("ALL") { BTreeSet::from(["ALL".to_owned()]) } else { all }
    };
    let (mut add, mut drop) = (normal(add), normal(drop));
    drop.retain(|name| !add.contains(name) && name != "RESET");
    add.remove("RESET");
    (add.into_iter().collect(), drop.into_iter().collect())
}
