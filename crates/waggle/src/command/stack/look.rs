//! `waggle stack services` and `waggle stack ps`: asked of the clusters, and where one does not answer, what it last
//! reported, with its age.

use crate::client::Client;
use crate::client::url::encode;
use crate::command::Global;
use crate::command::ask::{self, Answers, Clusters, table};
use crate::exit::{Exit, Failure};
use crate::output::{Format, age};
use crate::terminal;
use waggle_control::api::types::{Asked, StackServices};
use waggle_model::ask::{Answer, ServiceRow, TaskRow};
use waggle_model::observed::{ObservedService, ObservedTask};
use waggle_model::{ClusterName, StackName, Timestamp};

#[derive(Debug, clap::Args)]
pub struct Look {
    stack: StackName,
    #[command(flatten)]
    clusters: Clusters,
    /// Ids only
    #[arg(short, long)]
    quiet: bool,
}

pub async fn services(look: Look, global: &Global) -> Result<Exit, Failure> {
    let client = global.client()?;
    let asked: Asked = client.get(&look.clusters.on("/v1/services", &[("stack", Some(look.stack.as_str()))])).await?;
    let answers = Answers::of(&asked);
    let mut rows = answers.rows(|answer| match answer {
        Answer::Services(rows) => Some(rows),
        _ => None,
    });
    for (cluster, name, service) in reported(&client, &look.stack, &answers, rows.is_empty(), global.format).await? {
        rows.push((cluster, service_row(&look.stack, &name, &service)));
    }
    ask::show(global.format, &asked, &answers, |colour| match look.quiet {
        true => ask::ids(rows.iter().map(|(_, row)| row.id.as_str())),
        false => table::services(&rows).render(colour),
    })
}

pub async fn tasks(look: Look, global: &Global) -> Result<Exit, Failure> {
    let client = global.client()?;
    let asked: Asked = client.get(&look.clusters.on("/v1/tasks", &[("stack", Some(look.stack.as_str()))])).await?;
    let answers = Answers::of(&asked);
    let mut rows = answers.rows(|answer| match answer {
        Answer::Tasks(rows) => Some(rows),
        _ => None,
    });
    for (cluster, name, service) in reported(&client, &look.stack, &answers, rows.is_empty(), global.format).await? {
        let tasks = service.tasks.iter().map(|task| (cluster.clone(), task_row(&look.stack, &name, task)));
        rows.extend(tasks);
    }
    let now = Timestamp(waggle_daemon::time::now());
    ask::show(global.format, &asked, &answers, |colour| match look.quiet {
        true => ask::whole_ids(rows.iter().map(|(_, row)| row.id.as_str())),
        false => table::tasks(&rows, now).render(colour),
    })
}

/// What the clusters that did not answer last reported. Whoever reads JSON gets the answers alone.
async fn reported(
    client: &Client,
    stack: &StackName,
    answers: &Answers,
    nothing: bool,
    format: Format,
) -> Result<Vec<(ClusterName, String, ObservedService)>, Failure> {
    let silent: Vec<&ClusterName> = answers.has_failed().collect();
    if format == Format::Json || (silent.is_empty() && !nothing) {
        return Ok(Vec::new());
    }
    // Also tells that there is no such stack.
    let path = format!("/v1/stacks/{}/ps", encode(stack.as_str()));
    let known: StackServices = match client.get(&path).await {
        Ok(known) => known,
        // One that is not of the federation.
        Err(failure) if failure.exit == Exit::Refused && !nothing => return Ok(Vec::new()),
        Err(failure) => return Err(failure),
    };
    let now = Timestamp(waggle_daemon::time::now());
    let mut old = Vec::new();
    for cluster in silent {
        let Some(at) = known.observed_at.get(cluster) else { continue };
        terminal::warn(&format!("{cluster}: shown as it was {}", age::ago(now, *at).to_lowercase()));
        let services = known.clusters.get(cluster).into_iter().flatten();
        old.extend(services.map(|(name, service)| (cluster.clone(), name.clone(), service.clone())));
    }
    Ok(old)
}

fn service_row(stack: &StackName, name: &str, service: &ObservedService) -> ServiceRow {
    ServiceRow {
        id: service.id.clone(),
        name: format!("{stack}_{name}"),
        stack: Some(stack.to_string()),
        managed: true,
        mode: service.mode.clone(),
        desired: service.desired,
        running: service.running,
        image: service.image.clone(),
        ports: service.ports.clone(),
        update: service.update.clone(),
    }
}

fn task_row(stack: &StackName, name: &str, task: &ObservedTask) -> TaskRow {
    let which = if task.slot == 0 { task.node.clone() } else { task.slot.to_string() };
    TaskRow {
        id: task.id.clone(),
        name: format!("{stack}_{name}.{which}"),
        service: format!("{stack}_{name}"),
        image: task.image.clone(),
        node: task.node.clone(),
        desired_state: task.desired_state.clone(),
        state: task.state.clone(),
        at: task.at,
        error: task.error.clone(),
        ports: Vec::new(),
    }
}
