//! Top-level networks, volumes, secrets and configs.

use crate::compose::{FileObject, Network, Volume};
use crate::read::{At, Map};
use crate::yaml::Value;

/// Whether an entry is external, and the name given inside `external: {name: …}`.
fn external(map: &mut Map<'_>) -> (bool, Option<String>) {
    let Some(at) = map.take("external") else { return (false, None) };
    if !matches!(at.node.value, Value::Map(_)) {
        return (at.bool().unwrap_or(false), None);
    }
    let Some(mut inner) = at.map() else { return (true, None) };
    let name = inner.string("name");
    inner.finish(&["name"]);
    if name.is_some() {
        at.report.warn(&at.place, "external.name is deprecated; write name beside external: true");
    }
    (true, name)
}

fn name(map: &mut Map<'_>, inner: Option<String>) -> Option<String> {
    let at = map.take("name");
    let outer = at.as_ref().and_then(At::string);
    if let (Some(_), Some(at)) = (&inner, &at) {
        at.error("name and external.name conflict; keep name");
    }
    outer.or(inner).filter(|name| !name.is_empty())
}

/// An external entry exists already, so nothing else about it can be said here.
fn external_only(map: &Map<'_>, keys: &[&str]) {
    for key in keys {
        if let Some(place) = map.key_place(key) {
            map.at.report.error(&place, format!("external and {key} cannot be used together"));
        }
    }
}

pub(super) fn network(at: &At<'_>) -> Option<Network> {
    if at.node.value == Value::Null {
        return Some(Network::default());
    }
    let mut map = at.map()?;
    let (external, inner) = external(&mut map);
    if external {
        external_only(&map, &["driver", "driver_opts", "ipam", "internal", "attachable", "labels"]);
    }
    let mut network = Network {
        external,
        name: name(&mut map, inner),
        driver: map.string("driver").filter(|driver| !driver.is_empty()),
        driver_opts: map.take("driver_opts").and_then(|at| at.labels()),
        attachable: map.bool("attachable").unwrap_or(false),
        internal: map.bool("internal").unwrap_or(false),
        labels: map.labels("labels"),
        ..Network::default()
    };
    if let Some(mut ipam) = map.take("ipam").and_then(|at| at.map()) {
        network.ipam_driver = ipam.string("driver").filter(|driver| !driver.is_empty());
        for item in ipam.take("config").and_then(|at| at.items()).unwrap_or_default() {
            let Some(mut config) = item.map() else { continue };
            network.subnets.extend(config.string("subnet"));
            config.finish(&["subnet"]);
        }
        ipam.finish(&["driver", "config"]);
    }
    map.finish(&["name", "driver", "driver_opts", "ipam", "external", "internal", "attachable", "labels"]);
    Some(network)
}

pub(super) fn volume(at: &At<'_>) -> Option<Volume> {
    if at.node.value == Value::Null {
        return Some(Volume::default());
    }
    let mut map = at.map()?;
    let (external, inner) = external(&mut map);
    if external {
        external_only(&map, &["driver", "driver_opts", "labels"]);
    }
    let volume = Volume {
        external,
        name: name(&mut map, inner),
        driver: map.string("driver").filter(|driver| !driver.is_empty()),
        driver_opts: map.take("driver_opts").and_then(|at| at.labels()),
        labels: map.labels("labels"),
        cluster: map.take("x-cluster-spec").is_some(),
    };
    map.finish(&["name", "driver", "driver_opts", "external", "labels"]);
    Some(volume)
}

pub(super) const SECRET: &str = "secret";
pub(super) const CONFIG: &str = "config";

/// A secret or config; `what` names it in messages.
pub(super) fn file_object(at: &At<'_>, what: &str) -> Option<FileObject> {
    let mut map = at.map()?;
    let (external, inner) = external(&mut map);
    if external {
        external_only(&map, &["file", "labels"]);
    }
    let file = map.take("file").and_then(|at| Some(at.spot(at.string()?)));
    let driver = |map: &mut Map<'_>, key: &str| map.take(key).and_then(|at| Some(at.spot(at.string()?)));
    let object = FileObject {
        external,
        name: name(&mut map, inner),
        file,
        labels: map.labels("labels"),
        driver: driver(&mut map, "driver"),
        driver_opts: map.labels("driver_opts"),
        template_driver: driver(&mut map, "template_driver"),
    };
    for key in ["content", "environment"] {
        map.refuse(key, &format!("{key} of a {what} belongs to the Compose specification; use file"));
    }
    let lacks_file =
        !object.external && object.file.is_none() && object.driver.is_none() && map.key_place("file").is_none();
    map.finish(&["name", "file", "external", "labels", "driver", "driver_opts", "template_driver"]);
    if lacks_file {
        at.error(format!("{what} has neither file nor external: true"));
        return None;
    }
    Some(object)
}
