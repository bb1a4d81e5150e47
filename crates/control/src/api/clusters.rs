//! Clusters, nameservers and the tokens they join with.

use super::error::{Body, Named, Query};
use super::types::{ClusterView, DrainRequest, NameserverView, NewToken, TokenKind, TokenView};
use super::{Api, ApiError, Caller, now};
use crate::reconcile::{Loaded, Seen, activate};
use crate::records::{AgentIdentity, DrainRecord, Edit, ForceRecord, keys, list};
use crate::tokens::{self, TokenError};
use crate::{records, views};
use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;
use std::collections::BTreeSet;
use waggle_model::fleet_state::{OperatorDrain, State as Whole};
use waggle_model::health::Verdict;
use waggle_model::plan::PlanRoute;
use waggle_model::plan::hold::is_decision;
use waggle_model::{ClusterName, DomainName, NameserverName, Timestamp};

/// Bytes of a reason.
const REASON_BYTES_MAX: usize = 500;

pub(super) async fn new_token(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Body(wanted): Body<NewToken>,
) -> Result<Json<TokenView>, ApiError> {
    let kind = match wanted.kind {
        TokenKind::Cluster => records::TokenKind::Cluster,
        TokenKind::Nameserver => records::TokenKind::Nameserver,
    };
    if let Some(name) = &wanted.name {
        let parsed = match kind {
            records::TokenKind::Cluster => name.parse::<ClusterName>().map(|_| ()),
            records::TokenKind::Nameserver => name.parse::<NameserverName>().map(|_| ()),
        };
        parsed.map_err(|error| ApiError::invalid(error.to_string()))?;
    }
    let warnings = unlisted(&api, &wanted).await?;
    let made = tokens::create(&*api.store, &api.ca, kind, wanted.name, now()).await;
    let (token, expires_at) = made.map_err(|error| match error {
        TokenError::Store(error) => error.into(),
        TokenError::TooMany => ApiError::conflict(error.to_string()),
        other => ApiError::internal(other.to_string()),
    })?;
    tracing::info!(by = caller.name, ?kind, "join token made");
    Ok(Json(TokenView { token: token.expose(), expires_at, control: api.advertise.clone(), warnings }))
}

/// An agent may join before its cluster is applied, so a name that the federation lacks is no error.
async fn unlisted(api: &Api, wanted: &NewToken) -> Result<Vec<String>, ApiError> {
    let (TokenKind::Cluster, Some(name)) = (wanted.kind, &wanted.name) else { return Ok(Vec::new()) };
    let clusters = api.load().await?.state.federation.clusters;
    if clusters.keys().any(|cluster| cluster.as_str() == name) {
        return Ok(Vec::new());
    }
    let text = format!(
        "the federation lists no cluster {name}: nothing is deployed there until it does (`waggle apply`); if the name is \
         a mistake, make another token"
    );
    Ok(vec![text])
}

pub(super) async fn all(State(api): State<Api>) -> Result<Json<Vec<ClusterView>>, ApiError> {
    let loaded = api.load().await?;
    Ok(Json(everything(&api, &loaded).await?))
}

pub(super) async fn everything(api: &Api, loaded: &Loaded) -> Result<Vec<ClusterView>, ApiError> {
    let seen = api.seen();
    let mut names: BTreeSet<ClusterName> = loaded.state.federation.clusters.keys().cloned().collect();
    names.extend(
        list::<AgentIdentity>(&*api.store, keys::AGENTS).await?.into_iter().map(|(_, agent)| agent.value.cluster),
    );
    Ok(names.iter().map(|name| views::cluster(loaded, &seen, name)).collect())
}

pub(super) async fn one(
    State(api): State<Api>,
    Named(name): Named<ClusterName>,
) -> Result<Json<ClusterView>, ApiError> {
    let loaded = api.load().await?;
    known(&api, &loaded, &name).await?;
    Ok(Json(views::cluster(&loaded, &api.seen(), &name)))
}

async fn known(api: &Api, loaded: &Loaded, name: &ClusterName) -> Result<(), ApiError> {
    let joined = api.store.get(&keys::agent(name)).await?.is_some();
    if joined || loaded.state.federation.clusters.contains_key(name) {
        return Ok(());
    }
    Err(ApiError::not_found(format!("there is no cluster {name}")).help("`waggle cluster ls` lists them"))
}

