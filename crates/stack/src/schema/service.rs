//! Keys of a service.

use super::{
    DURATION, Key, Keys, Number, OPTIONAL_COUNT, OPTIONAL_DURATION, OPTIONS, PAIRS, Shape, UNIQUE, closed, key, open,
    optional,
};

pub(crate) const SERVICE: Keys = Keys { extensions_since: 7, ..closed(&SERVICE_KEYS) };

const SERVICE_KEYS: [Key; 53] = [
    key("build", 0, Shape::Build),
    key("cap_add", 0, UNIQUE),
    key("cap_drop", 0, UNIQUE),
    key("cgroupns_mode", 9, Shape::Text),
    key("cgroup_parent", 0, Shape::Text),
    key("command", 0, Shape::Command),
    key("configs", 3, Shape::References),
    key("container_name", 0, Shape::Text),
    key("credential_spec", 3, Shape::Keys(&CREDENTIAL_SPEC)),
    key("depends_on", 0, UNIQUE),
    key("deploy", 0, Shape::Keys(&DEPLOY)),
    key("devices", 0, UNIQUE),
    key("dns", 0, Shape::TextOrTexts),
    key("dns_search", 0, Shape::TextOrTexts),
    key("domainname", 0, Shape::Text),
    key("entrypoint", 0, Shape::Command),
    key("environment", 0, Shape::Pairs { null: true }),
    key("env_file", 0, Shape::TextOrTexts),
    key("expose", 0, Shape::TextsOrNumbers),
    key("external_links", 0, UNIQUE),
    key("extra_hosts", 0, Shape::Hosts),
    key("hostname", 0, Shape::Text),
    key("healthcheck", 0, Shape::Healthcheck),
    key("image", 0, Shape::Text),
    key("init", 7, Shape::OptionalSwitch),
    key("ipc", 0, Shape::Text),
    key("isolation", 5, Shape::Text),
    key("labels", 0, PAIRS),
    key("links", 0, UNIQUE),
    key("logging", 0, Shape::Logging),
    key("mac_address", 0, Shape::Text),
    key("network_mode", 0, Shape::Text),
    key("networks", 0, Shape::Attachments),
    key("pid", 0, Shape::TextOrNull),
    key("ports", 0, Shape::Ports),
    key("privileged", 0, Shape::Switch),
    key("read_only", 0, Shape::Switch),
    key("restart", 0, Shape::Text),
    key("secrets", 1, Shape::References),
    key("security_opt", 0, UNIQUE),
    key("shm_size", 0, Shape::Text),
    key("stdin_open", 0, Shape::Switch),
    key("stop_grace_period", 0, OPTIONAL_DURATION),
    key("stop_signal", 0, Shape::Text),
    key("sysctls", 0, PAIRS),
    key("tmpfs", 0, Shape::TextOrTexts),
    key("tty", 0, Shape::Switch),
    key("ulimits", 0, Shape::Ulimits),
    key("user", 0, Shape::Text),
    // Docker's struct expects the name `oomscoreadj`, which the schema refuses: the value never arrives.
    key("oom_score_adj", 13, Shape::Dropped(&Shape::Number(Number::I64 { integer: true }))),
    key("userns_mode", 0, Shape::Text),
    key("volumes", 0, Shape::Mounts),
    key("working_dir", 0, Shape::Text),
];

/// The long form of `build`; more keys are taken from 3.11 on.
pub(crate) const BUILD: Keys = Keys { open_since: 11, ..closed(&BUILD_KEYS) };

const BUILD_KEYS: [Key; 9] = [
    key("context", 0, Shape::Text),
    key("dockerfile", 0, Shape::Text),
    key("args", 0, Shape::Pairs { null: true }),
    key("labels", 3, PAIRS),
    key("cache_from", 2, UNIQUE),
    key("extra_hosts", 9, Shape::Hosts),
    key("network", 4, Shape::Text),
    key("target", 4, Shape::Text),
    key("shm_size", 5, Shape::Dropped(&Shape::TextOrInteger)),
];

const CREDENTIAL_SPEC: Keys =
    closed(&[key("config", 8, Shape::Text), key("file", 3, Shape::Text), key("registry", 3, Shape::Text)]);

pub(crate) const LOGGING: Keys =
    optional(&[key("driver", 0, Shape::Text), key("options", 0, Shape::Options { null: true })]);

pub(crate) const HEALTHCHECK: Keys = optional(&[
    key("test", 0, Shape::Test),
    key("timeout", 0, OPTIONAL_DURATION),
    key("interval", 0, OPTIONAL_DURATION),
    key("retries", 0, Shape::Number(Number::U64 { optional: true, integer: false })),
    key("start_period", 4, OPTIONAL_DURATION),
    key("start_interval", 12, OPTIONAL_DURATION),
    key("disable", 0, Shape::Switch),
]);

