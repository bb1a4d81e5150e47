//! Writing a decision, in as few transactions as the limits allow.
//!
//! Each is conditional on the epoch and moves it, so a second reconciler that planned from the same state writes
//! nothing. The order is that of cause and effect; a crash in between leaves a state from which the same decision
//! follows.

use super::decide::Decision;
use super::steer;
use super::{ActivateError, Loaded};
use crate::deploy::unnamed;
use crate::records::{Edit, RolloutRecord, keys, list};
use crate::store::{Key, OPS_MAX, Result, Store, envelope};
use bytes::Bytes;
use waggle_model::StackName;
use waggle_model::release::Release;

/// Operations of one transaction, with room for the epoch. Few in tests, so that there are many places between two
/// commits.
const CHUNK_OPS: usize = if cfg!(test) { 2 } else { OPS_MAX - 8 };
/// Bytes of one transaction, unless a single document is larger.
const CHUNK_BYTES: usize = 16 * 1024 * 1024;

/// `false`: something had changed; nothing more was written.
pub(super) async fn commit(
    store: &dyn Store,
    loaded: &Loaded,
    decision: &Decision,
) -> std::result::Result<bool, ActivateError> {
    if decision.is_empty() {
        return Ok(true);
    }
    for record in decision.rollouts.values() {
        let rollout = &record.rollout;
        tracing::info!(rollout = rollout.id, stack = %rollout.stack, state = %rollout.state, "rollout moves");
    }
    let mut writes = puts(store, decision).await?;
    for stack in &decision.forgotten {
        writes.extend(deletes(store, stack).await?.into_iter().map(|write| vec![write]));
    }
    let mut epoch = loaded.epoch;
    for chunk in chunks(writes) {
        let mut edit = Edit::new();
        edit.expect(keys::epoch(), epoch).touch_for(&loaded.newest)?;
        for (key, value) in chunk {
            match value {
                Some(value) => edit.put_bytes(key, value),
                None => edit.delete(key),
            };
        }
        match edit.commit(store).await? {
            Some(rev) => epoch = Some(rev),
            None => return Ok(false),
        }
    }
    Ok(true)
}

/// What a key gets; `None`: it goes.
type Write = (Key, Option<Bytes>);

/// Each list is written in one transaction.
async fn puts(store: &dyn Store, decision: &Decision) -> Result<Vec<Vec<Write>>> {
    let mut writes = Vec::new();
    for (id, record) in &decision.rollouts {
        writes.push(vec![(keys::rollout(*id), Some(envelope::seal(record)?))]);
    }
    for (name, stack) in &decision.stacks {
        writes.push(vec![(keys::stack(name), Some(envelope::seal(stack)?))]);
    }
    if let Some(plan) = &decision.plan {
        writes.push(steer::writes(store, plan, decision.entry.as_ref()).await?);
    }
    if decision.hold_over {
        writes.push(vec![(keys::held_plan(), None)]);
    }
    if decision.force_spent {
        writes.push(vec![(keys::force(), None)]);
    }
    for (cluster, desired) in &decision.desired {
        writes.push(vec![(keys::desired(cluster), Some(desired.seal()?))]);
    }
    Ok(writes)
}

/// Everything that is kept about a stack, secrets included; its own record last, so that a crash in between is found
/// again.
async fn deletes(store: &dyn Store, stack: &StackName) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    for (_, found) in list::<RolloutRecord>(store, keys::ROLLOUTS).await? {
        if found.value.rollout.stack == *stack {
            writes.push((keys::rollout(found.value.rollout.id), None));
        }
    }
    let releases = list::<Release>(store, keys::RELEASES).await?.into_iter().map(|(_, found)| found.value);
    let (gone, kept): (Vec<_>, Vec<_>) = releases.partition(|release| release.body.stack == *stack);
    writes.extend(unnamed(&gone, &kept).into_iter().map(|name| (keys::payload(&name), None)));
    writes.extend(gone.iter().map(|release| (keys::release(&release.id), None)));
    writes.push((keys::stack(stack), None));
    Ok(writes)
}

fn chunks(writes: Vec<Vec<Write>>) -> Vec<Vec<Write>> {
    let mut chunks: Vec<Vec<Write>> = Vec::new();
    let mut bytes = 0;
    for together in writes {
        let length = together.iter().filter_map(|write| write.1.as_ref()).map(Bytes::len).sum::<usize>();
        match chunks.last_mut() {
            Some(last) if last.len() + together.len() <= CHUNK_OPS && bytes + length <= CHUNK_BYTES => {
                last.extend(together);
                bytes += length;
            }
            _ => {
                chunks.push(together);
                bytes = length;
            }
        }
    }
    chunks
}
