//! The merged file as conversion wants it: structs instead of a tree, and only what has an effect. What conversion needs to
//! point at keeps its place.

mod attach;
mod deploy;
mod ports;
mod service;
mod top;
mod volumes;
mod waggle;

pub(crate) use waggle::{Waggle, read_all as read_waggle};

use crate::Deviation;
use crate::problem::{Place, Report};
use crate::read::{At, Spot};
use crate::yaml::{Node, Value};
use std::collections::{BTreeMap, BTreeSet};
use waggle_model::release::{Drift, Promotion, Prune, Route};

#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    pub services: BTreeMap<String, Service>,
    pub networks: BTreeMap<String, Spot<Network>>,
    pub volumes: BTreeMap<String, Spot<Volume>>,
    pub secrets: BTreeMap<String, Spot<FileObject>>,
    pub configs: BTreeMap<String, Spot<FileObject>>,
    pub routes: Vec<Spot<Route>>,
    pub promotion: Option<Promotion>,
    /// Where Docker's behaviour is wanted instead of ours: of the caller and of all `x-waggle` blocks.
    pub compat: BTreeSet<Deviation>,
    pub upkeep: UpkeepKeys,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Service {
    pub at: Place,
    pub image: Option<Spot<String>>,
    pub command: Option<Vec<String>>,
    pub entrypoint: Option<Vec<String>>,
    /// `None` value: the key without a value.
    pub environment: BTreeMap<String, Option<String>>,
    pub labels: BTreeMap<String, String>,
    pub hostname: Option<String>,
    pub user: Option<String>,
    pub working_dir: Option<String>,
    pub stop_signal: Option<String>,
    /// Nanoseconds.
    pub stop_grace_period: Option<i64>,
    pub init: Option<Spot<bool>>,
    pub read_only: Option<Spot<bool>>,
    pub tty: Option<Spot<bool>>,
    pub stdin_open: Option<Spot<bool>>,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    /// `None`: not written, which the Engine tells from an empty list.
    pub dns: Option<Vec<String>>,
    pub dns_search: Option<Vec<String>>,
    /// `host:address`.
    pub extra_hosts: Vec<Spot<String>>,
    pub sysctls: BTreeMap<String, String>,
    /// Soft and hard limit.
    pub ulimits: BTreeMap<String, (i64, i64)>,
    pub logging: Option<Logging>,
    pub healthcheck: Option<Spot<Healthcheck>>,
    pub networks: BTreeMap<String, Spot<Attachment>>,
    pub ports: Vec<Spot<Port>>,
    pub volumes: Vec<Spot<Mount>>,
    pub secrets: Vec<Spot<FileReference>>,
    pub configs: Vec<Spot<FileReference>>,
    pub restart: Option<Spot<String>>,
    pub isolation: Option<Spot<String>>,
    pub credential_spec: Option<Spot<CredentialSpec>>,
    /// 0: not set.
    pub oom_score_adj: Spot<i64>,
    pub deploy: Deploy,
}

