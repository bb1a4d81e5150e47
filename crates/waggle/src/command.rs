//! The command line: what there is, and which runtime it runs on.

pub mod agent;
pub mod apply;
pub mod ask;
pub mod cluster;
pub mod completion;
pub mod context;
pub mod control;
pub mod doctor;
pub mod image;
pub mod login;
pub mod nameserver;
pub mod node;
pub mod overrides;
pub mod registry;
pub mod release;
pub mod role;
pub mod rollout;
pub mod route;
pub mod service;
pub mod simulate;
pub mod stack;
pub mod status;
pub mod stored;
pub mod swarm;
pub mod up;
pub mod verify;
pub mod why;

use crate::client::Client;
use crate::context as contexts;
use crate::exit::{EXIT_CODES, Exit, Failure};
use crate::output::Format;
use clap::{Args, Parser, Subcommand};
use tracing::Instrument;
use waggle_daemon::telemetry::{self, TelemetryConfig};

#[derive(Debug, Parser)]
#[command(
    name = "waggle",
    version,
    about = "Keeps several Docker Swarms running the same stack, and sends each user to the nearest one that is fit",
    after_help = EXIT_CODES,
    disable_help_subcommand = true
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command that talks to control.
#[derive(Clone, Debug, Default, Args)]
pub struct Global {
    /// Context to use instead of the selected one (see `waggle context`)
    #[arg(long, global = true, env = "WAGGLE_CONTEXT", value_name = "NAME", help_heading = "Global options")]
    pub context: Option<String>,
    /// How to print
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        hide_possible_values = true,
        value_name = "table|json",
        help_heading = "Global options"
    )]
    pub format: Format,
}

impl Global {
    /// The control service that is meant.
    pub fn client(&self) -> Result<Client, Failure> {
        let context = contexts::chosen(self.context.as_deref())?;
        Client::new(&context.url, &context.api_token()?)
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Login(login::Args),
    Context(context::Args),
    Status(status::Args),
    Stack(stack::Args),
    Release(release::Args),
    Rollout(rollout::Args),
    Route(route::Args),
    Verify(verify::Args),
    Service(service::Args),
    Node(node::Args),
    Secret(stored::Secrets),
    Config(stored::Configs),
    Image(image::Args),
    Swarm(swarm::Args),
    Cluster(cluster::Args),
    Nameserver(nameserver::Args),
    Registry(registry::Args),
    Apply(apply::Args),
    Override(overrides::Args),
    Why(why::Args),
    Simulate(simulate::Args),
    Doctor(doctor::Args),
    Completion(completion::Args),
    Up(up::Args),
    Control(control::Args),
    Agent(agent::Args),
}

/// Runs a command to its end.
pub fn run(cli: Cli) -> Result<Exit, Failure> {
    let global = &cli.global;
    match cli.command {
        Command::Nameserver(args) => match args.split() {
            (Some(action), _) => talk("nameserver", nameserver::run(action, global)),
            (None, role) => nameserver::serve(role),
        },
        Command::Login(args) => talk("login", login::run(args, global)),
        Command::Context(args) => context::run(args, global),
        Command::Status(args) => talk("status", status::run(args, global)),
        Command::Stack(args) => talk("stack", stack::run(args, global)),
        Command::Release(args) => talk("release", release::run(args, global)),
        Command::Rollout(args) => talk("rollout", rollout::run(args, global)),
        Command::Route(args) => talk("route", route::run(args, global)),
        Command::Verify(args) => talk("verify", verify::run(args, global)),
        Command::Service(args) => talk("service", service::run(args, global)),
        Command::Node(args) => talk("node", node::run(args, global)),
        Command::Secret(args) => talk("secret", stored::secrets(args, global)),
        Command::Config(args) => talk("config", stored::configs(args, global)),
        Command::Image(args) => talk("image", image::run(args, global)),
        Command::Swarm(args) => talk("swarm", swarm::run(args, global)),
        Command::Cluster(args) => talk("cluster", cluster::run(args, global)),
        Command::Registry(args) => talk("registry", registry::run(args, global)),
        Command::Apply(args) => talk("apply", apply::run(args, global)),
        Command::Override(args) => overrides::run(args, global),
        Command::Why(args) => talk("why", why::run(args, global)),
        Command::Simulate(args) => talk("simulate", simulate::run(args, global)),
        Command::Doctor(args) => talk("doctor", doctor::run(args, global)),
        Command::Completion(args) => completion::run(args),
        Command::Up(args) => up::run(args),
        Command::Control(args) => match args.split() {
            (Some(action), _) => control::run(action, global),
            (None, role) => control::serve(role),
        },
        Command::Agent(args) => agent::serve(args),
    }
}

/// Runs a command that talks to control, within a span that control's own spans become children of.
fn talk(name: &'static str, command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let config = TelemetryConfig { log: Some("off".into()), ..TelemetryConfig::default() };
        let exports = std::env::var_os("OTEL_EXPORTER_OTLP_ENDPOINT").is_some_and(|value| !value.is_empty());
        let telemetry = match exports {
            true => telemetry::init("cli", &std::process::id().to_string(), &config).ok(),
            false => None,
        };
        let result = command.instrument(tracing::info_span!("command", name)).await;
        if let Some(telemetry) = telemetry {
            telemetry.shutdown().await;
        }
        result
    })
}

#[cfg(test)]
mod tests;
