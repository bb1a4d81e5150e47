//! The nameserver: answers queries, probes endpoints, agrees with its peers.
//!
//! Queries are answered by threads that touch nothing but a snapshot ([`serve`], [`state`]). Beside them one task judges
//! health ([`health`]) from own probes ([`probe`]) and from what agents and other nameservers say ([`peers`]), and one
//! takes plans ([`plan`]) that a session with control brings ([`feed`]). Every arrow between them is a bounded channel or a
//! watched value; there is no shared lock. After a start from disk nothing of this needs control.
//!
//! [`build`] does all that can fail because of the machine or the configuration: it binds every port, reads the
//! certificate, and compiles the last plan. [`Nameserver::spawn`] then only starts tasks.

mod backoff;
pub mod config;
mod demand;
pub mod feed;
pub mod health;
pub mod identity;
mod metrics;
pub mod overrides;
pub mod peers;
pub mod plan;
mod privileges;
pub mod probe;
pub mod querylog;
pub mod serve;
pub mod state;

pub use config::Config;

use health::{HealthLoop, Inputs, Outputs, VerdictFile};
use identity::{IdentityError, Start};
use metrics::routes::RouteFigures;
use metrics::{IntakeMetrics, ProbeMetrics, Traffic, Verdicts};
use overrides::OverrideFile;
use plan::Keeper;
use plan::geo::GeoFile;
use plan::shelf::Shelf;
use privileges::PrivilegeError;
use querylog::Samples;
use querylog::file::LogFile;
use ring::rand::{SecureRandom, SystemRandom};
use serve::{Answer, BindError, Bound};
use state::{Serving, State};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use waggle_daemon::file::WriteError;
use waggle_daemon::{CancellationToken, Status, Tasks};
use waggle_model::Timestamp;
use waggle_model::health::View;
use waggle_model::plan::{NameserverStatus, RoutePlan};
use waggle_model::traffic::QuerySamples;
use waggle_wire::credentials::Current;

