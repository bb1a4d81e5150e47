//! Why a client gets the answer it gets: the nameservers' own engine, run here on the same plan with the newest
//! verdicts.

use super::error::Query;
use super::present::{Told, present};
use super::types::WhyView;
use super::{Api, ApiError, now};
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;
use waggle_dns::{Basis, Explanation, Outcome, Snapshot, explain};
use waggle_model::health::Verdict;
use waggle_model::plan::{EndpointVerdict, RoutePlan};
use waggle_model::{ClusterName, DomainName};

const A: u16 = 1;
const AAAA: u16 = 28;
const HTTPS: u16 = 65;

#[derive(Deserialize)]
pub(super) struct Question {
    name: DomainName,
    client: IpAddr,
    #[serde(rename = "type")]
    kind: Option<String>,
    /// The address comes from a client subnet (RFC 7871); else it is that of the resolver.
    #[serde(default)]
    ecs: bool,
}

pub(super) async fn why(State(api): State<Api>, Query(question): Query<Question>) -> Result<Json<WhyView>, ApiError> {
    let kind = match question.kind.as_deref().map(str::to_ascii_uppercase).as_deref() {
        None | Some("A") => A,
        Some("AAAA") => AAAA,
        Some("HTTPS") => HTTPS,
        Some(other) => {
            return Err(ApiError::invalid(format!("type {other} is not chosen per client")).help("A, AAAA or HTTPS"));
        }
    };
    let loaded = api.load().await?;
    let Some(plan) = loaded.route_plan()? else {
        return Err(ApiError::not_found("there is no route plan yet").help("apply a federation first"));
    };
    let snapshot = Snapshot::compile(&plan, None, [0; 16])
        .map_err(|errors| ApiError::internal(errors.first().map(ToString::to_string).unwrap_or_default()))?;
    let seen = api.seen();
    let told = Told::newest(&seen);
    let health = present(&snapshot, &plan, told, now()).health;
    let deciding = snapshot.routes().iter().map(|route| route.name()).filter(|name| covers(name, &question.name));
    let deciding = deciding.max_by_key(|name| (*name == &question.name, name.labels().count()));
    let reasons = deciding.map(|route| reasons(&plan, told.verdicts, route)).unwrap_or_default();
    let explanation = explain(&snapshot, &health, &question.name, kind, question.client, question.ecs, &reasons);
    let text = text(&explanation, question.ecs);
    let json = serde_json::to_value(&explanation).map_err(|error| ApiError::internal(error.to_string()))?;
    let nameserver = told.by.cloned();
    Ok(Json(WhyView { explanation: json, text, plan_generation: plan.generation, nameserver }))
}

fn covers(route: &DomainName, name: &DomainName) -> bool {
    let below = route.as_str().strip_prefix("*.").and_then(|zone| zone.parse::<DomainName>().ok());
    route == name || below.is_some_and(|zone| name.is_within(&zone) && *name != zone)
}

fn reasons(plan: &RoutePlan, verdicts: &[EndpointVerdict], route: &DomainName) -> BTreeMap<ClusterName, String> {
    let mut reasons = BTreeMap::new();
    for verdict in verdicts.iter().filter(|verdict| verdict.route == *route) {
        if let Verdict::Unfit(why) = &verdict.verdict {
            reasons.insert(verdict.cluster.clone(), why.clone());
            continue;
        }
        let gate = verdict.gate.as_ref().map(ToString::to_string);
        let limited = verdict.limited.as_ref().map(ToString::to_string);
        let probed = verdict.probe_ms.filter(|_| verdict.probe_up == Some(true)).map(|ms| format!("probed in {ms} ms"));
        let known: Vec<_> = gate.into_iter().chain(limited).chain(probed).collect();
        if !known.is_empty() {
            reasons.insert(verdict.cluster.clone(), known.join("; "));
        }
    }
    for endpoint in plan.routes.get(route).into_iter().flat_map(|route| &route.pool) {
        if let Some(forced) = endpoint.forced.as_ref().filter(|forced| forced.holds(now())) {
            reasons.insert(endpoint.cluster.clone(), forced.to_string());
        }
        if let Some(why) = &endpoint.drained {
            reasons.insert(endpoint.cluster.clone(), format!("drained: {why}"));
        }
    }
    reasons
}

/// What put the clusters in their order.
fn order(basis: Basis) -> &'static str {
    match basis {
        Basis::ClientMap => "in the client map, which orders the clusters",
        Basis::Location => "nearest location first",
        Basis::Region => "its region's clusters first",
        Basis::Weight => "not in the client map, place unknown: its share by the clusters' weights",
        Basis::Share => "its share by the route's weights",
        Basis::Fixed => "the route's failover order, the same for every client",
    }
}

fn text(explanation: &Explanation, ecs: bool) -> String {
    let kind = match explanation.kind {
        AAAA => "AAAA",
        HTTPS => "HTTPS",
        _ => "A",
    };
    let mut text = format!("{} {kind}: ", explanation.name);
    let Some(decided) = &explanation.decided else {
        text += match explanation.outcome {
            Outcome::Routed | Outcome::Static => "fixed records, the same for everybody",
            Outcome::Referral => "delegated to other nameservers",
            Outcome::NoData => "the name exists, but has no such record",
            Outcome::NxDomain => "there is no such name",
            Outcome::Refused => "outside of the federation's zones",
        };
        return text;
    };
    let answer: Vec<_> = decided.answer.iter().map(ToString::to_string).collect();
    let service = decided.service.as_ref().map(|service| format!("{service}, hints ")).unwrap_or_default();
    let _ = writeln!(text, "{service}{} (ttl {} s)", answer.join(", "), decided.ttl);
    let _ = writeln!(text, "client {}: {}", decided.client.address, order(decided.basis));
    let (scope, prefix) = (decided.scope, decided.client.prefix);
    let _ = match scope {
        _ if !ecs => Ok(()),
        0 => writeln!(text, "scope /0: every client gets this answer now"),
        scope if scope == prefix.prefix_len() => writeln!(text, "scope /{scope}: all of {prefix} gets this answer now"),
        scope => writeln!(text, "scope /{scope}: all within that prefix get this answer now"),
    };
    if decided.all_down {
        let _ = writeln!(text, "no cluster is fit: the route's last resort is answered");
    }
    for entry in &decided.pool {
        let mark = if entry.answered {
            "→"
        } else if entry.kept {
            "·"
        } else {
            "✗"
        };
        let _ = writeln!(text, "  {mark} {}: {}", entry.cluster, entry.why);
    }
    text
}
