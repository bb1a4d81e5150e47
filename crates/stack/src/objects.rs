//! A rendered stack: the objects of the Engine API that it consists of, as canonical JSON.
//!
//! Own serde types instead of generated ones: the Engine compares task specs with "present but empty" kept apart from
//! "absent", and it writes `Healthcheck` where its own description says `HealthCheck`. The same types read what the
//! Engine returns: what they do not know there is kept aside ([`ServiceSpec::unknown`]); [`Objects::from_json`] refuses it.

pub mod service;
mod unknown;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use service::ServiceSpec;
use std::collections::{BTreeMap, BTreeSet};
use waggle_model::StackName;

/// Names of [`crate::labels`] keys on the objects.
pub type Labels = BTreeMap<String, String>;

/// Everything one stack consists of. Networks, secrets and configs are keyed by their name in the swarm, services by
/// their name in the file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Objects {
    pub networks: BTreeMap<String, Network>,
    pub secrets: BTreeMap<String, Payload>,
    pub configs: BTreeMap<String, Payload>,
    pub services: BTreeMap<String, ServiceSpec>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Must exist already.
    External,
    Managed(NetworkSpec),
}

/// A secret or config. The bytes rest apart, under their hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// Must exist already.
    External,
    Managed {
        /// SHA-256 of the bytes, hex.
        sha256: String,
        spec: PayloadSpec,
    },
}

/// Body of `POST /networks/create`; Go writes zero values of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkSpec {
    pub name: String,
    /// Refuse a second network of the name (engines before API 1.44 allow it).
    pub check_duplicate: bool,
    pub driver: String,
    #[serde(rename = "IPAM")]
    pub ipam: Option<Ipam>,
    pub internal: bool,
    pub attachable: bool,
    /// `None`: not written in the file.
    pub options: Option<BTreeMap<String, String>>,
    pub labels: Labels,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ipam {
    pub driver: String,
    /// Nothing in a Compose file sets it.
    pub options: Option<BTreeMap<String, String>>,
    /// `None` rather than empty.
    pub config: Option<Vec<IpamConfig>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IpamConfig {
    pub subnet: String,
}

/// Body of `POST /secrets/create` and `POST /configs/create` without `Data`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PayloadSpec {
    pub name: String,
    pub labels: Labels,
    /// Of a secret whose bytes a plugin has; ours are empty then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<service::Driver>,
    /// What fills in templates in the bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub templating: Option<service::Driver>,
}

/// A stored text that is not the canonical JSON of [`Objects`].
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    #[error("objects are not readable")]
    Json(#[from] serde_json::Error),
    #[error("objects hold something this version does not know")]
    Unknown,
}

/// An image with its digest, and the platforms it runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// With digest: `name:tag@sha256:…`.
    pub reference: String,
    pub platforms: Vec<service::Platform>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    #[error("image {0} has no pin")]
    Missing(String),
    #[error("image {image} is pinned to {reference}, which has no digest")]
    NoDigest { image: String, reference: String },
    #[error("image {image} is pinned to {reference}, which is another image")]
    Other { image: String, reference: String },
    #[error(transparent)]
    Reference(#[from] crate::image::InvalidImage),
}

impl Objects {
    /// The text that is hashed, stored and sent. Fields in the order of the types, maps sorted, no white space.
    pub fn canonical_json(&self) -> String {
        // Strings, numbers and string-keyed maps only: there is nothing that could fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what [`canonical_json`](Objects::canonical_json) wrote, in this version or an older one; anything that would
    /// not be written again is refused, so an older agent never drops what a newer control meant.
    pub fn from_json(text: &str) -> Result<Objects, ParseError> {
        let given: Value = serde_json::from_str(text)?;
        let objects = Objects::deserialize(&given)?;
        if unknown::is_kept(&given, &serde_json::to_value(&objects)?) { Ok(objects) } else { Err(ParseError::Unknown) }
    }

    /// Images as written in the file.
    pub fn images(&self) -> BTreeSet<String> {
        self.services.values().map(|spec| spec.raw_image().to_owned()).collect()
    }

    /// Replaces every image by its pinned reference and sets the platforms that tasks may be placed on. `pins` is keyed by
    /// the image as written in the file. On an error nothing is changed.
    pub fn pin(&mut self, pins: &BTreeMap<String, Pin>) -> Result<(), PinError> {
        let mut pinned = self.clone();
        for spec in pinned.services.values_mut() {
            let raw = spec.raw_image().to_owned();
            let pin = pins.get(&raw).ok_or_else(|| PinError::Missing(raw.clone()))?;
            let (wanted, given) = (crate::image::parse(&raw)?, crate::image::parse(&pin.reference)?);
            let reference = || pin.reference.clone();
            if given.digest.is_none() {
                return Err(PinError::NoDigest { image: raw, reference: reference() });
            }
            let same_name = (&wanted.domain, &wanted.path) == (&given.domain, &given.path);
            if !same_name || wanted.digest.as_ref().is_some_and(|digest| given.digest.as_ref() != Some(digest)) {
                return Err(PinError::Other { image: raw, reference: reference() });
            }
            spec.task_template.container_spec.image = crate::image::Image { digest: given.digest, ..wanted }.familiar();
            spec.task_template.placement.get_or_insert_default().platforms = placeable(&pin.platforms);
        }
        *self = pinned;
        Ok(())
    }

    /// SHA-256 (hex) of every payload that must be at hand to apply this.
    pub fn payload_hashes(&self) -> BTreeSet<String> {
        self.secrets.values().chain(self.configs.values()).filter_map(Payload::sha256).map(str::to_owned).collect()
    }
}

impl Payload {
    /// Hash of the bytes unless external.
    pub fn sha256(&self) -> Option<&str> {
        match self {
            Payload::External => None,
            Payload::Managed { sha256, .. } => Some(sha256),
        }
    }
}

/// As the Docker client does: unknown platforms (attestations) are left out, `arm` loses its architecture because nodes
/// report variants of it, duplicates go.
pub(crate) fn placeable(platforms: &[service::Platform]) -> Vec<service::Platform> {
    let mut kept: Vec<service::Platform> = Vec::new();
    for platform in platforms {
        if platform.os.eq_ignore_ascii_case("unknown") || platform.architecture.eq_ignore_ascii_case("unknown") {
            continue;
        }
        let mut platform = platform.clone();
        if platform.architecture.eq_ignore_ascii_case("arm") {
            platform.architecture.clear();
        }
        if !kept.contains(&platform) {
            kept.push(platform);
        }
    }
    kept
}

/// Name of a stack's own object in the swarm.
pub(crate) fn scoped(stack: &StackName, name: &str) -> String {
    format!("{stack}_{name}")
}