/// Why a nameserver cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("listen is empty; name at least one address to answer queries on")]
    NoAddress,
    #[error("workers is {0}, allowed are 1 to {max}", max = config::WORKERS_MAX)]
    Workers(usize),
    #[error("peer_listen is {0}, which nobody can dial; set advertise to where agents and other nameservers reach it")]
    Advertise(SocketAddr),
    #[error("{0}")]
    QueryLog(String),
    #[error("the data directory cannot be used")]
    DataDir(#[source] WriteError),
    #[error("cannot answer queries")]
    Bind(#[source] BindError),
    #[error(
        "cannot listen on {address} for {purpose}; is another process there, or is the address not of this machine?"
    )]
    Listen { address: SocketAddr, purpose: &'static str, source: io::Error },
    #[error("this nameserver has no identity")]
    Identity(#[source] IdentityError),
    #[error("privileges cannot be dropped")]
    Privileges(#[source] PrivilegeError),
    #[error("the system's random source failed")]
    Random,
}

/// A nameserver with all ports bound, not running yet.
pub struct Nameserver {
    config: Arc<Config>,
    status: Status,
    bound: Vec<Bound>,
    peer: TcpListener,
    status_listener: Option<TcpListener>,
    start: Start,
    keeper: Keeper,
    judge: HealthLoop,
    answer: Answer,
    shared: Shared,
}

/// What several parts hold.
struct Shared {
    state: Arc<State>,
    traffic: Arc<Traffic>,
    intake: IntakeMetrics,
    probes: ProbeMetrics,
    plans: watch::Receiver<Option<Arc<RoutePlan>>>,
    statuses: watch::Receiver<Option<Arc<NameserverStatus>>>,
    views: watch::Receiver<Option<Arc<View>>>,
}

/// Binds, reads and compiles; nothing runs yet. Blocks. With `user` set, privileges are gone afterwards.
pub fn build(config: Config) -> Result<Nameserver, BuildError> {
    if config.listen.is_empty() {
        return Err(BuildError::NoAddress);
    }
    if !config.control.is_empty() && config.advertised().ip().is_unspecified() {
        return Err(BuildError::Advertise(config.peer_listen));
    }
    let workers = workers(&config)?;
    config.query_log.check().map_err(BuildError::QueryLog)?;
    let now = Timestamp(waggle_daemon::time::now());
    waggle_daemon::file::create_private_dir(&config.data_dir).map_err(BuildError::DataDir)?;
    let bound = config.listen.iter().map(|address| serve::bind(*address, workers).map_err(BuildError::Bind));
    let bound: Vec<Bound> = bound.collect::<Result<_, _>>()?;
    let peer = listen(config.peer_listen, "beats and views")?;
    let status_listener = config.status_listen.map(|address| listen(address, "metrics and readiness")).transpose()?;
    let start = identity::start(&config, now).map_err(BuildError::Identity)?;
    if let Some(user) = &config.user {
        privileges::drop_to(user, &config.data_dir).map_err(BuildError::Privileges)?;
    }
    let shelf = Shelf::open(&config.data_dir.join("plans")).map_err(BuildError::DataDir)?;
    let mut key = [0; 16];
    SystemRandom::new().fill(&mut key).map_err(|_| BuildError::Random)?;
    let mut keeper = Keeper::new(shelf, config.geo_database.clone().map(GeoFile::new), key);

    let status = Status::new();
    let (plan, plans) = watch::channel(None);
    let (status_send, statuses) = watch::channel(None);
    let (view, views) = watch::channel(None);
    let threads = bound.iter().map(|bound| bound.udp.len()).sum();
    let traffic = Arc::new(Traffic { samples: Samples::new(&config.query_log, threads), ..Traffic::new(threads) });
    let state = Arc::new(State::default());
    let (intake, probes) = status.register(|registry| {
        registry.register_collector(Box::new(RouteFigures(state.clone())));
        registry.register_collector(Box::new(traffic.clone()));
        registry.register_collector(Box::new(Verdicts(statuses.clone())));
        (IntakeMetrics::register(registry), ProbeMetrics::register(registry))
    });
    let outputs = Outputs { plan, status: status_send, view, ready: status.clone() };
    let file = VerdictFile(config.data_dir.join("verdicts.json"));
    let mut judge =
        HealthLoop::new(config.name.clone(), state.clone(), file, outputs, traffic.clone(), intake.clone(), now);
    judge.restore_overrides(OverrideFile(config.data_dir.join("overrides.json")));
    if let Some(compiled) = keeper.start() {
        judge.take_plan(compiled, now);
    }
    let shared = Shared { state, traffic, intake, probes, plans, statuses, views };
    let config = Arc::new(config);
    Ok(Nameserver {
        config,
        status,
        bound,
        peer,
        status_listener,
        start,
        keeper,
        judge,
        answer: Serving::answer,
        shared,
    })
}

fn workers(config: &Config) -> Result<usize, BuildError> {
    let processors = || std::thread::available_parallelism().map_or(1, usize::from).min(config::WORKERS_MAX);
    match config.workers {
        None => Ok(processors()),
        Some(count @ 1..=config::WORKERS_MAX) => Ok(count),
        Some(count) => Err(BuildError::Workers(count)),
    }
}

fn listen(address: SocketAddr, purpose: &'static str) -> Result<TcpListener, BuildError> {
    let bind = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    bind().map_err(|source| BuildError::Listen { address, purpose, source })
}

fn local(listener: &TcpListener, asked: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(asked)
}

impl Nameserver {
    /// Where queries are answered; ports that the kernel chose are filled in.
    pub fn listening(&self) -> Vec<SocketAddr> {
        self.bound.iter().map(|bound| bound.address).collect()
    }

    /// Where beats and views arrive.
    pub fn peer_address(&self) -> SocketAddr {
        local(&self.peer, self.config.peer_listen)
    }

    /// Where metrics and readiness are served, if at all.
    pub fn status_address(&self) -> Option<SocketAddr> {
        let listener = self.status_listener.as_ref()?;
        Some(local(listener, self.config.status_listen?))
    }

    /// Metrics and readiness.
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// What control is told, as it is published: whole, once a second and on change.
    pub fn statuses(&self) -> watch::Receiver<Option<Arc<NameserverStatus>>> {
        self.shared.statuses.clone()
    }

    /// Starts everything; it ends with the token of `tasks`. To be called within a tokio runtime.
    pub fn spawn(self, tasks: &Tasks) -> io::Result<()> {
        let stop = tasks.token();
        let Shared { state, traffic, intake, probes, plans, statuses, views } = self.shared;
        let (give, given) = mpsc::channel(overrides::GIVEN_MAX);
        if let Some(listener) = self.status_listener {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let more = overrides::router(give);
            tasks.spawn("status", waggle_daemon::status::serve_with(listener, self.status, more, stop.clone()));
        }
        let peer = tokio::net::TcpListener::from_std(self.peer)?;
        let (mut udp, mut tcp) = (Vec::new(), Vec::new());
        for bound in self.bound {
            tracing::info!(address = %bound.address, threads = bound.udp.len(), "answering queries");
            udp.extend(bound.udp);
            tcp.push(bound.tcp);
        }
        let (answer, token) = (self.answer, stop.clone());
        let (tell, samples) = watch::channel(None);
        let log = LogFile::new(&self.config.name, &self.config.query_log);
        let out = log.map(|file| {
            let (out, batches) = mpsc::channel(querylog::BATCHES_MAX);
            tasks.spawn("query-log-file", querylog::file::run(file, batches, traffic.clone()));
            out
        });
        let name = self.config.name.clone();
        let reading = querylog::run(name, traffic.clone(), state.clone(), tell, out, stop.clone());
        tasks.spawn("query-log", reading);
        tasks.spawn_essential("dns-udp", serve::udp::run(udp, state.clone(), traffic.clone(), answer, token));
        tasks.spawn_essential("dns-tcp", serve::tcp::run(tcp, state, traffic, answer, stop.clone()));

        let (offers, offered) = mpsc::channel(plan::OFFERS_MAX);
        let (taken, compiled) = mpsc::channel(plan::COMPILED_MAX);
        let (reports, reported) = mpsc::channel(probe::REPORTS_MAX);
        let (hear, heard) = mpsc::channel(health::HEARD_MAX);
        let inputs = Inputs { probes: reported, heard, plans: compiled, overrides: given };
        tasks.spawn_essential("plans", plan::run(self.keeper, offered, taken, intake.clone(), stop.clone()));
        tasks.spawn_essential("health", self.judge.run(inputs, stop.clone()));
        tasks.spawn_essential("probes", probe::run(plans.clone(), reports, probes, stop.clone()));
        let federation = Federation {
            config: self.config,
            peer,
            hear,
            offers,
            intake,
            plans,
            statuses,
            samples,
            views,
            tasks: tasks.clone(),
        };
        tasks.spawn_essential("federation", federation.run(self.start, stop));
        Ok(())
    }
}

/// Everything that needs a certificate.
struct Federation {
    config: Arc<Config>,
    peer: tokio::net::TcpListener,
    hear: mpsc::Sender<health::Heard>,
    offers: mpsc::Sender<waggle_wire::proto::document::Document>,
    intake: IntakeMetrics,
    plans: watch::Receiver<Option<Arc<RoutePlan>>>,
    statuses: watch::Receiver<Option<Arc<NameserverStatus>>>,
    samples: watch::Receiver<Option<Arc<QuerySamples>>>,
    views: watch::Receiver<Option<Arc<View>>>,
    tasks: Tasks,
}

impl Federation {
    /// Gets a certificate if there is none, then starts what needs it, and lasts until `stop`.
    async fn run(self, start: Start, stop: CancellationToken) {
        let credentials = match start {
            Start::Known(credentials) => Some(credentials),
            Start::Newcomer(token) => identity::join(&self.config, &token, &stop).await,
            Start::Alone => None,
        };
        let Some(credentials) = credentials else {
            // The channels stay open: what reads them lives on.
            stop.cancelled().await;
            return;
        };
        let current = Current::new(credentials);
        let Federation { config, peer, hear, offers, intake, plans, statuses, samples, views, tasks } = self;
        tasks.spawn_essential("peers", peers::serve(peer, current.clone(), hear, intake, stop.clone()));
        let views = peers::send_views(config.name.clone(), plans, views, current.clone(), stop.clone());
        tasks.spawn_essential("views", views);
        tasks.spawn("renewal", identity::renew(config.clone(), current.clone(), stop.clone()));
        let (control, advertise) = (config.control.clone(), config.advertised().to_string());
        let feed = feed::Feed { control, advertise, current, statuses, samples, offers };
        feed.run(stop.clone()).await;
        stop.cancelled().await;
    }
}

#[cfg(test)]
mod tests;
