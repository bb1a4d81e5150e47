//! Configuration of the role.

use serde::Deserialize;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use waggle_daemon::TelemetryConfig;
use waggle_model::NameserverName;

/// Worker threads per listen address; more is a slip of the keyboard.
pub const WORKERS_MAX: usize = 256;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Unique among the nameservers of the federation.
    pub name: NameserverName,
    /// `HOST:PORT` of each control process, gRPC. Tried in turn.
    #[serde(default)]
    pub control: Vec<String>,
    /// Holds the join token; needed until the first certificate has been fetched.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// The join token itself: for the environment, not for files that others can read.
    #[serde(default)]
    pub token: Option<Secret>,
    /// Certificate, key, last plans and last verdicts; created with mode 0700.
    pub data_dir: PathBuf,
    /// Where queries are answered, UDP and TCP. One address per interface address: replies then leave from the right one.
    pub listen: Vec<SocketAddr>,
    /// Where beats of agents and views of other nameservers arrive (gRPC, mutual TLS).
    pub peer_listen: SocketAddr,
    /// What others dial to reach `peer_listen`; that address itself unless set.
    #[serde(default)]
    pub advertise: Option<SocketAddr>,
    /// UDP threads per listen address; one per processor unless set.
    #[serde(default)]
    pub workers: Option<usize>,
    /// A MaxMind DB file with locations; read again when it changes.
    #[serde(default)]
    pub geo_database: Option<PathBuf>,
    /// Metrics and readiness over plain HTTP; not served unless set.
    #[serde(default)]
    pub status_listen: Option<SocketAddr>,
    /// User to become once all ports are bound.
    #[serde(default)]
    pub user: Option<String>,
    #[serde(default)]
    pub telemetry: TelemetryConfig,
}

impl Config {
    /// What others dial for beats and views.
    pub fn advertised(&self) -> SocketAddr {
        self.advertise.unwrap_or(self.peer_listen)
    }
}

/// A text that never shows in logs.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: String) -> Secret {
        Secret(text)
    }

    /// The text in clear.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
