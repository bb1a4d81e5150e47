//! What is to be written next. Pure.

use super::removal::{self, Removal};
use super::steer;
use super::succession::{self, WAY_OUT};
use super::{ActivateError, Activation, Loaded, Seen};
use crate::records::{KeptPlan, NOTES_KEPT, NoteRecord, RolloutRecord, Stack, Stored, document::content_of};
use crate::store::Rev;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use waggle_dns::Snapshot;
use waggle_model::desired::Desired;
use waggle_model::fleet_state::State;
use waggle_model::plan::RoutePlan;
use waggle_model::rollout::{Facts, plan::plan};
use waggle_model::{ClusterName, StackName, Timestamp, federate};
use waggle_wire::document::canonical;

/// Records that must change, and what to say about it.
#[derive(Clone, Debug, Default)]
pub(super) struct Decision {
    pub(super) rollouts: BTreeMap<u64, RolloutRecord>,
    pub(super) stacks: BTreeMap<StackName, Stack>,
    pub(super) plan: Option<Stored>,
    /// What is written down about that plan.
    pub(super) entry: Option<KeptPlan>,
    /// The time is over for which an earlier plan was held.
    pub(super) hold_over: bool,
    pub(super) desired: BTreeMap<ClusterName, Stored>,
    /// Gone from every cluster: their records go.
    pub(super) forgotten: BTreeSet<StackName>,
    /// The operator's word was for this look and no other.
    pub(super) force_spent: bool,
    pub(super) activation: Activation,
}

pub(super) fn decide(loaded: &Loaded, seen: &Seen, now: Timestamp) -> Result<Decision, ActivateError> {
    let mut decision = Decision::default();
    let mut state = loaded.state.clone();
    advance_rollouts(loaded, seen, now, &mut state, &mut decision)?;
    let removals = advance_removals(loaded, seen, now, &mut decision);
    let without = |withdrawn: bool| {
        let mut state = state.clone();
        let leaves = |name: &StackName| removals.get(name).is_some_and(|removal| !withdrawn || removal.withdrawn());
        state.stacks.retain(|name, _| !leaves(name));
        state
    };
    decision.hold_over = loaded.held.is_some() && steer::hold(loaded, now).is_none();
    write_plan(loaded, &state, &without(false), now, &mut decision)?;
    decision.force_spent = loaded.force.is_some();
    write_desired(loaded, &without(true), &mut decision)?;
    let plan = decision.plan.as_ref().or(loaded.plan.as_ref());
    decision.activation.plan_generation = plan.map(|plan| plan.generation).unwrap_or_default();
    decision.activation.committed = !decision.is_empty();
    Ok(decision)
}

impl Decision {
    pub(super) fn is_empty(&self) -> bool {
        self.rollouts.is_empty()
            && self.stacks.is_empty()
            && self.plan.is_none()
            && !self.hold_over
            && self.desired.is_empty()
            && self.forgotten.is_empty()
            && !self.force_spent
    }
}

fn advance_rollouts(
    loaded: &Loaded,
    seen: &Seen,
    now: Timestamp,
    state: &mut State,
    decision: &mut Decision,
) -> Result<(), ActivateError> {
    let active: Vec<StackName> =
        state.stacks.iter().filter(|(_, stack)| stack.active().is_some()).map(|(name, _)| name.clone()).collect();
    let routed = if active.is_empty() { None } else { loaded.route_plan()? };
    for name in active {
        let facts = Facts::gather(
            state,
            &name,
            |cluster| seen.agent(cluster),
            |nameserver| Some(seen.nameserver(nameserver)),
            routed.as_ref(),
            now,
        );
        let Some(stack) = state.stacks.get_mut(&name) else { continue };
        let Some(rollout) = stack.rollout.as_ref() else { continue };
        let (next, report) = plan(rollout, &facts, now);
        decision.activation.under_way |= !next.state.is_final();
        if let Some(record) = loaded.rollouts.get(&next.id)
            && next != record.rollout
        {
            let mut record = RolloutRecord { rollout: next.clone(), ..record.clone() };
            let notes = report.notes.iter().map(|note| NoteRecord { at: now, text: note.to_string() });
            record.notes.extend(notes);
            record.notes.drain(..record.notes.len().saturating_sub(NOTES_KEPT));
            decision.rollouts.insert(next.id, record);
        }
        let ended = next.state.is_final();
        stack.rollout = Some(next);
        if ended {
            stack.settle();
            if let Some(record) = loaded.stacks.get(&name)
                && record.settled != stack.settled
            {
                let record = Stack { settled: stack.settled.clone(), ..record.clone() };
                decision.stacks.insert(name, record);
            }
        }
        decision.activation.reports.push(report);
    }
    Ok(())
}

