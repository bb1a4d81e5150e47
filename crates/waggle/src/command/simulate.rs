//! `waggle simulate`

mod report;

use crate::client::url::encode;
use crate::command::Global;
use crate::exit::{Exit, Failure};
use crate::output;
use waggle_control::api::types::OutageView;
use waggle_model::ClusterName;

/// Try out what would happen, without doing it
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  waggle simulate outage eu-1")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// What users would get if clusters were lost: who moves where, and whether the rest can take it
    #[command(after_help = "\
The queries that nameservers sampled lately are answered once more: with the present verdicts, and without the lost
clusters, by the code that answers queries, capacities included. Shares are of questions, rates are answers per second of
all nameservers together. NOTICED is the longest time until nameservers answer otherwise; for the route's TTL after that,
caches may give the old answer. Where no query was sampled the rates by preference serve, and where nobody asked at all
the weights; BASIS says so.

Ends with code 1 if something would break: a cluster gets more than its capacity, a route has no cluster left, or nobody
would leave because the route has no check or the cluster is forced fit.

Examples:
  waggle simulate outage eu-1
  waggle simulate outage --region eu --at-rate 2
  waggle simulate outage eu-1 us-1 --format json | jq .outage.broken")]
    Outage(Outage),
}

#[derive(Debug, clap::Args)]
struct Outage {
    /// Clusters that are lost
    #[arg(value_name = "CLUSTER", required_unless_present = "regions")]
    clusters: Vec<ClusterName>,
    /// All clusters of this region, too; may be repeated
    #[arg(long = "region", value_name = "REGION")]
    regions: Vec<String>,
    /// Multiply all rates, as for the busiest hour
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    at_rate: f64,
}

pub async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let Action::Outage(asked) = args.action;
    let clusters = asked.clusters.iter().map(ToString::to_string);
    let selected = clusters.chain(asked.regions.iter().map(|region| format!("region={region}")));
    let selected: Vec<String> = selected.map(|cluster| format!("cluster={}", encode(&cluster))).collect();
    let path = format!("/v1/simulate/outage?{}&at_rate={}", selected.join("&"), asked.at_rate);
    let view: OutageView = global.client()?.get(&path).await?;
    output::show(global.format, &view, |colour| report::text(&view, colour))?;
    Ok(if view.outage.broken.is_empty() { Exit::Done } else { Exit::Failed })
}