/// At most one of them is possible; empty ones are `None`.
#[derive(Clone, Debug, Default)]
pub(crate) struct CredentialSpec {
    pub config: Option<String>,
    pub file: Option<String>,
    pub registry: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Logging {
    pub driver: Option<String>,
    /// `None`: not written, which a merge tells from `{}`.
    pub options: Option<BTreeMap<String, String>>,
}

/// Times in nanoseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Healthcheck {
    pub test: Option<Vec<String>>,
    pub interval: Option<i64>,
    pub timeout: Option<i64>,
    pub start_period: Option<i64>,
    pub start_interval: Option<i64>,
    pub retries: Option<u64>,
    pub disable: Option<bool>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Attachment {
    pub aliases: Vec<String>,
    pub driver_opts: BTreeMap<String, String>,
}

/// Numbers and words are as written: the Engine refuses what it cannot do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Port {
    pub target: u32,
    /// 0: Swarm chooses.
    pub published: u32,
    /// Empty in the long form when not written.
    pub protocol: String,
    /// Empty in the long form when not written.
    pub mode: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum MountKind {
    #[default]
    Volume,
    Bind,
    Tmpfs,
    Npipe,
    Image,
    Cluster,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Mount {
    pub kind: MountKind,
    /// Absolute for a bind, unless nothing was there to resolve it against.
    pub source: String,
    /// The source of a bind as written, if it was relative to the first file's directory or to a home directory.
    pub relative: Option<String>,
    pub target: String,
    pub read_only: bool,
    pub consistency: Option<String>,
    /// `bind:` was written; its propagation.
    pub bind: Option<String>,
    /// `volume:` was written.
    pub volume: Option<VolumeOptions>,
    /// `image:` was written; its subpath.
    pub image: Option<String>,
    /// `cluster:` was written.
    pub cluster: bool,
    /// `tmpfs:` was written; its size in bytes.
    pub tmpfs: Option<i64>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct VolumeOptions {
    pub nocopy: bool,
    pub subpath: String,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct FileReference {
    pub source: String,
    pub target: Option<String>,
    pub uid: Option<String>,
    pub gid: Option<String>,
    pub mode: Option<u32>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Deploy {
    pub mode: Option<Spot<String>>,
    pub endpoint_mode: Option<String>,
    pub replicas: Option<Spot<u64>>,
    pub labels: BTreeMap<String, String>,
    pub update_config: Option<Spot<Update>>,
    pub rollback_config: Option<Spot<Update>>,
    pub restart_policy: Option<RestartPolicy>,
    pub limits: Option<Resources>,
    pub reservations: Option<Resources>,
    pub constraints: Vec<String>,
    /// Spread descriptors.
    pub preferences: Vec<String>,
    pub max_replicas: Option<u64>,
}

/// Times in nanoseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Update {
    pub parallelism: Option<u64>,
    pub delay: Option<i64>,
    pub failure_action: Option<String>,
    pub monitor: Option<i64>,
    pub max_failure_ratio: Option<f64>,
    pub order: Option<String>,
}

/// Times in nanoseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct RestartPolicy {
    pub condition: Option<String>,
    pub delay: Option<i64>,
    pub max_attempts: Option<u64>,
    pub window: Option<i64>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Resources {
    /// Billionths of a CPU.
    pub nano_cpus: Option<i64>,
    /// The same, if more CPUs are written than it can say.
    pub cut_cpus: Option<Spot<i64>>,
    pub memory_bytes: Option<i64>,
    pub pids: Option<i64>,
    /// Kind and amount, in file order.
    pub generic: Vec<Option<(String, i64)>>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Network {
    pub name: Option<String>,
    pub external: bool,
    pub driver: Option<String>,
    /// `None`: not written, which the Engine tells from an empty mapping.
    pub driver_opts: Option<BTreeMap<String, String>>,
    pub attachable: bool,
    pub internal: bool,
    pub labels: BTreeMap<String, String>,
    pub ipam_driver: Option<String>,
    pub subnets: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Volume {
    pub name: Option<String>,
    pub external: bool,
    pub driver: Option<String>,
    /// `None`: not written, which the Engine tells from an empty mapping.
    pub driver_opts: Option<BTreeMap<String, String>>,
    pub labels: BTreeMap<String, String>,
    /// `x-cluster-spec` was written.
    pub cluster: bool,
}

/// A top-level secret or config.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileObject {
    pub name: Option<String>,
    pub external: bool,
    /// Path as written, or absolute.
    pub file: Option<Spot<String>>,
    pub labels: BTreeMap<String, String>,
    pub driver: Option<Spot<String>>,
    pub driver_opts: BTreeMap<String, String>,
    pub template_driver: Option<Spot<String>>,
}

/// Keys of `x-waggle` that make a release's `Upkeep`.
#[derive(Clone, Debug, Default)]
pub(crate) struct UpkeepKeys {
    pub drift: Option<Drift>,
    pub versions_kept: Option<u16>,
    pub prune: Option<Prune>,
    /// Services whose number of replicas stays as the swarm has it, or not.
    pub replicas: BTreeMap<String, Spot<bool>>,
}

/// Reads the merged file.
pub(crate) fn read(file: &Node, waggle: Waggle, compat: BTreeSet<Deviation>, report: &Report<'_>) -> File {
    let at = At::new(file, report);
    let secret = |at: &At<'_>| top::file_object(at, "secret");
    let config = |at: &At<'_>| top::file_object(at, "config");
    File {
        services: section(&at, "services", service::read),
        networks: section(&at, "networks", |place, at| spot(place, top::network(at))),
        volumes: section(&at, "volumes", |place, at| spot(place, top::volume(at))),
        secrets: section(&at, "secrets", |place, at| spot(place, secret(at))),
        configs: section(&at, "configs", |place, at| spot(place, config(at))),
        routes: waggle.routes,
        promotion: waggle.promotion,
        upkeep: waggle.upkeep,
        compat,
    }
}

fn spot<T>(at: Place, value: Option<T>) -> Option<Spot<T>> {
    value.map(|value| Spot { value, at })
}

fn section<T>(at: &At<'_>, key: &str, read: impl Fn(Place, &At<'_>) -> Option<T>) -> BTreeMap<String, T> {
    let Value::Map(sections) = &at.node.value else { return BTreeMap::new() };
    let Some(section) = sections.iter().find(|section| section.key == key) else { return BTreeMap::new() };
    let at = at.child(section);
    let Value::Map(entries) = &at.node.value else { return BTreeMap::new() };
    let one = |entry| {
        let child = at.child(entry);
        Some((entry.key.clone(), read(at.key_of(entry), &child)?))
    };
    entries.iter().filter_map(one).collect()
}
