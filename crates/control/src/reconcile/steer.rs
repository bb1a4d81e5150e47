//! What stands between the plan that follows from the state and the one that nameservers get: an earlier plan put back in
//! force by a person; and what is written down about each plan, so that a person can go back to it.

use super::Loaded;
use super::decide::Decision;
use crate::records::{Epoch, KeptPlan, PlanLog, Stored, get, keys};
use crate::store::{Key, Result, Store, envelope};
use bytes::Bytes;
use waggle_model::Timestamp;
use waggle_model::fleet_state::State;
use waggle_model::plan::RoutePlan;
use waggle_model::plan::changes::changes;
use waggle_model::plan::hold::{Hold, held};

/// The hold at this time, if there is one.
pub(super) fn hold(loaded: &Loaded, now: Timestamp) -> Option<&Hold> {
    loaded.held.as_ref().map(|held| &held.hold).filter(|hold| hold.in_force(now))
}

/// The plan to be in force: what was built, or what is held.
pub(crate) fn in_force(loaded: &Loaded, state: &State, built: RoutePlan, now: Timestamp) -> RoutePlan {
    let Some(kept) = loaded.held.as_ref().filter(|held| held.hold.in_force(now)) else { return built };
    let stacks = state.stacks.keys().cloned().collect();
    let since = loaded.drains.iter().filter(|(_, drain)| drain.since >= kept.hold.since);
    let drained = since.map(|(cluster, drain)| (cluster.clone(), drain.reason.clone())).collect();
    let mut forced = state.forced.clone();
    forced.values_mut().for_each(|clusters| clusters.retain(|_, forced| forced.holds(now)));
    held(&kept.plan, &built, &stacks, &drained, &forced)
}

/// What is written down about `plan`, which takes the place of `before`.
pub(super) fn entry(
    loaded: &Loaded,
    decision: &Decision,
    before: Option<&RoutePlan>,
    plan: &RoutePlan,
    bytes: usize,
) -> KeptPlan {
    let why = why(loaded, decision, before, plan);
    KeptPlan {
        generation: plan.generation,
        at: plan.issued,
        by: why.by,
        what: why.what,
        traceparent: why.traceparent,
        held: hold(loaded, plan.issued).map(|hold| hold.generation),
        changes: changes(before, plan),
        more: 0,
        bytes,
    }
}

/// The rollout that moves, the end of a hold or of a forced verdict, else the newest change.
fn why(loaded: &Loaded, decision: &Decision, before: Option<&RoutePlan>, plan: &RoutePlan) -> Epoch {
    if let Some(record) = decision.rollouts.values().next_back() {
        let rollout = &record.rollout;
        let what = format!("rollout {} of {} to {}", rollout.id, rollout.stack, rollout.release.short());
        return Epoch { traceparent: record.traceparent.clone(), by: record.author.clone(), what };
    }
    if let Some(held) = loaded.held.as_ref().filter(|_| decision.hold_over) {
        let what = format!("the time ran out for which the plan of generation {} was held", held.hold.generation);
        return Epoch { what, ..Epoch::default() };
    }
    let over = before.and_then(|before| forced_no_more(before, plan));
    over.map_or_else(|| loaded.newest.clone(), |what| Epoch { what, ..Epoch::default() })
}

/// A forced verdict of the plan before whose time is over, in words.
fn forced_no_more(before: &RoutePlan, plan: &RoutePlan) -> Option<String> {
    let endpoints = before.routes.iter().flat_map(|(name, route)| route.pool.iter().map(move |one| (name, one)));
    let mut forced = endpoints.filter_map(|(name, one)| Some((name, &one.cluster, one.forced.as_ref()?)));
    let (name, cluster, forced) = forced.find(|(name, cluster, forced)| {
        let now = plan.routes.get(*name).and_then(|route| route.pool.iter().find(|one| one.cluster == **cluster));
        !forced.holds(plan.issued) && now.is_some_and(|now| now.forced.is_none())
    })?;
    let word = if forced.fit { "fit" } else { "unfit" };
    Some(format!("the time ran out for which {cluster} was forced {word} for {name}"))
}

/// The plan, its entry in the list, and what goes for it: to be written together.
pub(super) async fn writes(
    store: &dyn Store,
    plan: &Stored,
    entry: Option<&KeptPlan>,
) -> Result<Vec<(Key, Option<Bytes>)>> {
    let sealed = plan.seal()?;
    let mut writes = vec![(keys::plan(), Some(sealed.clone()))];
    let Some(entry) = entry else { return Ok(writes) };
    let mut log = get::<PlanLog>(store, &keys::plan_log()).await?.map(|found| found.value).unwrap_or_default();
    let gone = log.add(entry.clone());
    if log.get(plan.generation).is_some_and(|kept| kept.bytes > 0) {
        writes.push((keys::kept_plan(plan.generation), Some(sealed)));
    }
    writes.extend(gone.into_iter().map(|generation| (keys::kept_plan(generation), None)));
    writes.push((keys::plan_log(), Some(envelope::seal(&log)?)));
    Ok(writes)
}