/// Forgets the agent of a cluster, so that another swarm can join under its name.
pub(super) async fn forget(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Named(name): Named<ClusterName>,
    Query(Force { force }): Query<Force>,
) -> Result<Json<ClusterView>, ApiError> {
    if !force && api.seen().agents.get(&name).is_some_and(|agent| agent.connected) {
        return Err(ApiError::conflict(format!("the agent of {name} is connected"))
            .help("stop it first, or cut it off with force=true"));
    }
    if api.store.get(&keys::agent(&name)).await?.is_none() {
        return Err(ApiError::not_found(format!("no agent has joined for {name}")));
    }
    let mut edit = Edit::new();
    edit.delete(keys::agent(&name)).touch(&caller.traceparent)?;
    edit.commit(&*api.store).await?;
    api.sessions.agents.forget(&name);
    tracing::info!(cluster = %name, by = caller.name, "agent forgotten");
    Ok(Json(views::cluster(&api.load().await?, &api.seen(), &name)))
}

#[derive(Deserialize)]
pub(super) struct Force {
    /// Also if nobody is left to serve, if much leaves the answers at once, or while it is connected.
    #[serde(default)]
    pub(super) force: bool,
}

/// Refuses a reason that says nothing or too much.
pub(super) fn reason(text: &str) -> Result<(), ApiError> {
    if text.trim().is_empty() || text.len() > REASON_BYTES_MAX {
        let message = format!("a reason of 1 to {REASON_BYTES_MAX} bytes is needed: others will read it");
        return Err(ApiError::invalid(message));
    }
    Ok(())
}

pub(super) async fn drain(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Named(name): Named<ClusterName>,
    Query(Force { force }): Query<Force>,
    Body(wanted): Body<DrainRequest>,
) -> Result<Json<ClusterView>, ApiError> {
    reason(&wanted.reason)?;
    for _ in 0..super::rollouts::ATTEMPTS_MAX {
        let loaded = api.load().await?;
        known(&api, &loaded, &name).await?;
        let left_without = if force { Vec::new() } else { left_without(&loaded, &api.seen(), &name)? };
        if !left_without.is_empty() {
            let routes = left_without.iter().map(DomainName::to_string).collect::<Vec<_>>().join(", ");
            let message = format!("{name} is the last fit cluster of {routes}");
            let help = "bring another cluster back first, deploy the stack to one more, or drain it all the same with --force (force=true in the API)";
            return Err(ApiError::conflict(message).help(help));
        }
        let since = drained_since(&loaded, &name).unwrap_or_else(now);
        let record = DrainRecord { reason: wanted.reason.clone(), by: caller.name.clone(), since };
        let mut edit = Edit::new();
        edit.expect(keys::epoch(), loaded.epoch).put(keys::drain(&name), &record)?;
        edit.touch_for(&caller.did(format!("drain of {name}: {}", wanted.reason)))?;
        if force {
            edit.put(keys::force(), &ForceRecord { by: caller.name.clone(), reason: wanted.reason.clone() })?;
        } else {
            super::refuse_loss(&loaded, &drained(&loaded, &name, &record))?;
        }
        if edit.commit(&*api.store).await?.is_some() {
            tracing::info!(cluster = %name, by = caller.name, reason = wanted.reason, "cluster drained");
            // So that two drains in a row are two steps of the route plan, each looked at by itself.
            let _ = activate(&*api.store, &api.seen(), now()).await;
            api.wake.now();
            return Ok(Json(views::cluster(&api.load().await?, &api.seen(), &name)));
        }
    }
    Err(ApiError::contended())
}

/// Since when an operator keeps the cluster out, if so. A drain from before a hold was taken back by it.
fn drained_since(loaded: &Loaded, name: &ClusterName) -> Option<Timestamp> {
    let held = loaded.held.as_ref().map(|held| &held.hold).filter(|hold| hold.in_force(now()));
    let since = loaded.drains.get(name)?.since;
    held.is_none_or(|hold| since >= hold.since).then_some(since)
}

/// The state with one drain more.
fn drained(loaded: &Loaded, name: &ClusterName, record: &DrainRecord) -> Whole {
    let mut state = loaded.state.clone();
    let drain = OperatorDrain { reason: record.reason.clone(), by: record.by.clone(), until: None };
    state.drains.insert(name.clone(), drain);
    state
}

