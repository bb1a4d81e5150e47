//! Keys that are not taken, and the way out.

use super::Normal;
use crate::read::{At, similar};
use crate::schema::{Keys, NEVER};
use crate::yaml::Entry;

/// Keys of services that `docker stack deploy` refuses, with what to use instead.
pub(crate) const FORBIDDEN: [(&str, &str); 8] = [
    ("extends", "use a second -c file instead"),
    ("volume_driver", "name the driver in the top-level volume instead"),
    ("volumes_from", "share a named volume instead"),
    ("cpu_quota", "use deploy.resources instead"),
    ("cpu_shares", "use deploy.resources instead"),
    ("cpuset", "use deploy.resources instead"),
    ("mem_limit", "use deploy.resources instead"),
    ("memswap_limit", "use deploy.resources instead"),
];

/// Keys that the newer Compose specification has and stacks do not, with the way out where there is one.
const COMPOSE_SPECIFICATION: [(&str, &str); 32] = [
    ("name", "the name of a stack is given when it is deployed"),
    ("include", "give several -c files instead"),
    ("profiles", ""),
    ("platform", "use deploy.placement.constraints, e.g. node.platform.arch == x86_64"),
    ("pull_policy", ""),
    ("develop", ""),
    ("annotations", "use labels"),
    ("attach", ""),
    ("blkio_config", ""),
    ("cpus", "use deploy.resources.limits.cpus"),
    ("cpu_count", "use deploy.resources.limits.cpus"),
    ("cpu_percent", "use deploy.resources.limits.cpus"),
    ("mem_reservation", "use deploy.resources.reservations.memory"),
    ("mem_swappiness", ""),
    ("pids_limit", "use deploy.resources.limits.pids"),
    ("scale", "use deploy.replicas"),
    ("gpus", "use deploy.resources.reservations.generic_resources"),
    ("devices", "use generic_resources"),
    ("device_cgroup_rules", ""),
    ("dns_opt", ""),
    ("group_add", ""),
    ("runtime", ""),
    ("post_start", ""),
    ("pre_stop", ""),
    ("host_ip", "Swarm publishes on every node"),
    ("app_protocol", ""),
    ("content", "use file"),
    ("environment", "use file"),
    ("enable_ipv6", "put an IPv6 subnet into ipam.config"),
    ("gateway", ""),
    ("ip_range", ""),
    ("aux_addresses", ""),
];

impl Normal {
    /// Reports a key that `keys` does not take.
    pub(super) fn unknown(&self, keys: &'static Keys, at: &At<'_>, found: &Entry) {
        let (name, place) = (found.key.as_str(), at.key_of(found));
        let newer = keys.find(name).map(|key| key.since).filter(|since| *since != NEVER);
        let extension = name.starts_with("x-").then_some(keys.extensions_since).filter(|since| *since != NEVER);
        if let Some(since) = newer.or(extension) {
            let message = format!("{name} needs file format 3.{since} or newer; this file is 3.{}", self.minor);
            at.report.error_help(&place, message, "raise version, or leave it out for the newest");
            return;
        }
        if let Some((_, instead)) = FORBIDDEN.iter().find(|(key, _)| *key == name) {
            at.report.error(&place, format!("{name} is not possible in a stack; {instead}"));
            return;
        }
        if let Some((_, instead)) = COMPOSE_SPECIFICATION.iter().find(|(key, _)| *key == name) {
            let message = format!("{name} belongs to the Compose specification; stacks do not have it");
            match *instead {
                "" => at.report.error(&place, message),
                instead => at.report.error_help(&place, message, instead),
            }
            return;
        }
        let message = format!("unknown key {name:?}");
        let free = |word: &str| at.node.get(word).is_none();
        let near = keys.keys.iter().map(|key| key.name).find(|word| free(word) && similar(word, name));
        match near {
            Some(word) => at.report.error_help(&place, message, format!("did you mean {word}?")),
            None => at.report.error(&place, message),
        }
    }
}
