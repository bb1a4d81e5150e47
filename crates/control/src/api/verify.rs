//! The proof that clusters run the same: each looks at its own swarm and hashes what it finds, object by object.

use super::ask::{ask, select};
use super::error::Params;
use super::types::{ProofRollout, Reply, StackProof, VerifyView};
use super::{Api, ApiError, Caller};
use axum::extract::State;
use axum::{Extension, Json};
use futures_util::stream::{StreamExt, iter};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use waggle_model::ask::{Answer, ObjectChange, Question, Verb, Verified};
use waggle_model::fleet_state::StackState;
use waggle_model::release::ReleaseId;
use waggle_model::rollout::State as RolloutState;
use waggle_model::{ClusterName, StackName};

const VERIFY_DEADLINE: Duration = Duration::from_secs(15);
/// Fields named of one object; the rest is counted.
const FIELDS_SHOWN: usize = 5;
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
    let meant = loaded.state.stacks.iter().filter(|(name, _)| only.as_ref().is_none_or(|only| only == *name));
    let proofs = meant.map(|(name, state)| one(&api, &caller, name.clone(), Told::of(state, &clusters)));
    let stacks = iter(proofs.collect::<Vec<_>>()).buffer_unordered(STACKS_AT_ONCE).collect::<Vec<_>>().await;
    Ok(Json(VerifyView { stacks: stacks.into_iter().collect() }))
}

/// What the clusters were told of one stack.
#[derive(Default)]
struct Told {
    releases: BTreeMap<ClusterName, ReleaseId>,
    rollout: Option<ProofRollout>,
}

impl Told {
    fn of(stack: &StackState, clusters: &BTreeSet<ClusterName>) -> Told {
        let release = |cluster: &ClusterName| Some((cluster.clone(), stack.wanted(cluster).release?));
        let rollout = stack.active().map(|rollout| {
            let moving = !matches!(rollout.state, RolloutState::Held { .. });
            let busy =
                rollout.clusters.iter().filter(|(name, progress)| clusters.contains(*name) && progress.is_under_way());
            ProofRollout {
                id: rollout.id,
                release: rollout.release,
                state: rollout.state.to_string(),
                moving,
                under_way: busy.filter(|_| moving).map(|(name, _)| name.clone()).collect(),
            }
        });
        Told { releases: clusters.iter().filter_map(release).collect(), rollout }
    }

    fn is_under_way(&self, cluster: &ClusterName) -> bool {
        self.rollout.as_ref().is_some_and(|rollout| rollout.under_way.contains(cluster))
    }
}

async fn one(api: &Api, caller: &Caller, stack: StackName, told: Told) -> (StackName, StackProof) {
    let question = Question::Verify { stack: stack.clone() };
    let clusters: BTreeSet<ClusterName> = told.releases.keys().cloned().collect();
    let asked = ask(api, caller, clusters, &question, VERIFY_DEADLINE).await;
    let against = against(&told, &asked.clusters);
    let proven = against.is_empty() && told.rollout.is_none();
    let Told { releases, rollout } = told;
    (stack, StackProof { proven, against, rollout, releases, clusters: asked.clusters })
}

/// Everything that speaks against all these clusters running what they were told, and the same where it is the same
/// release. A cluster that is being updated is on its way from one to the other, so nothing is expected of it yet.
fn against(told: &Told, replies: &BTreeMap<ClusterName, Reply>) -> Vec<String> {
    let mut found = Vec::new();
    let mut verified: BTreeMap<&ReleaseId, BTreeMap<&ClusterName, &Verified>> = BTreeMap::new();
    for (cluster, release) in &told.releases {
        match replies.get(cluster) {
            Some(Reply::Answer(Answer::Verified(_))) if told.is_under_way(cluster) => {}
            Some(Reply::Answer(Answer::Verified(answer))) => {
                if answer.release != Some(*release) {
                    let other = answer.release.map_or("none".to_owned(), |id| id.short());
                    found.push(format!("{cluster}: has release {other} and should have {}", release.short()));
                }
                found.extend(answer.differences.iter().map(|change| format!("{cluster}: {}", different(change))));
                verified.entry(release).or_default().insert(cluster, answer);
            }
            Some(Reply::Error(error)) => found.push(format!("{cluster}: {}", error.message)),
            _ => found.push(format!("{cluster}: no answer")),
        }
    }
    if told.releases.is_empty() && told.rollout.as_ref().is_none_or(|rollout| !rollout.moving) {
        found.push("no selected cluster has it".to_owned());
    }
    match &told.rollout {
        Some(rollout) if rollout.moving => {}
        Some(rollout) => found.push(format!("rollout {} is {}", rollout.id, rollout.state)),
        None if verified.len() > 1 => found.push(format!("clusters have {} different releases", verified.len())),
        None => {}
    }
    verified.values().for_each(|of_release| found.extend(unlike(of_release)));
    found
}

