//! `waggle control`

use crate::command::role::{self, Flags, Role};
use crate::exit::{Exit, Failure};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Run the control service: releases, rollouts, certificate authority, API
#[derive(Debug, clap::Args)]
#[command(after_help = "\
At its first start it makes the certificate authority of the federation, and the first API token in DATA_DIR/admin.token.
DNS answers and failover do not need it; change does. Every key of config/control.toml can be set as WAGGLE_CONTROL_<KEY>
and by --set.

Examples:
  waggle control --config /etc/waggle/control.toml
  waggle control --data-dir /var/lib/waggle/control --advertise control.example:7441
  WAGGLE_CONTROL_TELEMETRY__LOG=debug waggle control --config control.toml")]
pub struct Args {
    #[command(flatten)]
    flags: Flags,
    /// Where store, keys and the first API token are kept
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the API listens (HTTPS)
    #[arg(long, value_name = "IP:PORT")]
    api_listen: Option<SocketAddr>,
    /// Where agents and nameservers are taken (gRPC)
    #[arg(long, value_name = "IP:PORT")]
    grpc_listen: Option<SocketAddr>,
    /// HOST:PORT at which agents and nameservers reach --grpc-listen
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
}

pub fn serve(args: Args) -> Result<Exit, Failure> {
    let named = [
        ("data_dir", args.data_dir.as_ref().map(|path| path.display().to_string())),
        ("api_listen", args.api_listen.map(|address| address.to_string())),
        ("grpc_listen", args.grpc_listen.map(|address| address.to_string())),
        ("advertise", args.advertise.clone()),
    ];
    let config: waggle_control::Config = args.flags.load("control", &named)?;
    let telemetry = config.telemetry.clone();
    let role = Role { name: "control", instance: "control", telemetry: &telemetry };
    role::run(role, async |tasks| Ok(waggle_control::build(config).await?.spawn(tasks)?))
}
