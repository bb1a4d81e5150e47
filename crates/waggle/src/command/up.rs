//! `waggle up`: the whole of Waggle in one process on this machine, to try it out.
//!
//! The roles are the real ones and talk through real sockets, with certificates and tokens, just as they would on several
//! machines; only the machine is one. Their state is on disk, so the next start goes on where this one ended.

mod engine;
mod federation;
mod parts;

use crate::client::Client;
use crate::command::role::{self, Role};
use crate::command::stack::deploy;
use crate::context::{Context, Contexts, api_token};
use crate::exit::{Exit, Failure};
use crate::{context, terminal};
use engine::Membership;
use http::Method;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;
use waggle_control::api::types::{Applied, StatusView};
use waggle_daemon::{Tasks, TelemetryConfig};
use waggle_model::fleet::Federation;
use waggle_model::{DomainName, StackName};

/// The one cluster, and the context for it.
const NAME: &str = "local";
/// How long each role may take to be there.
const START_LIMIT: Duration = Duration::from_secs(30);
const START_POLL: Duration = Duration::from_millis(50);

/// Run all of Waggle in one process on this machine's Docker Engine, to try it out
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Starts control, an agent for this machine's Docker Engine (a swarm of one node is made of it, after asking) and a
nameserver; makes a federation of the one cluster `local`, unless there is one already; selects the context `local`. State
is kept: the next `waggle up` goes on where this one ended. Stacks go on running when it stops.

Examples:
  waggle up
  waggle up --yes --compose compose.yml --stack shop
  waggle up --allow registries=docker.io,registry.example:5000 --allow bind_mounts=/srv/data
  waggle up --zone demo.test --address 192.168.1.5 --dns 192.168.1.5:53")]
pub struct Args {
    /// Where state is kept; ~/.local/share/waggle unless given
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// DNS zone to answer for
    #[arg(long, value_name = "NAME", default_value = "waggle.test")]
    zone: DomainName,
    /// Address users reach this machine by; its primary one unless given
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,
    /// Where DNS queries are answered
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:5353")]
    dns: SocketAddr,
    /// Where the API listens
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:7440")]
    api: SocketAddr,
    /// Where control takes agents and nameservers
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:7441")]
    grpc: SocketAddr,
    /// Where the nameserver takes beats
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:7442")]
    beats: SocketAddr,
    /// Socket of the Docker Engine
    #[arg(long, value_name = "PATH", default_value = "/var/run/docker.sock")]
    docker_socket: PathBuf,
    /// Compose file to deploy once all is up; several are merged
    #[arg(short, long, value_name = "FILE")]
    compose: Vec<PathBuf>,
    /// Name of the stack that --compose deploys
    #[arg(long, value_name = "NAME", default_value = "demo")]
    stack: StackName,
    /// What stacks may have of this machine: a key of [allow] in agent.toml, e.g. registries=registry.example:5000
    #[arg(long, value_name = "KEY=VALUE", value_parser = role::pair)]
    allow: Vec<(String, String)>,
    /// Agree to making the Engine a swarm
    #[arg(short, long)]
    yes: bool,
    /// What is logged, as in info,waggle_agent=debug
    #[arg(long, value_name = "FILTER", default_value = "warn")]
    log: String,
}

pub fn run(args: Args) -> Result<Exit, Failure> {
    let data_dir = args.data_dir.clone().map_or_else(default_data_dir, Ok)?;
    let telemetry = TelemetryConfig { log: Some(args.log.clone()), ..TelemetryConfig::default() };
    let role = Role { name: "up", instance: NAME, telemetry: &telemetry };
    role::run(role, async |tasks| start(&args, data_dir, tasks).await)
}

fn default_data_dir() -> Result<PathBuf, Failure> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")));
    let base =
        base.ok_or_else(|| Failure::refused("HOME is not set").with_help("say where state is kept: --data-dir DIR"))?;
    Ok(base.join("waggle"))
}

