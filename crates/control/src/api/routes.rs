//! Routes as an operator sees them: the route plan, and what nameservers say about it.

use super::clusters::reason;
use super::error::{Body, Named};
use super::types::{ForceRequest, RouteSummary, RouteView, UnforceRequest};
use super::{Api, ApiError, Caller, now};
use crate::reconcile::{Loaded, activate};
use crate::records::{Edit, FORCED_VERDICTS_MAX, keys};
use crate::views;
use axum::extract::State;
use axum::{Extension, Json};
use waggle_model::health::forced::{FORCED_MAX, Forced};
use waggle_model::{ClusterName, DomainName};

pub(super) async fn all(State(api): State<Api>) -> Result<Json<Vec<RouteSummary>>, ApiError> {
    let plan = api.load().await?.route_plan()?;
    let plan = plan.map(|plan| views::routes::all(&plan, &api.seen()));
    Ok(Json(plan.unwrap_or_default()))
}

pub(super) async fn one(State(api): State<Api>, Named(name): Named<DomainName>) -> Result<Json<RouteView>, ApiError> {
    let plan = api.load().await?.route_plan()?;
    let view = plan.and_then(|plan| views::routes::one(&plan, &api.seen(), &name));
    view.map(Json).ok_or_else(|| no_route(&name))
}

fn no_route(name: &DomainName) -> ApiError {
    ApiError::not_found(format!("there is no route {name}"))
        .help("`waggle route ls` lists them; `waggle why` explains any name")
}

/// Sets a verdict over what is observed, for a time.
pub(super) async fn force(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Named(name): Named<DomainName>,
    Body(wanted): Body<ForceRequest>,
) -> Result<Json<RouteView>, ApiError> {
    reason(&wanted.reason)?;
    if wanted.duration.is_zero() || wanted.duration > FORCED_MAX {
        let days = FORCED_MAX.as_secs() / 86_400;
        return Err(ApiError::invalid(format!("a verdict can be forced for up to {days} days, not for ever"))
            .help("say for how long; force it again when that is over"));
    }
    for _ in 0..super::rollouts::ATTEMPTS_MAX {
        let loaded = api.load().await?;
        pooled(&loaded, &name, &wanted.cluster)?;
        let verdicts =
            loaded.state.forced.iter().flat_map(|(route, clusters)| clusters.iter().map(move |one| (route, one)));
        let (held, over): (Vec<_>, Vec<_>) = verdicts.partition(|(_, (_, forced))| forced.holds(now()));
        let others = held.iter().filter(|(route, (cluster, _))| (*route, *cluster) != (&name, &wanted.cluster));
        if others.count() >= FORCED_VERDICTS_MAX {
            return Err(ApiError::conflict(format!("{FORCED_VERDICTS_MAX} verdicts are forced already"))
                .help("lift some with `waggle route unforce`"));
        }
        let (fit, until) = (wanted.fit, now().after(wanted.duration));
        let forced = Forced { fit, reason: wanted.reason.clone(), by: caller.name.clone(), until };
        let mut edit = Edit::new();
        edit.expect(keys::epoch(), loaded.epoch);
        // The new one takes the place of its own predecessor: no key may occur twice.
        let others = over.into_iter().filter(|(route, (cluster, _))| (*route, *cluster) != (&name, &wanted.cluster));
        for (route, (cluster, _)) in others.take(FORGOTTEN_AT_ONCE) {
            edit.delete(keys::forced(route, cluster));
        }
        let word = if fit { "fit" } else { "unfit" };
        let did = caller.did(format!("{} forced {word} for {name}: {}", wanted.cluster, wanted.reason));
        edit.put(keys::forced(&name, &wanted.cluster), &forced)?.touch_for(&did)?;
        if edit.commit(&*api.store).await?.is_some() {
            tracing::info!(route = %name, cluster = %wanted.cluster, by = caller.name, fit, "verdict forced");
            return changed(api, name).await;
        }
    }
    Err(ApiError::contended())
}

/// Lets the evidence count again.
pub(super) async fn unforce(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Named(name): Named<DomainName>,
    Body(wanted): Body<UnforceRequest>,
) -> Result<Json<RouteView>, ApiError> {
    let loaded = api.load().await?;
    let known = loaded.state.forced.get(&name).is_some_and(|clusters| clusters.contains_key(&wanted.cluster));
    if !known {
        pooled(&loaded, &name, &wanted.cluster)?;
    } else {
        let mut edit = Edit::new();
        let did = caller.did(format!("{} no longer forced for {name}", wanted.cluster));
        edit.delete(keys::forced(&name, &wanted.cluster)).touch_for(&did)?;
        edit.commit(&*api.store).await?;
        tracing::info!(route = %name, cluster = %wanted.cluster, by = caller.name, "verdict no longer forced");
    }
    changed(api, name).await
}

/// Verdicts that are over and go with a new one.
const FORGOTTEN_AT_ONCE: usize = 50;

fn pooled(loaded: &Loaded, name: &DomainName, cluster: &ClusterName) -> Result<(), ApiError> {
    let plan = loaded.route_plan()?.unwrap_or_default();
    let route = plan.routes.get(name).ok_or_else(|| no_route(name))?;
    let clusters: Vec<_> = route.pool.iter().map(|endpoint| endpoint.cluster.to_string()).collect();
    if clusters.iter().any(|known| known == cluster.as_str()) {
        return Ok(());
    }
    Err(ApiError::not_found(format!("route {name} has no cluster {cluster}"))
        .help(format!("it has {}", clusters.join(", "))))
}

/// The route as the plan has it now that something was changed.
async fn changed(api: Api, name: DomainName) -> Result<Json<RouteView>, ApiError> {
    let _ = activate(&*api.store, &api.seen(), now()).await;
    api.wake.now();
    one(State(api), Named(name)).await
}
