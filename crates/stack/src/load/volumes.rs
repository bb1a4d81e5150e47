//! `volumes:` of a service in the short form (`data:/path:ro`) and the long form.

use crate::compose::{Mount, MountKind, VolumeOptions};
use crate::read::{At, Spot};
use crate::yaml::Value;

const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

pub(super) fn read(at: &At<'_>) -> Vec<Spot<Mount>> {
    let mut mounts = Vec::new();
    for item in at.items().unwrap_or_default() {
        let mount = match &item.node.value {
            Value::String(text) => short(&item, text),
            Value::Map(_) => long(&item),
            _ => item.wrong("a string or a mapping"),
        };
        mounts.extend(mount.map(|mount| item.spot(mount)));
    }
    mounts
}

fn short(at: &At<'_>, text: &str) -> Option<Mount> {
    let refuse = |why: &str| {
        at.error(format!("volume {text:?}: {why}"));
        None
    };
    let parts: Vec<&str> = text.split(':').collect();
    if parts.iter().any(|part| part.is_empty()) {
        return refuse("an empty part");
    }
    if parts.len() > 1 && parts[0].len() == 1 && parts[0].chars().all(char::is_alphabetic) {
        return refuse("a source of one letter would be taken as a Windows drive");
    }
    let (source, target, options) = match parts[..] {
        [target] => ("", target, ""),
        [source, target] => (source, target, ""),
        [source, target, options] => (source, target, options),
        _ => return refuse("too many colons"),
    };
    let kind = if source.starts_with(['.', '/', '~']) || source.starts_with(r"\\") {
        MountKind::Bind
    } else {
        MountKind::Volume
    };
    let mut mount = Mount {
        kind,
        source: source.to_owned(),
        relative: is_relative(kind, source),
        target: target.to_owned(),
        ..Mount::default()
    };
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => mount.read_only = true,
            "rw" => mount.read_only = false,
            "nocopy" => mount.volume = Some(VolumeOptions { nocopy: true, ..VolumeOptions::default() }),
            option if PROPAGATIONS.contains(&option) => mount.bind = Some(option.to_owned()),
            option => at.report.warn(&at.place, format!("volume option {option:?} is ignored: Swarm does not know it")),
        }
    }
    Some(mount)
}

fn long(at: &At<'_>) -> Option<Mount> {
    let mut map = at.map()?;
    let Some(kind_at) = map.take("type") else {
        at.error("type is missing: volume, bind, tmpfs, npipe, image or cluster");
        return None;
    };
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
        target: map.string("target").unwrap_or_default(),
        read_only: map.bool("read_only").unwrap_or(false),
        consistency: map.string("consistency").filter(|c| !c.is_empty()),
        ..Mount::default()
    };
    if let Some(mut bind) = map.take("bind").and_then(|at| at.map()) {
        mount.bind = Some(bind.take("propagation").and_then(|at| propagation(&at)).unwrap_or_default());
        bind.finish(&["propagation"]);
    }
    if let Some(mut volume) = map.take("volume").and_then(|at| at.map()) {
        mount.volume = Some(VolumeOptions {
            nocopy: volume.bool("nocopy").unwrap_or(false),
            subpath: volume.string("subpath").unwrap_or_default(),
        });
        volume.finish(&["nocopy", "subpath"]);
    }
    if let Some(mut tmpfs) = map.take("tmpfs").and_then(|at| at.map()) {
        mount.tmpfs = Some(tmpfs.take("size").and_then(|at| at.int(0, i64::MAX)).unwrap_or(0));
        tmpfs.finish(&["size"]);
    }
    mount.relative = is_relative(kind, &mount.source);
    map.finish(&["type", "source", "target", "read_only", "consistency", "bind", "volume", "tmpfs"]);
    if mount.target.is_empty() {
        at.error("target is missing");
        return None;
    }
    Some(mount)
}

fn is_relative(kind: MountKind, source: &str) -> bool {
    kind == MountKind::Bind && source.starts_with(['.', '~'])
}

fn propagation(at: &At<'_>) -> Option<String> {
    let text = at.string()?;
    if PROPAGATIONS.contains(&text.as_str()) {
        return Some(text);
    }
    at.error(format!("{text:?} is none of {}", PROPAGATIONS.join(", ")));
    None
}