async fn start(args: &Args, data_dir: PathBuf, tasks: &Tasks) -> Result<(), Failure> {
    let request = match args.compose.as_slice() {
        [] => None,
        files => Some(deploy::prepare(&args.stack, &files.into())?),
    };
    let address = args.address.unwrap_or_else(primary_address);
    ensure_swarm(args, address).await?;

    let parts = parts::Parts { args, data_dir: &data_dir, tasks };
    let token = parts.control().await?;
    let client = Client::new(&args.api.to_string(), &api_token(&token)?)?;
    wait_until(&client, |_| true).await?;
    select_context(&client, &token)?;
    apply_federation(&client, &federation::default(&args.zone, address, args.dns)?).await?;
    parts.nameserver(&client).await?;
    parts.agent(&client).await?;
    wait_until(&client, |status| {
        status.clusters.iter().any(|one| one.connected) && status.nameservers.iter().any(|one| one.connected)
    })
    .await?;

    terminal::note(&greeting(args, address, &data_dir.display().to_string()));
    if let Some(request) = request {
        let deployed = deploy::submit(&client, &args.stack, &request).await?;
        terminal::note(&format!(
            "Deploying {}: watch it with `waggle rollout watch {}`.",
            args.stack, deployed.rollout
        ));
        for route in &request.routes {
            terminal::note(&format!("    {}", dig(args.dns, route.name.as_str())));
        }
    }
    Ok(())
}

async fn ensure_swarm(args: &Args, address: IpAddr) -> Result<(), Failure> {
    match engine::membership(&args.docker_socket).await? {
        Membership::Manager => Ok(()),
        Membership::Worker => Err(Failure::refused("this machine is a worker of a swarm, or its swarm is locked")
            .with_help("run `waggle up` on a manager of that swarm")),
        Membership::None => {
            let question = "This Docker Engine is not in a swarm. Make it a swarm of one node (docker swarm init)?";
            if !args.yes && !terminal::confirm(question, "--yes")? {
                return Err(Failure::new(Exit::Failed, "without a swarm there is nothing to run stacks on"));
            }
            engine::init_swarm(&args.docker_socket, address).await
        }
    }
}

/// Waits until control answers and `is_there` holds.
async fn wait_until(client: &Client, is_there: impl Fn(&StatusView) -> bool) -> Result<(), Failure> {
    let deadline = tokio::time::Instant::now() + START_LIMIT;
    loop {
        let late = tokio::time::Instant::now() > deadline;
        match client.get::<StatusView>("/v1/status").await {
            Ok(status) if is_there(&status) => return Ok(()),
            Ok(_) if late => {
                let message = format!("agent and nameserver are not there after {} s", START_LIMIT.as_secs());
                return Err(Failure::new(Exit::Failed, message).with_help("try again with --log info, which says why"));
            }
            Err(failure) if failure.exit != Exit::Unreachable || late => return Err(failure),
            _ => tokio::time::sleep(START_POLL).await,
        }
    }
}

fn select_context(client: &Client, token: &str) -> Result<(), Failure> {
    let path = context::path()?;
    let mut contexts = Contexts::load(&path)?;
    contexts.put(NAME, Context { url: client.address().to_string(), token: token.to_owned() })?;
    contexts.save(&path)
}

/// What is there stays: the user may have applied a federation of their own.
async fn apply_federation(client: &Client, default: &Federation) -> Result<(), Failure> {
    let known: Federation = client.get("/v1/federation").await?;
    if known.clusters.is_empty() {
        let limit = crate::client::RESPONSE_TIMEOUT;
        client.send::<Applied>(Method::PUT, "/v1/federation", default, limit).await?;
    }
    Ok(())
}

/// The address this machine sends from. No packet is sent: connecting a UDP socket only looks up the route.
fn primary_address() -> IpAddr {
    let ask = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    };
    ask().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}

fn dig(dns: SocketAddr, name: &str) -> String {
    format!("dig @{} -p {} {name}", dns.ip(), dns.port())
}

fn greeting(args: &Args, address: IpAddr, data_dir: &str) -> String {
    let (zone, dns) = (&args.zone, args.dns);
    format!(
        "Waggle is up: cluster {NAME} ({address}), zone {zone} on {dns}. State is in {data_dir}.\n\n\
         In another terminal:\n\n    \
         waggle stack deploy -c compose.yml shop\n    {}\n\n\
         with a route for the name in the file:  x-waggle: {{routes: [{{name: www.{zone}, service: web}}]}}\n\
         Ctrl-C stops Waggle; stacks go on running.\n",
        dig(dns, &format!("www.{zone}")),
    )
}
