//! The last route plans, and putting one of them back in force for a time.

use super::error::{Body, Named, Query};
use super::types::{Applied, PlanView, PlansView, RevertRequest, Reverted};
use super::{Api, ApiError, Caller, now};
use crate::reconcile::{Loaded, activate, in_force};
use crate::records::{Edit, ForceRecord, HeldPlan, KeptPlan, PLANS_KEPT, PlanLog, Stored, get, keys};
use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;
use std::time::Duration;
use waggle_dns::Snapshot;
use waggle_model::plan::RoutePlan;
use waggle_model::plan::changes::{Change, changes};
use waggle_model::plan::hold::Hold;
use waggle_model::{DomainName, Generation, Timestamp, federate};

/// How long an earlier plan stays in force: unless said otherwise, at least and at most.
const HOLD: Duration = Duration::from_secs(3600);
const HOLD_MIN: Duration = Duration::from_secs(1);
const HOLD_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Deserialize)]
pub(super) struct Which {
    /// Only plans that changed something for this route.
    route: Option<DomainName>,
}

#[derive(Deserialize)]
pub(super) struct How {
    /// Only say what it would change.
    #[serde(default)]
    dry_run: bool,
    /// Also if it takes much away from users at once.
    #[serde(default)]
    force: bool,
}

pub(super) async fn all(
    State(api): State<Api>,
    Query(Which { route }): Query<Which>,
) -> Result<Json<PlansView>, ApiError> {
    let loaded = api.load().await?;
    let plan = loaded.route_plan()?;
    let stack = route.as_ref().and_then(|route| Some(plan.as_ref()?.routes.get(route)?.stack.clone()));
    let concerns = |change: &Change| route.as_ref().is_none_or(|route| change.concerns(route, stack.as_ref()));
    let told = |plan: &KeptPlan| PlanView {
        generation: plan.generation,
        issued_at: plan.at,
        by: plan.by.clone(),
        what: plan.what.clone(),
        traceparent: plan.traceparent.clone(),
        held: plan.held,
        changes: plan.changes.iter().filter(|change| concerns(change)).map(ToString::to_string).collect(),
        more: plan.more,
        kept: plan.bytes > 0,
    };
    let newest_first = log(&api).await?.plans.into_iter().rev().map(|plan| told(&plan));
    let plans = newest_first.filter(|plan| route.is_none() || plan.more > 0 || !plan.changes.is_empty()).collect();
    Ok(Json(PlansView { hold: held_now(&loaded), plans }))
}

async fn log(api: &Api) -> Result<PlanLog, ApiError> {
    Ok(get::<PlanLog>(&*api.store, &keys::plan_log()).await?.map(|found| found.value).unwrap_or_default())
}

fn held_now(loaded: &Loaded) -> Option<Hold> {
    loaded.state.hold.clone().filter(|hold| hold.in_force(now()))
}

pub(super) async fn revert(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Named(generation): Named<u64>,
    Query(How { dry_run, force }): Query<How>,
    Body(wanted): Body<RevertRequest>,
) -> Result<Json<Reverted>, ApiError> {
    super::clusters::reason(&wanted.reason)?;
    let time = wanted.for_ms.map_or(HOLD, Duration::from_millis);
    if !(HOLD_MIN..=HOLD_MAX).contains(&time) {
        return Err(ApiError::invalid("an earlier plan can be put back in force for 1 s to 7 days"));
    }
    let (generation, by) = (Generation(generation), caller.name.clone());
    let plan = kept(&api, generation).await?;
    for _ in 0..super::rollouts::ATTEMPTS_MAX {
        let (loaded, since) = (api.load().await?, now());
        let reason = wanted.reason.clone();
        let hold = Hold { generation, by: by.clone(), reason, since, until: since.after(time) };
        let record = HeldPlan { hold: hold.clone(), plan: plan.clone() };
        let changes = would_change(&loaded, &record, since)?;
        if dry_run {
            return Ok(Json(Reverted { hold, plan_generation: loaded.plan_generation(), changes }));
        }
        let mut edit = Edit::new();
        if force {
            edit.put(keys::force(), &ForceRecord { by: by.clone(), reason: wanted.reason.clone() })?;
        } else {
            let then = with_held(&loaded, Some(record.clone()));
            super::refuse_loss(&then, &then.state)?;
        }
        edit.expect(keys::epoch(), loaded.epoch).put(keys::held_plan(), &record)?;
        edit.touch_for(&caller.did(format!("back to generation {generation}: {}", wanted.reason)))?;
        if edit.commit(&*api.store).await?.is_some() {
            tracing::info!(%generation, by, reason = wanted.reason, "an earlier route plan is put back in force");
            let plan_generation = write_plan(&api).await?;
            return Ok(Json(Reverted { hold, plan_generation, changes }));
        }
    }
    Err(ApiError::contended())
}

