//! The Engine API's `ServiceSpec` (moby/moby api/types/swarm), JSON names and omissions as Go writes them.
//!
//! `Option` marks what Go has as a pointer: absent and empty differ. Everything else is left out when zero.

use super::Labels;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// `null` reads as the default: Go writes nil maps and lists so.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(d: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(d).map(Option::unwrap_or_default)
}

fn zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A struct in Go's JSON: PascalCase names; fields under `omit` are left out when zero and read from `null`.
macro_rules! go_struct {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$field_doc:meta])* $field:ident: $type:ty = $json:literal),* $(,)?
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $name {
            $($(#[$field_doc])*
            #[serde(rename = $json, skip_serializing_if = "zero", deserialize_with = "nullable")]
            pub $field: $type,)*
        }
    };
}

go_struct!(
    /// Body of `POST /services/create` and `/services/{id}/update`.
    ServiceSpec {
        name: String = "Name",
        labels: Labels = "Labels",
        task_template: TaskSpec = "TaskTemplate",
        mode: Mode = "Mode",
        update_config: Option<UpdateConfig> = "UpdateConfig",
        rollback_config: Option<UpdateConfig> = "RollbackConfig",
        endpoint_spec: Option<EndpointSpec> = "EndpointSpec",
    }
);

go_struct!(TaskSpec {
    container_spec: ContainerSpec = "ContainerSpec",
    resources: Option<Resources> = "Resources",
    restart_policy: Option<RestartPolicy> = "RestartPolicy",
    placement: Option<Placement> = "Placement",
    networks: Vec<Attachment> = "Networks",
    log_driver: Option<Driver> = "LogDriver",
    /// Counter of forced updates; a difference never counts as drift.
    force_update: u64 = "ForceUpdate",
});

go_struct!(ContainerSpec {
    image: String = "Image",
    labels: Labels = "Labels",
    command: Vec<String> = "Command",
    args: Vec<String> = "Args",
    hostname: String = "Hostname",
    /// `KEY=value` or `KEY`, sorted.
    env: Vec<String> = "Env",
    dir: String = "Dir",
    user: String = "User",
    privileges: Option<Privileges> = "Privileges",
    init: Option<bool> = "Init",
    stop_signal: String = "StopSignal",
    tty: bool = "TTY",
    open_stdin: bool = "OpenStdin",
    read_only: bool = "ReadOnly",
    mounts: Vec<Mount> = "Mounts",
    /// Nanoseconds.
    stop_grace_period: Option<i64> = "StopGracePeriod",
    healthcheck: Option<Healthcheck> = "Healthcheck",
    /// `address host`.
    hosts: Vec<String> = "Hosts",
    dns_config: Option<DnsConfig> = "DNSConfig",
    secrets: Vec<SecretReference> = "Secrets",
    configs: Vec<ConfigReference> = "Configs",
    sysctls: BTreeMap<String, String> = "Sysctls",
    capability_add: Vec<String> = "CapabilityAdd",
    capability_drop: Vec<String> = "CapabilityDrop",
    ulimits: Vec<Ulimit> = "Ulimits",
});

go_struct!(
    /// Always sent, always empty: the Engine tells it apart from an absent one.
    Privileges {}
);

go_struct!(
    /// Times in nanoseconds.
    Healthcheck {
        test: Vec<String> = "Test",
        interval: i64 = "Interval",
        timeout: i64 = "Timeout",
        start_period: i64 = "StartPeriod",
        retries: u64 = "Retries",
    }
);

go_struct!(DnsConfig {
    nameservers: Vec<String> = "Nameservers",
    search: Vec<String> = "Search",
    options: Vec<String> = "Options",
});

go_struct!(Ulimit { name: String = "Name", hard: i64 = "Hard", soft: i64 = "Soft" });

go_struct!(Mount {
    kind: String = "Type",
    source: String = "Source",
    target: String = "Target",
    read_only: bool = "ReadOnly",
    consistency: String = "Consistency",
    bind_options: Option<BindOptions> = "BindOptions",
    volume_options: Option<VolumeOptions> = "VolumeOptions",
    tmpfs_options: Option<TmpfsOptions> = "TmpfsOptions",
});

go_struct!(BindOptions { propagation: String = "Propagation" });

go_struct!(VolumeOptions {
    no_copy: bool = "NoCopy",
    labels: Labels = "Labels",
    driver_config: Option<Driver> = "DriverConfig",
});

go_struct!(TmpfsOptions { size_bytes: i64 = "SizeBytes" });

