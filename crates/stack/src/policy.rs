//! What a cluster lets stacks have of its machines: mounts of the host, its network, capabilities, registries.
//!
//! Whoever runs a cluster decides that in the configuration of its agent, and the agent is the authority: it refuses
//! before it writes anything. Control asks the same function with the policy that each agent told it, so that a deploy
//! is refused before it is stored. Nothing is allowed unless it is listed, except what any container has anyway.
//!
//! Only what Swarm can carry is judged. It knows no `privileged` containers and no devices; what comes to the same are all
//! capabilities at once, and confinement (seccomp, AppArmor, SELinux) that is switched off. Sysctls are those of the
//! container's own namespaces, ulimits and resources take nothing from the host's secrets: they pass. Symbolic links on
//! the hosts are not followed: allow no directory in which a stack could make one.

use crate::objects::service::{ContainerSpec, Driver, Mount, ServiceSpec};
use crate::objects::{Network, Objects};
use crate::registry;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Entries of each list.
pub const ENTRIES_MAX: usize = 256;

/// What a container has without asking (moby/moby: daemon/pkg/oci/caps/defaults.go); adding them back after
/// `cap_drop: [ALL]` is good practice.
const CAPABILITIES_OF_ALL: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// File systems that a volume of the `local` driver may mount without reaching into the host.
const REMOTE_OR_EMPTY: [&str; 5] = ["nfs", "nfs4", "cifs", "smb3", "tmpfs"];

/// The table `[allow]` of `agent.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Directories and files of the hosts that may be mounted, with everything below them.
    pub bind_mounts: Vec<String>,
    /// Services on the network `host`.
    pub host_network: bool,
    /// Capabilities that may be added, with or without `CAP_`; `ALL` is every one.
    pub capabilities: Vec<String>,
    /// All capabilities at once, and switching off seccomp, AppArmor or SELinux.
    pub privileged: bool,
    /// Where images may come from, as in image names; `*` is anywhere. Unset: [`registry::DEFAULT`] alone.
    pub registries: Option<Vec<String>>,
}

/// One thing that a stack wants and the policy does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// As in the file.
    pub service: String,
    /// Key of the Compose file.
    pub key: &'static str,
    pub why: String,
    /// What would allow it, as a line below `[allow]` in `agent.toml`.
    pub setting: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal { service, key, why, setting } = self;
        write!(
            f,
            "service {service}: {key}: {why}, which this cluster does not allow; below [allow] in its agent.toml, "
        )?;
        write!(f, "`{setting}` would")
    }
}

/// Everything in `objects` that `policy` does not allow; empty: all may be applied.
pub fn check(policy: &Policy, objects: &Objects) -> Vec<Refusal> {
    let mut found = Vec::new();
    for (service, spec) in &objects.services {
        let mut refuse = |key: &'static str, (why, setting): (String, String)| {
            found.push(Refusal { service: service.clone(), key, why, setting });
        };
        policy.image(spec).into_iter().for_each(|refused| refuse("image", refused));
        let container = &spec.task_template.container_spec;
        container.mounts.iter().filter_map(|mount| policy.mount(mount)).for_each(|refused| refuse("volumes", refused));
        policy.networks(spec, objects).into_iter().for_each(|refused| refuse("networks", refused));
        policy.capabilities(container).into_iter().for_each(|refused| refuse("cap_add", refused));
        policy.confinement(container).into_iter().for_each(|refused| refuse("security_opt", refused));
    }
    found
}

type Refused = (String, String);

impl Policy {
    /// What is wrong with the policy itself.
    pub fn problem(&self) -> Option<String> {
        let registries = self.registries.as_deref().unwrap_or_default();
        for (name, list) in
            [("bind_mounts", &self.bind_mounts[..]), ("capabilities", &self.capabilities), ("registries", registries)]
        {
            if list.len() > ENTRIES_MAX {
                return Some(format!("allow.{name} lists {} entries, at most {ENTRIES_MAX} are allowed", list.len()));
            }
        }
        if let Some(bad) = self.bind_mounts.iter().find(|path| parts(path).is_none()) {
            return Some(format!("allow.bind_mounts: {bad:?} is no absolute path without `..`"));
        }
        let wrong = registries.iter().filter(|name| *name != "*").find_map(|name| registry::normal(name).err());
        wrong.map(|error| format!("allow.registries: {error}"))
    }

    fn image(&self, spec: &ServiceSpec) -> Vec<Refused> {
        let pinned = spec.task_template.container_spec.image.as_str();
        let raw = spec.raw_image();
        let both = if pinned == raw { vec![raw] } else { vec![raw, pinned] };
        let refused = |image: &&str| registry::of(image).is_none_or(|name| !self.allows_registry(&name));
        let refused = both.into_iter().find(refused).map(|image| {
            let name = registry::of(image).unwrap_or_default();
            (format!("{image} comes from {name}"), format!("registries = [{name:?}]"))
        });
        refused.into_iter().collect()
    }

