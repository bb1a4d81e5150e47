//! `waggle verify`

use crate::command::Global;
use crate::command::ask::{Clusters, exit};
use crate::exit::{Exit, Failure};
use crate::output::table::clean;
use crate::output::{self, Style};
use std::collections::BTreeMap;
use waggle_control::api::types::{Reply, StackProof, VerifyView};
use waggle_model::StackName;
use waggle_model::ask::Answer;

/// Prove that all clusters run the same, object by object
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each cluster looks at its own swarm and hashes what it finds; equal hashes are equal objects. Ends with code 1 when it is
not proven, and with 4 when that is because a cluster does not answer.

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
    match (exit(errors), view.stacks.values().all(|proof| proof.proven)) {
        (_, true) => Ok(Exit::Done),
        (Exit::Unreachable, false) => Ok(Exit::Unreachable),
        _ => Ok(Exit::Failed),
    }
}

fn text(view: &VerifyView, colour: bool) -> String {
    if view.stacks.is_empty() {
        return "There is no stack.\n".into();
    }
    view.stacks.iter().map(|(name, proof)| of_stack(name, proof, colour)).collect()
}

fn of_stack(name: &StackName, proof: &StackProof, colour: bool) -> String {
    let names: Vec<&str> = proof.clusters.keys().map(|cluster| cluster.as_str()).collect();
    if !proof.proven {
        let head = Style::Bad.paint("NOT PROVEN", colour);
        let lines: String = proof.against.iter().map(|line| format!("  {}\n", clean(line))).collect();
        return format!("{name}: {head}\n{lines}");
    }
    let head = Style::Good.paint("proven", colour);
    let mut text = format!("{name}: {head}, the same in {}\n", names.join(", "));
    let mut objects: BTreeMap<&String, &String> = BTreeMap::new();
    for reply in proof.clusters.values() {
        if let Reply::Answer(Answer::Verified(verified)) = reply {
            objects.extend(&verified.objects);
        }
    }
    for (object, hash) in objects {
        text += &clean(&format!("  {}  {object}", hash.chars().take(12).collect::<String>()));
        text.push('\n');
    }
    text
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
}