/// Routes that nobody fit would serve without `name` (invariant 7).
fn left_without(loaded: &Loaded, seen: &Seen, name: &ClusterName) -> Result<Vec<DomainName>, ApiError> {
    let Some(plan) = loaded.route_plan()? else { return Ok(Vec::new()) };
    let serves = |route: &PlanRoute, cluster: &ClusterName| {
        route.pool.iter().any(|endpoint| endpoint.cluster == *cluster && endpoint.drained.is_none())
            && drained_since(loaded, cluster).is_none()
    };
    let alone = |(route, planned): &(&DomainName, &PlanRoute)| {
        let others = planned.pool.iter().map(|endpoint| &endpoint.cluster).filter(|other| *other != name);
        serves(planned, name) && !others.into_iter().any(|other| serves(planned, other) && is_fit(seen, route, other))
    };
    Ok(plan.routes.iter().filter(alone).map(|(route, _)| route.clone()).collect())
}

/// Fit in the eyes of some connected nameserver and unfit in nobody's; without any nameserver nobody can say.
fn is_fit(seen: &Seen, route: &DomainName, cluster: &ClusterName) -> bool {
    let connected: Vec<_> = seen.nameservers.values().filter(|nameserver| nameserver.connected).collect();
    let verdicts: Vec<_> = connected
        .iter()
        .filter_map(|nameserver| nameserver.status.as_ref())
        .flat_map(|status| &status.verdicts)
        .filter(|verdict| verdict.route == *route && verdict.cluster == *cluster)
        .collect();
    let out = verdicts.iter().any(|said| matches!(said.verdict, Verdict::Unfit(_)) || said.gate.is_some());
    connected.is_empty() || (!out && verdicts.iter().any(|said| said.verdict == Verdict::Fit))
}

pub(super) async fn readmit(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Named(name): Named<ClusterName>,
) -> Result<Json<ClusterView>, ApiError> {
    let loaded = api.load().await?;
    known(&api, &loaded, &name).await?;
    held_out(&loaded, &name)?;
    if loaded.drains.contains_key(&name) {
        let mut edit = Edit::new();
        edit.delete(keys::drain(&name)).touch_for(&caller.did(format!("readmission of {name}")))?;
        edit.commit(&*api.store).await?;
        tracing::info!(cluster = %name, by = caller.name, "cluster readmitted");
        api.wake.now();
    }
    Ok(Json(views::cluster(&api.load().await?, &api.seen(), &name)))
}

/// An earlier plan may be in force that keeps the cluster out whatever is decided now.
fn held_out(loaded: &Loaded, name: &ClusterName) -> Result<(), ApiError> {
    let Some(held) = loaded.held.as_ref().filter(|held| held.hold.in_force(now())) else { return Ok(()) };
    let mut endpoints = held.plan.routes.values().flat_map(|route| &route.pool).filter(|one| one.cluster == *name);
    if !endpoints.any(|endpoint| endpoint.drained.as_deref().is_some_and(is_decision)) {
        return Ok(());
    }
    let (generation, by) = (held.hold.generation, &held.hold.by);
    let message = format!("{name} is out in the route plan of generation {generation}, which {by} put back in force");
    Err(ApiError::conflict(message).help("`waggle route resume` ends that; then readmit the cluster"))
}

pub(super) async fn nameservers(State(api): State<Api>) -> Result<Json<Vec<NameserverView>>, ApiError> {
    Ok(Json(views::nameservers(&api.load().await?, &api.seen())))
}

/// Forgets a nameserver that will not come back: rollouts no longer wait for it.
pub(super) async fn forget_nameserver(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Named(name): Named<NameserverName>,
    Query(Force { force }): Query<Force>,
) -> Result<Json<Vec<NameserverView>>, ApiError> {
    if !force && api.seen().nameservers.get(&name).is_some_and(|nameserver| nameserver.connected) {
        return Err(ApiError::conflict(format!("nameserver {name} is connected"))
            .help("stop it first, or cut it off with force=true"));
    }
    if api.store.get(&keys::nameserver(&name)).await?.is_none() {
        return Err(ApiError::not_found(format!("there is no nameserver {name}")));
    }
    let mut edit = Edit::new();
    edit.delete(keys::nameserver(&name)).touch_for(&caller.did(format!("removal of nameserver {name}")))?;
    edit.commit(&*api.store).await?;
    api.wake.now();
    Ok(Json(views::nameservers(&api.load().await?, &api.seen())))
}
