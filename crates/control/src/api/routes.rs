//! Routes as an operator sees them: the route plan, and what nameservers say about it.

use super::error::Named;
use super::types::{RouteSummary, RouteView};
use super::{Api, ApiError};
use crate::views;
use axum::Json;
use axum::extract::State;
use waggle_model::DomainName;

pub(super) async fn all(State(api): State<Api>) -> Result<Json<Vec<RouteSummary>>, ApiError> {
    let plan = api.load().await?.route_plan()?;
    let plan = plan.map(|plan| views::routes::all(&plan, &api.seen()));
    Ok(Json(plan.unwrap_or_default()))
}

pub(super) async fn one(State(api): State<Api>, Named(name): Named<DomainName>) -> Result<Json<RouteView>, ApiError> {
    let plan = api.load().await?.route_plan()?;
    let view = plan.and_then(|plan| views::routes::one(&plan, &api.seen(), &name));
    view.map(Json).ok_or_else(|| {
        ApiError::not_found(format!("there is no route {name}"))
            .help("`waggle route ls` lists them; `waggle why` explains any name")
    })
}
