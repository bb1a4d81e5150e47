//! `waggle stack plan`: rendered, checked and pinned as for a deploy, and then shown instead of stored.

use super::deploy::prepare;
use super::files::Files;
use crate::client::url::encode;
use crate::command::Global;
use crate::command::ask::{Clusters, exit, note};
use crate::exit::{Exit, Failure};
use crate::output::table::clean;
use crate::output::{self, Style};
use http::Method;
use std::collections::BTreeMap;
use std::time::Duration;
use waggle_control::api::types::{Planned, Reply};
use waggle_model::ask::{Answer, ClusterPlan, ObjectChange, Verb};
use waggle_model::{ClusterName, StackName};

/// Registries are asked for digests first, then the clusters.
const PLAN_TIMEOUT: Duration = Duration::from_secs(90);

/// Show what a deploy would change in each cluster; nothing is stored or changed
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Ends with code 0; with --exit-code, with 10 when something would change. A cluster that does not answer gives code 4, one
where the release cannot be applied code 5.

Examples:
  waggle stack plan -c compose.yml shop
  waggle stack plan -c compose.yml -c prod.yml --cluster eu-1 --exit-code shop")]
pub struct Args {
    #[command(flatten)]
    files: Files,
    /// End with code 10 when something would change
    #[arg(long)]
    exit_code: bool,
    #[command(flatten)]
    clusters: Clusters,
    /// Name of the stack
    stack: StackName,
}

pub async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let request = prepare(&args.stack, &args.files)?;
    let path = args.clusters.on(&format!("/v1/stacks/{}/plan", encode(args.stack.as_str())), &[]);
    let planned: Planned = global.client()?.send(Method::POST, &path, &request, PLAN_TIMEOUT).await?;
    planned.warnings.iter().for_each(|warning| crate::terminal::warn(warning));
    output::show(global.format, &planned, |colour| text(&planned.clusters, colour))?;
    let end = end(&planned.clusters);
    Ok(if end == Exit::Done && args.exit_code && changes(&planned.clusters) { Exit::Changes } else { end })
}

/// Notes what went wrong in single clusters; the code says whether the plan could be made and carried out.
pub fn end(clusters: &BTreeMap<ClusterName, Reply>) -> Exit {
    let mut worst = Exit::Done;
    for (cluster, reply) in clusters {
        match reply {
            Reply::Error(error) => {
                note(cluster, error);
                worst = worst.worse(exit([error]));
            }
            Reply::Answer(Answer::Plan(plan)) if !plan.problems.is_empty() => worst = worst.worse(Exit::Refused),
            Reply::Answer(_) => {}
        }
    }
    worst
}

fn plans(clusters: &BTreeMap<ClusterName, Reply>) -> impl Iterator<Item = (&ClusterName, &ClusterPlan)> {
    clusters.iter().filter_map(|(cluster, reply)| match reply {
        Reply::Answer(Answer::Plan(plan)) => Some((cluster, plan)),
        _ => None,
    })
}

fn changes(clusters: &BTreeMap<ClusterName, Reply>) -> bool {
    plans(clusters).any(|(_, plan)| !plan.changes.is_empty())
}

/// The plans of all clusters; those that are alike are shown once.
pub fn text(clusters: &BTreeMap<ClusterName, Reply>, colour: bool) -> String {
    let mut alike: Vec<(Vec<&str>, &ClusterPlan)> = Vec::new();
    for (cluster, plan) in plans(clusters) {
        match alike.iter_mut().find(|(_, other)| *other == plan) {
            Some((names, _)) => names.push(cluster.as_str()),
            None => alike.push((vec![cluster.as_str()], plan)),
        }
    }
    let mut text = String::new();
    for (names, plan) in alike {
        text += &format!("{}: {}\n", names.join(", "), summary(plan));
        for problem in &plan.problems {
            text += &format!("  {}\n", Style::Bad.paint(&clean(&format!("! {problem}")), colour));
        }
        for change in &plan.changes {
            text += &object(change, colour);
        }
    }
    text
}

fn summary(plan: &ClusterPlan) -> String {
    let count = |verb: Verb| plan.changes.iter().filter(|change| change.verb == verb).count();
    let restarts = plan.changes.iter().filter(|change| change.restarts && change.verb == Verb::Update).count();
    let parts = [
        (count(Verb::Create), "to create"),
        (count(Verb::Update), "to update"),
        (restarts, "of them restarting tasks"),
        (count(Verb::Adopt), "to take over"),
        (count(Verb::Remove), "to remove"),
    ];
    let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    match (plan.problems.is_empty(), parts.is_empty()) {
        (false, _) => "cannot be applied".into(),
        (true, true) => "no change".into(),
        (true, false) => parts.join(", "),
    }
}

fn object(change: &ObjectChange, colour: bool) -> String {
    let (sign, style) = match change.verb {
        Verb::Create => ("+", Style::Good),
        Verb::Update => ("~", Style::Warning),
        Verb::Adopt => ("=", Style::Plain),
        Verb::Remove => ("-", Style::Bad),
    };
    let restarts = if change.restarts && change.verb == Verb::Update { " (restarts its tasks)" } else { "" };
    let line = clean(&format!("{sign} {} {}{restarts}", change.what, change.name));
    let mut text = format!("  {}\n", style.paint(&line, colour));
    for field in &change.fields {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "(none)".into());
        text += &clean(&format!("      {}: {} -> {}", field.field, value(&field.from), value(&field.to)));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clusters() -> BTreeMap<ClusterName, Reply> {
        let update = serde_json::json!({ "verb": "update", "what": "service", "name": "shop_web", "restarts": true,
            "fields": [{ "field": "env.TZ", "from": null, "to": "UTC", "restarts": true }] });
        let create = serde_json::json!({ "verb": "create", "what": "config", "name": "shop_c", "restarts": false });
        serde_json::from_value(serde_json::json!({
            "ap-1": { "answer": { "plan": { "problems": ["external secret k does not exist"], "changes": [] } } },
            "eu-1": { "answer": { "plan": { "problems": [], "changes": [create, update] } } },
            "eu-2": { "answer": { "plan": { "problems": [], "changes": [create, update] } } },
            "us-1": { "answer": { "plan": { "problems": [], "changes": [] } } },
        }))
        .unwrap()
    }

    #[test]
    fn plans_that_are_alike_are_shown_once() {
        let want = "\
ap-1: cannot be applied
  ! external secret k does not exist
eu-1, eu-2: 1 to create, 1 to update, 1 of them restarting tasks
  + config shop_c
  ~ service shop_web (restarts its tasks)
      env.TZ: (none) -> UTC
us-1: no change
";
        assert_eq!(text(&clusters(), false), want);
        assert_eq!(end(&clusters()), Exit::Refused);
        assert!(changes(&clusters()));
    }
}