async fn kept(api: &Api, generation: Generation) -> Result<RoutePlan, ApiError> {
    let log = log(api).await?;
    let no_such = || {
        let message = format!("the route plan of generation {generation} is not kept");
        let help = match (log.plans.first(), log.plans.last()) {
            (Some(first), Some(last)) => format!(
                "kept are the last {PLANS_KEPT}, now {} to {}; `waggle route history` lists them",
                first.generation, last.generation
            ),
            _ => "there is none yet".to_owned(),
        };
        ApiError::not_found(message).help(help)
    };
    let entry = log.get(generation).ok_or_else(no_such)?;
    if entry.bytes == 0 {
        return Err(ApiError::conflict(format!("the route plan of generation {generation} was too large to be kept")));
    }
    let stored = api.store.get(&keys::kept_plan(generation)).await?.ok_or_else(no_such)?;
    let read = serde_json::from_slice(&Stored::open(&stored)?.json);
    read.map_err(|error| ApiError::internal(format!("the plan of generation {generation} cannot be read: {error}")))
}

fn with_held(loaded: &Loaded, held: Option<HeldPlan>) -> Loaded {
    Loaded { held, ..loaded.clone() }
}

/// What putting it in force changes for users, unless nameservers could not answer from it.
fn would_change(loaded: &Loaded, record: &HeldPlan, now: Timestamp) -> Result<Vec<String>, ApiError> {
    let mut then = with_held(loaded, Some(record.clone()));
    then.state.stacks.retain(|name, _| loaded.stacks.get(name).is_some_and(|stack| stack.removing.is_none()));
    let (built, _) = federate::route_plan(&then.state, now);
    let plan = in_force(&then, &then.state, built, now);
    if let Err(errors) = Snapshot::compile(&plan, None, [0; 16]) {
        let what =
            format!("the route plan of generation {} does not fit the federation any more", record.hold.generation);
        return Err(ApiError::problems(&what, errors.iter().map(ToString::to_string).collect()));
    }
    Ok(changes(loaded.route_plan()?.as_ref(), &plan).iter().map(ToString::to_string).collect())
}

/// Not needed for the effect, only to name the generation that carries it.
async fn write_plan(api: &Api) -> Result<Generation, ApiError> {
    let activation = activate(&*api.store, &api.seen(), now()).await;
    api.wake.now();
    let activation = activation.map_err(|error| {
        let why = waggle_daemon::tasks::chain(&error);
        ApiError::unavailable(format!("it is accepted, but the route plan is not written yet: {why}"))
            .help("control tries on; `waggle route history` shows when it is done")
    })?;
    Ok(activation.plan_generation)
}

/// Ends the hold: plans follow from clusters and releases again.
pub(super) async fn resume(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(How { force, .. }): Query<How>,
) -> Result<Json<Applied>, ApiError> {
    for _ in 0..super::rollouts::ATTEMPTS_MAX {
        let loaded = api.load().await?;
        let Some(hold) = held_now(&loaded) else {
            return Ok(Json(Applied { changed: false, plan_generation: loaded.plan_generation() }));
        };
        let mut edit = Edit::new();
        if force {
            let reason = format!("generation {} is no longer held", hold.generation);
            edit.put(keys::force(), &ForceRecord { by: caller.name.clone(), reason })?;
        } else {
            let then = with_held(&loaded, None);
            super::refuse_loss(&then, &then.state)?;
        }
        edit.expect(keys::epoch(), loaded.epoch).delete(keys::held_plan());
        edit.touch_for(&caller.did(format!("generation {} is no longer held", hold.generation)))?;
        if edit.commit(&*api.store).await?.is_some() {
            tracing::info!(by = caller.name, "the route plan follows clusters and releases again");
            return Ok(Json(Applied { changed: true, plan_generation: write_plan(&api).await? }));
        }
    }
    Err(ApiError::contended())
}
