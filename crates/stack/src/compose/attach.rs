//! What a service refers to: networks, secrets, configs.

use super::{Attachment, FileReference};
use crate::read::{At, Spot};
use crate::yaml::Value;
use std::collections::BTreeMap;

pub(super) fn networks(at: &At<'_>) -> BTreeMap<String, Spot<Attachment>> {
    let mut networks = BTreeMap::new();
    let Some(mut map) = at.map() else { return networks };
    for (name, place, at) in map.rest() {
        if let Some(value) = attachment(&at) {
            networks.insert(name.to_owned(), Spot { value, at: place });
        }
    }
    networks
}

fn attachment(at: &At<'_>) -> Option<Attachment> {
    if at.node.value == Value::Null {
        return Some(Attachment::default());
    }
    let mut map = at.map()?;
    Some(Attachment { aliases: map.strings("aliases"), driver_opts: map.labels("driver_opts") })
}

/// `secrets:` or `configs:` of a service.
pub(super) fn references(at: &At<'_>) -> Vec<Spot<FileReference>> {
    at.items().unwrap_or_default().iter().filter_map(reference).collect()
}

fn reference(at: &At<'_>) -> Option<Spot<FileReference>> {
    let mut map = at.map()?;
    let mode = map.count("mode");
    let reference = FileReference {
        source: map.string("source").unwrap_or_default(),
        target: map.text("target"),
        uid: map.text("uid"),
        gid: map.text("gid"),
        mode: mode.map(|mode| mode as u32),
    };
    if reference.source.is_empty() {
        at.error("source is missing");
        return None;
    }
    Some(at.spot(reference))
}
