//! The Docker Engine of one manager. The only file that names bollard.
//!
//! bollard answers what is told apart by type alone (version, node list) and removes things; lists and writes of
//! services, tasks, secrets, configs and networks are our own requests, see [`super::http`], and so is everything with a
//! login: bollard encodes `X-Registry-Auth` as plain base64 where the Engine reads base64url. Two more faults of bollard
//! 0.21 are mended in one place, [`mend`]: it never sends the API version it was given, and sends the content type twice.

use super::http::{self, READ_TIMEOUT, Socket};
use super::{Engine, EngineError, Info, Kind, Network, Node, Resolved, Service, Stored, Task};
use super::{JoinTokens, LogOf, LogOptions, LogStream, Pruned, Whose};
use crate::logins::{Login, Logins};
use crate::metrics::Metrics;
use ::http::header::CONTENT_TYPE;
use ::http::{HeaderValue, Uri};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::errors::Error as BollardError;
use bollard::models::{LocalNodeState, NodeState, Reachability, SwarmInfo};
use bollard::query_parameters::RemoveVolumeOptions;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::ready;
use futures_util::stream::BoxStream;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracing::Instrument;
use waggle_model::StackName;
use waggle_model::ask::ObjectKind;
use waggle_stack::ApiVersion;
use waggle_stack::labels;
use waggle_stack::objects::service::ServiceSpec;
use waggle_stack::objects::{NetworkSpec, PayloadSpec};

mod ask;
mod logs;
mod read;

/// Newest API version we know; an older Engine gets its own.
const API_NEWEST: ApiVersion = ApiVersion(1, 47);
/// Docker 20.10.
const API_OLDEST: ApiVersion = ApiVersion(1, 41);
/// A registry may be far away.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(30);

const STACK_TASKS: &str = r#"{"label":["com.docker.stack.namespace"]}"#;
const CURRENT_TASKS: &str = r#"{"label":["com.docker.stack.namespace"],"_up-to-date":["true"]}"#;

/// Events that may change what we see. Health checks run as `exec` in containers, of which nobody wants to hear.
const CHANGES: &str = r#"{"type":["service","node","network","secret","config","container"],"event":["create","update","remove","destroy","start","die","health_status"]}"#;

/// A connection to the Engine at a unix socket.
pub struct Docker {
    socket: Socket,
    bollard: bollard::Docker,
    logins: Logins,
    metrics: Metrics,
    /// As of the connection; an upgrade of the Engine ends it and usually the agent with it.
    engine_version: String,
    api_version: ApiVersion,
}

impl Docker {
    /// Asks the Engine for its version and settles on the one to speak. `logins` are for registries of which a call brings
    /// none.
    pub async fn connect(path: &Path, logins: Logins, metrics: Metrics) -> Result<Docker, EngineError> {
        let said: Value = Socket { path: path.to_owned(), version: None }.get("/version").await?;
        let api_version = negotiate(said["ApiVersion"].as_str().unwrap_or_default())?;
        let version = api_version.to_string();
        let text = path.to_string_lossy();
        let client = bollard::Docker::connect_with_unix(&text, RESOLVE_TIMEOUT.as_secs(), bollard::API_DEFAULT_VERSION)
            .map_err(|error| bollard_error(path, error))?;
        let prefix = format!("/v{version}");
        let bollard = client.with_request_modifier(move |request| mend(request, &prefix));
        tracing::info!(socket = %path.display(), api = version, "connected to the Docker Engine");
        let socket = Socket { path: path.to_owned(), version: Some(version) };
        let engine_version = said["Version"].as_str().unwrap_or_default().to_owned();
        Ok(Docker { socket, bollard, logins, metrics, engine_version, api_version })
    }

    /// One call, as a span and in the figures.
    async fn call<T>(
        &self,
        name: &'static str,
        call: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        let started = tokio::time::Instant::now();
        let span = tracing::debug_span!("engine", call = name);
        let answer = call.instrument(span).await;
        self.metrics.engine_call(name, started.elapsed(), answer.is_ok());
        answer
    }