fn advance_removals(
    loaded: &Loaded,
    seen: &Seen,
    now: Timestamp,
    decision: &mut Decision,
) -> BTreeMap<StackName, Removal> {
    let mut removals = BTreeMap::new();
    for (name, stack) in &loaded.stacks {
        let Some(removing) = &stack.removing else { continue };
        decision.activation.under_way = true;
        let removal = removal::next(loaded, seen, name, removing, now);
        match &removal {
            Removal::Gone => {
                decision.forgotten.insert(name.clone());
                decision.stacks.remove(name);
            }
            Removal::Withdrawn if !removing.withdrawn => {
                let mut record = decision.stacks.get(name).unwrap_or(stack).clone();
                record.removing.iter_mut().for_each(|removing| removing.withdrawn = true);
                decision.stacks.insert(name.clone(), record);
            }
            Removal::Withdrawn | Removal::Serving => {}
        }
        removals.insert(name.clone(), removal);
    }
    removals
}

/// `whole` holds the stacks on their way out as well, `state` does not.
fn write_plan(
    loaded: &Loaded,
    whole: &State,
    state: &State,
    now: Timestamp,
    decision: &mut Decision,
) -> Result<(), ActivateError> {
    let (built, problems) = federate::route_plan(state, now);
    decision.activation.problems.extend(problems.iter().map(ToString::to_string));
    if state.federation.clusters.is_empty() && loaded.plan.is_none() {
        return Ok(());
    }
    let built = steer::in_force(loaded, state, built, now);
    let content = content_of(&canonical(&built)?);
    // Nameservers that refused the plan as it is take it once somebody means it.
    if loaded.force.is_none() && loaded.plan.as_ref().is_some_and(|plan| plan.content == content) {
        return Ok(());
    }
    let generation = loaded.plan_generation().next();
    let built = RoutePlan { generation, issued: now, ..built };
    // Nameservers would refuse it and keep the last; it must not even be told to them.
    if let Err(errors) = Snapshot::compile(&built, None, [0; 16]) {
        decision
            .activation
            .problems
            .extend(errors.iter().map(|error| format!("the route plan is not written: {error}")));
        return Ok(());
    }
    let built = match succession::after(loaded, whole, built)? {
        Ok(built) => built,
        Err(lost) => {
            decision.activation.problems.push(format!("the route plan is not written: {lost}; {WAY_OUT}"));
            return Ok(());
        }
    };
    let traceparent = traceparent(loaded, decision);
    let json = Bytes::from(canonical(&built)?);
    let before = loaded.route_plan()?;
    decision.entry = Some(steer::entry(loaded, decision, before.as_ref(), &built, json.len()));
    decision.plan = Some(Stored { generation, content, traceparent, json, rev: Rev(0) });
    Ok(())
}

fn write_desired(loaded: &Loaded, state: &State, decision: &mut Decision) -> Result<(), ActivateError> {
    for cluster in state.federation.clusters.keys() {
        let built = federate::desired(cluster, state);
        let content = content_of(&canonical(&built)?);
        if loaded.desired.get(cluster).is_some_and(|desired| desired.content == content) {
            continue;
        }
        let generation = loaded.desired_generation(cluster).next();
        let json = canonical(&Desired { generation, ..built })?.into();
        let traceparent = traceparent(loaded, decision);
        decision.desired.insert(cluster.clone(), Stored { generation, content, traceparent, json, rev: Rev(0) });
    }
    Ok(())
}

/// Of the rollout that moves, else of the newest change.
fn traceparent(loaded: &Loaded, decision: &Decision) -> String {
    let moving = decision.rollouts.values().next_back().map(|record| &record.traceparent);
    let active = loaded.rollouts.values().rfind(|record| !record.rollout.state.is_final());
    moving.or(active.map(|record| &record.traceparent)).unwrap_or(&loaded.newest.traceparent).clone()
}
