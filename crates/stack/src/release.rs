//! Releases: what is hashed, and how.

use crate::objects::Objects;
use std::collections::BTreeMap;
use waggle_model::StackName;
use waggle_model::release::{Promotion, ReleaseBody, ReleaseId, Route, Upkeep};

/// The body of a release. `objects` are pinned; `images` maps each image as written in the file to its pinned
/// reference; `payloads` are SHA-256 hashes (hex), stored sorted and once each.
pub fn release_body(
    stack: StackName,
    objects: &Objects,
    images: BTreeMap<String, String>,
    routes: Vec<Route>,
    promotion: Promotion,
    upkeep: Upkeep,
    payloads: impl IntoIterator<Item = String>,
) -> ReleaseBody {
    let mut payloads: Vec<String> = payloads.into_iter().collect();
    payloads.sort();
    payloads.dedup();
    ReleaseBody { stack, objects: objects.canonical_json(), routes, promotion, upkeep, images, payloads }
}

/// SHA-256 over the JSON of the body: fields in the order of the type, maps sorted, no white space.
pub fn release_id(body: &ReleaseBody) -> ReleaseId {
    // Strings, numbers and string-keyed maps only: there is nothing that could fail.
    let text = serde_json::to_vec(body).unwrap_or_default();
    let digest = ring::digest::digest(&ring::digest::SHA256, &text);
    let mut id = [0; 32];
    id.copy_from_slice(digest.as_ref());
    ReleaseId(id)
}

/// SHA-256 in hex, as payloads are named.
pub fn sha256_hex(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
