//! Changes of services: those of a stack of the federation through its desired state, any other through the agents.

use super::ask::{ask, merged, select};
use super::error::{Body, Named, Params};
use super::types::{Asked, ErrorDetail, Reply, Scale};
use super::{Api, ApiError, Caller};
use crate::reconcile::{Loaded, Seen};
use crate::records::{Edit, keys};
use crate::sessions::agents::ASK_DEADLINE;
use axum::extract::State;
use axum::{Extension, Json};
use std::collections::{BTreeMap, BTreeSet};
use waggle_model::ask::{Answer, Question, ServiceChange};
use waggle_model::observed::Phase;
use waggle_model::rollout::{Rollout, State as RolloutState};
use waggle_model::{ClusterName, StackName};
use waggle_stack::Objects;

/// Replicas of one service: what is more is a slip of the finger.
const REPLICAS_MAX: u64 = 10_000;

pub(super) async fn scale(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Named(service): Named<String>,
    params: Params,
    Body(wanted): Body<Scale>,
) -> Result<Json<Asked>, ApiError> {
    if wanted.replicas > REPLICAS_MAX {
        return Err(ApiError::invalid(format!("{} replicas, at most {REPLICAS_MAX} are allowed", wanted.replicas)));
    }
    change(&api, &caller, &service, &params, ServiceChange::Scale(wanted.replicas)).await
}

pub(super) async fn force(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Named(service): Named<String>,
    params: Params,
) -> Result<Json<Asked>, ApiError> {
    change(&api, &caller, &service, &params, ServiceChange::Force).await
}

pub(super) async fn rollback(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Named(service): Named<String>,
    params: Params,
) -> Result<Json<Asked>, ApiError> {
    change(&api, &caller, &service, &params, ServiceChange::Rollback).await
}

async fn change(
    api: &Api,
    caller: &Caller,
    service: &str,
    params: &Params,
    change: ServiceChange,
) -> Result<Json<Asked>, ApiError> {
    params.only(&[])?;
    let clusters = select(api, &params.clusters()).await?;
    let own = overridden(api, caller, service, &clusters, change).await?;
    let others: BTreeSet<ClusterName> = clusters.into_iter().filter(|cluster| !own.contains_key(cluster)).collect();
    let question = Question::UpdateService { service: service.to_owned(), change };
    let asked = ask(api, caller, others, &question, ASK_DEADLINE).await;
    tracing::info!(service, ?change, by = caller.name, "service change asked for");
    Ok(Json(merged(asked, own)))
}

/// Writes the change for every cluster where the service belongs to a stack of the federation, in one commit; says what
/// became of it there.
async fn overridden(
    api: &Api,
    caller: &Caller,
    service: &str,
    clusters: &BTreeSet<ClusterName>,
    change: ServiceChange,
) -> Result<BTreeMap<ClusterName, Reply>, ApiError> {
    for _ in 0..super::rollouts::ATTEMPTS_MAX {
        let (loaded, seen) = (api.load().await?, api.seen());
        let mut stacks = BTreeMap::new();
        let mut replies = BTreeMap::new();
        for cluster in clusters {
            let Some(managed) = managed(&loaded, cluster, service) else { continue };
            let refusal = managed.refusal(&loaded, service, change).or_else(|| managed.failed(&loaded, &seen, cluster));
            let reply = match refusal {
                Some(refusal) => Reply::Error(refusal),
                None => {
                    let Some(record) = loaded.stacks.get(&managed.stack) else { continue };
                    let record = stacks.entry(managed.stack.clone()).or_insert_with(|| record.clone());
                    let services = record.overrides.entry(cluster.clone()).or_default();
                    let one = services.entry(managed.key.clone()).or_default();
                    let done = match change {
                        ServiceChange::Scale(replicas) => {
                            one.replicas = Some(replicas);
                            format!("service {service} is scaled to {replicas} until the next release")
                        }
                        _ => {
                            one.force = one.force.saturating_add(1);
                            format!("service {service} restarts its tasks")
                        }
                    };
                    Reply::Answer(Answer::Done(done))
                }
            };
            replies.insert(cluster.clone(), reply);
        }
        if stacks.is_empty() {
            return Ok(replies);
        }
        let mut edit = Edit::new();
        edit.expect(keys::epoch(), loaded.epoch);
        for (name, record) in &stacks {
            edit.put(keys::stack(name), record)?;
        }
        edit.touch(&caller.traceparent)?;
        if edit.commit(&*api.store).await?.is_some() {
            api.wake.now();
            return Ok(replies);
        }
    }
    Err(ApiError::contended())
}

/// A service of a release.
struct Managed {
    stack: StackName,
    /// As in the file.
    key: String,
    mode: &'static str,
}

fn managed(loaded: &Loaded, cluster: &ClusterName, service: &str) -> Option<Managed> {
    loaded.state.stacks.iter().find_map(|(stack, state)| {
        let body = state.releases.get(&state.wanted(cluster).release?)?;
        let objects = Objects::from_json(&body.objects).ok()?;
        let (key, spec) = objects.services.iter().find(|(_, spec)| spec.name == service)?;
        Some(Managed { stack: stack.clone(), key: key.clone(), mode: spec.mode.name() })
    })
}

impl Managed {
    fn refusal(&self, loaded: &Loaded, service: &str, change: ServiceChange) -> Option<ErrorDetail> {
        let stack = &self.stack;
        let removing = loaded.stacks.get(stack).is_some_and(|record| record.removing.is_some());
        let detail = |code: &str, message: String, help: Option<String>| {
            Some(ErrorDetail { code: code.into(), message, help, problems: Vec::new() })
        };
        match change {
            _ if removing => detail("conflict", format!("stack {stack} is being removed"), None),
            ServiceChange::Rollback => {
                let message = format!("service {service} belongs to stack {stack}, which is rolled back as a whole");
                detail("conflict", message, Some(format!("`waggle stack rollback {stack}`")))
            }
            ServiceChange::Scale(_) if self.mode != "replicated" => {
                let message = format!("a service of mode {} has no number of replicas to change", self.mode);
                detail("invalid", message, None)
            }
            _ => None,
        }
    }

    /// An agent holds still after a failure until it is given another attempt: what was changed meanwhile would have no
    /// effect, and then one at an unexpected time.
    fn failed(&self, loaded: &Loaded, seen: &Seen, cluster: &ClusterName) -> Option<ErrorDetail> {
        let (stack, state) = (&self.stack, loaded.state.stacks.get(&self.stack)?);
        let observed = seen.agent(cluster).1.and_then(|(observed, _)| observed.stacks.get(stack))?;
        let Phase::Failed(why) = &observed.phase else { return None };
        if observed.attempt != state.wanted(cluster).attempt {
            return None;
        }
        let help = match state.active() {
            Some(Rollout { id, state: RolloutState::Held { .. }, .. }) => format!(
                "`waggle rollout resume {id}` tries it again, `waggle rollout abort {id}` or `waggle stack rollback {stack}` \
                 goes back"
            ),
            Some(Rollout { id, .. }) => format!("rollout {id} is under way; `waggle rollout show {id}` tells how far"),
            None => format!("deploy it again, or go back with `waggle stack rollback {stack}`"),
        };
        let message = format!("nothing of stack {stack} is changed in this cluster until it is tried again: {why}");
        Some(ErrorDetail { code: "conflict".into(), message, help: Some(help), problems: Vec::new() })
    }
}
