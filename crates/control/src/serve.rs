//! Wiring: open, bind, build, spawn. Everything that can be wrong at start is found before anything runs.

use crate::api::{self, Api, EVENTS_MAX, Parts, REQUESTS_MAX, service};
use crate::ca::{Authority, CaError};
use crate::config::Config;
use crate::identity::Join;
use crate::metrics;
use crate::reconcile::{self, Activation, Wake};
use crate::sessions::{Sessions, agents, nameservers};
use crate::store::redb::Redb;
use crate::store::{Store, StoreError};
use crate::tokens::{self, TokenError};
use crate::vault::rotate::{Rotated, rotate};
use crate::vault::{Vault, VaultError};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use waggle_daemon::file::{WriteError, create_private_dir};
use waggle_daemon::{Status, Tasks, status};
use waggle_model::Timestamp;
use waggle_wire::channel::{Incoming, grpc_server};
use waggle_wire::credentials::Current;
use waggle_wire::document::MESSAGE_BYTES_MAX;
use waggle_wire::proto::agent::agents_server::AgentsServer;
use waggle_wire::proto::identity::identity_server::IdentityServer;
use waggle_wire::proto::route::routes_server::RoutesServer;
use waggle_wire::tls::{self, Clients, TlsError};

const STORE_FILE: &str = "store";
/// Beside the store, not in it.
const KEY_FILE: &str = "store.key";
/// How often control looks whether its own certificate is due.
const RENEW_INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("the data directory cannot be made")]
    Data(#[from] WriteError),
    #[error("the store in {path} cannot be opened")]
    Store { path: String, source: StoreError },
    #[error("the certificate authority cannot be opened")]
    Ca(#[from] CaError),
    #[error("the key of the store cannot be opened")]
    Vault(#[from] VaultError),
    #[error("the administrator's token cannot be made")]
    Token(#[from] TokenError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("cannot listen on {address} for the {what}; is another process there, or is `{setting}` wrong?")]
    Bind { what: &'static str, setting: &'static str, address: SocketAddr, source: io::Error },
}

/// A control service that is ready to run.
pub struct Control {
    api: TcpListener,
    grpc: TcpListener,
    status: Option<TcpListener>,
    store: Arc<dyn Store>,
    vault: Arc<Vault>,
    ca: Arc<Authority>,
    current: Arc<Current>,
    advertise: String,
}

/// Opens the data directory and binds all listeners.
pub async fn build(config: Config) -> Result<Control, BuildError> {
    let now = Timestamp(waggle_daemon::time::now());
    create_private_dir(&config.data_dir)?;
    warn_if_open(&config.data_dir);
    let api = bind("API", "api_listen", config.api_listen).await?;
    let grpc = bind("agents and nameservers", "grpc_listen", config.grpc_listen).await?;
    let status = match config.status_listen {
        Some(address) => Some(bind("status", "status_listen", address).await?),
        None => None,
    };
    let store = open_store(&config.data_dir)?;
    let ca = Authority::open(&config.data_dir, now)?;
    let vault = Vault::open(&store, &config.data_dir.join(KEY_FILE)).await?;
    tokens::ensure_admin(&store, &ca, &config.data_dir, now).await?;
    let current = Current::new(ca.own(now)?);
    let local = grpc.local_addr().map_or(config.grpc_listen, |address| address);
    let advertise = config.advertise.unwrap_or_else(|| local.to_string());
    Ok(Control {
        api,
        grpc,
        status,
        store: Arc::new(store),
        vault: Arc::new(vault),
        ca: Arc::new(ca),
        current,
        advertise,
    })
}

/// Replaces the key that secrets and logins are sealed with. Control must be stopped.
pub async fn rotate_key(config: &Config) -> Result<Rotated, BuildError> {
    let store = open_store(&config.data_dir)?;
    Ok(rotate(&store, &config.data_dir.join(KEY_FILE)).await?)
}

fn open_store(data_dir: &Path) -> Result<Redb, BuildError> {
    let path = data_dir.join(STORE_FILE);
    Redb::open(&path).map_err(|source| BuildError::Store { path: path.display().to_string(), source })
}

/// The names of what lies there are nobody's business either.
fn warn_if_open(data_dir: &Path) {
    let mode = std::fs::metadata(data_dir).map_or(0, |found| found.permissions().mode());
    if mode & 0o077 != 0 {
        tracing::warn!(path = %data_dir.display(), "others may look into the data directory; make it mode 0700");
    }
}

async fn bind(what: &'static str, setting: &'static str, address: SocketAddr) -> Result<TcpListener, BuildError> {
    TcpListener::bind(address).await.map_err(|source| BuildError::Bind { what, setting, address, source })
}

impl Control {
    pub fn api_addr(&self) -> io::Result<SocketAddr> {
        self.api.local_addr()
    }

    pub fn grpc_addr(&self) -> io::Result<SocketAddr> {
        self.grpc.local_addr()
    }

    pub fn status_addr(&self) -> Option<SocketAddr> {
        self.status.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// SHA-256 of the CA certificate.
    pub fn ca_digest(&self) -> [u8; 32] {
        self.ca.digest()
    }

    /// Runs all parts as tasks; they end with the tasks' token.
    pub fn spawn(self, tasks: &Tasks) -> Result<(), BuildError> {
        let stop = tasks.token();
        let wake = Wake::default();
        let sessions = Arc::new(Sessions::new(Timestamp(waggle_daemon::time::now()), wake.clone()));
        let (latest, following) = watch::channel(Ok(Activation::default()));
        let state = Status::new();
        state.ready("store", Err("not read yet".into()));
        let config = tls::server(&self.current, Clients::MayBeAnonymous, tls::ALPN_GRPC)?;
        let (incoming, accepting) = accept("grpc_listen", self.grpc, config, &stop)?;
        tasks.spawn_essential("agent and nameserver connections", accepting);
        let (store, vault, ca) = (self.store.clone(), self.vault.clone(), self.ca.clone());
        tasks.spawn_essential("gRPC", grpc(store, vault, ca, sessions.clone(), incoming, tasks.clone()));

        let seeing = sessions.clone();
        let seen = move || seeing.seen();
        let reconciling = reconcile::run(self.store.clone(), seen, wake.clone(), latest, stop.clone());
        tasks.spawn_essential("reconciler", reconciling);
        tasks.spawn("metrics", metrics::follow(state.clone(), sessions.clone(), following.clone(), stop.clone()));
        tasks.spawn("own certificate", renew(self.ca.clone(), self.current.clone(), stop.clone()));
        if let Some(listener) = self.status {
            tasks.spawn_essential("status", status::serve(listener, state, stop.clone()));
        }

        let config = tls::server(&self.current, Clients::NotAsked, tls::ALPN_API)?;
        let (incoming, accepting) = accept("api_listen", self.api, config, &stop)?;
        tasks.spawn_essential("API connections", accepting);
        let parts = Parts {
            store: self.store,
            vault: self.vault,
            ca: self.ca,
            sessions,
            wake,
            latest: following,
            advertise: self.advertise,
            stop: stop.clone(),
            requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
            events: Arc::new(Semaphore::new(EVENTS_MAX)),
        };
        tasks.spawn_essential("API", api::serve(incoming, service(Api::new(parts)), stop));
        Ok(())
    }
}

async fn grpc(
    store: Arc<dyn Store>,
    vault: Arc<Vault>,
    ca: Arc<Authority>,
    sessions: Arc<Sessions>,
    incoming: Incoming,
    tasks: Tasks,
) -> Result<(), tonic::transport::Error> {
    let stop = tasks.token();
    let routes = nameservers::Service { store: store.clone(), sessions: sessions.clone(), tasks: tasks.clone() };
    let agents = agents::Service { store: store.clone(), vault, sessions: sessions.clone(), tasks };
    let agents = AgentsServer::new(agents);
    let routes = RoutesServer::new(routes);
    grpc_server()
        .add_service(IdentityServer::new(Join { store, ca, sessions }))
        .add_service(agents.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(routes.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX))
        .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
        .await
}

fn accept(
    setting: &'static str,
    listener: TcpListener,
    config: Arc<rustls::ServerConfig>,
    stop: &CancellationToken,
) -> Result<(Incoming, impl Future<Output = ()> + Send + 'static + use<>), BuildError> {
    let address = listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
    Incoming::new(listener, config, stop.clone()).map_err(|source| BuildError::Bind {
        what: "connections",
        setting,
        address,
        source,
    })
}

/// Control's own certificate, renewed every day.
async fn renew(ca: Arc<Authority>, current: Arc<Current>, stop: CancellationToken) {
    loop {
        if stop.run_until_cancelled(tokio::time::sleep(RENEW_INTERVAL)).await.is_none() {
            return;
        }
        let now = Timestamp(waggle_daemon::time::now());
        if !current.get().is_due(now) {
            continue;
        }
        match ca.own(now) {
            Ok(credentials) => {
                current.replace(credentials);
                tracing::info!("own certificate renewed");
            }
            Err(error) => tracing::error!(error = %waggle_daemon::tasks::chain(&error), "own certificate not renewed"),
        }
    }
}
