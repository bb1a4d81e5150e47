//! Stacks.

use super::ask::select;
use super::error::{Body, Named, Params};
use super::types::{AdoptRequest, DeployRequest, Deployed, Planned, RollbackRequest, StackServices, StackView};
use super::{Api, ApiError, Caller, now};
use crate::deploy::adopt::adoption;
use crate::records::{Edit, Removing, RolloutRecord, Stack, keys};
use crate::{deploy as deploying, views};
use axum::extract::State;
use axum::{Extension, Json};
use std::collections::BTreeMap;
use waggle_model::StackName;
use waggle_model::rollout::State as RolloutState;

pub(super) async fn deploy(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Named(stack): Named<StackName>,
    Body(request): Body<DeployRequest>,
) -> Result<Json<Deployed>, ApiError> {
    let deployed = deploying::deploy(&api.store, &api.vault, &api.sessions, &caller, stack, request, now()).await?;
    api.wake.now();
    Ok(Json(deployed))
}

/// What a deploy would do in each cluster; nothing is stored.
pub(super) async fn plan(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Named(stack): Named<StackName>,
    params: Params,
    Body(request): Body<DeployRequest>,
) -> Result<Json<Planned>, ApiError> {
    params.only(&[])?;
    let clusters = select(&api, &params.clusters()).await?;
    let planned = deploying::plan(&api.store, &api.sessions, &caller, clusters, stack, request, now()).await?;
    Ok(Json(planned))
}

pub(super) async fn rollback(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Named(stack): Named<StackName>,
    Body(request): Body<RollbackRequest>,
) -> Result<Json<Deployed>, ApiError> {
    let deployed = deploying::rollback(&*api.store, &caller, &stack, request.release.as_deref(), now()).await?;
    api.wake.now();
    Ok(Json(deployed))
}

pub(super) async fn plan_adoption(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Named(stack): Named<StackName>,
    Body(request): Body<AdoptRequest>,
) -> Result<Json<Planned>, ApiError> {
    let clusters = select(&api, &[]).await?;
    let adoption = adoption(&api.store, &api.sessions, &caller, &stack, &request.from, now()).await?;
    Ok(Json(adoption.plan(&api.sessions, &caller, clusters).await))
}

pub(super) async fn adopt(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Named(stack): Named<StackName>,
    Body(request): Body<AdoptRequest>,
) -> Result<Json<Deployed>, ApiError> {
    let adoption = adoption(&api.store, &api.sessions, &caller, &stack, &request.from, now()).await?;
    let deployed = adoption.deploy(&api.store, &api.vault, &caller, request.release, now()).await?;
    api.wake.now();
    Ok(Json(deployed))
}

pub(super) async fn all(State(api): State<Api>) -> Result<Json<Vec<StackView>>, ApiError> {
    let (loaded, seen) = (api.load().await?, api.seen());
    Ok(Json(loaded.stacks.keys().filter_map(|name| views::stack(&loaded, &seen, name)).collect()))
}

pub(super) async fn services(
    State(api): State<Api>,
    Named(name): Named<StackName>,
) -> Result<Json<StackServices>, ApiError> {
    let mut found = observed(&api, &name).await?;
    let services = found.clusters.values_mut().flat_map(|services| services.values_mut());
    services.for_each(|service| service.tasks.clear());
    Ok(Json(found))
}

pub(super) async fn tasks(
    State(api): State<Api>,
    Named(name): Named<StackName>,
) -> Result<Json<StackServices>, ApiError> {
    observed(&api, &name).await.map(Json)
}

async fn observed(api: &Api, name: &StackName) -> Result<StackServices, ApiError> {
    let loaded = api.load().await?;
    if !loaded.stacks.contains_key(name) {
        return Err(no_stack(name));
    }
    let seen = api.seen();
    let clusters = loaded.state.federation.clusters.keys();
    let observed_at = clusters.clone().filter_map(|cluster| {
        let (observed, _) = seen.agent(cluster).1?;
        Some((cluster.clone(), observed.at))
    });
    let clusters = clusters.map(|cluster| {
        let stack = seen.agent(cluster).1.and_then(|(observed, _)| observed.stacks.get(name));
        (cluster.clone(), stack.map(|stack| stack.services.clone()).unwrap_or_default())
    });
    Ok(StackServices { observed_at: observed_at.collect(), clusters: clusters.collect::<BTreeMap<_, _>>() })
}

fn no_stack(name: &StackName) -> ApiError {
    ApiError::not_found(format!("there is no stack {name}")).help("`waggle stack ls` lists them")
}

/// Answers at once; the stack leaves the answers, then the swarms, then the list.
pub(super) async fn remove(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Named(name): Named<StackName>,
) -> Result<Json<StackView>, ApiError> {
    for _ in 0..super::rollouts::ATTEMPTS_MAX {
        let loaded = api.load().await?;
        let record = loaded.stacks.get(&name).ok_or_else(|| no_stack(&name))?;
        let view = || views::stack(&loaded, &api.seen(), &name).ok_or_else(|| no_stack(&name));
        if record.removing.is_some() {
            return Ok(Json(view()?));
        }
        let removing = Some(Removing { since: now(), by: caller.name.clone(), withdrawn: false });
        let mut edit = Edit::new();
        edit.expect(keys::epoch(), loaded.epoch);
        edit.put(keys::stack(&name), &Stack { removing, ..record.clone() })?;
        let rollout = record.rollout.and_then(|id| loaded.rollouts.get(&id));
        if let Some(record) = rollout
            && !record.rollout.state.is_final()
        {
            let mut record: RolloutRecord = record.clone();
            record.rollout.state = RolloutState::Aborted { by: format!("{} (stack removed)", caller.name) };
            edit.put(keys::rollout(record.rollout.id), &record)?;
        }
        edit.touch_for(&caller.did(format!("removal of stack {name}")))?;
        if edit.commit(&*api.store).await?.is_some() {
            tracing::info!(stack = %name, by = caller.name, "stack is being removed");
            api.wake.now();
            return Ok(Json(StackView { removing: true, rollout: None, ..view()? }));
        }
    }
    Err(ApiError::contended())
}
