//! `waggle agent`

use crate::command::role::{self, Flags, Role};
use crate::exit::{Exit, Failure};
use std::path::PathBuf;
use waggle_model::ClusterName;

/// Run the agent of one swarm, on one of its managers
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It dials out to control and to the nameservers; nothing has to reach it. Without control it keeps the swarm at its last
desired state. Every key of config/agent.toml can be set as WAGGLE_AGENT_<KEY> and by --set.

Examples:
  waggle agent --config /etc/waggle/agent.toml
  waggle agent --cluster eu-1 --control control.example:7441 --token-file eu-1.token
  WAGGLE_AGENT_TELEMETRY__LOG=debug waggle agent --config agent.toml")]
pub struct Args {
    #[command(flatten)]
    flags: Flags,
    /// Name of this cluster in the federation file
    #[arg(long, value_name = "NAME")]
    cluster: Option<ClusterName>,
    /// HOST:PORT of control (gRPC); several may be given
    #[arg(long, value_name = "HOST:PORT")]
    control: Vec<String>,
    /// File with the join token; needed at the first start only
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Where key, certificate and the last desired state are kept
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Socket of the Docker Engine
    #[arg(long, value_name = "PATH")]
    docker_socket: Option<PathBuf>,
}

pub fn serve(args: Args) -> Result<Exit, Failure> {
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let named = [
        ("cluster", args.cluster.as_ref().map(ToString::to_string)),
        ("control", role::list(&args.control)),
        ("token_file", path(&args.token_file)),
        ("data_dir", path(&args.data_dir)),
        ("docker_socket", path(&args.docker_socket)),
    ];
    let config: waggle_agent::Config = args.flags.load("agent", &named)?;
    let (instance, telemetry) = (config.cluster.to_string(), config.telemetry.clone());
    let role = Role { name: "agent", instance: &instance, telemetry: &telemetry };
    role::run(role, async |tasks| {
        waggle_agent::build(config).await?.spawn(tasks);
        Ok(())
    })
}
