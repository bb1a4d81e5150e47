//! What every swarm manager refuses (moby/moby `daemon/cluster/convert`, moby/swarmkit `manager/controlapi`): said before
//! anything is written, because docker finds out after networks, secrets and other services have been made. Single words
//! and numbers are checked where they are read ([`crate::compose`]).

use super::Converter;
use crate::compose::{Deploy, Service, Update};
use crate::problem::Place;
use crate::read::Spot;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

impl Converter<'_> {
    pub(super) fn check_service(&self, name: &str, service: &Service) {
        self.check_name("service", name, &service.at);
        self.check_mount_points(service);
        self.check_ports_of(service);
        let deploy = &service.deploy;
        self.check_restart(deploy, &service.at);
        for constraint in deploy.constraints.iter().filter(|constraint| !is_constraint(constraint)) {
            let message = format!("placement constraint {constraint:?} of service {name} is not valid");
            self.report.error_help(&service.at, message, "write key==value or key!=value, e.g. node.role==worker");
        }
        self.check_update(deploy.update_config.as_ref());
        let mode = deploy.mode.as_ref().map_or("", |mode| mode.value.as_str());
        if let (true, Some(Spot { at, .. })) = (mode.ends_with("-job"), &deploy.update_config) {
            let message = format!("update_config does not go with mode {mode}");
            self.report.error_help(at, message, "a job is not updated task by task: remove it");
        }
    }

    /// Names of services and networks are host names too.
    pub(super) fn check_name(&self, what: &str, name: &str, at: &Place) {
        let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
        let inside = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if !inside || !edge(name.bytes().next()) || !edge(name.bytes().last()) {
            let help = "letters, digits, '-' and '_', first and last a letter or digit";
            self.report.error_help(at, format!("{what} name {name} is not valid"), help);
        }
    }

    fn check_mount_points(&self, service: &Service) {
        let mut taken = BTreeSet::new();
        for Spot { value: mount, at } in &service.volumes {
            if !taken.insert(&mount.target) {
                self.report.error(at, format!("two mounts have the target {}", mount.target));
            }
        }
    }

    fn check_ports_of(&self, service: &Service) {
        let dnsrr = service.deploy.endpoint_mode.as_deref().is_some_and(|mode| mode.eq_ignore_ascii_case("dnsrr"));
        let mut taken = BTreeSet::new();
        for Spot { value: port, at } in &service.ports {
            let protocol = protocol(&port.protocol);
            if dnsrr && !is_host(&port.mode) {
                let help = "use endpoint_mode: vip, or mode: host for the port";
                self.report.error_help(at, "endpoint_mode dnsrr cannot publish ports in mode ingress", help);
            }
            if port.published != 0 && !taken.insert((port.published, protocol)) {
                self.report.error(at, format!("port {}/{protocol} is published twice", port.published));
            }
        }
    }

    /// Two services cannot publish one port, unless both on the nodes: the scheduler keeps their tasks apart.
    pub(super) fn check_ports(&self) {
        let mut taken: BTreeMap<(u32, &str), (&str, bool)> = BTreeMap::new();
        for (name, service) in &self.file.services {
            for Spot { value: port, at } in service.ports.iter().filter(|port| port.value.published != 0) {
                let (key, host) = ((port.published, protocol(&port.protocol)), is_host(&port.mode));
                match taken.get(&key) {
                    Some((other, others)) if other != name && !(host && *others) => {
                        let message = format!("port {}/{} is already published by service {other}", key.0, key.1);
                        self.report.error(at, message);
                    }
                    Some((_, false)) => {}
                    _ => {
                        taken.insert(key, (name, host));
                    }
                }
            }
        }
    }

    fn check_restart(&self, deploy: &Deploy, at: &Place) {
        let Some(policy) = &deploy.restart_policy else { return };
        if policy.delay.is_some_and(|nanos| nanos < 0) || policy.window.is_some_and(|nanos| nanos < 0) {
            self.report.error(at, "delay and window of restart_policy must not be negative");
        }
    }

    /// Only this one: a manager passes over `rollback_config`.
    fn check_update(&self, update: Option<&Spot<Update>>) {
        let Some(Spot { value: update, at }) = update else { return };
        if update.max_failure_ratio.is_some_and(|ratio| !(0.0..=1.0).contains(&ratio)) {
            self.report.error(at, "max_failure_ratio must be between 0 and 1");
        }
        if update.delay.is_some_and(|nanos| nanos < 0) || update.monitor.is_some_and(|nanos| nanos < 0) {
            self.report.error(at, "delay and monitor must not be negative");
        }
    }

    pub(super) fn check_subnet(&self, subnet: &str, at: &Place) {
        let (address, prefix) = subnet.split_once('/').unwrap_or((subnet, ""));
        let bits = address.parse::<IpAddr>().map(|address| if address.is_ipv4() { 32 } else { 128 });
        if !bits.is_ok_and(|bits| prefix.parse::<u8>().is_ok_and(|prefix| prefix <= bits)) {
            self.report.error_help(at, format!("subnet {subnet:?} is not valid"), "write address/bits: 10.20.0.0/24");
        }
    }
}

/// As Swarm reads it.
fn protocol(text: &str) -> &'static str {
    ["udp", "sctp"].into_iter().find(|known| text.eq_ignore_ascii_case(known)).unwrap_or("tcp")
}

fn is_host(mode: &str) -> bool {
    mode.eq_ignore_ascii_case("host")
}

/// `key==value` or `key!=value` (moby/swarmkit `manager/constraint`).
fn is_constraint(text: &str) -> bool {
    let Some((key, value)) = text.split_once("==").or_else(|| text.split_once("!=")) else { return false };
    let (key, value) = (key.trim(), value.trim());
    let mut bytes = key.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let rest = key.len() > 1 && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let in_value = |c: char| c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || ":-_.*()?+[]\\^$|/".contains(c);
    first && rest && !value.is_empty() && value.chars().all(in_value)
}
