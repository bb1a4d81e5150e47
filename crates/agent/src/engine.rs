//! The Engine port: what the agent asks of a swarm, and the two that answer.
//!
//! A trait because it has two real implementations: [`docker`], the Docker Engine's API, and [`fake`], a small swarm that
//! behaves (tasks take time, fail, get rescheduled, updates pause and roll back), which simulation and tests run on.
//!
//! Specs are `waggle-stack`'s own types, the ones that differences are computed on, and never those of a client library:
//! what such a library does not know is lost on reading and deleted by the next write.

use crate::logins::Login;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;
use waggle_model::ask::ObjectKind;
use waggle_model::{StackName, Timestamp};
use waggle_stack::ApiVersion;
use waggle_stack::objects::service::ServiceSpec;
use waggle_stack::objects::{NetworkSpec, PayloadSpec};

pub mod docker;
pub mod fake;
mod http;

/// Why the Engine did not do what it was asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EngineError {
    #[error("the Docker Engine cannot be reached at {} ({why}); is Docker running?", socket.display())]
    Unreachable { socket: PathBuf, why: String },
    #[error("no permission to use {}; run the agent as root or as a member of the socket's group", .0.display())]
    Permission(PathBuf),
    #[error("the Docker Engine did not answer within {} s", .0.as_secs())]
    Slow(Duration),
    #[error("this Docker Engine is not part of a swarm ({0}); run `docker swarm init` or `docker swarm join` first")]
    NoSwarm(String),
    #[error("this Docker Engine is not a manager of its swarm; run the agent on a manager{}", listed(managers))]
    NotManager { managers: Vec<String> },
    #[error("the swarm has no leader: {0}")]
    NoLeader(String),
    #[error("API version {0} of this Docker Engine is too old; 1.41 (Docker 20.10) is the least")]
    TooOld(String),
    /// Somebody else wrote in between, or the name is taken.
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Refused(String),
    #[error("the Docker Engine's answer cannot be read: {0}")]
    Answer(String),
}

impl EngineError {
    /// Whether the same call may well succeed later without anything being changed.
    pub fn is_passing(&self) -> bool {
        use EngineError::*;
        matches!(self, Unreachable { .. } | Permission(_) | Slow(_) | NoLeader(_) | NotManager { .. } | NoSwarm(_))
    }
}

fn listed(managers: &[String]) -> String {
    if managers.is_empty() {
        return "; `docker node ls` there lists them".into();
    }
    format!(", for example at {}", managers.join(", "))
}

/// The Engine and its place in the swarm.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Info {
    pub engine_version: String,
    /// What is spoken with it.
    pub api_version: ApiVersion,
    pub swarm_id: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    pub id: String,
    pub name: String,
    /// `ready`, `down`, `disconnected`, `unknown`.
    pub state: String,
    /// `active`, `pause`, `drain`.
    pub availability: String,
    /// Managers only.
    pub reachable: Option<bool>,
    pub leader: bool,
    /// `host:port` where managers talk to each other; managers only.
    pub address: Option<String>,
    pub engine_version: String,
}

impl Node {
    pub fn is_ready(&self) -> bool {
        self.state == "ready"
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Network {
    pub id: String,
    pub name: String,
    /// `swarm`, `local`, `global`.
    pub scope: String,
    pub driver: String,
    pub internal: bool,
    pub attachable: bool,
    pub options: BTreeMap<String, String>,
    pub subnets: Vec<String>,
    pub labels: BTreeMap<String, String>,
}

/// A secret or a config; of secrets the API never gives the bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    pub id: String,
    pub version: u64,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub created: Timestamp,
    /// SHA-256 (hex) of the bytes of a config that does not bear it as a label.
    pub content: Option<String>,
    pub updated: Timestamp,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Service {
    pub id: String,
    pub version: u64,
    pub spec: ServiceSpec,
    pub update: Option<UpdateStatus>,
    /// Jobs: runs so far.
    pub job_iteration: Option<u64>,
    /// Published ports as `8080->80/tcp`.
    pub ports: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpdateStatus {
    /// `updating`, `paused`, `completed`, `rollback_started`, `rollback_paused`, `rollback_completed`.
    pub state: String,
    /// As the Engine spells it; compared, never read.
    pub started: String,
    pub message: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Task {
    pub id: String,
    pub service: String,
    /// 0 for tasks of global services.
    pub slot: u64,
    pub node: String,
    pub image: String,
    /// `ready`, `running`, `shutdown`, `remove`, `complete`.
    pub desired: String,
    /// `new` … `running`, `complete`, `shutdown`, `failed`, `rejected`, `orphaned`.
    pub state: String,
    pub error: String,
    pub exit_code: Option<i64>,
    pub job_iteration: Option<u64>,
    pub at: Timestamp,
    /// Id of its container; empty before it has one.
    pub container: String,
    /// Ports published on its own node, as `*:8080->80/tcp`.
    pub ports: Vec<String>,
}

/// Which tasks are meant, by ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    Everybodys,
    Service(String),
    Node(String),
}

/// Whose log is meant, by ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOf {
    Service(String),
    Task(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    pub follow: bool,
    /// Last lines of each task; `None`: all.
    pub tail: Option<u64>,
    pub since: Option<Timestamp>,
    /// The containers have a terminal: their output comes as it is, without a header for each line.
    pub tty: bool,
}

/// One line that a task wrote.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogRecord {
    pub at: Timestamp,
    pub task: String,
    pub service: String,
    pub node: String,
    pub stderr: bool,
    /// Without the line's end.
    pub text: Bytes,
}

pub type LogStream = BoxStream<'static, Result<LogRecord, EngineError>>;

/// With these a node joins the swarm. No `Debug`: they are as good as passwords.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct JoinTokens {
    pub worker: String,
    pub manager: String,
}

/// What a removal of unused images did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    pub images: u64,
    pub bytes: u64,
}

