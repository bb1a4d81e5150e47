//! Volumes of a service.

use super::{Mount, MountKind, VolumeOptions};
use crate::load::RELATIVE;
use crate::read::{At, Spot};

const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

pub(super) fn read(at: &At<'_>) -> Vec<Spot<Mount>> {
    let items = at.items().unwrap_or_default();
    items.iter().filter_map(|item| mount(item).map(|mount| item.spot(mount))).collect()
}

fn mount(at: &At<'_>) -> Option<Mount> {
    let mut map = at.map()?;
    let kind_at = map.take("type")?;
    let kind = match kind_at.string()?.as_str() {
        "volume" => MountKind::Volume,
        "bind" => MountKind::Bind,
        "tmpfs" => MountKind::Tmpfs,
        "npipe" => MountKind::Npipe,
        "image" => MountKind::Image,
        "cluster" => MountKind::Cluster,
        other => {
            kind_at.error(format!("volume type {other:?} is none of volume, bind, tmpfs, npipe, image, cluster"));
            return None;
        }
    };
    let mut mount = Mount {
        kind,
        source: map.string("source").unwrap_or_default(),
        relative: map.string(RELATIVE),
        target: map.string("target").unwrap_or_default(),
        read_only: map.bool("read_only").unwrap_or(false),
        consistency: map.text("consistency"),
        ..Mount::default()
    };
    if let Some(mut bind) = map.take("bind").and_then(|at| at.map()) {
        mount.bind = Some(bind.take("propagation").and_then(|at| propagation(&at)).unwrap_or_default());
    }
    if let Some(mut volume) = map.take("volume").and_then(|at| at.map()) {
        mount.volume = Some(VolumeOptions {
            nocopy: volume.bool("nocopy").unwrap_or(false),
            subpath: volume.string("subpath").unwrap_or_default(),
        });
    }
    if let Some(mut tmpfs) = map.take("tmpfs").and_then(|at| at.map()) {
        mount.tmpfs = Some(tmpfs.integer("size").unwrap_or_default());
    }
    Some(mount)
}

fn propagation(at: &At<'_>) -> Option<String> {
    let text = at.string()?;
    if text.is_empty() || PROPAGATIONS.contains(&text.as_str()) {
        return Some(text);
    }
    at.error(format!("{text:?} is none of {}", PROPAGATIONS.join(", ")));
    None
}
