//! A rendered stack as the bodies that `docker stack deploy` (28.2.2) sends to create it in an empty swarm.
//!
//! For people who compare, for tools, and for the differential test against docker itself. What an agent sends differs in
//! two points on purpose: our labels are added, and every image is pinned.

use crate::objects::service::ServiceSpec;
use crate::objects::{Network, NetworkSpec, Objects, Payload, PayloadSpec};
use crate::{Pin, Rendered, image};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// The Engine does not look for a second network of the name by itself before this version.
const CHECKS_DUPLICATES_SINCE: ApiVersion = ApiVersion(1, 44);

/// Version of the Engine API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion(pub u32, pub u32);

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl Default for ApiVersion {
    /// Engine 20.10, the oldest one that is supported.
    fn default() -> ApiVersion {
        ApiVersion(1, 41)
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct EngineJsonOptions<'a> {
    pub api_version: ApiVersion,
    /// What a registry answered, by image as written in the file. `None`: as with `--resolve-image never`. An image that
    /// is not in it stays unpinned, as when its registry cannot be reached.
    pub pins: Option<&'a BTreeMap<String, Pin>>,
}

/// `{"networks": […], "secrets": […], "configs": […], "services": […], "warnings": […]}`, each object as `{"name",
/// "body"}`, sorted by name. Bodies are those of `POST /networks/create`, `/secrets/create` and `/configs/create` (bytes
/// as base64 in `Data`) and `/services/create`. External objects are not created, so they are not there.
///
/// Docker asks the Engine for the ids of secrets and configs. Nobody is asked here: `SecretID`, `ConfigID` and
/// `Privileges.CredentialSpec.Config` hold the *name* of the object, external ones too.
pub fn engine_json(rendered: &Rendered, options: EngineJsonOptions<'_>) -> Value {
    let Objects { networks, secrets, configs, services } = &rendered.objects;
    let managed = |(name, network): (&String, &Network)| match network {
        Network::External => None,
        Network::Managed(spec) => Some(named(name, network_body(spec, options.api_version))),
    };
    let payload = |(name, payload): (&String, &Payload)| match payload {
        Payload::External => None,
        Payload::Managed { sha256, spec } => {
            let bytes = rendered.payloads.get(sha256).map(Vec::as_slice).unwrap_or_default();
            Some(named(name, payload_body(spec, bytes)))
        }
    };
    let mut specs: Vec<&ServiceSpec> = services.values().collect();
    specs.sort_by(|a, b| a.name.cmp(&b.name));
    json!({
        "networks": networks.iter().filter_map(managed).collect::<Vec<_>>(),
        "secrets": secrets.iter().filter_map(payload).collect::<Vec<_>>(),
        "configs": configs.iter().filter_map(payload).collect::<Vec<_>>(),
        "services": specs.iter().map(|spec| named(&spec.name, service_body(spec, options))).collect::<Vec<_>>(),
        "warnings": rendered.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn named(name: &str, body: Value) -> Value {
    json!({"name": name, "body": body})
}

/// Through the text, which has numbers in single precision as Go writes them.
fn value(body: &impl Serialize) -> Value {
    serde_json::to_string(body).and_then(|text| serde_json::from_str(&text)).unwrap_or_default()
}

/// What a stack cannot set is sent as zero.
fn network_body(spec: &NetworkSpec, api: ApiVersion) -> Value {
    let mut body = value(spec);
    if let Value::Object(body) = &mut body {
        body.insert("Scope".into(), "".into());
        body.insert("Ingress".into(), false.into());
        body.insert("ConfigOnly".into(), false.into());
        body.insert("ConfigFrom".into(), Value::Null);
        if api >= CHECKS_DUPLICATES_SINCE {
            body.remove("CheckDuplicate");
        }
    }
    body
}

fn payload_body(spec: &PayloadSpec, bytes: &[u8]) -> Value {
    let mut body = value(spec);
    if let (Value::Object(body), false) = (&mut body, bytes.is_empty()) {
        body.insert("Data".into(), STANDARD.encode(bytes).into());
    }
    body
}

fn service_body(spec: &ServiceSpec, options: EngineJsonOptions<'_>) -> Value {
    let mut spec = spec.clone();
    spec.fill_ids(str::to_owned, str::to_owned);
    let raw = spec.raw_image().to_owned();
    let task = &mut spec.task_template;
    if let Ok(mut tagged) = image::parse(&raw) {
        if let Some(pin) = options.pins.and_then(|pins| pins.get(&raw)) {
            if let (None, Ok(pinned)) = (&tagged.digest, image::parse(&pin.reference)) {
                tagged.digest = pinned.digest;
            }
            let placement = task.placement.get_or_insert_default();
            placement.platforms = pin.platforms.clone();
            for platform in &mut placement.platforms {
                // Nodes report a variant instead.
                if platform.architecture.eq_ignore_ascii_case("arm") {
                    platform.architecture.clear();
                }
            }
        }
        task.container_spec.image = tagged.familiar();
    }
    value(&spec)
}