/// What a registry says of an image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resolved {
    /// `sha256:…`.
    pub digest: String,
    /// Operating system and architecture.
    pub platforms: Vec<(String, String)>,
}

/// Kinds of named bytes that a swarm keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Secret,
    Config,
}

/// One swarm, through one of its managers.
///
/// Lists hold all there is, whoever made it, so that taken names and external objects are seen; only [`Engine::tasks`] are
/// those of stacks (label `com.docker.stack.namespace`).
#[async_trait]
pub trait Engine: Send + Sync {
    /// Also fails when the Engine is not an active manager.
    async fn info(&self) -> Result<Info, EngineError>;
    async fn nodes(&self) -> Result<Vec<Node>, EngineError>;
    async fn networks(&self) -> Result<Vec<Network>, EngineError>;
    async fn stored(&self, kind: Kind) -> Result<Vec<Stored>, EngineError>;
    async fn services(&self) -> Result<Vec<Service>, EngineError>;
    async fn tasks(&self) -> Result<Vec<Task>, EngineError>;
    /// Ids of the tasks whose spec is their service's current one.
    async fn tasks_up_to_date(&self) -> Result<BTreeSet<String>, EngineError>;

    async fn create_network(&self, spec: &NetworkSpec) -> Result<String, EngineError>;
    async fn remove_network(&self, id: &str) -> Result<(), EngineError>;
    async fn create_stored(&self, kind: Kind, spec: &PayloadSpec, data: &Bytes) -> Result<String, EngineError>;
    /// Labels only: the bytes of secrets and configs cannot change. `data` is refused unless it is what is there.
    async fn update_stored(
        &self,
        kind: Kind,
        id: &str,
        version: u64,
        spec: &PayloadSpec,
        data: Option<&Bytes>,
    ) -> Result<(), EngineError>;
    async fn remove_stored(&self, kind: Kind, id: &str) -> Result<(), EngineError>;
    /// The login is for the image's registry; the swarm keeps it for its nodes.
    async fn create_service(&self, spec: &ServiceSpec, login: Option<&Login>) -> Result<String, EngineError>;
    /// Without a login the swarm keeps the one it has.
    async fn update_service(
        &self,
        id: &str,
        version: u64,
        spec: &ServiceSpec,
        login: Option<&Login>,
    ) -> Result<(), EngineError>;
    /// Gives the swarm another login for a service and notes its version there; all else stays as it is, to the letter.
    async fn renew_login(&self, id: &str, login: &Login) -> Result<(), EngineError>;
    async fn remove_service(&self, id: &str) -> Result<(), EngineError>;

    /// Says that something has changed: services, nodes, networks, secrets and configs of the swarm, containers of the
    /// Engine's own node. A wake-up and no more: it may miss things, and it ends when the connection does.
    async fn changes(&self) -> Result<BoxStream<'static, ()>, EngineError>;

    /// Names of a stack's volumes on the Engine's own node: those that containers use, or those that none does.
    async fn volumes(&self, stack: &StackName, used: bool) -> Result<Vec<String>, EngineError>;
    async fn remove_volume(&self, name: &str) -> Result<(), EngineError>;

    /// What the last health check of a container on the Engine's own node said; `None` if it is not there or has none.
    async fn health_output(&self, container: &str) -> Result<Option<String>, EngineError>;
    async fn tasks_of(&self, whose: &Whose) -> Result<Vec<Task>, EngineError>;
    /// The Engine's own JSON of one object, by name or id. It is the only form in which what others made can be changed
    /// without loss.
    async fn inspect(&self, kind: ObjectKind, name: &str) -> Result<Value, EngineError>;
    /// Lines as they come; the stream ends when there are no more, or never if it follows.
    async fn logs(&self, of: &LogOf, options: &LogOptions) -> Result<LogStream, EngineError>;
    /// Writes a spec in the Engine's own JSON, as [`inspect`](Engine::inspect) gave it, or goes back to the previous one.
    async fn write_service(&self, id: &str, version: u64, spec: &Value, rollback: bool) -> Result<(), EngineError>;
    async fn write_node(&self, id: &str, version: u64, spec: &Value) -> Result<(), EngineError>;
    async fn join_tokens(&self) -> Result<JoinTokens, EngineError>;
    /// Name of the node that the Engine is.
    async fn own_node(&self) -> Result<String, EngineError>;
    /// Removes images of the Engine's own node: those without a name and a container, or all without a container.
    async fn prune_images(&self, all: bool) -> Result<Pruned, EngineError>;

    /// Asks the image's registry, through the Engine.
    async fn resolve(&self, image: &str, login: Option<&Login>) -> Result<Resolved, EngineError>;
}