    /// As [`call`](Docker::call), for a write: those are few, and worth a place in every trace.
    async fn write<T>(
        &self,
        name: &'static str,
        call: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        let span = tracing::info_span!("engine write", call = name);
        let answer = self.call(name, call).instrument(span).await;
        self.metrics.writes.inc();
        answer
    }

    async fn bollard<T>(
        &self,
        call: impl Future<Output = Result<T, BollardError>>,
        limit: Duration,
    ) -> Result<T, EngineError> {
        match tokio::time::timeout(limit, call).await {
            Ok(answer) => answer.map_err(|error| bollard_error(&self.socket.path, error)),
            Err(_) => Err(EngineError::Slow(limit)),
        }
    }

    fn auth(&self, image: &str, login: Option<&Login>) -> Option<String> {
        login.or_else(|| self.logins.of(image)).map(Login::header)
    }

    async fn create(&self, path: &str, body: &Value, auth: Option<&str>) -> Result<String, EngineError> {
        let answer: Value = self.socket.post(path, body, auth).await?;
        let id = answer["ID"].as_str().or_else(|| answer["Id"].as_str());
        id.map(str::to_owned).ok_or_else(|| EngineError::Answer("no id of what was created".into()))
    }
}

fn negotiate(offered: &str) -> Result<ApiVersion, EngineError> {
    let parse = |text: &str| -> Option<ApiVersion> {
        let (major, minor) = text.split_once('.')?;
        Some(ApiVersion(major.parse().ok()?, minor.parse().ok()?))
    };
    let offered_version = parse(offered).ok_or_else(|| EngineError::Answer(format!("API version {offered:?}")))?;
    if offered_version < API_OLDEST {
        return Err(EngineError::TooOld(offered.to_owned()));
    }
    Ok(offered_version.min(API_NEWEST))
}

fn mend(mut request: bollard::BollardRequest, prefix: &str) -> bollard::BollardRequest {
    let path = request.uri().path_and_query().map(|path| path.as_str().to_owned()).unwrap_or_default();
    let mut parts = request.uri().clone().into_parts();
    if let Ok(prefixed) = format!("{prefix}{path}").parse() {
        parts.path_and_query = Some(prefixed);
    }
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    request
}

fn bollard_error(socket: &Path, error: BollardError) -> EngineError {
    match error {
        BollardError::DockerResponseServerError { status_code, message } => http::classify(status_code, message),
        BollardError::RequestTimeoutError => EngineError::Slow(RESOLVE_TIMEOUT),
        BollardError::IOError { err } => http::unreachable(socket, &err),
        BollardError::SocketNotFoundError(path) => {
            EngineError::Unreachable { socket: PathBuf::from(path), why: "there is no such socket".into() }
        }
        BollardError::JsonDataError { message, .. } => EngineError::Answer(message),
        BollardError::JsonSerdeError { err } => EngineError::Answer(err.to_string()),
        other => EngineError::Unreachable { socket: socket.to_owned(), why: waggle_daemon::tasks::chain(&other) },
    }
}

/// Path with `filters` as a query.
fn filtered(path: &str, filters: &str) -> String {
    format!("{path}?filters={}", encoded(filters))
}

/// Percent-encoded, for one part of a path or a value of a query.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn collection(kind: Kind) -> &'static str {
    match kind {
        Kind::Secret => "/secrets",
        Kind::Config => "/configs",
    }
}

fn body_of(value: &impl serde::Serialize) -> Result<Value, EngineError> {
    serde_json::to_value(value).map_err(|error| EngineError::Answer(error.to_string()))
}

