//! `waggle image`

use crate::command::Global;
use crate::command::ask::{self, Answers, Clusters};
use crate::exit::{Exit, Failure};
use crate::output::Table;
use http::Method;
use std::time::Duration;
use waggle_control::api::types::{Asked, PruneImages};
use waggle_model::ask::Answer;

/// Removing many images takes longer than other answers.
const PRUNE_TIMEOUT: Duration = Duration::from_secs(60);

/// Remove unused images
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  waggle image prune --all --cluster eu-1")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Remove unused images of the node that each cluster's agent runs on
    #[command(after_help = "Examples:\n  waggle image prune\n  waggle image prune --all --yes --cluster eu-1")]
    Prune {
        /// All images without a container, not only those without a name
        #[arg(short, long)]
        all: bool,
        #[command(flatten)]
        clusters: Clusters,
        /// Agree beforehand
        #[arg(short, long)]
        yes: bool,
    },
}

pub async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let Action::Prune { all, clusters, yes } = args.action;
    let which = if all { "all images without a container" } else { "all images without a name and a container" };
    if !ask::agreed(yes, &format!("This removes {which} on the node of each agent. Go on?"))? {
        return Ok(Exit::Failed);
    }
    let path = clusters.on("/v1/images/prune", &[]);
    let asked: Asked = global.client()?.send(Method::POST, &path, &PruneImages { all }, PRUNE_TIMEOUT).await?;
    let answers = Answers::of(&asked);
    ask::show(global.format, &asked, &answers, |colour| table(&answers).render(colour))
}

fn table(answers: &Answers) -> Table {
    let mut table = Table::new(&["CLUSTER", "NODE", "IMAGES", "RECLAIMED"]);
    for (cluster, answer) in &answers.answers {
        if let Answer::Pruned { node, images, bytes } = answer {
            let cells = [cluster.as_str().into(), node.as_str().into(), images.to_string().into(), size(*bytes).into()];
            table.row(cells);
        }
    }
    table
}

/// As docker words sizes: powers of 1000, four digits at most.
fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 {
            return format!("{}{unit}", digits(value));
        }
        value /= 1000.0;
    }
    format!("{}TB", digits(value))
}

fn digits(value: f64) -> String {
    let text = match value {
        value if value < 10.0 => format!("{value:.3}"),
        value if value < 100.0 => format!("{value:.2}"),
        value => format!("{value:.1}"),
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let cases = [(0, "0B"), (999, "999B"), (1000, "1kB"), (2_746_000, "2.746MB"), (45_560_000_000, "45.56GB")];
        for (bytes, want) in cases {
            assert_eq!(size(bytes), want);
        }
    }
}
