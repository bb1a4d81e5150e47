//! `waggle stack rollback`

use crate::client::url::encode;
use crate::command::Global;
use crate::command::rollout::watch::Wait;
use crate::exit::{Exit, Failure};
use crate::output;
use waggle_control::api::types::{Deployed, RollbackRequest};
use waggle_model::StackName;

/// Roll an earlier release of a stack out again, in all clusters
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without a release, the newest one before the current that once ran everywhere is meant. It is a rollout like any other:
drained, updated and verified cluster by cluster.

Examples:
  waggle stack rollback shop
  waggle stack rollback shop 3f9a1c2b44de")]
pub struct Args {
    stack: StackName,
    /// The first digits of a release's id (see `waggle release ls`)
    release: Option<String>,
    #[command(flatten)]
    wait: Wait,
}

pub async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let client = global.client()?;
    let path = format!("/v1/stacks/{}/rollback", encode(args.stack.as_str()));
    let deployed: Deployed = client.post(&path, &RollbackRequest { release: args.release }).await?;
    output::show(global.format, &deployed, |_| {
        let release = deployed.release.short();
        match deployed.unchanged {
            true => format!("Release {release} runs everywhere already; nothing to do.\n"),
            false => format!("Back to release {release}, rollout {}.\n", deployed.rollout),
        }
    })?;
    args.wait.until_done(&client, &deployed).await
}
