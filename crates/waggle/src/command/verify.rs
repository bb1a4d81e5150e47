//! `waggle verify`

use crate::command::Global;
use crate::command::ask::{Clusters, exit};
use crate::exit::{Exit, Failure};
use crate::output::table::clean;
use crate::output::{self, Style};
use std::collections::BTreeMap;
use waggle_control::api::types::{Reply, StackProof, VerifyView};
use waggle_model::ask::{Answer, Verified};
use waggle_model::release::ReleaseId;
use waggle_model::{ClusterName, StackName};

/// Prove that all clusters run the same, object by object
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each cluster looks at its own swarm and hashes what it finds; equal hashes are equal objects. What people changed through
Waggle since the release (`waggle service scale`) is told and counts as it should be. Ends with code 1 when it is not
proven. Ends with 4 when that cannot be said just now: a cluster does not answer, or a rollout is under way, of which it
is shown what each cluster runs; whatever is not as that cluster was told is code 1 then, too.

Examples:
  waggle verify
  waggle verify shop --cluster region=eu")]
pub struct Args {
    stack: Option<StackName>,
    #[command(flatten)]
    clusters: Clusters,
}

pub async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let path = args.clusters.on("/v1/verify", &[("stack", args.stack.as_ref().map(|stack| stack.as_str()))]);
    let view: VerifyView = global.client()?.get(&path).await?;
    output::show(global.format, &view, |colour| text(&view, colour))?;
    let errors = view.stacks.values().flat_map(|proof| proof.clusters.values()).filter_map(|reply| match reply {
        Reply::Error(error) => Some(error),
        Reply::Answer(_) => None,
    });
    Ok(verdict(&view, exit(errors) == Exit::Unreachable))
}

fn verdict(view: &VerifyView, away: bool) -> Exit {
    let open = || view.stacks.values().filter(|proof| !proof.proven);
    match (open().count(), open().all(|proof| proof.against.is_empty())) {
        (0, _) => Exit::Done,
        (_, only_rollouts) if only_rollouts || away => Exit::Unreachable,
        _ => Exit::Failed,
    }
}

fn text(view: &VerifyView, colour: bool) -> String {
    if view.stacks.is_empty() {
        return "There is no stack.\n".into();
    }
    view.stacks.iter().map(|(name, proof)| of_stack(name, proof, colour)).collect()
}

fn of_stack(name: &StackName, proof: &StackProof, colour: bool) -> String {
    let lines: String = proof.against.iter().map(|line| format!("  {}\n", clean(line))).collect();
    if !proof.proven {
        let head = match proof.against.is_empty() {
            true => Style::Warning.paint("ROLLING OUT", colour),
            false => Style::Bad.paint("NOT PROVEN", colour),
        };
        return format!("{name}: {head}{}{lines}{}", of_rollout(proof), overridden(proof));
    }
    let head = Style::Good.paint("proven", colour);
    let names: Vec<&str> = proof.clusters.keys().map(|cluster| cluster.as_str()).collect();
    let mut text = format!("{name}: {head}, the same in {}\n{}", names.join(", "), overridden(proof));
    let objects: BTreeMap<&String, &String> = verified(proof).flat_map(|(_, verified)| &verified.objects).collect();
    for (object, hash) in objects {
        text += &clean(&format!("  {}  {object}", hash.chars().take(12).collect::<String>()));
        text.push('\n');
    }
    text
}

fn verified(proof: &StackProof) -> impl Iterator<Item = (&ClusterName, &Verified)> {
    proof.clusters.iter().filter_map(|(cluster, reply)| match reply {
        Reply::Answer(Answer::Verified(verified)) => Some((cluster, verified)),
        _ => None,
    })
}

/// How the first line ends, and which release each cluster was told to run while they are not all of one.
fn of_rollout(proof: &StackProof) -> String {
    let Some(rollout) = &proof.rollout else { return "\n".into() };
    let end = format!(", rollout {} to release {} is {}", rollout.id, rollout.release.short(), rollout.state);
    let line = |(cluster, release): (&ClusterName, &ReleaseId)| {
        let busy = if rollout.under_way.contains(cluster) { " (being changed)" } else { "" };
        format!("  {cluster}: release {}{busy}\n", release.short())
    };
    clean(&end) + "\n" + &proof.releases.iter().map(line).collect::<String>()
}

fn overridden(proof: &StackProof) -> String {
    let lines = verified(proof).flat_map(|(cluster, one)| one.overridden.iter().map(move |text| (cluster, text)));
    lines.map(|(cluster, text)| clean(&format!("  {cluster}: {text}, chosen since the release")) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_proven_and_what_speaks_against_it() {
        let verified = serde_json::json!({ "answer": { "verified": {
            "release": null, "objects": { "service shop_web": "abcdef0123456789" }, "differences": []
        }}});
        let view: VerifyView = serde_json::from_value(serde_json::json!({ "stacks": {
            "blog": { "proven": false, "against": ["us-1: its agent is not connected"], "clusters": {} },
            "shop": { "proven": true, "against": [], "clusters": { "eu-1": verified, "us-1": verified } },
        }}))
        .unwrap();
        let want = "blog: NOT PROVEN\n  us-1: its agent is not connected\n\
                    shop: proven, the same in eu-1, us-1\n  abcdef012345  service shop_web\n";
        assert_eq!(text(&view, false), want);
    }

    #[test]
    fn a_rollout_says_what_each_cluster_runs_and_is_no_failure() {
        let (old, new) = ("11".repeat(32), "22".repeat(32));
        let verified = serde_json::json!({ "answer": { "verified": { "release": null, "objects": {}, "differences": [],
            "overridden": ["service shop_web: 3 replicas instead of 1 replica"] }}});
        let mut view: VerifyView = serde_json::from_value(serde_json::json!({ "stacks": { "shop": {
            "proven": false, "against": [], "clusters": { "ap-1": verified },
            "releases": { "ap-1": old, "eu-1": new },
            "rollout": { "id": 7, "release": new, "state": "running", "moving": true, "under_way": ["eu-1"] },
        }}}))
        .unwrap();
        let want = "shop: ROLLING OUT, rollout 7 to release 222222222222 is running\n  ap-1: release 111111111111\n  \
                    eu-1: release 222222222222 (being changed)\n  \
                    ap-1: service shop_web: 3 replicas instead of 1 replica, chosen since the release\n";
        assert_eq!(text(&view, false), want);
        assert_eq!(verdict(&view, false), Exit::Unreachable);
        for proof in view.stacks.values_mut() {
            proof.against = vec!["ap-1: service shop_web is missing".into()];
        }
        assert!(text(&view, false).starts_with("shop: NOT PROVEN, rollout 7"));
        assert_eq!((verdict(&view, false), verdict(&view, true)), (Exit::Failed, Exit::Unreachable));
    }
}