/// Why an Engine that is no active manager is not, from what it says of its place in the swarm.
fn why_no_manager(swarm: SwarmInfo) -> EngineError {
    let said = swarm.error.filter(|error| !error.is_empty());
    if swarm.local_node_state != Some(LocalNodeState::ACTIVE) {
        let state = swarm.local_node_state.map_or_else(|| "inactive".into(), |state| state.to_string());
        return EngineError::NoSwarm(said.map_or(state.clone(), |why| format!("{state}: {why}")));
    }
    // A manager that lost the others says so in `Error`.
    if let Some(why) = said.filter(|_| swarm.control_available == Some(true)) {
        return EngineError::NoLeader(why);
    }
    let managers = swarm.remote_managers.unwrap_or_default().into_iter().filter_map(|peer| peer.addr).collect();
    EngineError::NotManager { managers }
}

fn node_of(node: bollard::models::Node) -> Node {
    let status = node.status.unwrap_or_default();
    let availability = node.spec.and_then(|spec| spec.availability).map(|availability| availability.to_string());
    let (manager, description) = (node.manager_status.as_ref(), node.description.unwrap_or_default());
    Node {
        id: node.id.unwrap_or_default(),
        name: description.hostname.unwrap_or_default(),
        state: status.state.unwrap_or(NodeState::UNKNOWN).to_string(),
        availability: availability.unwrap_or_default(),
        reachable: manager.map(|manager| manager.reachability == Some(Reachability::REACHABLE)),
        leader: manager.is_some_and(|manager| manager.leader == Some(true)),
        address: manager.and_then(|manager| manager.addr.clone()),
        engine_version: description.engine.and_then(|engine| engine.engine_version).unwrap_or_default(),
    }
}

#[async_trait]
impl Engine for Docker {
    /// Asks for the swarm: `GET /info` waits for the locks of all containers, which a container that is just starting
    /// holds for many seconds. It is asked only to explain why there is no swarm.
    async fn info(&self) -> Result<Info, EngineError> {
        match self.call("swarm", self.bollard(self.bollard.inspect_swarm(), READ_TIMEOUT)).await {
            Ok(swarm) => {
                let swarm_id = swarm.id.filter(|id| !id.is_empty());
                let swarm_id = swarm_id.ok_or_else(|| EngineError::Answer("the swarm has no id".into()))?;
                let (engine_version, api_version) = (self.engine_version.clone(), self.api_version);
                Ok(Info { engine_version, api_version, swarm_id })
            }
            Err(EngineError::NotManager { .. }) => {
                let info = self.call("info", self.bollard(self.bollard.info(), READ_TIMEOUT)).await?;
                Err(why_no_manager(info.swarm.unwrap_or_default()))
            }
            Err(error) => Err(error),
        }
    }

    async fn nodes(&self) -> Result<Vec<Node>, EngineError> {
        let nodes = self.call("nodes", self.bollard(self.bollard.list_nodes(None), READ_TIMEOUT)).await?;
        Ok(nodes.into_iter().map(node_of).collect())
    }

    async fn networks(&self) -> Result<Vec<Network>, EngineError> {
        let networks: Vec<read::Network> = self.call("networks", self.socket.get("/networks")).await?;
        Ok(networks.into_iter().map(Network::from).collect())
    }

    async fn stored(&self, kind: Kind) -> Result<Vec<Stored>, EngineError> {
        let list: Vec<read::Stored> = self.call("stored", self.socket.get(collection(kind))).await?;
        Ok(list.into_iter().map(|stored| stored.of(kind)).collect())
    }

    async fn services(&self) -> Result<Vec<Service>, EngineError> {
        let services: Vec<read::Service> = self.call("services", self.socket.get("/services")).await?;
        Ok(services.into_iter().map(Service::from).collect())
    }

    async fn tasks(&self) -> Result<Vec<Task>, EngineError> {
        let path = filtered("/tasks", STACK_TASKS);
        let tasks: Vec<read::Task> = self.call("tasks", self.socket.get(&path)).await?;
        Ok(tasks.into_iter().map(Task::from).collect())
    }

    async fn tasks_up_to_date(&self) -> Result<BTreeSet<String>, EngineError> {
        let path = filtered("/tasks", CURRENT_TASKS);
        let tasks: Vec<read::TaskId> = self.call("tasks_up_to_date", self.socket.get(&path)).await?;
        Ok(tasks.into_iter().map(|task| task.id).collect())
    }

