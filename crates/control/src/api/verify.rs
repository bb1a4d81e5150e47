//! The proof that clusters run the same: each looks at its own swarm and hashes what it finds, object by object.

use super::ask::{ask, select};
use super::error::Params;
use super::types::{Reply, StackProof, VerifyView};
use super::{Api, ApiError, Caller};
use axum::extract::State;
use axum::{Extension, Json};
use futures_util::stream::{StreamExt, iter};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use waggle_model::ask::{Answer, Question, Verified};
use waggle_model::release::ReleaseId;
use waggle_model::{ClusterName, StackName};

const VERIFY_DEADLINE: Duration = Duration::from_secs(15);
/// Stacks that are verified at the same time.
const STACKS_AT_ONCE: usize = 8;

pub(super) async fn verify(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    params: Params,
) -> Result<Json<VerifyView>, ApiError> {
    params.only(&["stack"])?;
    let clusters = select(&api, &params.clusters()).await?;
    let loaded = api.load().await?;
    let only: Option<StackName> = params.parsed("stack")?;
    if let Some(stack) = only.as_ref().filter(|stack| !loaded.state.stacks.contains_key(*stack)) {
        return Err(ApiError::not_found(format!("there is no stack {stack}")).help("`waggle stack ls` lists them"));
    }
    let wanted = loaded.state.stacks.iter().filter(|(name, _)| only.as_ref().is_none_or(|only| only == *name));
    let wanted = wanted.map(|(name, state)| {
        let release = |cluster: &ClusterName| Some((cluster.clone(), state.wanted(cluster).release?));
        (name.clone(), clusters.iter().filter_map(release).collect::<BTreeMap<_, _>>())
    });
    let proofs = wanted.map(|(stack, wanted)| one(&api, &caller, stack, wanted));
    let stacks = iter(proofs.collect::<Vec<_>>()).buffer_unordered(STACKS_AT_ONCE).collect::<Vec<_>>().await;
    Ok(Json(VerifyView { stacks: stacks.into_iter().collect() }))
}

async fn one(
    api: &Api,
    caller: &Caller,
    stack: StackName,
    wanted: BTreeMap<ClusterName, ReleaseId>,
) -> (StackName, StackProof) {
    let question = Question::Verify { stack: stack.clone() };
    let clusters: BTreeSet<ClusterName> = wanted.keys().cloned().collect();
    let asked = ask(api, caller, clusters, &question, VERIFY_DEADLINE).await;
    let against = against(&wanted, &asked.clusters);
    (stack, StackProof { proven: against.is_empty(), against, clusters: asked.clusters })
}

/// Everything that speaks against all these clusters running the same, and what they should.
fn against(wanted: &BTreeMap<ClusterName, ReleaseId>, replies: &BTreeMap<ClusterName, Reply>) -> Vec<String> {
    let mut found = Vec::new();
    let mut verified: BTreeMap<&ClusterName, &Verified> = BTreeMap::new();
    for (cluster, release) in wanted {
        match replies.get(cluster) {
            Some(Reply::Answer(Answer::Verified(answer))) => {
                if answer.release != Some(*release) {
                    let other = answer.release.map_or("none".to_owned(), |id| id.short());
                    found.push(format!("{cluster}: has release {other} and should have {}", release.short()));
                }
                for change in &answer.differences {
                    found.push(format!("{cluster}: {} {} is not as released", change.what, change.name));
                }
                verified.insert(cluster, answer);
            }
            Some(Reply::Error(error)) => found.push(format!("{cluster}: {}", error.message)),
            _ => found.push(format!("{cluster}: no answer")),
        }
    }
    if wanted.is_empty() {
        found.push("no selected cluster has it".to_owned());
    }
    let releases: BTreeSet<&ReleaseId> = wanted.values().collect();
    if releases.len() > 1 {
        found.push(format!("clusters have {} different releases: a rollout is under way or was held", releases.len()));
    } else {
        found.extend(unlike(&verified));
    }
    found
}

/// Objects whose hashes differ between clusters, or that some lack.
fn unlike(verified: &BTreeMap<&ClusterName, &Verified>) -> Vec<String> {
    let objects: BTreeSet<&String> = verified.values().flat_map(|one| one.objects.keys()).collect();
    let mut found = Vec::new();
    for object in objects {
        let mut forms: BTreeMap<Option<&String>, Vec<&str>> = BTreeMap::new();
        for (cluster, one) in verified {
            forms.entry(one.objects.get(object)).or_default().push(cluster.as_str());
        }
        if forms.len() > 1 {
            let form = |(hash, clusters): (&Option<&String>, &Vec<&str>)| {
                let hash = hash.map_or("missing".to_owned(), |hash| hash.chars().take(12).collect());
                format!("{hash} in {}", clusters.join(", "))
            };
            found.push(format!("{object} differs: {}", forms.iter().map(form).collect::<Vec<_>>().join("; ")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::ErrorDetail;

    fn answer(release: u8, objects: &[(&str, &str)]) -> Reply {
        let objects = objects.iter().map(|(name, hash)| (name.to_string(), hash.to_string())).collect();
        let release = Some(ReleaseId([release; 32]));
        Reply::Answer(Answer::Verified(Verified { release, objects, differences: Vec::new() }))
    }

    fn check(wanted: &[(&str, u8)], replies: Vec<(&str, Reply)>) -> String {
        let wanted = wanted.iter().map(|(name, id)| (name.parse().unwrap(), ReleaseId([*id; 32]))).collect();
        let replies = replies.into_iter().map(|(name, reply)| (name.parse().unwrap(), reply)).collect();
        against(&wanted, &replies).join("\n")
    }

    #[test]
    fn only_equal_hashes_of_the_wanted_release_prove_anything() {
        let same = || answer(1, &[("service shop_web", "aa"), ("network shop_default", "bb")]);
        assert_eq!(check(&[("eu-1", 1), ("us-1", 1)], vec![("eu-1", same()), ("us-1", same())]), "");
        let other = answer(1, &[("service shop_web", "cc")]);
        assert_eq!(
            check(&[("eu-1", 1), ("us-1", 1)], vec![("eu-1", same()), ("us-1", other)]),
            "network shop_default differs: missing in us-1; bb in eu-1\n\
             service shop_web differs: aa in eu-1; cc in us-1"
        );
        let older = check(&[("eu-1", 1)], vec![("eu-1", answer(2, &[]))]);
        assert_eq!(older, "eu-1: has release 020202020202 and should have 010101010101");
        let away = ErrorDetail { code: "not_connected".into(), message: "away".into(), help: None, problems: vec![] };
        assert_eq!(check(&[("eu-1", 1)], vec![("eu-1", Reply::Error(away))]), "eu-1: away");
        assert_eq!(check(&[("eu-1", 1)], vec![]), "eu-1: no answer");
        assert_eq!(check(&[], vec![]), "no selected cluster has it", "nothing is no proof");
        let split = check(&[("eu-1", 1), ("us-1", 2)], vec![("eu-1", same()), ("us-1", answer(2, &[]))]);
        assert!(split.contains("2 different releases"), "{split}");
    }
}