    fn allows_registry(&self, name: &str) -> bool {
        match &self.registries {
            None => name == registry::DEFAULT,
            Some(list) => list.iter().any(|one| one == "*" || registry::normal(one).is_ok_and(|one| one == name)),
        }
    }

    fn mount(&self, mount: &Mount) -> Option<Refused> {
        let path = match mount.kind.as_str() {
            "bind" | "npipe" => mount.source.as_str(),
            _ => {
                let driver = mount.volume_options.as_ref()?.driver_config.as_ref()?;
                host_path(driver)?
            }
        };
        if self.allows_path(path) {
            return None;
        }
        Some((format!("{path} of the host is mounted"), format!("bind_mounts = [{path:?}]")))
    }

    fn allows_path(&self, path: &str) -> bool {
        let Some(wanted) = parts(path) else {
            return false;
        };
        self.bind_mounts.iter().filter_map(|allowed| parts(allowed)).any(|allowed| wanted.starts_with(&allowed))
    }

    fn networks(&self, spec: &ServiceSpec, objects: &Objects) -> Option<Refused> {
        let of_host = |name: &str| match objects.networks.get(name) {
            Some(Network::Managed(network)) => network.driver == "host",
            _ => name == "host",
        };
        let wanted = spec.task_template.networks.iter().any(|attachment| of_host(&attachment.target));
        (wanted && !self.host_network)
            .then(|| ("the network of the host is used".to_owned(), "host_network = true".to_owned()))
    }

    fn capabilities(&self, container: &ContainerSpec) -> Vec<Refused> {
        let allowed: Vec<String> = self.capabilities.iter().map(|name| capability(name)).collect();
        let has = |name: &str| allowed.iter().any(|one| one == "ALL" || one == name);
        let wanted = container.capability_add.iter().map(|name| capability(name));
        let refused = wanted.filter_map(|name| {
            if name == "ALL" {
                let fine = self.privileged || has("ALL");
                return (!fine).then(|| ("all capabilities are added".to_owned(), "privileged = true".to_owned()));
            }
            let fine = self.privileged || CAPABILITIES_OF_ALL.contains(&name.as_str()) || has(&name);
            (!fine).then(|| (format!("{name} is added"), format!("capabilities = [{name:?}]")))
        });
        refused.collect()
    }

    /// Read from the JSON form, so that it holds for every field that the types learn to carry.
    fn confinement(&self, container: &ContainerSpec) -> Option<Refused> {
        if self.privileged {
            return None;
        }
        let json = serde_json::to_value(&container.privileges).unwrap_or_default();
        let is = |pointer: &str, wanted: &str| json.pointer(pointer).and_then(|mode| mode.as_str()) == Some(wanted);
        let off = [
            ("seccomp", is("/Seccomp/Mode", "unconfined") || is("/Seccomp/Mode", "custom")),
            ("AppArmor", is("/AppArmor/Mode", "disabled")),
            ("SELinux", json.pointer("/SELinuxContext").is_some_and(says_something)),
        ];
        let (name, _) = off.into_iter().find(|(_, off)| *off)?;
        Some((format!("the confinement by {name} is taken away"), "privileged = true".to_owned()))
    }
}

/// Something in a table is on or set: a context of one's own choice is as good as none.
fn says_something(table: &serde_json::Value) -> bool {
    let set = |value: &serde_json::Value| *value == true || value.as_str().is_some_and(|text| !text.is_empty());
    table.as_object().is_some_and(|table| table.values().any(set))
}

/// What of the host a volume of the `local` driver mounts: the driver passes its options on to mount(8).
fn host_path(driver: &Driver) -> Option<&str> {
    if !matches!(driver.name.as_str(), "" | "local") {
        return None;
    }
    let option = |name: &str| driver.options.get(name).map(String::as_str);
    let device = option("device").or_else(|| option("o").map(|_| ""))?;
    let flags = option("o").unwrap_or_default();
    let binds = flags.split(',').any(|flag| matches!(flag.trim(), "bind" | "rbind" | "move" | "remount"));
    let harmless = REMOTE_OR_EMPTY.contains(&option("type").unwrap_or_default());
    (binds || !harmless).then_some(device)
}

/// The components of an absolute path; `None` if it is not absolute or climbs up.
fn parts(path: &str) -> Option<Vec<&str>> {
    let rest = path.strip_prefix('/')?;
    let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    (!parts.contains(&"..")).then_some(parts)
}

/// `net_admin` → `CAP_NET_ADMIN`; `all` → `ALL`.
fn capability(name: &str) -> String {
    let name = name.trim().to_ascii_uppercase();
    match name.strip_prefix("CAP_").unwrap_or(&name) {
        "ALL" => "ALL".to_owned(),
        bare => format!("CAP_{bare}"),
    }
}

#[cfg(test)]
mod tests;
