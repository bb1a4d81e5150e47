//! `waggle swarm`

use crate::command::Global;
use crate::command::ask::{self, Answers, Clusters};
use crate::exit::{Exit, Failure};
use crate::output::table::clean;
use crate::terminal;
use waggle_control::api::types::{Asked, WantedToken};
use waggle_model::ClusterName;
use waggle_model::ask::{Answer, Role};

/// Join nodes to the swarms of the federation
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  waggle swarm join-token worker --cluster eu-1")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show the token and command with which a node joins the swarm of a cluster
    #[command(after_help = "Example:\n  waggle swarm join-token manager --cluster eu-1 --quiet")]
    JoinToken {
        #[arg(value_enum)]
        role: Joins,
        #[arg(long, value_name = "CLUSTER")]
        cluster: ClusterName,
        /// The token only
        #[arg(short, long)]
        quiet: bool,
    },
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Joins {
    Worker,
    Manager,
}

pub async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let Action::JoinToken { role, cluster, quiet } = args.action;
    let (role, word) = match role {
        Joins::Worker => (Role::Worker, "worker"),
        Joins::Manager => (Role::Manager, "manager"),
    };
    let path = Clusters { clusters: vec![cluster.to_string()] }.on("/v1/join-token", &[]);
    let asked: Asked = global.client()?.post(&path, &WantedToken { role }).await?;
    let answers = Answers::of(&asked);
    let exit = ask::show(global.format, &asked, &answers, |_| {
        let text = |(_, answer): &(ClusterName, Answer)| match answer {
            Answer::JoinToken { token, .. } if quiet => format!("{}\n", clean(token)),
            Answer::JoinToken { token, managers } => command(word, token, managers),
            _ => String::new(),
        };
        answers.answers.iter().map(text).collect()
    })?;
    if exit == Exit::Done && !quiet {
        terminal::note(
            "Whoever has the token can join the swarm; `docker swarm join-token --rotate` there makes a new one.",
        );
    }
    Ok(exit)
}

fn command(word: &str, token: &str, managers: &[String]) -> String {
    let manager = managers.first().map_or("MANAGER:2377", String::as_str);
    let command = clean(&format!("docker swarm join --token {token} {manager}"));
    format!("To add a {word} to this swarm, run the following command:\n\n    {command}\n\n")
}
