//! A stack as this swarm has it, whoever deployed it, as the objects of a release.
//!
//! Applied here, an exported release changes nothing. What Engines never give back (bytes of secrets) or choose anew in
//! each cluster (subnets) is not carried over; the notes say so.

use super::{Asked, Refusal, is_of, not_found};
use crate::engine::{Network, Service};
use crate::seen::{Seen, look};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use waggle_model::StackName;
use waggle_model::ask::{Export, ObjectKind};
use waggle_stack::objects::service::ServiceSpec;
use waggle_stack::objects::{self, NetworkSpec, Objects, Payload, PayloadSpec};
use waggle_stack::{labels, release::sha256_hex};

/// Options that the Engine adds to a network by itself (moby/moby: libnetwork/drivers/overlay).
const CHOSEN_OPTION: &str = "com.docker.network.driver.overlay.vxlanid_list";

impl Asked {
    pub(super) async fn export(&self, stack: &StackName) -> Result<Export, Refusal> {
        let seen = look(self.engine.as_ref()).await?;
        let services: Vec<&Service> = seen.services.iter().filter(|one| is_of(&one.spec.labels, stack)).collect();
        if services.is_empty() {
            return Err(not_found(format!("there is no stack {stack} in this swarm")));
        }
        let mut out = Exporting { stack, seen: &seen, objects: Objects::default(), notes: Vec::new() };
        for service in &services {
            let raw = self.engine.inspect(ObjectKind::Service, &service.id).await?;
            out.service(service, &raw["Spec"]);
        }
        out.networks();
        let mut configs = BTreeMap::new();
        for name in out.config_names(&services) {
            let Some(found) = seen.configs.iter().find(|config| config.name == name) else { continue };
            let raw = self.engine.inspect(ObjectKind::Config, &found.id).await?;
            let data = raw["Spec"]["Data"].as_str().and_then(|text| STANDARD.decode(text).ok());
            let Some(data) = data.filter(|_| is_of(&found.labels, stack)) else {
                out.objects.configs.insert(name, Payload::External);
                continue;
            };
            let sha256 = sha256_hex(&data);
            configs.insert(sha256.clone(), STANDARD.encode(&data));
            let spec = PayloadSpec { name: name.clone(), labels: foreign(&found.labels), ..PayloadSpec::default() };
            out.objects.configs.insert(name, Payload::Managed { sha256, spec });
        }
        Ok(Export { objects: out.objects.canonical_json(), configs, notes: out.notes })
    }
}

struct Exporting<'a> {
    stack: &'a StackName,
    seen: &'a Seen,
    objects: Objects,
    notes: Vec<String>,
}

impl Exporting<'_> {
    fn service(&mut self, service: &Service, raw: &Value) {
        let name = &service.spec.name;
        let mut lost = Vec::new();
        left_out(raw, &serde_json::to_value(&service.spec).unwrap_or_default(), "", &mut lost);
        self.notes.extend(lost.iter().map(|field| format!("service {name}: {field} is not carried over")));
        let mut spec: ServiceSpec = service.spec.clone();
        spec.labels.retain(|key, _| !labels::is_own(key));
        spec.task_template.force_update = 0;
        for attachment in &mut spec.task_template.networks {
            match self.seen.networks.iter().find(|network| network.id == attachment.target) {
                Some(network) => attachment.target.clone_from(&network.name),
                None => self.notes.push(format!("service {name}: its network {} is gone", attachment.target)),
            }
            if let Some(network) = self.seen.networks.iter().find(|network| network.name == attachment.target) {
                self.objects.networks.insert(network.name.clone(), self.network(network));
            }
        }
        let container = &mut spec.task_template.container_spec;
        for secret in &mut container.secrets {
            secret.id.clear();
            if self.objects.secrets.insert(secret.name.clone(), Payload::External).is_none() {
                let note = format!("secret {}: its bytes cannot be read; it must exist in every cluster", secret.name);
                self.notes.push(note);
            }
        }
        container.configs.iter_mut().for_each(|config| config.id.clear());
        let prefix = format!("{}_", self.stack);
        let key = name.strip_prefix(&prefix).unwrap_or(name).to_owned();
        self.objects.services.insert(key, spec);
    }

    /// Networks of the stack that no service uses.
    fn networks(&mut self) {
        for network in self.seen.networks.iter().filter(|network| is_of(&network.labels, self.stack)) {
            let network_object = self.network(network);
            self.objects.networks.insert(network.name.clone(), network_object);
        }
    }

    fn network(&self, network: &Network) -> objects::Network {
        if !is_of(&network.labels, self.stack) {
            return objects::Network::External;
        }
        let mut options = network.options.clone();
        options.remove(CHOSEN_OPTION);
        objects::Network::Managed(NetworkSpec {
            name: network.name.clone(),
            check_duplicate: true,
            driver: network.driver.clone(),
            ipam: None,
            internal: network.internal,
            attachable: network.attachable,
            options: Some(options).filter(|options| !options.is_empty()),
            labels: foreign(&network.labels),
        })
    }

    fn config_names(&self, services: &[&Service]) -> BTreeSet<String> {
        let used = services.iter().flat_map(|service| &service.spec.task_template.container_spec.configs);
        let own = self.seen.configs.iter().filter(|config| is_of(&config.labels, self.stack));
        used.map(|config| config.name.clone()).chain(own.map(|config| config.name.clone())).collect()
    }
}

fn foreign(on: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    on.iter().filter(|(key, _)| !labels::is_own(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Fields of `raw` that say something and that `kept` lacks.
fn left_out(raw: &Value, kept: &Value, path: &str, found: &mut Vec<String>) {
    match (raw, kept) {
        (Value::Object(raw), Value::Object(kept)) => {
            for (key, value) in raw {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match kept.get(key) {
                    Some(kept) => left_out(value, kept, &path, found),
                    None if says_nothing(key, value) => {}
                    None => found.push(path),
                }
            }
        }
        (Value::Array(raw), Value::Array(kept)) => {
            raw.iter().zip(kept).for_each(|(raw, kept)| left_out(raw, kept, path, found));
        }
        _ => {}
    }
}

fn says_nothing(key: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || (key == "Runtime" && text == "container"),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.iter().all(|(key, value)| says_nothing(key, value)),
    }
}