/// One object that is not as told, with the fields in which it is not.
fn different(change: &ObjectChange) -> String {
    let object = format!("{} {}", change.what, change.name);
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "(none)".to_owned());
    // A change says what would be written; here it is told what was found.
    let fields = change.fields.iter().take(FIELDS_SHOWN);
    let fields: Vec<String> =
        fields.map(|field| format!("{} is {}, not {}", field.field, value(&field.from), value(&field.to))).collect();
    let more = change.fields.len().saturating_sub(FIELDS_SHOWN);
    match (change.verb, fields.is_empty()) {
        (Verb::Create, _) => format!("{object} is missing"),
        (Verb::Remove, _) => format!("{object} is not in the release"),
        (_, true) => format!("{object} is not as released"),
        (_, false) if more > 0 => format!("{object}: {}; and {more} more fields", fields.join("; ")),
        (_, false) => format!("{object}: {}", fields.join("; ")),
    }
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
        changed(release, objects, Vec::new())
    }

    fn changed(release: u8, objects: &[(&str, &str)], differences: Vec<ObjectChange>) -> Reply {
        let objects = objects.iter().map(|(name, hash)| (name.to_string(), hash.to_string())).collect();
        let release = Some(ReleaseId([release; 32]));
        Reply::Answer(Answer::Verified(Verified { release, objects, differences, overridden: Vec::new() }))
    }

    fn check_during(rollout: Option<ProofRollout>, wanted: &[(&str, u8)], replies: Vec<(&str, Reply)>) -> String {
        let releases = wanted.iter().map(|(name, id)| (name.parse().unwrap(), ReleaseId([*id; 32]))).collect();
        let replies = replies.into_iter().map(|(name, reply)| (name.parse().unwrap(), reply)).collect();
        against(&Told { releases, rollout }, &replies).join("\n")
    }

    fn check(wanted: &[(&str, u8)], replies: Vec<(&str, Reply)>) -> String {
        check_during(None, wanted, replies)
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
        assert_eq!(split, "clusters have 2 different releases");
    }

    #[test]
    fn what_was_changed_by_hand_is_told_field_by_field() {
        let change: ObjectChange = serde_json::from_value(serde_json::json!({ "verb": "update", "what": "service",
            "name": "shop_web", "restarts": false,
            "fields": [{ "field": "deploy.replicas", "from": "5", "to": "1", "restarts": false },
                       { "field": "environment.TZ", "from": null, "to": "UTC", "restarts": true }] }))
        .unwrap();
        let gone = ObjectChange { verb: Verb::Create, fields: Vec::new(), name: "shop_api".into(), ..change.clone() };
        let found = check(&[("eu-1", 1)], vec![("eu-1", changed(1, &[], vec![change, gone]))]);
        let want = "eu-1: service shop_web: deploy.replicas is 5, not 1; environment.TZ is (none), not UTC\n\
                    eu-1: service shop_api is missing";
        assert_eq!(found, want);
    }

    #[test]
    fn during_a_rollout_clusters_are_held_to_what_each_was_told() {
        let rollout = |moving, under_way: &[&str]| ProofRollout {
            id: 7,
            release: ReleaseId([2; 32]),
            state: if moving { "running" } else { "held: us-1 failed" }.into(),
            moving,
            under_way: under_way.iter().map(|name| name.parse().unwrap()).collect(),
        };
        let old = || answer(1, &[("service shop_web", "aa")]);
        let new = || answer(2, &[("service shop_web", "bb")]);
        let told = [("ap-1", 1), ("eu-1", 2), ("us-1", 2)];
        let replies = |us| vec![("ap-1", old()), ("eu-1", new()), ("us-1", us)];
        assert_eq!(check_during(Some(rollout(true, &["us-1"])), &told, replies(old())), "");
        // One that is not being updated must have what it was told, and the same as others of its release.
        let late = check_during(Some(rollout(true, &[])), &told, replies(old()));
        assert!(late.contains("us-1: has release 010101010101 and should have 020202020202"), "{late}");
        let other = check_during(Some(rollout(true, &[])), &told, replies(answer(2, &[("service shop_web", "cc")])));
        assert_eq!(other, "service shop_web differs: bb in eu-1; cc in us-1");
        let held = check_during(Some(rollout(false, &[])), &told, replies(new()));
        assert_eq!(held, "rollout 7 is held: us-1 failed");
    }
}
