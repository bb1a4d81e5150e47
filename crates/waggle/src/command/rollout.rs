//! `waggle rollout`

mod table;
pub mod watch;

use crate::client::Client;
use crate::command::Global;
use crate::exit::{Exit, Failure};
use crate::output;
use http::Method;
use std::time::Duration;
pub use table::{details, table};
use waggle_control::api::types::RolloutView;
use waggle_model::Timestamp;

/// List, watch and steer rollouts: releases on their way through the clusters
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A rollout is named by its number, or by its stack: then the newest one of that stack is meant.

Examples:
  waggle rollout ls
  waggle rollout watch shop
  waggle rollout pause 42
  waggle rollout abort shop")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List rollouts that are not over, or all
    #[command(after_help = "Example:\n  waggle rollout ls --all")]
    Ls {
        /// Also those that are over
        #[arg(short, long)]
        all: bool,
    },
    /// Show a rollout: the step of each cluster and what it waits for
    #[command(after_help = "Example:\n  waggle rollout show shop")]
    Show {
        #[arg(value_name = "ROLLOUT|STACK")]
        rollout: String,
    },
    /// Wait for a rollout to end; ends with code 3 if it is held, aborted or replaced
    #[command(after_help = "Example:\n  waggle rollout watch shop --timeout 20m")]
    Watch {
        #[arg(value_name = "ROLLOUT|STACK")]
        rollout: String,
        /// Longest time to wait
        #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse, default_value = watch::TIMEOUT)]
        timeout: Duration,
    },
    /// Begin no further cluster; those under way are finished
    #[command(after_help = "Example:\n  waggle rollout pause shop")]
    Pause {
        #[arg(value_name = "ROLLOUT|STACK")]
        rollout: String,
    },
    /// Go on after a pause, or try failed clusters again
    #[command(after_help = "Example:\n  waggle rollout resume shop")]
    Resume {
        #[arg(value_name = "ROLLOUT|STACK")]
        rollout: String,
    },
    /// Give up: clusters under way go back to what they ran before
    #[command(after_help = "Example:\n  waggle rollout abort shop")]
    Abort {
        #[arg(value_name = "ROLLOUT|STACK")]
        rollout: String,
    },
}

pub async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let client = global.client()?;
    match args.action {
        Action::Ls { all } => {
            let path = if all { "/v1/rollouts?all=true" } else { "/v1/rollouts" };
            let rollouts: Vec<RolloutView> = client.get(path).await?;
            let now = Timestamp(waggle_daemon::time::now());
            output::show(global.format, &rollouts, |colour| table(&rollouts, now).render(colour))?;
            Ok(Exit::Done)
        }
        Action::Show { rollout } => {
            let id = find(&client, &rollout).await?;
            show(&client.get(&format!("/v1/rollouts/{id}")).await?, global)
        }
        Action::Watch { rollout, timeout } => {
            let id = find(&client, &rollout).await?;
            watch::watch(&client, id, timeout, global.format).await
        }
        Action::Pause { rollout } => steer(&client, &rollout, "pause", global).await,
        Action::Resume { rollout } => steer(&client, &rollout, "resume", global).await,
        Action::Abort { rollout } => steer(&client, &rollout, "abort", global).await,
    }
}

async fn steer(client: &Client, rollout: &str, action: &str, global: &Global) -> Result<Exit, Failure> {
    let id = find(client, rollout).await?;
    show(&client.ask(Method::POST, &format!("/v1/rollouts/{id}/{action}")).await?, global)
}

fn show(view: &RolloutView, global: &Global) -> Result<Exit, Failure> {
    let now = Timestamp(waggle_daemon::time::now());
    output::show(global.format, view, |colour| details(view, now, colour))?;
    Ok(Exit::Done)
}

/// The number of the rollout that is meant.
async fn find(client: &Client, named: &str) -> Result<u64, Failure> {
    if let Ok(id) = named.parse() {
        return Ok(id);
    }
    let rollouts: Vec<RolloutView> = client.get("/v1/rollouts?all=true").await?;
    let of_stack = rollouts.iter().map(|view| &view.rollout).filter(|rollout| rollout.stack.as_str() == named);
    of_stack.map(|rollout| rollout.id).max().ok_or_else(|| {
        Failure::refused(format!("no rollout of a stack {named}")).with_help("list them with `waggle rollout ls --all`")
    })
}
