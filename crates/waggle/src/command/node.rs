//! `waggle node`

use crate::client::Client;
use crate::client::url::encode;
use crate::command::Global;
use crate::command::ask::{self, Answers, Clusters, table};
use crate::command::service;
use crate::exit::{Exit, Failure};
use std::collections::BTreeSet;
use waggle_control::api::types::{Asked, NodeUpdate};
use waggle_model::ClusterName;
use waggle_model::ask::{Answer, NodeChange, NodeRow};

/// Look at the nodes of the clusters; drain, promote and demote them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A node of a name that several clusters have needs --cluster to be changed.

Examples:
  waggle node ls
  waggle node ps n3 --cluster eu-1
  waggle node drain n3 --cluster eu-1
  waggle node activate n3 --cluster eu-1
  waggle node promote n2 --cluster us-1")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List nodes
    #[command(after_help = "Example:\n  waggle node ls --cluster region=eu")]
    Ls {
        #[command(flatten)]
        clusters: Clusters,
        /// Ids only
        #[arg(short, long)]
        quiet: bool,
    },
    /// List the tasks on a node
    #[command(after_help = "Example:\n  waggle node ps n3 --cluster eu-1")]
    Ps {
        node: String,
        #[command(flatten)]
        clusters: Clusters,
        /// Ids only
        #[arg(short, long)]
        quiet: bool,
    },
    /// Show a node as its cluster's Engine has it
    #[command(after_help = "Example:\n  waggle node inspect n3 --cluster eu-1")]
    Inspect {
        node: String,
        #[command(flatten)]
        clusters: Clusters,
    },
    /// Move all tasks of a node to others, and give it no new ones
    #[command(after_help = "Example:\n  waggle node drain n3 --cluster eu-1")]
    Drain(Which),
    /// Let a node take tasks again
    #[command(after_help = "Example:\n  waggle node activate n3 --cluster eu-1")]
    Activate(Which),
    /// Give a node no new tasks; those it has stay
    #[command(after_help = "Example:\n  waggle node pause n3 --cluster eu-1")]
    Pause(Which),
    /// Make a node a manager
    #[command(after_help = "Example:\n  waggle node promote n2 --cluster us-1")]
    Promote(Which),
    /// Make a manager a worker
    #[command(after_help = "Example:\n  waggle node demote n2 --cluster us-1")]
    Demote(Which),
}

#[derive(Debug, clap::Args)]
struct Which {
    #[arg(required = true, value_name = "NODE")]
    nodes: Vec<String>,
    #[command(flatten)]
    clusters: Clusters,
}

pub async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    match args.action {
        Action::Ls { clusters, quiet } => {
            let asked: Asked = global.client()?.get(&clusters.on("/v1/nodes", &[])).await?;
            let answers = Answers::of(&asked);
            let rows = rows(&answers);
            ask::show(global.format, &asked, &answers, |colour| match quiet {
                true => rows.iter().map(|(_, row)| format!("{}\n", row.id)).collect(),
                false => table::nodes(&rows).render(colour),
            })
        }
        Action::Ps { node, clusters, quiet } => {
            service::ps(global, &clusters.on("/v1/tasks", &[("node", Some(&node))]), quiet).await
        }
        Action::Inspect { node, clusters } => {
            let path = clusters.on("/v1/inspect", &[("kind", Some("node")), ("name", Some(&node))]);
            ask::objects(&global.client()?.get(&path).await?)
        }
        Action::Drain(which) => update(global, &which, NodeChange::Drain).await,
        Action::Activate(which) => update(global, &which, NodeChange::Active).await,
        Action::Pause(which) => update(global, &which, NodeChange::Pause).await,
        Action::Promote(which) => update(global, &which, NodeChange::Promote).await,
        Action::Demote(which) => update(global, &which, NodeChange::Demote).await,
    }
}

fn rows(answers: &Answers) -> Vec<(ClusterName, NodeRow)> {
    answers.rows(|answer| match answer {
        Answer::Nodes(rows) => Some(rows),
        _ => None,
    })
}

async fn update(global: &Global, which: &Which, change: NodeChange) -> Result<Exit, Failure> {
    let (client, mut exit) = (global.client()?, Exit::Done);
    for node in &which.nodes {
        let cluster = cluster_of(&client, node, &which.clusters).await?;
        let only = Clusters { clusters: vec![cluster.to_string()] };
        let path = only.on(&format!("/v1/nodes/{}", encode(node)), &[]);
        let asked: Asked = client.post(&path, &NodeUpdate { change }).await?;
        exit = exit.worse(ask::told(global.format, &asked)?);
    }
    Ok(exit)
}

/// The one cluster whose node is meant.
async fn cluster_of(client: &Client, node: &str, clusters: &Clusters) -> Result<ClusterName, Failure> {
    let asked: Asked = client.get(&clusters.on("/v1/nodes", &[])).await?;
    let answers = Answers::of(&asked);
    let is_meant =
        |row: &NodeRow| row.hostname == node || row.id == node || (node.len() >= 4 && row.id.starts_with(node));
    let found: BTreeSet<ClusterName> =
        rows(&answers).into_iter().filter(|(_, row)| is_meant(row)).map(|(cluster, _)| cluster).collect();
    let names =
        |names: &mut dyn Iterator<Item = &ClusterName>| names.map(ClusterName::as_str).collect::<Vec<_>>().join(", ");
    let unknown = names(&mut answers.has_failed());
    match (found.len(), found.first()) {
        // Who does not answer may have one of the name as well.
        (1, Some(cluster)) if unknown.is_empty() => Ok(cluster.clone()),
        (0, _) if unknown.is_empty() => {
            Err(Failure::refused(format!("there is no node {node}")).with_help("`waggle node ls` lists them"))
        }
        (0 | 1, _) => {
            answers.end();
            let failure = Failure::new(Exit::Unreachable, format!("whether {unknown} has a node {node} is not known"));
            Err(failure.with_help("name the cluster that is meant with --cluster"))
        }
        _ => Err(Failure::refused(format!("{} have a node {node}", names(&mut found.iter())))
            .with_help("name the cluster that is meant with --cluster")),
    }
}
