//! The agent: keeps one swarm at its desired state, and tells about it.
//!
//! ```text
//! session ── order (on disk) ──► work ── Engine port ──► swarm
//!    ▲                            │
//!    └───────── observed ─────────┤
//! nameservers ◄── beats ◄── pulse ┘
//! ```
//!
//! The parts meet in watch channels only, so each may hang, fail or be away without the others: without control the swarm
//! is kept as last desired and beats go on; without the Engine both are told so; without nameservers nothing is missed.

mod advice;
pub mod apply;
mod ask;
pub mod beat;
mod boot;
pub mod config;
mod drift;
pub mod engine;
pub mod identity;
mod judge;
pub mod logins;
pub mod memory;
pub mod metrics;
pub mod observe;
pub mod order;
mod resolve;
pub mod seen;
mod session;
mod work;

pub use config::Config;
pub use waggle_stack::policy;

use beat::{Beater, Pulse};
use engine::docker::Docker;
use engine::{Engine, EngineError};
use logins::{InvalidLogins, Logins};
use memory::{Memory, MemoryError};
use metrics::Metrics;
use order::{Order, OrderError};
use policy::Policy;
use session::Session;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::net::TcpListener;
use tokio::sync::watch;
use waggle_daemon::{Status, Tasks, file, status};
use waggle_model::{ClusterName, Timestamp};
use waggle_stack::registry;
use waggle_wire::credentials::Current;
use work::{Events, Work};

/// Why an agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("the configuration cannot be used: {0}")]
    Config(String),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Logins(#[from] InvalidLogins),
    #[error(transparent)]
    Identity(#[from] identity::IdentityError),
    #[error(transparent)]
    Order(#[from] OrderError),
    #[error(transparent)]
    Memory(#[from] MemoryError),
    #[error("the data directory cannot be made")]
    DataDir(#[from] file::WriteError),
    #[error("cannot listen on {address} for metrics and readiness")]
    Listen { address: SocketAddr, source: std::io::Error },
}

/// An agent that is ready to run.
pub struct Agent {
    status: Status,
    listener: Option<TcpListener>,
    control: Vec<String>,
    data_dir: PathBuf,
    current: Arc<Current>,
    session: Arc<Session>,
    beater: Arc<Beater>,
    work: Work,
    orders: watch::Receiver<Option<Arc<Order>>>,
}

/// Checks everything that can be checked early, and joins the federation at the first start.
pub async fn build(config: Config) -> Result<Agent, BuildError> {
    if let Some(problem) = config.problem() {
        return Err(BuildError::Config(problem));
    }
    let status = Status::new();
    let metrics = Metrics::registered(&status);
    let logins = config.docker_config.as_deref().map(Logins::read).transpose()?.unwrap_or_default();
    let policy = policy_of(&config.allow, &logins);
    let docker = Docker::connect(&config.docker_socket, logins, metrics.clone()).await?;
    build_with(Config { allow: policy, ..config }, Arc::new(docker), status, metrics).await
}

/// Where nothing is said of registries, a login on this machine says that its registry is known here.
fn policy_of(allow: &Policy, logins: &Logins) -> Policy {
    let known = || [registry::DEFAULT.to_owned()].into_iter().chain(logins.registries().cloned()).collect();
    Policy { registries: allow.registries.clone().or_else(|| Some(known())), ..allow.clone() }
}

/// As [`build`], over any Engine.
pub async fn build_with(
    config: Config,
    engine: Arc<dyn Engine>,
    status: Status,
    metrics: Metrics,
) -> Result<Agent, BuildError> {
    let info = engine.info().await?;
    file::create_private_dir(&config.data_dir)?;
    let listener = match config.status_listen {
        Some(address) => {
            let bound = TcpListener::bind(address).await;
            Some(bound.map_err(|source| BuildError::Listen { address, source })?)
        }
        None => None,
    };
    let now = Timestamp(waggle_daemon::time::now());
    let current = identity::load_or_join(&config, &info.swarm_id, now).await?;
    let boot = boot::next(&config.data_dir, now);
    let order = order::load(&config.data_dir, &config.cluster)?;
    let memory = Memory::load(&config.data_dir)?;
    status.ready("session", Err("no session with control yet".into()));
    status.ready("engine", Ok(()));
    if let Some(order) = &order {
        tracing::info!(generation = %order.desired.generation, "going on with the last desired state");
        metrics.generation.set(i64::try_from(order.desired.generation.0).unwrap_or(i64::MAX));
    }
    let parts = Parts { engine, status, metrics, current, boot, swarm_id: info.swarm_id };
    Ok(assemble(config, parts, order, memory, listener))
}

struct Parts {
    engine: Arc<dyn Engine>,
    status: Status,
    metrics: Metrics,
    current: Arc<Current>,
    boot: u64,
    swarm_id: String,
}

fn assemble(
    config: Config,
    parts: Parts,
    order: Option<Order>,
    memory: Memory,
    listener: Option<TcpListener>,
) -> Agent {
    let Parts { engine, status, metrics, current, boot, swarm_id } = parts;
    let (orders, order_seen) = watch::channel(order.map(Arc::new));
    let (observed, observed_seen) = watch::channel(None);
    let (pulse, pulse_seen) = watch::channel(Pulse::default());
    let cluster: ClusterName = config.cluster;
    let policy = Arc::new(config.allow);
    let session = Session {
        cluster: cluster.clone(),
        swarm_id,
        control: config.control.clone(),
        data_dir: config.data_dir.clone(),
        current: current.clone(),
        engine: engine.clone(),
        policy: policy.clone(),
        orders,
        observed: observed_seen,
        metrics: metrics.clone(),
        status: status.clone(),
    };
    let beater = Beater {
        cluster: cluster.clone(),
        boot,
        current: current.clone(),
        pulse: pulse_seen,
        metrics: metrics.clone(),
        seq: AtomicU64::new(0),
    };
    let work = Work {
        cluster,
        engine,
        policy,
        memory,
        orders: order_seen.clone(),
        observed,
        pulse,
        metrics,
        status: status.clone(),
        events: Events::default(),
    };
    Agent {
        status,
        listener,
        control: config.control,
        data_dir: config.data_dir,
        current,
        session: Arc::new(session),
        beater: Arc::new(beater),
        work,
        orders: order_seen,
    }
}

impl Agent {
    /// Where metrics and readiness are served.
    pub fn status_addr(&self) -> Option<SocketAddr> {
        self.listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Starts every part. They end when `tasks` shuts down.
    pub fn spawn(self, tasks: &Tasks) {
        let token = || tasks.token();
        if let Some(listener) = self.listener {
            tasks.spawn("status", status::serve(listener, self.status, token()));
        }
        tasks.spawn_essential("work", self.work.run(token()));
        tasks.spawn_essential("session", session::run(self.session, token()));
        tasks.spawn_essential("beats", beat::run(self.beater, self.orders, token()));
        tasks.spawn_essential("renewal", identity::renew(self.current, self.control, self.data_dir, token()));
    }
}

#[cfg(test)]
mod tests;
