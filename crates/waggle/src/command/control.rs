//! `waggle control`

use crate::command::Global;
use crate::command::role::{self, Flags, Role};
use crate::exit::{Exit, Failure};
use crate::output;
use std::net::SocketAddr;
use std::path::PathBuf;
use waggle_control::BuildError;
use waggle_control::store::StoreError;

/// Run the control service: releases, rollouts, certificate authority, API
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
At its first start it makes the certificate authority of the federation, and the first API token in DATA_DIR/admin.token.
DNS answers and failover do not need it; change does. Every key of config/control.toml can be set as WAGGLE_CONTROL_<KEY>
and by --set.

Examples:
  waggle control --config /etc/waggle/control.toml
  waggle control --data-dir /var/lib/waggle/control --advertise control.example:7441
  WAGGLE_CONTROL_TELEMETRY__LOG=debug waggle control --config control.toml
  waggle control rotate-key --config control.toml"
)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    role: RoleArgs,
}

#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Seal all secrets and registry logins with a new key, and retire the old one; control must be stopped
    #[command(after_help = "\
It can be stopped or killed at any point and started again; control may run in between. It needs no token, but the right to
read and write the data directory. A backup of the store needs the key that was in force then.

Example:
  waggle control rotate-key --config /etc/waggle/control.toml")]
    RotateKey {
        #[command(flatten)]
        flags: Flags,
        /// Where store and keys are kept
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
pub struct RoleArgs {
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

impl Args {
    /// The subcommand if there was one; else the role is meant.
    pub fn split(self) -> (Option<Action>, RoleArgs) {
        (self.action, self.role)
    }
}

pub fn run(action: Action, global: &Global) -> Result<Exit, Failure> {
    let Action::RotateKey { flags, data_dir } = action;
    let named = [("data_dir", data_dir.map(|path| path.display().to_string()))];
    let config: waggle_control::Config = flags.load("control", &named)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let rotated = runtime.block_on(waggle_control::rotate_key(&config)).map_err(|error| match &error {
        BuildError::Store { source: StoreError::Locked, .. } => {
            Failure::from(error).with_help("stop control first; clusters and nameservers go on without it")
        }
        _ => Failure::from(error),
    })?;
    let json = serde_json::json!({"key": rotated.key, "values": rotated.values, "resumed": rotated.resumed});
    output::show(global.format, &json, |_| {
        let before = if rotated.resumed { ", ending a rotation that was cut off" } else { "" };
        format!("Key {} is in force{before}; {} values were sealed anew.\n", rotated.key, rotated.values)
    })?;
    Ok(Exit::Done)
}

pub fn serve(args: RoleArgs) -> Result<Exit, Failure> {
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