go_struct!(Driver {
    name: String = "Name",
    options: BTreeMap<String, String> = "Options",
});

go_struct!(SecretReference {
    file: ReferenceFile = "File",
    /// Filled in when applied.
    id: String = "SecretID",
    name: String = "SecretName",
});

go_struct!(ConfigReference {
    file: ReferenceFile = "File",
    /// Filled in when applied.
    id: String = "ConfigID",
    name: String = "ConfigName",
});

go_struct!(ReferenceFile { name: String = "Name", uid: String = "UID", gid: String = "GID", mode: u32 = "Mode" });

go_struct!(Resources {
    limits: Option<Limit> = "Limits",
    reservations: Option<Reservation> = "Reservations",
});

go_struct!(Limit { nano_cpus: i64 = "NanoCPUs", memory_bytes: i64 = "MemoryBytes", pids: i64 = "Pids" });

go_struct!(Reservation {
    nano_cpus: i64 = "NanoCPUs",
    memory_bytes: i64 = "MemoryBytes",
    generic_resources: Vec<GenericResource> = "GenericResources",
});

go_struct!(GenericResource {
    discrete: Option<DiscreteResource> = "DiscreteResourceSpec",
});

go_struct!(DiscreteResource { kind: String = "Kind", value: i64 = "Value" });

go_struct!(
    /// Times in nanoseconds.
    RestartPolicy {
        condition: String = "Condition",
        delay: Option<i64> = "Delay",
        max_attempts: Option<u64> = "MaxAttempts",
        window: Option<i64> = "Window",
    }
);

go_struct!(Placement {
    constraints: Vec<String> = "Constraints",
    preferences: Vec<Preference> = "Preferences",
    max_replicas: u64 = "MaxReplicas",
    platforms: Vec<Platform> = "Platforms",
});

go_struct!(Preference {
    spread: Option<Spread> = "Spread",
});

go_struct!(Spread { descriptor: String = "SpreadDescriptor" });

go_struct!(
    #[derive(Eq)]
    Platform { architecture: String = "Architecture", os: String = "OS" }
);

go_struct!(Attachment {
    /// Name of the network when desired; the Engine answers with its id.
    target: String = "Target",
    aliases: Vec<String> = "Aliases",
    driver_opts: BTreeMap<String, String> = "DriverOpts",
});

go_struct!(Mode {
    replicated: Option<Replicated> = "Replicated",
    global: Option<Empty> = "Global",
    replicated_job: Option<ReplicatedJob> = "ReplicatedJob",
    global_job: Option<Empty> = "GlobalJob",
});

go_struct!(Empty {});

go_struct!(Replicated {
    replicas: Option<u64> = "Replicas",
});

go_struct!(ReplicatedJob {
    max_concurrent: Option<u64> = "MaxConcurrent",
    total_completions: Option<u64> = "TotalCompletions",
});

/// Times in nanoseconds. Parallelism, ratio and order are always sent, as Go does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UpdateConfig {
    /// 0: all at once.
    pub parallelism: u64,
    #[serde(skip_serializing_if = "zero")]
    pub delay: i64,
    #[serde(skip_serializing_if = "zero")]
    pub failure_action: String,
    #[serde(skip_serializing_if = "zero")]
    pub monitor: i64,
    pub max_failure_ratio: f64,
    pub order: String,
}

go_struct!(EndpointSpec {
    mode: String = "Mode",
    ports: Vec<PortConfig> = "Ports",
});

go_struct!(
    #[derive(Eq)]
    PortConfig {
        name: String = "Name",
        protocol: String = "Protocol",
        target_port: u16 = "TargetPort",
        published_port: u16 = "PublishedPort",
        publish_mode: String = "PublishMode",
    }
);

impl ServiceSpec {
    /// Image as written in the file, also after pinning.
    pub fn raw_image(&self) -> &str {
        self.labels.get(crate::labels::IMAGE).map_or(self.task_template.container_spec.image.as_str(), String::as_str)
    }

    pub fn is_job(&self) -> bool {
        self.mode.replicated_job.is_some() || self.mode.global_job.is_some()
    }
}

impl Mode {
    /// `replicated`, `global`, `replicated-job` or `global-job`.
    pub fn name(&self) -> &'static str {
        match self {
            Mode { global: Some(_), .. } => "global",
            Mode { replicated_job: Some(_), .. } => "replicated-job",
            Mode { global_job: Some(_), .. } => "global-job",
            _ => "replicated",
        }
    }
}
