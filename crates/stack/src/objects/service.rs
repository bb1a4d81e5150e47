//! The Engine API's `ServiceSpec` (moby/moby api/types/swarm at API 1.50), JSON names and omissions as Go writes them.
//!
//! `Option` marks what Go has as a pointer: absent and empty differ. A field listed under `sent` is always written, the
//! others are left out when zero. Fields that `docker stack deploy` cannot set (groups, seccomp, plugins, …) are not
//! here; when an Engine answers with one, [`ServiceSpec::unknown`] has it, so that it counts as a difference.

use super::Labels;
use super::unknown::unknown_fields;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::collections::BTreeMap;

/// `null` reads as the default: Go writes nil maps and lists so.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(d: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(d).map(Option::unwrap_or_default)
}

fn zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A struct in Go's JSON.
macro_rules! go_struct {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$field_doc:meta])* $field:ident: $type:ty = $json:literal),* $(,)?
    } $(sent {
        $($(#[$sent_doc:meta])* $sent:ident: $sent_type:ty = $sent_json:literal),* $(,)?
    })?) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $name {
            $($(#[$field_doc])*
            #[serde(rename = $json, skip_serializing_if = "zero", deserialize_with = "nullable")]
            pub $field: $type,)*
            $($($(#[$sent_doc])*
            #[serde(rename = $sent_json, deserialize_with = "nullable")]
            pub $sent: $sent_type,)*)?
        }
    };
}

/// Body of `POST /services/create` and `/services/{id}/update`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, remote = "Self")]
pub struct ServiceSpec {
    #[serde(skip_serializing_if = "zero")]
    pub name: String,
    #[serde(deserialize_with = "nullable")]
    pub labels: Labels,
    pub task_template: TaskSpec,
    pub mode: Mode,
    #[serde(skip_serializing_if = "zero")]
    pub update_config: Option<UpdateConfig>,
    #[serde(skip_serializing_if = "zero")]
    pub rollback_config: Option<UpdateConfig>,
    #[serde(skip_serializing_if = "zero")]
    pub endpoint_spec: Option<EndpointSpec>,
    /// What an Engine answered and none of these types holds, by path: `TaskTemplate.ContainerSpec.Groups`. Never
    /// written; empty in what is desired.
    #[serde(skip)]
    pub unknown: BTreeMap<String, Value>,
}

impl Serialize for ServiceSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ServiceSpec::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for ServiceSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ServiceSpec, D::Error> {
        let given = Value::deserialize(deserializer)?;
        let spec = ServiceSpec::deserialize(&given).map_err(serde::de::Error::custom)?;
        let read = serde_json::to_value(&spec).map_err(serde::de::Error::custom)?;
        Ok(ServiceSpec { unknown: unknown_fields(&given, &read), ..spec })
    }
}

go_struct!(TaskSpec {
    resources: Option<Resources> = "Resources",
    restart_policy: Option<RestartPolicy> = "RestartPolicy",
    placement: Option<Placement> = "Placement",
    networks: Vec<Attachment> = "Networks",
    log_driver: Option<Driver> = "LogDriver",
    /// Empty or `container`.
    runtime: String = "Runtime",
} sent {
    container_spec: ContainerSpec = "ContainerSpec",
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
    isolation: String = "Isolation",
    sysctls: BTreeMap<String, String> = "Sysctls",
    capability_add: Vec<String> = "CapabilityAdd",
    capability_drop: Vec<String> = "CapabilityDrop",
    ulimits: Vec<Ulimit> = "Ulimits",
    oom_score_adj: i64 = "OomScoreAdj",
});

go_struct!(
    /// Always sent, mostly empty: the Engine tells it apart from an absent one.
    Privileges {} sent {
        credential_spec: Option<CredentialSpec> = "CredentialSpec",
        /// Nothing in a Compose file sets it.
        selinux_context: Option<Value> = "SELinuxContext",
        /// Nothing in a Compose file sets it.
        no_new_privileges: bool = "NoNewPrivileges",
    }
);

