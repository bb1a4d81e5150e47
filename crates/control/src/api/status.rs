//! The whole at a glance.

use super::types::StatusView;
use super::{Api, ApiError, clusters, now};
use crate::views;
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

pub(super) async fn version() -> Json<Value> {
    Json(json!({ "version": env!("CARGO_PKG_VERSION") }))
}

pub(super) async fn status(State(api): State<Api>) -> Result<Json<StatusView>, ApiError> {
    let (loaded, seen) = (api.load().await?, api.seen());
    let active = loaded.rollouts.values().filter(|record| !record.rollout.state.is_final());
    let rollouts = active.map(|record| views::rollout(&loaded, &seen, record, now())).collect::<Result<_, _>>()?;
    let plan = loaded.route_plan()?;
    let traffic = plan.as_ref().map(|plan| views::routes::busiest(plan, &seen)).unwrap_or_default();
    Ok(Json(StatusView {
        version: env!("CARGO_PKG_VERSION").into(),
        clusters: clusters::everything(&api, &loaded).await?,
        nameservers: views::nameservers(&loaded, &seen),
        stacks: loaded.stacks.keys().filter_map(|name| views::stack(&loaded, &seen, name)).collect(),
        rollouts,
        traffic,
        plan_generation: loaded.plan_generation(),
        attention: views::attention(&loaded, &seen, &api.problems(), now()),
    }))
}
