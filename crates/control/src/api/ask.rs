//! What people ask the clusters themselves: every selected agent is asked at once, and each answers, or not, for itself.
//!
//! A cluster that does not answer is a row of the answer and no failure of the request: with many clusters one of them is
//! always away.

use super::error::{Body, Named, Params};
use super::types::{Asked, ErrorDetail, NodeUpdate, PruneImages, Reply, WantedToken};
use super::{Api, ApiError, Caller};
use crate::records::{AgentIdentity, keys, list};
use crate::sessions::agents::{ASK_DEADLINE, AskError};
use axum::extract::State;
use axum::{Extension, Json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use waggle_model::ask::{Answer, ObjectKind, Question, Refusal, RefusalKind};
use waggle_model::fleet::Federation;
use waggle_model::{ClusterName, StackName};

/// Removing images takes its time.
const PRUNE_DEADLINE: Duration = Duration::from_secs(40);

pub(super) async fn services(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    params: Params,
) -> Result<Json<Asked>, ApiError> {
    params.only(&["stack"])?;
    let question = Question::Services { stack: params.parsed("stack")? };
    everywhere(&api, &caller, &params, &question, ASK_DEADLINE).await.map(Json)
}

pub(super) async fn tasks(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    params: Params,
) -> Result<Json<Asked>, ApiError> {
    params.only(&["stack", "service", "node"])?;
    let (service, node) = (params.parsed("service")?, params.parsed("node")?);
    let question = Question::Tasks { stack: params.parsed("stack")?, service, node };
    everywhere(&api, &caller, &params, &question, ASK_DEADLINE).await.map(Json)
}

pub(super) async fn nodes(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    params: Params,
) -> Result<Json<Asked>, ApiError> {
    params.only(&[])?;
    everywhere(&api, &caller, &params, &Question::Nodes, ASK_DEADLINE).await.map(Json)
}

pub(super) async fn secrets(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    params: Params,
) -> Result<Json<Asked>, ApiError> {
    params.only(&[])?;
    everywhere(&api, &caller, &params, &Question::Secrets, ASK_DEADLINE).await.map(Json)
}

pub(super) async fn configs(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    params: Params,
) -> Result<Json<Asked>, ApiError> {
    params.only(&[])?;
    everywhere(&api, &caller, &params, &Question::Configs, ASK_DEADLINE).await.map(Json)
}

pub(super) async fn inspect(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    params: Params,
) -> Result<Json<Asked>, ApiError> {
    params.only(&["kind", "name"])?;
    let kind = match params.one("kind") {
        Some("service") => ObjectKind::Service,
        Some("node") => ObjectKind::Node,
        Some("secret") => ObjectKind::Secret,
        Some("config") => ObjectKind::Config,
        Some("network") => ObjectKind::Network,
        Some("task") => ObjectKind::Task,
        _ => return Err(ApiError::invalid("kind is one of service, node, secret, config, network, task")),
    };
    let name = params.one("name").ok_or_else(|| ApiError::invalid("the name of the object is needed"))?.to_owned();
    everywhere(&api, &caller, &params, &Question::Inspect { kind, name }, ASK_DEADLINE).await.map(Json)
}

pub(super) async fn export(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Named(stack): Named<StackName>,
    params: Params,
) -> Result<Json<Asked>, ApiError> {
    params.only(&[])?;
    everywhere(&api, &caller, &params, &Question::Export { stack }, ASK_DEADLINE).await.map(Json)
}

pub(super) async fn update_node(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Named(node): Named<String>,
    params: Params,
    Body(wanted): Body<NodeUpdate>,
) -> Result<Json<Asked>, ApiError> {
    params.only(&[])?;
    tracing::info!(node, change = ?wanted.change, by = caller.name, "node update asked for");
    let question = Question::UpdateNode { node, change: wanted.change };
    everywhere(&api, &caller, &params, &question, ASK_DEADLINE).await.map(Json)
}

pub(super) async fn prune_images(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    params: Params,
    Body(wanted): Body<PruneImages>,
) -> Result<Json<Asked>, ApiError> {
    params.only(&[])?;
    tracing::info!(all = wanted.all, by = caller.name, "removal of unused images asked for");
    let question = Question::PruneImages { all: wanted.all };
    everywhere(&api, &caller, &params, &question, PRUNE_DEADLINE).await.map(Json)
}

pub(super) async fn join_token(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    params: Params,
    Body(wanted): Body<WantedToken>,
) -> Result<Json<Asked>, ApiError> {
    params.only(&[])?;
    tracing::info!(role = ?wanted.role, by = caller.name, "join token of a swarm asked for");
    everywhere(&api, &caller, &params, &Question::JoinToken { role: wanted.role }, ASK_DEADLINE).await.map(Json)
}

/// Asks every selected cluster.
pub(super) async fn everywhere(
    api: &Api,
    caller: &Caller,
    params: &Params,
    question: &Question,
    deadline: Duration,
) -> Result<Asked, ApiError> {
    let clusters = select(api, &params.clusters()).await?;
    Ok(ask(api, caller, clusters, question, deadline).await)
}

pub(super) async fn ask(
    api: &Api,
    caller: &Caller,
    clusters: BTreeSet<ClusterName>,
    question: &Question,
    deadline: Duration,
) -> Asked {
    let answers = api.sessions.agents.ask_all(clusters, question, deadline, &caller.traceparent).await;
    Asked { clusters: answers.into_iter().map(|(cluster, answer)| (cluster, reply(answer))).collect() }
}

/// Clusters by name or by `region=` or another label; all of the federation when nothing is said.
pub(super) async fn select(api: &Api, wanted: &[&str]) -> Result<BTreeSet<ClusterName>, ApiError> {
    let federation = api.load().await?.state.federation;
    let joined = list::<AgentIdentity>(&*api.store, keys::AGENTS).await?;
    let joined = joined.into_iter().map(|(_, agent)| agent.value.cluster).collect();
    selected(&federation, &joined, wanted)
}

fn selected(
    federation: &Federation,
    joined: &BTreeSet<ClusterName>,
    wanted: &[&str],
) -> Result<BTreeSet<ClusterName>, ApiError> {
    let help = "`waggle cluster ls` lists them";
    if wanted.is_empty() && federation.clusters.is_empty() {
        return Err(ApiError::not_found("the federation has no cluster yet").help("apply one with `waggle apply`"));
    }
    if wanted.is_empty() {
        return Ok(federation.clusters.keys().cloned().collect());
    }
    let mut found = BTreeSet::new();
    for selector in wanted {
        match selector.split_once('=') {
            Some((key, value)) => {
                let clusters = federation.clusters.iter().filter(|(_, cluster)| match key {
                    "region" => cluster.region.as_deref() == Some(value),
                    _ => cluster.labels.get(key).is_some_and(|label| label == value),
                });
                let clusters: Vec<_> = clusters.map(|(name, _)| name.clone()).collect();
                if clusters.is_empty() {
                    return Err(ApiError::not_found(format!("no cluster has {selector}")).help(help));
                }
                found.extend(clusters);
            }
            None => {
                let name: ClusterName = selector.parse().map_err(|error| ApiError::invalid(format!("{error}")))?;
                if !federation.clusters.contains_key(&name) && !joined.contains(&name) {
                    return Err(ApiError::not_found(format!("there is no cluster {name}")).help(help));
                }
                found.insert(name);
            }
        }
    }
    Ok(found)
}

pub(crate) fn reply(answer: Result<Answer, AskError>) -> Reply {
    match answer {
        Ok(Answer::Refused(refusal)) => Reply::Error(refused(refusal)),
        Ok(answer) => Reply::Answer(answer),
        Err(error) => Reply::Error(not_answered(&error)),
    }
}

pub(crate) fn refused(refusal: Refusal) -> ErrorDetail {
    let code = match refusal.kind {
        RefusalKind::NotFound => "not_found",
        RefusalKind::Invalid => "invalid",
        RefusalKind::Conflict => "conflict",
        RefusalKind::Unavailable => "unavailable",
    };
    ErrorDetail { code: code.into(), message: refusal.message, help: refusal.help, problems: Vec::new() }
}

pub(crate) fn not_answered(error: &AskError) -> ErrorDetail {
    let (code, help) = match error {
        AskError::NotConnected => ("not_connected", Some("`waggle cluster ls` shows since when")),
        AskError::Deadline(_) => ("deadline", None),
        AskError::Busy | AskError::Lost => ("unavailable", Some("try again in a moment")),
        AskError::TooLarge(_) => ("too_large", None),
        AskError::Answer(_) => ("internal", Some("use a control and an agent of the same version")),
    };
    ErrorDetail { code: code.into(), message: error.to_string(), help: help.map(str::to_owned), problems: Vec::new() }
}

/// Replies of clusters that control itself could give.
pub(super) fn merged(asked: Asked, own: BTreeMap<ClusterName, Reply>) -> Asked {
    let mut clusters = asked.clusters;
    clusters.extend(own);
    Asked { clusters }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_by_name_region_and_label() {
        let federation: Federation = serde_json::from_value(serde_json::json!({ "clusters": {
            "eu-1": { "region": "eu", "labels": { "tier": "a" }, "addresses": [] },
            "eu-2": { "region": "eu", "addresses": [] },
            "us-1": { "region": "us", "labels": { "tier": "a" }, "addresses": [] },
        }}))
        .unwrap();
        let joined = ["old-1".parse().unwrap()].into();
        let names = |wanted: &[&str]| match selected(&federation, &joined, wanted) {
            Ok(found) => found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            Err(error) => error.detail.message,
        };
        assert_eq!(names(&[]), "eu-1 eu-2 us-1");
        assert_eq!(names(&["region=eu"]), "eu-1 eu-2");
        assert_eq!(names(&["tier=a", "eu-2"]), "eu-1 eu-2 us-1");
        assert_eq!(names(&["old-1"]), "old-1", "joined, but not in the federation file");
        assert_eq!(names(&["region=mars"]), "no cluster has region=mars");
        assert_eq!(names(&["eu-9"]), "there is no cluster eu-9");
    }
}
