//! Networks, secrets and configs.

use super::{Converter, DEFAULT_NETWORK, SERVICE_NAME_BYTES_MAX};
use crate::compose::{self, FileObject};
use crate::objects::service::Driver;
use crate::objects::{Ipam, IpamConfig, Network, NetworkSpec, Payload, PayloadSpec};
use crate::problem::Place;
use crate::read::Spot;
use crate::release::sha256_hex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Swarm takes less than 500 KiB per secret.
pub(super) const SECRET_BYTES_MAX: usize = 500 * 1024 - 1;
/// Swarm takes less than 1000 KiB per config.
pub(super) const CONFIG_BYTES_MAX: usize = 1000 * 1024 - 1;
/// Longest secret or config name (moby/swarmkit manager/controlapi/common.go).
const PAYLOAD_NAME_BYTES_MAX: usize = 64;

impl Converter<'_> {
    /// Networks that a service uses, by name in the swarm.
    pub(super) fn networks(&self) -> BTreeMap<String, Network> {
        let mut used: BTreeSet<&str> = BTreeSet::new();
        for service in self.file.services.values() {
            used.extend(service.networks.keys().map(String::as_str));
            if service.networks.is_empty() {
                used.insert(DEFAULT_NETWORK);
            }
        }
        let undeclared = Spot::default();
        let mut networks = BTreeMap::new();
        for key in used {
            let Spot { value: network, at } = match self.file.networks.get(key) {
                Some(network) => network,
                None if key == DEFAULT_NETWORK => &undeclared,
                None => continue,
            };
            let name = self.name(key, &network.name, network.external);
            if name.len() > SERVICE_NAME_BYTES_MAX {
                self.report
                    .error(at, format!("network name {name} is longer than {SERVICE_NAME_BYTES_MAX} characters"));
            }
            if !network.external {
                self.check_name("network", &name, at);
                network.subnets.iter().for_each(|subnet| self.check_subnet(subnet, at));
            }
            let body = match network.external {
                true => Network::External,
                false => Network::Managed(self.network_spec(name.clone(), network)),
            };
            let twice = networks.insert(name.clone(), body.clone());
            if twice.is_some_and(|other| other != body) {
                self.report.error(at, format!("two networks have the name {name}"));
            }
        }
        networks
    }

    fn network_spec(&self, name: String, network: &compose::Network) -> NetworkSpec {
        let has_ipam = network.ipam_driver.is_some() || !network.subnets.is_empty();
        NetworkSpec {
            name,
            check_duplicate: true,
            driver: network.driver.clone().unwrap_or_else(|| "overlay".into()),
            ipam: has_ipam.then(|| Ipam {
                driver: network.ipam_driver.clone().unwrap_or_default(),
                options: None,
                config: (!network.subnets.is_empty())
                    .then(|| network.subnets.iter().map(|subnet| IpamConfig { subnet: subnet.clone() }).collect()),
            }),
            internal: network.internal,
            attachable: network.attachable,
            options: network.driver_opts.clone(),
            labels: self.stack_labels(&network.labels),
        }
    }

    /// Secrets or configs by name in the swarm; bytes go to `payloads`.
    pub(super) fn payloads(
        &self,
        what: &str,
        objects: &BTreeMap<String, Spot<FileObject>>,
        bytes_max: usize,
        payloads: &mut BTreeMap<String, Vec<u8>>,
    ) -> BTreeMap<String, Payload> {
        let mut found = BTreeMap::new();
        for (key, Spot { value: object, at }) in objects {
            let name = self.name(key, &object.name, object.external);
            self.check_payload_name(what, &name, at);
            let payload = if object.external {
                Payload::External
            } else {
                let Some(bytes) = self.payload_bytes(what, object, bytes_max) else { continue };
                let sha256 = sha256_hex(&bytes);
                payloads.insert(sha256.clone(), bytes);
                let labels = self.stack_labels(&object.labels);
                let driver = |name: &Spot<String>, options| Driver { name: name.value.clone(), options };
                let spec = PayloadSpec {
                    name: name.clone(),
                    labels,
                    driver: object.driver.as_ref().map(|name| driver(name, object.driver_opts.clone())),
                    templating: object.template_driver.as_ref().map(|name| driver(name, BTreeMap::new())),
                };
                Payload::Managed { sha256, spec }
            };
            let twice = found.insert(name.clone(), payload.clone());
            if twice.is_some_and(|other| other != payload) {
                self.report.error(at, format!("two {what}s have the name {name}"));
            }
        }
        found
    }

    fn payload_bytes(&self, what: &str, object: &FileObject, bytes_max: usize) -> Option<Vec<u8>> {
        if let Some(driver) = &object.driver {
            if let Some(file) = &object.file {
                let message = format!("{what}: driver {} and file cannot be used together", driver.value);
                self.report.error_help(&file.at, message, "the driver has the content: remove file");
            }
            return Some(Vec::new());
        }
        let file = object.file.as_ref()?;
        let refuse = |why: String| {
            self.report.error(&file.at, format!("{what} file {}: {why}", file.value));
            None
        };
        match (self.input.read)(&self.input.workdir.join(Path::new(&file.value))) {
            Err(why) => refuse(why),
            Ok(bytes) if bytes.is_empty() => refuse("it is empty".into()),
            Ok(bytes) if bytes.len() > bytes_max => refuse(format!("it is larger than {bytes_max} bytes")),
            Ok(bytes) => Some(bytes),
        }
    }

    fn check_payload_name(&self, what: &str, name: &str, at: &Place) {
        let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
        let valid = name.len() <= PAYLOAD_NAME_BYTES_MAX
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            && edge(name.bytes().next())
            && edge(name.bytes().last());
        if !valid {
            let message = format!("{what} name {name} is not valid");
            let help = "1 to 64 letters, digits, '-', '_' and '.', first and last a letter or digit";
            self.report.error_help(at, message, help);
        }
    }
}