go_struct!(
    /// One of the three is set.
    CredentialSpec {} sent {
        /// Id of the config, which a [`ConfigReference`] with `runtime` names too; its name until applied.
        config: String = "Config",
        file: String = "File",
        registry: String = "Registry",
    }
);

go_struct!(
    /// Times in nanoseconds.
    Healthcheck {
        test: Vec<String> = "Test",
        interval: i64 = "Interval",
        timeout: i64 = "Timeout",
        start_period: i64 = "StartPeriod",
        start_interval: i64 = "StartInterval",
        retries: u64 = "Retries",
    }
);

go_struct!(DnsConfig {
    nameservers: Vec<String> = "Nameservers",
    search: Vec<String> = "Search",
    options: Vec<String> = "Options",
});

go_struct!(Ulimit {} sent { name: String = "Name", hard: i64 = "Hard", soft: i64 = "Soft" });

go_struct!(Mount {
    kind: String = "Type",
    source: String = "Source",
    target: String = "Target",
    read_only: bool = "ReadOnly",
    consistency: String = "Consistency",
    bind_options: Option<BindOptions> = "BindOptions",
    volume_options: Option<VolumeOptions> = "VolumeOptions",
    tmpfs_options: Option<TmpfsOptions> = "TmpfsOptions",
    cluster_options: Option<Empty> = "ClusterOptions",
});

go_struct!(BindOptions { propagation: String = "Propagation" });

go_struct!(VolumeOptions {
    no_copy: bool = "NoCopy",
    labels: Labels = "Labels",
    subpath: String = "Subpath",
    driver_config: Option<Driver> = "DriverConfig",
});

go_struct!(TmpfsOptions { size_bytes: i64 = "SizeBytes" });

go_struct!(Driver {
    name: String = "Name",
    options: BTreeMap<String, String> = "Options",
});

go_struct!(SecretReference {} sent {
    file: Option<ReferenceFile> = "File",
    /// Filled in when applied.
    id: String = "SecretID",
    name: String = "SecretName",
});

go_struct!(
    /// Either a file or for the runtime, which is how a credential spec is handed over.
    ConfigReference {
        file: Option<ReferenceFile> = "File",
        runtime: Option<Empty> = "Runtime",
    } sent {
        /// Filled in when applied.
        id: String = "ConfigID",
        name: String = "ConfigName",
    }
);

go_struct!(ReferenceFile {} sent { name: String = "Name", uid: String = "UID", gid: String = "GID", mode: u32 = "Mode" });

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

go_struct!(Preference {} sent {
    spread: Option<Spread> = "Spread",
});

go_struct!(Spread {} sent { descriptor: String = "SpreadDescriptor" });

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

/// As Go writes a `float32`: the shortest text that reads back, no fraction when there is none.
fn float32<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return serializer.serialize_i64(*value as i64);
    }
    serializer.serialize_f64(single(*value))
}

/// The number that stands for `value` in single precision: 0.1 stays 0.1.
pub(crate) fn single(value: f64) -> f64 {
    (value as f32).to_string().parse().unwrap_or(value)
}

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
    /// Single precision in Go.
    #[serde(serialize_with = "float32")]
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
        target_port: u32 = "TargetPort",
        published_port: u32 = "PublishedPort",
        publish_mode: String = "PublishMode",
    }
);

impl ServiceSpec {
    /// Image as written in the file, also after pinning.
    pub fn raw_image(&self) -> &str {
        self.labels.get(crate::labels::IMAGE).map_or(self.task_template.container_spec.image.as_str(), String::as_str)
    }

    /// Fills in the ids of secrets and configs, given by name.
    pub fn fill_ids(&mut self, secret: impl Fn(&str) -> String, config: impl Fn(&str) -> String) {
        let container = &mut self.task_template.container_spec;
        container.secrets.iter_mut().for_each(|reference| reference.id = secret(&reference.name));
        container.configs.iter_mut().for_each(|reference| reference.id = config(&reference.name));
        let spec = container.privileges.as_mut().and_then(|privileges| privileges.credential_spec.as_mut());
        if let Some(spec) = spec.filter(|spec| !spec.config.is_empty()) {
            spec.config = config(&spec.config);
        }
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
