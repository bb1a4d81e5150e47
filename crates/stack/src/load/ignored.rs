//! Keys of a service that are accepted and have no effect: each gets a warning, also those that Docker drops silently.

use crate::read::At;
use crate::yaml::Value;

/// Keys that Swarm services do not have and `docker stack deploy` ignores.
const IGNORED: [&str; 15] = [
    "build",
    "cgroupns_mode",
    "cgroup_parent",
    "devices",
    "domainname",
    "external_links",
    "ipc",
    "links",
    "mac_address",
    "network_mode",
    "pid",
    "privileged",
    "security_opt",
    "shm_size",
    "userns_mode",
];

const DEPRECATED: [&str; 2] = ["container_name", "expose"];

pub(super) fn warn(at: &At<'_>) {
    let Value::Map(entries) = &at.node.value else { return };
    for entry in entries {
        let key = entry.key.as_str();
        let why = match key {
            _ if IGNORED.contains(&key) => format!("{key} is ignored: Swarm services do not have it"),
            _ if DEPRECATED.contains(&key) => format!("{key} is deprecated and ignored"),
            "depends_on" => "depends_on is ignored: Swarm starts services in any order".to_owned(),
            "tmpfs" => "tmpfs is ignored: use volumes with type: tmpfs".to_owned(),
            "networks" => {
                addresses(&at.child(entry));
                continue;
            }
            _ => continue,
        };
        at.report.warn(&at.key_of(entry), why);
    }
}

fn addresses(at: &At<'_>) {
    let Value::Map(entries) = &at.node.value else { return };
    for entry in entries {
        let attachment = at.child(entry);
        let Value::Map(keys) = &attachment.node.value else { continue };
        for key in keys.iter().filter(|key| matches!(key.key.as_str(), "ipv4_address" | "ipv6_address")) {
            let message = format!("{} is ignored: Swarm assigns the addresses of tasks", key.key);
            attachment.report.warn(&attachment.key_of(key), message);
        }
    }
}
