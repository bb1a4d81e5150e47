//! Rollouts, and what people may ask of them.

use super::error::{Named, Query};
use super::types::RolloutView;
use super::{Api, ApiError, Caller, now};
use crate::records::{Edit, RolloutRecord, get, keys, list};
use crate::views;
use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;
use waggle_model::rollout::{Refused, Rollout};

/// Attempts at a commit that others' writes keep overtaking.
pub(super) const ATTEMPTS_MAX: usize = 16;

#[derive(Deserialize)]
pub(super) struct Filter {
    /// Also those that are final.
    #[serde(default)]
    all: bool,
}

/// Newest first.
pub(super) async fn all(
    State(api): State<Api>,
    Query(filter): Query<Filter>,
) -> Result<Json<Vec<RolloutView>>, ApiError> {
    let (loaded, seen) = (api.load().await?, api.seen());
    let records: Vec<RolloutRecord> = if filter.all {
        list(&*api.store, keys::ROLLOUTS).await?.into_iter().map(|(_, found)| found.value).collect()
    } else {
        loaded.rollouts.values().filter(|record| !record.rollout.state.is_final()).cloned().collect()
    };
    let views = records.iter().rev().map(|record| views::rollout(&loaded, &seen, record, now()));
    Ok(Json(views.collect::<Result<_, _>>()?))
}

pub(super) async fn one(State(api): State<Api>, Named(id): Named<u64>) -> Result<Json<RolloutView>, ApiError> {
    view(&api, id).await.map(Json)
}

pub(super) async fn view(api: &Api, id: u64) -> Result<RolloutView, ApiError> {
    let loaded = api.load().await?;
    let record = get::<RolloutRecord>(&*api.store, &keys::rollout(id)).await?.ok_or_else(|| no_rollout(id))?;
    Ok(views::rollout(&loaded, &api.seen(), &record.value, now())?)
}

fn no_rollout(id: u64) -> ApiError {
    ApiError::not_found(format!("there is no rollout {id}")).help("`waggle rollout ls --all` lists them")
}

pub(super) async fn pause(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Named(id): Named<u64>,
) -> Result<Json<RolloutView>, ApiError> {
    command(&api, &caller, id, "pause", |rollout| rollout.pause(&caller.name)).await
}

pub(super) async fn resume(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Named(id): Named<u64>,
) -> Result<Json<RolloutView>, ApiError> {
    command(&api, &caller, id, "resume", Rollout::resume).await
}

pub(super) async fn abort(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Named(id): Named<u64>,
) -> Result<Json<RolloutView>, ApiError> {
    command(&api, &caller, id, "abort", |rollout| rollout.abort(&caller.name)).await
}

async fn command(
    api: &Api,
    caller: &Caller,
    id: u64,
    what: &'static str,
    change: impl Fn(&Rollout) -> Result<Rollout, Refused>,
) -> Result<Json<RolloutView>, ApiError> {
    for _ in 0..ATTEMPTS_MAX {
        let key = keys::rollout(id);
        let found = get::<RolloutRecord>(&*api.store, &key).await?.ok_or_else(|| no_rollout(id))?;
        let next = change(&found.value.rollout).map_err(|refused| ApiError::conflict(refused.to_string()))?;
        if next == found.value.rollout {
            return view(api, id).await.map(Json);
        }
        let mut edit = Edit::new();
        let record = RolloutRecord { rollout: next, ..found.value };
        edit.expect(key.clone(), Some(found.rev))
            .put(key, &record)?
            .touch_for(&caller.did(format!("{what} of rollout {id}")))?;
        if edit.commit(&*api.store).await?.is_some() {
            tracing::info!(rollout = id, by = caller.name, "{what}");
            api.wake.now();
            return view(api, id).await.map(Json);
        }
    }
    Err(ApiError::contended())
}
