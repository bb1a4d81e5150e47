//! Configuration of the role.

use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use waggle_daemon::TelemetryConfig;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Store, certificate authority and the administrator's token; made with mode 0700 if it does not exist.
    #[serde(default = "data_dir")]
    pub data_dir: PathBuf,
    /// HTTPS, for people and CI.
    #[serde(default = "api_listen")]
    pub api_listen: SocketAddr,
    /// gRPC, for agents and nameservers.
    #[serde(default = "grpc_listen")]
    pub grpc_listen: SocketAddr,
    /// `HOST:PORT` under which agents and nameservers reach `grpc_listen`; that address itself if absent.
    #[serde(default)]
    pub advertise: Option<String>,
    /// Metrics and readiness over plain HTTP; off if absent.
    #[serde(default)]
    pub status_listen: Option<SocketAddr>,
    #[serde(default)]
    pub telemetry: TelemetryConfig,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            data_dir: data_dir(),
            api_listen: api_listen(),
            grpc_listen: grpc_listen(),
            advertise: None,
            status_listen: None,
            telemetry: TelemetryConfig::default(),
        }
    }
}

fn data_dir() -> PathBuf {
    PathBuf::from("/var/lib/waggle/control")
}

fn api_listen() -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7440))
}

fn grpc_listen() -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 7441))
}
