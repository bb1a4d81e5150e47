//! `waggle status`

use crate::command::{Global, cluster, nameserver, rollout, route, stack};
use crate::exit::{Exit, Failure};
use crate::output::{self, Style};
use waggle_control::api::types::StatusView;
use waggle_model::Timestamp;

/// Show the whole federation: clusters, nameservers, stacks, rollouts, and what needs a person
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waggle status
  waggle status --format json | jq -r '.attention[]'")]
pub struct Args {}

pub async fn run(_args: Args, global: &Global) -> Result<Exit, Failure> {
    let status: StatusView = global.client()?.get("/v1/status").await?;
    let now = Timestamp(waggle_daemon::time::now());
    output::show(global.format, &status, |colour| text(&status, now, colour))?;
    Ok(Exit::Done)
}

fn text(status: &StatusView, now: Timestamp, colour: bool) -> String {
    let mut text = format!("waggle {}, route plan {}\n", status.version, status.plan_generation);
    match status.attention.as_slice() {
        [] => text += &format!("{}\n", Style::Good.paint("All is well.", colour)),
        lines => {
            for line in lines {
                text += &format!("{}\n", Style::Warning.paint(&format!("! {}", output::table::clean(line)), colour));
            }
        }
    }
    let parts = [
        (status.clusters.len(), cluster::table(&status.clusters, now)),
        (status.nameservers.len(), nameserver::table(&status.nameservers, now)),
        (status.stacks.len(), stack::table(&status.stacks)),
        (status.rollouts.len(), rollout::table(&status.rollouts, now)),
        (status.traffic.len(), route::traffic(&status.traffic)),
    ];
    for (_, table) in parts.iter().filter(|(count, _)| *count > 0) {
        text += &format!("\n{}", table.render(colour));
    }
    text
}
