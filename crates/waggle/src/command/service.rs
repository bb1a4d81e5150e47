//! `waggle service`

use crate::client::url::encode;
use crate::command::ask::{self, Answers, Clusters, logs, table};
use crate::command::{Global, ask::agreed};
use crate::exit::{Exit, Failure};
use http::Method;
use waggle_control::api::types::{Asked, Scale};
use waggle_model::Timestamp;
use waggle_model::ask::Answer;

/// Look at services, read their logs, scale and restart them, in all clusters or some
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Services of a stack of the federation are scaled and restarted by changing what their clusters should run; the next
release ends that. Others are changed in the swarm itself.

Examples:
  waggle service ls
  waggle service ps shop_web --cluster eu-1
  waggle service logs -f --tail 20 shop_web
  waggle service scale shop_web=5 --cluster region=eu
  waggle service update --force shop_web")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List services
    #[command(after_help = "Example:\n  waggle service ls --cluster eu-1")]
    Ls {
        #[command(flatten)]
        clusters: Clusters,
        /// Ids only
        #[arg(short, long)]
        quiet: bool,
    },
    /// List the tasks of services
    #[command(after_help = "Example:\n  waggle service ps shop_web")]
    Ps {
        #[arg(required = true, value_name = "SERVICE")]
        services: Vec<String>,
        #[command(flatten)]
        clusters: Clusters,
        /// Ids only
        #[arg(short, long)]
        quiet: bool,
    },
    /// Show a service as each cluster's Engine has it
    #[command(after_help = "Example:\n  waggle service inspect shop_web --cluster eu-1 | jq '.[].Spec'")]
    Inspect {
        service: String,
        #[command(flatten)]
        clusters: Clusters,
    },
    /// Show the logs of a service
    #[command(
        after_help = "Examples:\n  waggle service logs --tail 100 shop_web\n  waggle service logs -f --since 10m shop_web"
    )]
    Logs {
        service: String,
        #[command(flatten)]
        clusters: Clusters,
        #[command(flatten)]
        options: logs::Options,
    },
    /// Change the number of replicas
    #[command(after_help = "Example:\n  waggle service scale shop_web=5 shop_api=3 --cluster eu-1")]
    Scale {
        #[arg(required = true, value_name = "SERVICE=REPLICAS", value_parser = scale)]
        services: Vec<(String, u64)>,
        #[command(flatten)]
        clusters: Clusters,
    },
    /// Restart all tasks of a service, in the way its update_config says
    #[command(after_help = "Example:\n  waggle service update --force shop_web --cluster eu-1")]
    Update {
        service: String,
        /// Restart the tasks although nothing changes; everything else is changed by deploying a release
        #[arg(long, required = true)]
        force: bool,
        #[command(flatten)]
        clusters: Clusters,
        /// Agree beforehand
        #[arg(short, long)]
        yes: bool,
    },
    /// Go back to the previous spec of a service that belongs to no stack of the federation
    #[command(after_help = "Example:\n  waggle service rollback lonely --cluster eu-1")]
    Rollback {
        service: String,
        #[command(flatten)]
        clusters: Clusters,
        /// Agree beforehand
        #[arg(short, long)]
        yes: bool,
    },
}

fn scale(text: &str) -> Result<(String, u64), String> {
    let wrong = || "write SERVICE=REPLICAS, for example shop_web=5".to_owned();
    let (name, replicas) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(wrong)?;
    replicas.parse().map(|replicas| (name.to_owned(), replicas)).map_err(|_| wrong())
}

pub async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    match args.action {
        Action::Ls { clusters, quiet } => ls(global, &clusters.on("/v1/services", &[]), quiet).await,
        Action::Ps { services, clusters, quiet } => {
            let mut exit = Exit::Done;
            for service in services {
                let path = clusters.on("/v1/tasks", &[("service", Some(&service))]);
                exit = exit.worse(ps(global, &path, quiet).await?);
            }
            Ok(exit)
        }
        Action::Inspect { service, clusters } => {
            let path = clusters.on("/v1/inspect", &[("kind", Some("service")), ("name", Some(&service))]);
            ask::objects(&global.client()?.get(&path).await?)
        }
        Action::Logs { service, clusters, options } => {
            logs::run(("service", &service), &clusters, &options, global).await
        }
        Action::Scale { services, clusters } => {
            let (client, mut exit) = (global.client()?, Exit::Done);
            for (service, replicas) in services {
                let path = clusters.on(&format!("/v1/services/{}/scale", encode(&service)), &[]);
                let asked: Asked = client.post(&path, &Scale { replicas }).await?;
                exit = exit.worse(ask::told(global.format, &asked)?);
            }
            Ok(exit)
        }
        Action::Update { service, force: _, clusters, yes } => {
            let question = format!("This restarts {service} in {} at the same time. Go on?", several(&clusters));
            change(global, &clusters, &service, "force", yes, &question).await
        }
        Action::Rollback { service, clusters, yes } => {
            let question = format!("This rolls {service} back in {}. Go on?", several(&clusters));
            change(global, &clusters, &service, "rollback", yes, &question).await
        }
    }
}

fn several(clusters: &Clusters) -> String {
    if clusters.clusters.is_empty() { "all clusters".into() } else { clusters.clusters.join(", ") }
}

async fn change(
    global: &Global,
    clusters: &Clusters,
    service: &str,
    what: &str,
    yes: bool,
    question: &str,
) -> Result<Exit, Failure> {
    let one = matches!(clusters.clusters.as_slice(), [one] if !one.contains('='));
    if !agreed(yes || one, question)? {
        return Ok(Exit::Failed);
    }
    let path = clusters.on(&format!("/v1/services/{}/{what}", encode(service)), &[]);
    let asked: Asked = global.client()?.ask(Method::POST, &path).await?;
    ask::told(global.format, &asked)
}

/// The services that `path` lists.
pub async fn ls(global: &Global, path: &str, quiet: bool) -> Result<Exit, Failure> {
    let asked: Asked = global.client()?.get(path).await?;
    let answers = Answers::of(&asked);
    let rows = answers.rows(|answer| match answer {
        Answer::Services(rows) => Some(rows),
        _ => None,
    });
    ask::show(global.format, &asked, &answers, |colour| match quiet {
        true => ask::ids(rows.iter().map(|(_, row)| row.id.as_str())),
        false => table::services(&rows).render(colour),
    })
}

/// The tasks that `path` lists.
pub async fn ps(global: &Global, path: &str, quiet: bool) -> Result<Exit, Failure> {
    let asked: Asked = global.client()?.get(path).await?;
    let answers = Answers::of(&asked);
    let rows = answers.rows(|answer| match answer {
        Answer::Tasks(rows) => Some(rows),
        _ => None,
    });
    let now = Timestamp(waggle_daemon::time::now());
    ask::show(global.format, &asked, &answers, |colour| match quiet {
        true => ask::whole_ids(rows.iter().map(|(_, row)| row.id.as_str())),
        false => table::tasks(&rows, now).render(colour),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_read() {
        assert_eq!(scale("shop_web=5"), Ok(("shop_web".into(), 5)));
        for wrong in ["shop_web", "=5", "web=", "web=-1", "web=many"] {
            assert!(scale(wrong).is_err(), "{wrong}");
        }
    }
}