    async fn create_network(&self, spec: &NetworkSpec) -> Result<String, EngineError> {
        let body = body_of(spec)?;
        self.write("create_network", self.create("/networks/create", &body, None)).await
    }

    async fn remove_network(&self, id: &str) -> Result<(), EngineError> {
        let call = self.bollard(self.bollard.remove_network(id), http::WRITE_TIMEOUT);
        self.write("remove_network", call).await
    }

    async fn create_stored(&self, kind: Kind, spec: &PayloadSpec, data: &Bytes) -> Result<String, EngineError> {
        let mut body = body_of(spec)?;
        body["Data"] = json!(STANDARD.encode(data));
        let path = format!("{}/create", collection(kind));
        self.write("create_stored", self.create(&path, &body, None)).await
    }

    async fn update_stored(
        &self,
        kind: Kind,
        id: &str,
        version: u64,
        spec: &PayloadSpec,
        data: Option<&Bytes>,
    ) -> Result<(), EngineError> {
        let mut body = body_of(spec)?;
        if let Some(data) = data {
            body["Data"] = json!(STANDARD.encode(data));
        }
        let path = format!("{}/{id}/update?version={version}", collection(kind));
        self.write("update_stored", self.socket.post::<Value>(&path, &body, None)).await.map(drop)
    }

    async fn remove_stored(&self, kind: Kind, id: &str) -> Result<(), EngineError> {
        match kind {
            Kind::Secret => {
                let call = self.bollard(self.bollard.delete_secret(id), http::WRITE_TIMEOUT);
                self.write("remove_stored", call).await
            }
            Kind::Config => {
                let call = self.bollard(self.bollard.delete_config(id), http::WRITE_TIMEOUT);
                self.write("remove_stored", call).await
            }
        }
    }

    async fn create_service(&self, spec: &ServiceSpec, login: Option<&Login>) -> Result<String, EngineError> {
        let auth = self.auth(&spec.task_template.container_spec.image, login);
        let body = body_of(spec)?;
        self.write("create_service", self.create("/services/create", &body, auth.as_deref())).await
    }

    async fn update_service(
        &self,
        id: &str,
        version: u64,
        spec: &ServiceSpec,
        login: Option<&Login>,
    ) -> Result<(), EngineError> {
        let auth = self.auth(&spec.task_template.container_spec.image, login);
        let body = body_of(spec)?;
        let path = format!("/services/{id}/update?version={version}");
        self.write("update_service", self.socket.post::<Value>(&path, &body, auth.as_deref())).await.map(drop)
    }

    /// The spec goes back as the Engine gave it: through our own types it could lose a field, and tasks would restart.
    async fn renew_login(&self, id: &str, login: &Login) -> Result<(), EngineError> {
        let mut service: Value = self.call("service", self.socket.get(&format!("/services/{id}"))).await?;
        let version = service["Version"]["Index"].as_u64();
        let version = version.ok_or_else(|| EngineError::Answer(format!("service {id} has no version")))?;
        let mut spec = service["Spec"].take();
        if spec["Labels"].is_null() {
            spec["Labels"] = json!({});
        }
        let labels = spec["Labels"].as_object_mut();
        let labels = labels.ok_or_else(|| EngineError::Answer(format!("service {id} has no labels")))?;
        labels.insert(labels::LOGIN.into(), json!(login.version.to_string()));
        let path = format!("/services/{id}/update?version={version}");
        let auth = login.header();
        self.write("renew_login", self.socket.post::<Value>(&path, &spec, Some(&auth))).await.map(drop)
    }

    async fn remove_service(&self, id: &str) -> Result<(), EngineError> {
        let call = self.bollard(self.bollard.delete_service(id), http::WRITE_TIMEOUT);
        self.write("remove_service", call).await
    }

