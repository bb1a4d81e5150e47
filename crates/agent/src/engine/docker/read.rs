//! Answers of the Engine as we read them, and what they become.

use crate::engine;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;
use waggle_model::Timestamp;
use waggle_stack::labels;
use waggle_stack::objects::service::ServiceSpec;
use waggle_stack::release::sha256_hex;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Network {
    id: String,
    name: String,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    driver: String,
    #[serde(default)]
    internal: bool,
    #[serde(default)]
    attachable: bool,
    #[serde(default)]
    options: Option<BTreeMap<String, String>>,
    #[serde(rename = "IPAM", default)]
    ipam: Option<Ipam>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ipam {
    #[serde(default)]
    config: Option<Vec<IpamConfig>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct IpamConfig {
    #[serde(default)]
    subnet: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Stored {
    #[serde(rename = "ID")]
    id: String,
    version: Version,
    spec: StoredSpec,
    #[serde(default)]
    created_at: String,
    #[serde(default)]
    updated_at: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StoredSpec {
    name: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    /// Base64; of configs only.
    #[serde(default)]
    data: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Volumes {
    #[serde(default)]
    volumes: Option<Vec<Volume>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volume {
    name: String,
}

impl Volumes {
    pub fn names(self) -> Vec<String> {
        self.volumes.unwrap_or_default().into_iter().map(|volume| volume.name).collect()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Container {
    #[serde(default)]
    state: ContainerState,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ContainerState {
    health: Option<Health>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Health {
    #[serde(default)]
    log: Option<Vec<HealthCheck>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HealthCheck {
    #[serde(default)]
    output: String,
}

impl Container {
    /// Of the newest check that said something.
    pub fn health_output(self) -> Option<String> {
        let log = self.state.health?.log.unwrap_or_default();
        let said = log.iter().rev().map(|check| check.output.trim());
        said.into_iter().find(|output| !output.is_empty()).map(str::to_owned)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    /// Left out when 0: the first iteration of a job is `{}`.
    #[serde(default)]
    index: u64,
}

/// Of `GET /distribution/{image}/json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Distribution {
    pub(super) descriptor: Descriptor,
    #[serde(default)]
    pub(super) platforms: Vec<Platform>,
}

#[derive(Deserialize)]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) digest: String,
}

#[derive(Deserialize)]
pub(super) struct Platform {
    #[serde(default)]
    pub(super) os: String,
    #[serde(default)]
    pub(super) architecture: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Service {
    #[serde(rename = "ID")]
    id: String,
    version: Version,
    spec: ServiceSpec,
    #[serde(default)]
    endpoint: Option<Endpoint>,
    #[serde(default)]
    update_status: Option<UpdateStatus>,
    #[serde(default)]
    job_status: Option<JobStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    #[serde(default)]
    ports: Option<Vec<Port>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Port {
    #[serde(default)]
    protocol: String,
    #[serde(default)]
    target_port: u32,
    #[serde(default)]
    published_port: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UpdateStatus {
    #[serde(default)]
    state: String,
    #[serde(default)]
    started_at: Option<String>,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct JobStatus {
    #[serde(default)]
    job_iteration: Option<Version>,
}

#[derive(Deserialize)]
pub(super) struct TaskId {
    #[serde(rename = "ID")]
    pub id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Task {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "ServiceID", default)]
    service_id: String,
    #[serde(default)]
    slot: u64,
    #[serde(rename = "NodeID", default)]
    node_id: String,
    #[serde(default)]
    desired_state: String,
    #[serde(default)]
    status: TaskStatus,
    #[serde(default)]
    spec: TaskSpec,
    #[serde(default)]
    job_iteration: Option<Version>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TaskStatus {
    #[serde(default)]
    timestamp: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    err: String,
    #[serde(default)]
    container_status: Option<ContainerStatus>,
    #[serde(default)]
    port_status: Option<Endpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerStatus {
    #[serde(rename = "ContainerID", default)]
    container_id: String,
    #[serde(default)]
    exit_code: i64,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TaskSpec {
    #[serde(default)]
    container_spec: Option<ContainerSpec>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerSpec {
    #[serde(default)]
    image: String,
}

impl From<Network> for engine::Network {
    fn from(n: Network) -> Self {
        let subnets = n.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
        engine::Network {
            id: n.id,
            name: n.name,
            scope: n.scope,
            driver: n.driver,
            internal: n.internal,
            attachable: n.attachable,
            options: n.options.unwrap_or_default(),
            subnets: subnets.into_iter().map(|config| config.subnet).collect(),
            labels: n.labels.unwrap_or_default(),
        }
    }
}

impl Stored {
    pub fn of(self, kind: engine::Kind) -> engine::Stored {
        let labels = self.spec.labels.unwrap_or_default();
        let hash = |data: String| Some(sha256_hex(&STANDARD.decode(data).ok()?));
        let unknown = kind == engine::Kind::Config && !labels.contains_key(labels::SHA256);
        let content = self.spec.data.filter(|_| unknown).and_then(hash);
        let (id, version) = (self.id, self.version.index);
        let (created, updated) = (time(&self.created_at), time(&self.updated_at));
        engine::Stored { id, version, name: self.spec.name, labels, created, updated, content }
    }
}

impl From<Service> for engine::Service {
    fn from(s: Service) -> Self {
        let ports = s.endpoint.and_then(|endpoint| endpoint.ports).unwrap_or_default();
        let port = |p: Port| format!("{}->{}/{}", p.published_port, p.target_port, p.protocol);
        let update = s.update_status.filter(|status| !status.state.is_empty());
        engine::Service {
            id: s.id,
            version: s.version.index,
            spec: s.spec,
            update: update.map(|u| engine::UpdateStatus {
                state: u.state,
                started: u.started_at.unwrap_or_default(),
                message: u.message,
            }),
            job_iteration: s.job_status.and_then(|job| job.job_iteration).map(|version| version.index),
            ports: ports.into_iter().map(port).collect(),
        }
    }
}

impl From<Task> for engine::Task {
    fn from(t: Task) -> Self {
        let ports = t.status.port_status.and_then(|status| status.ports).unwrap_or_default();
        let port = |p: Port| format!("*:{}->{}/{}", p.published_port, p.target_port, p.protocol);
        // Swarm leaves the exit code 0 on tasks that never had a container.
        let exited = matches!(t.status.state.as_str(), "complete" | "failed" | "shutdown");
        let container = t.status.container_status;
        engine::Task {
            id: t.id,
            service: t.service_id,
            slot: t.slot,
            node: t.node_id,
            image: t.spec.container_spec.map(|spec| spec.image).unwrap_or_default(),
            desired: t.desired_state,
            state: t.status.state,
            error: t.status.err,
            exit_code: container.as_ref().map(|status| status.exit_code).filter(|_| exited),
            container: container.map(|status| status.container_id).unwrap_or_default(),
            job_iteration: t.job_iteration.map(|version| version.index),
            at: time(&t.status.timestamp),
            ports: ports.into_iter().map(port).collect(),
        }
    }
}

/// Times are Go's, RFC 3339 with nanoseconds; one that cannot be read is the beginning of time.
fn time(text: &str) -> Timestamp {
    let at = text.parse::<jiff::Timestamp>().map(|at| at.as_millisecond()).unwrap_or(0);
    Timestamp(u64::try_from(at).unwrap_or(0))
}
