//! Top-level networks, volumes, secrets and configs of the merged file.

use super::{FileObject, Network, Volume};
use crate::load::NO_FILE;
use crate::read::At;

pub(super) fn network(at: &At<'_>) -> Option<Network> {
    let mut map = at.map()?;
    let external = map.bool("external").unwrap_or(false);
    if external {
        for key in ["driver", "driver_opts", "ipam", "internal", "attachable", "labels"] {
            map.warn(key, &format!("{key} is ignored: the network is external"));
        }
    }
    let mut network = Network {
        external,
        name: map.text("name"),
        driver: map.text("driver"),
        driver_opts: map.take("driver_opts").and_then(|at| at.labels()),
        attachable: map.bool("attachable").unwrap_or(false),
        internal: map.bool("internal").unwrap_or(false),
        labels: map.labels("labels"),
        ..Network::default()
    };
    if let Some(mut ipam) = map.take("ipam").and_then(|at| at.map()) {
        network.ipam_driver = ipam.text("driver");
        for item in ipam.take("config").and_then(|at| at.items()).unwrap_or_default() {
            network.subnets.push(item.map().and_then(|mut item| item.string("subnet")).unwrap_or_default());
        }
    }
    Some(network)
}

pub(super) fn volume(at: &At<'_>) -> Option<Volume> {
    let mut map = at.map()?;
    Some(Volume {
        external: map.bool("external").unwrap_or(false),
        name: map.text("name"),
        driver: map.text("driver"),
        driver_opts: map.take("driver_opts").and_then(|at| at.labels()),
        labels: map.labels("labels"),
        cluster: map.take("x-cluster-spec").is_some(),
    })
}

/// A secret or config; `what` names it in messages.
pub(super) fn file_object(at: &At<'_>, what: &str) -> Option<FileObject> {
    let mut map = at.map()?;
    let external = map.bool("external").unwrap_or(false);
    if external {
        for key in ["file", "labels", "driver", "driver_opts", "template_driver"] {
            map.warn(key, &format!("{key} is ignored: the {what} is external"));
        }
    }
    if map.take(NO_FILE).is_some() {
        at.error(format!("{what} has neither file nor external: true"));
        return None;
    }
    let spot = |at: At<'_>| at.string().filter(|text| !text.is_empty()).map(|text| at.spot(text));
    Some(FileObject {
        external,
        name: map.text("name"),
        file: map.take("file").and_then(spot),
        labels: map.labels("labels"),
        driver: map.take("driver").and_then(spot),
        driver_opts: map.labels("driver_opts"),
        template_driver: map.take("template_driver").and_then(spot),
    })
}
