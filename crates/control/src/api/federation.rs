//! The federation document.

use super::clusters::Force;
use super::error::{Body, Query};
use super::types::Applied;
use super::{Api, ApiError, Caller, now};
use crate::reconcile::{Loaded, activate};
use crate::records::{Edit, ForceRecord, keys};
use axum::extract::State;
use axum::{Extension, Json};
use waggle_dns::Snapshot;
use waggle_model::federate;
use waggle_model::fleet::Federation;
use waggle_model::fleet_state::State as Whole;

pub(super) async fn get(State(api): State<Api>) -> Result<Json<Federation>, ApiError> {
    Ok(Json(api.load().await?.state.federation))
}

pub(super) async fn put(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(Force { force }): Query<Force>,
    Body(federation): Body<Federation>,
) -> Result<Json<Applied>, ApiError> {
    for _ in 0..super::rollouts::ATTEMPTS_MAX {
        let loaded = api.load().await?;
        if !force && loaded.plan.is_some() && loaded.state.federation == federation {
            return Ok(Json(Applied { changed: false, plan_generation: loaded.plan_generation() }));
        }
        let problems = problems(&loaded, &federation);
        if !problems.is_empty() {
            return Err(ApiError::problems("the federation cannot be applied", problems));
        }
        if !force {
            super::refuse_loss(&loaded, &Whole { federation: federation.clone(), ..loaded.state.clone() })?;
        }
        let mut edit = Edit::new();
        if force {
            let reason = "the federation was applied with --force".to_owned();
            edit.put(keys::force(), &ForceRecord { by: caller.name.clone(), reason })?;
        }
        edit.expect(keys::epoch(), loaded.epoch).put(keys::federation(), &federation)?;
        edit.touch_for(&caller.did("federation applied"))?;
        if edit.commit(&*api.store).await?.is_some() {
            tracing::info!(by = caller.name, "federation applied");
            // Not needed for the effect, only to name the generation that carries it.
            let activation = activate(&*api.store, &api.seen(), now()).await;
            api.wake.now();
            let activation = activation.map_err(|error| {
                let why = waggle_daemon::tasks::chain(&error);
                ApiError::unavailable(format!(
                    "the federation is applied, but its route plan is not written yet: {why}"
                ))
                .help("control tries on; `waggle status` shows when it is done")
            })?;
            let changed = loaded.state.federation != federation || loaded.plan.is_none();
            return Ok(Json(Applied { changed, plan_generation: activation.plan_generation }));
        }
    }
    Err(ApiError::contended())
}

/// Everything wrong with it, also as nameservers would find it, and for the stacks there are.
fn problems(loaded: &Loaded, federation: &Federation) -> Vec<String> {
    let mut found: Vec<String> = federation.problems().iter().map(ToString::to_string).collect();
    let state = Whole { federation: federation.clone(), ..loaded.state.clone() };
    let (plan, problems) = federate::route_plan(&state, now());
    found.extend(problems.iter().map(ToString::to_string));
    if found.is_empty()
        && let Err(errors) = Snapshot::compile(&plan, None, [0; 16])
    {
        found.extend(errors.iter().map(ToString::to_string));
    }
    found
}
