//! What a service refers to: networks, secrets, configs.

use crate::compose::{Attachment, FileReference};
use crate::read::{At, Spot};
use crate::yaml::Value;
use std::collections::BTreeMap;

/// Highest file mode with setuid, setgid and sticky bits.
const MODE_MAX: i64 = 0o7777;

pub(super) fn networks(at: &At<'_>) -> BTreeMap<String, Spot<Attachment>> {
    if let Value::Seq(_) = at.node.value {
        let items = at.items().unwrap_or_default();
        return items.iter().filter_map(|at| Some((at.string()?, at.spot(Attachment::default())))).collect();
    }
    let Some(mut map) = at.map() else { return BTreeMap::new() };
    let mut networks = BTreeMap::new();
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
    let aliases = map.take("aliases").and_then(|at| at.strings()).unwrap_or_default();
    let attachment = Attachment { aliases, driver_opts: map.labels("driver_opts") };
    for key in ["ipv4_address", "ipv6_address"] {
        map.warn(key, &format!("{key} is ignored: Swarm assigns the addresses of tasks"));
    }
    map.finish(&["aliases", "driver_opts"]);
    Some(attachment)
}

/// `secrets:` or `configs:` of a service.
pub(super) fn references(at: &At<'_>) -> Vec<Spot<FileReference>> {
    at.items().unwrap_or_default().iter().filter_map(reference).collect()
}

fn reference(at: &At<'_>) -> Option<Spot<FileReference>> {
    if let Value::String(source) = &at.node.value {
        return Some(at.spot(FileReference { source: source.clone(), ..FileReference::default() }));
    }
    let Value::Map(_) = at.node.value else {
        return at.wrong("a string or a mapping");
    };
    let mut map = at.map()?;
    let reference = FileReference {
        source: map.string("source").unwrap_or_default(),
        target: map.string("target").filter(|target| !target.is_empty()),
        uid: map.string("uid").filter(|uid| !uid.is_empty()),
        gid: map.string("gid").filter(|gid| !gid.is_empty()),
        mode: map.take("mode").and_then(|at| at.int(0, MODE_MAX)).map(|mode| mode as u32),
    };
    let given = map.key_place("source").is_some();
    map.finish(&["source", "target", "uid", "gid", "mode"]);
    if !given {
        at.error("source is missing");
        return None;
    }
    Some(at.spot(reference))
}
