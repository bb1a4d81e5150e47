//! `waggle secret` and `waggle config`

use crate::command::Global;
use crate::command::ask::{self, Answers, Clusters, table};
use crate::exit::{Exit, Failure};
use waggle_control::api::types::Asked;
use waggle_model::Timestamp;
use waggle_model::ask::Answer;

/// List and inspect secrets; their content is never shown
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  waggle secret ls\n  waggle secret inspect shop_key --cluster eu-1")]
pub struct Secrets {
    #[command(subcommand)]
    action: Action,
}

/// List and inspect configs
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  waggle config ls\n  waggle config inspect shop_nginx --cluster eu-1")]
pub struct Configs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List them
    #[command(after_help = "Examples:\n  waggle secret ls --cluster eu-1\n  waggle config ls")]
    Ls {
        #[command(flatten)]
        clusters: Clusters,
        /// Ids only
        #[arg(short, long)]
        quiet: bool,
    },
    /// Show one as each cluster's Engine has it
    #[command(
        after_help = "Examples:\n  waggle secret inspect shop_key\n  waggle config inspect shop_nginx --cluster eu-1"
    )]
    Inspect {
        name: String,
        #[command(flatten)]
        clusters: Clusters,
    },
}

pub async fn secrets(args: Secrets, global: &Global) -> Result<Exit, Failure> {
    run(args.action, "secret", global).await
}

pub async fn configs(args: Configs, global: &Global) -> Result<Exit, Failure> {
    run(args.action, "config", global).await
}

async fn run(action: Action, kind: &str, global: &Global) -> Result<Exit, Failure> {
    match action {
        Action::Ls { clusters, quiet } => {
            let asked: Asked = global.client()?.get(&clusters.on(&format!("/v1/{kind}s"), &[])).await?;
            let answers = Answers::of(&asked);
            let rows = answers.rows(|answer| match answer {
                Answer::Stored(rows) => Some(rows),
                _ => None,
            });
            let now = Timestamp(waggle_daemon::time::now());
            ask::show(global.format, &asked, &answers, |colour| match (quiet, kind) {
                (true, _) => rows.iter().map(|(_, row)| format!("{}\n", row.id)).collect(),
                (_, "secret") => table::secrets(&rows, now).render(colour),
                _ => table::configs(&rows, now).render(colour),
            })
        }
        Action::Inspect { name, clusters } => {
            let path = clusters.on("/v1/inspect", &[("kind", Some(kind)), ("name", Some(&name))]);
            ask::objects(&global.client()?.get(&path).await?)
        }
    }
}
