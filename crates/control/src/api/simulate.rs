//! Simulations: what would happen, from what nameservers told of the recent past. Nothing is changed by them.

use super::error::Params;
use super::present::{Told, present};
use super::types::OutageView;
use super::{Api, ApiError, ask, now};
use crate::reconcile::{Seen, SeenNameserver};
use axum::Json;
use axum::extract::State;
use std::net::Ipv4Addr;
use waggle_dns::{Question, Snapshot, outage as simulate};
use waggle_model::ClusterName;
use waggle_model::outage::Basis;
use waggle_model::traffic::{QuerySamples, RouteTraffic};

/// What rates may be multiplied by.
const AT_RATE_MAX: f64 = 1000.0;
/// Clients that stand for many of whom only their order is known, each with a network of its own.
const STAND_INS: u32 = 256;
/// Rate of clients that are asked about although none asks: too little to be one.
const NO_RATE: f64 = 1e-9;

pub(super) async fn outage(State(api): State<Api>, params: Params) -> Result<Json<OutageView>, ApiError> {
    params.only(&["at_rate"])?;
    let at_rate = params.parsed::<f64>("at_rate")?.unwrap_or(1.0);
    if !(at_rate > 0.0 && at_rate <= AT_RATE_MAX) {
        return Err(ApiError::invalid(format!("at_rate is {at_rate}; it is a factor above 0, at most {AT_RATE_MAX}")));
    }
    if params.clusters().is_empty() {
        return Err(
            ApiError::invalid("name the clusters that are lost").help("as in cluster=eu-1 or cluster=region=eu")
        );
    }
    let lost = ask::select(&api, &params.clusters()).await?;
    let Some(plan) = api.load().await?.route_plan()? else {
        return Err(ApiError::not_found("there is no route plan yet").help("apply a federation first"));
    };
    let snapshot = Snapshot::compile(&plan, None, [0; 16])
        .map_err(|errors| ApiError::internal(errors.first().map(ToString::to_string).unwrap_or_default()))?;
    let seen = api.seen();
    let told_of = Told::newest(&seen);
    let present = present(&snapshot, &plan, told_of, now());
    let mut questions = questions(&snapshot, &seen);
    questions.iter_mut().for_each(|question| question.rate *= at_rate);
    let told = || sampled(&seen).filter(|(_, samples)| !samples.routes.is_empty());
    Ok(Json(OutageView {
        outage: simulate(&snapshot, &plan, &present, &questions, &lost),
        at_rate,
        samples: told().map(|(_, samples)| samples.samples).sum(),
        nameservers: told().map(|(_, samples)| samples.name.clone()).collect(),
        window_ms: told().map(|(_, samples)| samples.window_ms).max().unwrap_or(0),
        plan_generation: plan.generation,
        verdicts_of: told_of.by.cloned(),
    }))
}

/// What connected nameservers told of their samples.
fn sampled(seen: &Seen) -> impl Iterator<Item = (&SeenNameserver, &QuerySamples)> {
    let connected = seen.nameservers.values().filter(|one| one.connected);
    connected.filter_map(|one| Some((one, one.samples.as_deref()?)))
}

/// Who asks for what: by samples where a nameserver has some of a route, else by its rates, else by weights alone.
fn questions(snapshot: &Snapshot, seen: &Seen) -> Vec<Question> {
    let mut found = Vec::new();
    for one in seen.nameservers.values().filter(|one| one.connected) {
        let routes = one.samples.iter().flat_map(|samples| &samples.routes);
        for sampled in routes.clone() {
            let Some((route, known)) = snapshot.route(&sampled.route) else { continue };
            for client in &sampled.clients {
                let order = sampled.orders.get(client.order as usize).map(Vec::as_slice).unwrap_or_default();
                let (placed, rate) = (bits(known.pool(), order), client.per_second);
                found.push(Question { route, client: client.client.addr(), placed, rate, basis: Basis::Samples });
            }
        }
        let traffic = one.status.iter().flat_map(|status| &status.traffic);
        for traffic in traffic.filter(|traffic| routes.clone().all(|sampled| sampled.route != traffic.route)) {
            by_demand(snapshot, traffic, &mut found);
        }
    }
    for (route, _) in snapshot.routes().iter().enumerate() {
        if found.iter().all(|question| question.route != route) {
            stand_ins(route, &[], NO_RATE, Basis::Weights, &mut found);
        }
    }
    found
}

fn by_demand(snapshot: &Snapshot, traffic: &RouteTraffic, found: &mut Vec<Question>) {
    let Some((route, known)) = snapshot.route(&traffic.route) else { return };
    for order in &traffic.orders {
        stand_ins(route, &bits(known.pool(), &order.clusters), order.per_second, Basis::Demand, found);
    }
}

/// Clients with the same order, spread over networks.
fn stand_ins(route: usize, placed: &[u8], rate: f64, basis: Basis, found: &mut Vec<Question>) {
    for number in 0..STAND_INS {
        let client = Ipv4Addr::from(44 << 24 | number << 8).into();
        found.push(Question { route, client, placed: placed.to_vec(), rate: rate / f64::from(STAND_INS), basis });
    }
}

/// Positions of `order` in the pool; clusters that left it are passed over.
fn bits(pool: &[ClusterName], order: &[ClusterName]) -> Vec<u8> {
    order.iter().filter_map(|cluster| pool.binary_search(cluster).ok()).map(|at| at as u8).collect()
}

#[cfg(test)]
mod tests;
