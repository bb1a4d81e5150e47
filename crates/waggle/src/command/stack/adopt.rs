//! `waggle stack adopt`

use super::plan;
use crate::client::url::encode;
use crate::command::Global;
use crate::command::ask::agreed;
use crate::command::rollout::watch::Wait;
use crate::exit::{Exit, Failure};
use crate::output::{self, Format};
use crate::terminal;
use http::Method;
use std::time::Duration;
use waggle_control::api::types::{AdoptRequest, Deployed, Planned};
use waggle_model::{ClusterName, StackName};

/// All clusters compare the stack with what they have.
const PLAN_TIMEOUT: Duration = Duration::from_secs(90);

/// Take over a stack that docker deployed: what one cluster has of it becomes a release of all
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Shows first what would change in the other clusters, and asks. Nothing restarts in the cluster it is taken from. Secrets
must exist in every cluster already, since their bytes cannot be read. Routes come with the first deploy from files.

Examples:
  waggle stack adopt shop --from eu-1
  waggle stack adopt shop --from eu-1 --yes --detach")]
pub struct Args {
    stack: StackName,
    /// The cluster that has it as it should be
    #[arg(long, value_name = "CLUSTER")]
    from: ClusterName,
    /// Agree beforehand
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    wait: Wait,
}

pub async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let client = global.client()?;
    let path = format!("/v1/stacks/{}/adopt", encode(args.stack.as_str()));
    let request = AdoptRequest { from: args.from.clone(), release: None };
    let planned: Planned = client.send(Method::POST, &format!("{path}/plan"), &request, PLAN_TIMEOUT).await?;
    planned.warnings.iter().for_each(|note| terminal::warn(note));
    if global.format == Format::Table {
        terminal::print(&plan::text(&planned.clusters, terminal::has_colour(&std::io::stdout())))?;
    }
    let end = plan::end(&planned.clusters);
    if end == Exit::Refused {
        let failure = Failure::refused(format!("stack {} cannot be adopted in every cluster", args.stack));
        return Err(failure.with_help("make what is missing there, for example secrets, and try again"));
    }
    let question = format!("Release {} is made of what {} has. Roll it out?", planned.release.short(), args.from);
    if !agreed(args.yes, &question)? {
        return Ok(Exit::Failed);
    }
    let request = AdoptRequest { from: args.from, release: Some(planned.release) };
    let deployed: Deployed = client.send(Method::POST, &path, &request, PLAN_TIMEOUT).await?;
    output::show(global.format, &deployed, |_| {
        format!("Release {}, rollout {}.\n", deployed.release.short(), deployed.rollout)
    })?;
    args.wait.until_done(&client, &deployed).await
}
