//! Configuration of the role.

use serde::Deserialize;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use waggle_daemon::TelemetryConfig;
use waggle_model::NameserverName;

/// Samples per second and thread up to which every query is one.
pub const FULL_RATE: u32 = 20;
/// Queries per sample at most.
pub const SAMPLE: u32 = 1000;

/// Octets of one file of the query log, and how many files there are.
pub const FILE_BYTES: u64 = 16 * 1024 * 1024;
pub const FILES: u32 = 4;
/// What may be set for them.
pub const FILE_BYTES_RANGE: RangeInclusive<u64> = 64 * 1024..=1024 * 1024 * 1024;
pub const FILES_RANGE: RangeInclusive<u32> = 1..=100;

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
    pub query_log: QueryLog,
    #[serde(default)]
    pub telemetry: TelemetryConfig,
}

/// Which queries are kept for the simulation of outages, and written down if wanted.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueryLog {
    /// One query in so many at most is sampled; 0: none is.
    pub sample: u32,
    /// Samples per second and thread up to which every query is one.
    pub full_rate: u32,
    /// Where sampled queries are written; nowhere unless set.
    pub file: Option<PathBuf>,
    pub file_format: FileFormat,
    /// Addresses of clients whole; else those in the file are cut to a /24 or /56.
    pub whole_addresses: bool,
    /// Octets of one file; the next one is begun then.
    pub file_bytes: u64,
    /// Files, the one that is written included; the oldest goes.
    pub files: u32,
}

/// How sampled queries are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileFormat {
    /// One JSON object per line.
    #[default]
    Json,
    /// Frame streams of dnstap messages, for the tools that read them.
    Dnstap,
}

impl Default for QueryLog {
    fn default() -> QueryLog {
        QueryLog {
            sample: SAMPLE,
            full_rate: FULL_RATE,
            file: None,
            file_format: FileFormat::Json,
            whole_addresses: false,
            file_bytes: FILE_BYTES,
            files: FILES,
        }
    }
}

impl QueryLog {
    /// What cannot be, with the way out.
    pub fn check(&self) -> Result<(), String> {
        if !FILE_BYTES_RANGE.contains(&self.file_bytes) {
            let (from, to) = FILE_BYTES_RANGE.into_inner();
            return Err(format!("query_log.file_bytes is {}, allowed are {from} to {to}", self.file_bytes));
        }
        if !FILES_RANGE.contains(&self.files) {
            let (from, to) = FILES_RANGE.into_inner();
            return Err(format!("query_log.files is {}, allowed are {from} to {to}", self.files));
        }
        if self.full_rate == 0 {
            return Err("query_log.full_rate is 0; to sample nothing, set query_log.sample = 0".to_owned());
        }
        Ok(())
    }
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