    async fn tasks_of(&self, whose: &Whose) -> Result<Vec<Task>, EngineError> {
        let tasks: Vec<read::Task> = self.call("tasks", self.socket.get(&ask::tasks_path(whose))).await?;
        Ok(tasks.into_iter().map(Task::from).collect())
    }

    async fn inspect(&self, kind: ObjectKind, name: &str) -> Result<Value, EngineError> {
        self.call("inspect", self.socket.get(&ask::object_path(kind, name))).await
    }

    async fn logs(&self, of: &LogOf, options: &LogOptions) -> Result<LogStream, EngineError> {
        let bytes = self.call("logs", self.socket.stream(&logs::path(of, options))).await?;
        Ok(logs::records(bytes, options.tty))
    }

    async fn write_service(&self, id: &str, version: u64, spec: &Value, rollback: bool) -> Result<(), EngineError> {
        let rollback = if rollback { "&rollback=previous" } else { "" };
        let path = format!("/services/{id}/update?version={version}{rollback}");
        self.write("update_service", self.socket.post::<Value>(&path, spec, None)).await.map(drop)
    }

    async fn write_node(&self, id: &str, version: u64, spec: &Value) -> Result<(), EngineError> {
        let path = format!("/nodes/{id}/update?version={version}");
        self.write("update_node", self.socket.post::<Value>(&path, spec, None)).await.map(drop)
    }

    async fn join_tokens(&self) -> Result<JoinTokens, EngineError> {
        let swarm: ask::Swarm = self.call("swarm", self.socket.get("/swarm")).await?;
        Ok(swarm.into())
    }

    async fn own_node(&self) -> Result<String, EngineError> {
        let info: Value = self.call("info", self.socket.get("/info")).await?;
        Ok(info["Name"].as_str().unwrap_or_default().to_owned())
    }

    async fn prune_images(&self, all: bool) -> Result<Pruned, EngineError> {
        let answer: ask::Removed =
            self.write("prune_images", self.socket.post(&ask::prune_path(all), &Value::Null, None)).await?;
        Ok(answer.into())
    }

    async fn changes(&self) -> Result<BoxStream<'static, ()>, EngineError> {
        let bytes = self.call("events", self.socket.stream(&filtered("/events", CHANGES))).await?;
        Ok(bytes.take_while(|bytes| ready(bytes.is_ok())).map(drop).boxed())
    }

    async fn volumes(&self, stack: &StackName, used: bool) -> Result<Vec<String>, EngineError> {
        let label = format!("{}={stack}", waggle_stack::labels::NAMESPACE);
        let path = filtered("/volumes", &json!({"label": [label], "dangling": [(!used).to_string()]}).to_string());
        let found: read::Volumes = self.call("volumes", self.socket.get(&path)).await?;
        Ok(found.names())
    }

    async fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        let call = self.bollard.remove_volume(name, None::<RemoveVolumeOptions>);
        self.write("remove_volume", self.bollard(call, http::WRITE_TIMEOUT)).await
    }

    async fn health_output(&self, container: &str) -> Result<Option<String>, EngineError> {
        let path = format!("/containers/{container}/json");
        match self.call("container", self.socket.get::<read::Container>(&path)).await {
            Ok(container) => Ok(container.health_output()),
            Err(EngineError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn resolve(&self, image: &str, login: Option<&Login>) -> Result<Resolved, EngineError> {
        let (path, auth) = (format!("/distribution/{image}/json"), self.auth(image, login));
        let call = self.socket.get_within(&path, auth.as_deref(), RESOLVE_TIMEOUT);
        let answer: read::Distribution = self.call("resolve", call).await?;
        if answer.descriptor.digest.is_empty() {
            return Err(EngineError::Answer(format!("the registry gives no digest of {image}")));
        }
        let platforms = answer.platforms.into_iter().map(|platform| (platform.os, platform.architecture));
        Ok(Resolved { digest: answer.descriptor.digest, platforms: platforms.collect() })
    }
}

#[cfg(test)]
mod tests;