const DEPLOY: Keys = Keys {
    null: true,
    ..closed(&[
        key("mode", 0, Shape::Text),
        key("replicas", 0, OPTIONAL_COUNT),
        key("labels", 0, PAIRS),
        key("update_config", 0, Shape::Keys(&UPDATE)),
        key("rollback_config", 7, Shape::Keys(&UPDATE)),
        key("resources", 0, Shape::Keys(&RESOURCES)),
        key("restart_policy", 0, Shape::Keys(&RESTART_POLICY)),
        key("placement", 0, Shape::Keys(&PLACEMENT)),
        key("endpoint_mode", 2, Shape::Text),
    ])
};

const UPDATE: Keys = optional(&[
    key("parallelism", 0, OPTIONAL_COUNT),
    key("delay", 0, DURATION),
    key("failure_action", 0, Shape::Text),
    key("monitor", 0, DURATION),
    key("max_failure_ratio", 0, Shape::Number(Number::F32)),
    key("order", 4, Shape::Word(&["start-first", "stop-first"])),
]);

const RESTART_POLICY: Keys = optional(&[
    key("condition", 0, Shape::Text),
    key("delay", 0, OPTIONAL_DURATION),
    key("max_attempts", 0, OPTIONAL_COUNT),
    key("window", 0, OPTIONAL_DURATION),
]);

const RESOURCES: Keys =
    closed(&[key("limits", 0, Shape::Keys(&LIMITS)), key("reservations", 0, Shape::Keys(&RESERVATIONS))]);

const LIMITS: Keys = optional(&[
    key("cpus", 0, Shape::Text),
    key("memory", 0, Shape::Bytes),
    key("pids", 9, Shape::Number(Number::I64 { integer: true })),
]);

const RESERVATIONS: Keys = optional(&[
    key("cpus", 0, Shape::Text),
    key("memory", 0, Shape::Bytes),
    key("generic_resources", 5, Shape::List(&GENERIC_RESOURCE)),
]);

const GENERIC_RESOURCE: Keys = closed(&[key("discrete_resource_spec", 5, Shape::Keys(&DISCRETE_RESOURCE))]);

/// The one mapping whose keys Docker prints even when they are empty.
const DISCRETE_RESOURCE: Keys = Keys {
    zeros: true,
    ..optional(&[key("kind", 5, Shape::Text), key("value", 5, Shape::Number(Number::I64 { integer: false }))])
};

const PLACEMENT: Keys = closed(&[
    key("constraints", 0, Shape::Texts { unique: false }),
    key("preferences", 3, Shape::List(&PREFERENCE)),
    key("max_replicas_per_node", 8, Shape::Number(Number::U64 { optional: false, integer: true })),
]);

const PREFERENCE: Keys = closed(&[key("spread", 3, Shape::Text)]);

/// An entry of `networks` in the long form.
pub(crate) const ATTACHMENT: Keys = Keys {
    null: true,
    ..optional(&[
        key("aliases", 0, UNIQUE),
        key("driver_opts", 13, OPTIONS),
        key("ipv4_address", 0, Shape::Text),
        key("ipv6_address", 0, Shape::Text),
    ])
};

/// A port in the long form.
pub(crate) const PORT: Keys = closed(&[
    key("mode", 2, Shape::Text),
    key("target", 2, Shape::Number(Number::U32)),
    key("published", 2, Shape::Number(Number::U32)),
    key("protocol", 2, Shape::Text),
]);

/// A volume of a service in the long form. `image` and `cluster` are in Docker's struct and not in its schema.
pub(crate) const MOUNT: Keys = closed(&[
    key("type", 2, Shape::Text),
    key("source", 2, Shape::Text),
    key("target", 2, Shape::Text),
    key("read_only", 2, Shape::Switch),
    key("consistency", 2, Shape::Text),
    key("bind", 2, Shape::Keys(&BIND)),
    key("volume", 2, Shape::Keys(&VOLUME)),
    key("tmpfs", 6, Shape::Keys(&TMPFS)),
]);

const BIND: Keys = open(&[key("propagation", 2, Shape::Text)]);
const VOLUME: Keys = open(&[key("nocopy", 2, Shape::Switch), key("subpath", 2, Shape::Text)]);
const TMPFS: Keys = open(&[key("size", 6, Shape::Number(Number::Size))]);

/// A secret or config of a service in the long form.
pub(crate) const REFERENCE: Keys = open(&[
    key("source", 0, Shape::Text),
    key("target", 0, Shape::Text),
    key("uid", 0, Shape::Text),
    key("gid", 0, Shape::Text),
    key("mode", 0, Shape::Number(Number::Mode)),
]);

/// A ulimit in the long form. Both keys are required.
pub(crate) const ULIMIT: Keys = closed(&[
    key("soft", 0, Shape::Number(Number::I64 { integer: true })),
    key("hard", 0, Shape::Number(Number::I64 { integer: true })),
]);
