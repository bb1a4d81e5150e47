//! Writing a release and beginning its rollout.

use super::check::against_federation;
use crate::api::{ApiError, Caller};
use crate::reconcile::{Loaded, load};
use crate::records::{Counter, Edit, RolloutRecord, Stack, get, keys};
use crate::store::Store;
use crate::vault::Vault;
use waggle_model::release::{Release, ReleaseId};
use waggle_model::rollout::{Begin, Rollout, State, begin};
use waggle_model::{StackName, Timestamp};
use zeroize::Zeroizing;

const ATTEMPTS_MAX: usize = 16;
/// Bytes of payloads written at once.
const CHUNK_BYTES: usize = 8 * 1024 * 1024;
/// Payloads written at once.
const CHUNK_OPS: usize = 64;

/// What became of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub stack: StackName,
    pub release: ReleaseId,
    pub rollout: u64,
    /// It already runs everywhere.
    pub unchanged: bool,
}

pub(super) async fn payloads(
    store: &dyn Store,
    vault: &Vault,
    payloads: &[Zeroizing<Vec<u8>>],
) -> Result<(), ApiError> {
    let (mut edit, mut bytes) = (Edit::new(), 0);
    for clear in payloads {
        let (name, sealed) = vault.seal(clear).map_err(|error| ApiError::internal(error.to_string()))?;
        if edit.len() >= CHUNK_OPS || bytes + sealed.len() > CHUNK_BYTES {
            std::mem::take(&mut edit).commit(store).await?;
            bytes = 0;
        }
        bytes += sealed.len();
        edit.put_bytes(keys::payload(&name), sealed);
    }
    if !edit.is_empty() {
        edit.commit(store).await?;
    }
    Ok(())
}

/// Stores a release whose images are pinned, and its rollout, in one commit, unless it already runs everywhere or is on
/// its way. An older rollout that is not final is superseded.
pub async fn release(
    store: &dyn Store,
    caller: &Caller,
    release: Release,
    now: Timestamp,
) -> Result<Written, ApiError> {
    for _ in 0..ATTEMPTS_MAX {
        let loaded = load(store).await?;
        let problems = against_federation(&loaded, &release.body);
        if !problems.is_empty() {
            return Err(ApiError::problems(&format!("stack {} cannot be deployed", release.body.stack), problems));
        }
        let written =
            |rollout, unchanged| Written { stack: release.body.stack.clone(), release: release.id, rollout, unchanged };
        match standing(&loaded, &release) {
            Standing::Everywhere(rollout) => return Ok(written(rollout, true)),
            Standing::OnItsWay(rollout) => return Ok(written(rollout, false)),
            Standing::New => {}
        }
        // Read after the epoch: a removal that takes them away moves it, and this is looked at again.
        for name in &release.body.payloads {
            if store.get(&keys::payload(name)).await?.is_none() {
                let message = "a secret or config was removed with another stack at the same time";
                return Err(ApiError::conflict(message).help("deploy again"));
            }
        }
        let counter = get::<Counter>(store, &keys::rollout_counter()).await?;
        let id = counter.map_or(0, |counter| counter.value.last) + 1;
        let edit = edit(&loaded, caller, &release, id, now)?;
        if edit.commit(store).await?.is_some() {
            tracing::info!(stack = %release.body.stack, release = release.id.short(), rollout = id, by = caller.name, "deploy");
            return Ok(written(id, false));
        }
    }
    Err(ApiError::contended())
}

enum Standing {
    Everywhere(u64),
    OnItsWay(u64),
    New,
}

fn standing(loaded: &Loaded, release: &Release) -> Standing {
    let Some(stack) = loaded.state.stacks.get(&release.body.stack) else { return Standing::New };
    let Some(rollout) = stack.rollout.as_ref().filter(|rollout| rollout.release == release.id) else {
        return Standing::New;
    };
    let mut clusters = loaded.state.federation.clusters.keys();
    match rollout.state {
        State::Running | State::Paused { .. } => Standing::OnItsWay(rollout.id),
        State::Done if clusters.all(|cluster| stack.wanted(cluster).release == Some(release.id)) => {
            Standing::Everywhere(rollout.id)
        }
        _ => Standing::New,
    }
}

fn edit(loaded: &Loaded, caller: &Caller, release: &Release, id: u64, now: Timestamp) -> Result<Edit, ApiError> {
    let name = &release.body.stack;
    let mut stack = loaded.state.stacks.get(name).cloned().unwrap_or_default();
    stack.settle();
    let older = stack.rollout.as_ref();
    let rollout: Rollout = begin(Begin {
        id,
        stack: name.clone(),
        release: release.id,
        promotion: release.body.promotion.clone(),
        clusters: loaded.state.federation.clusters.keys().cloned().collect(),
        settled: &stack.settled,
        older,
        now,
    });
    let mut edit = Edit::new();
    edit.expect(keys::epoch(), loaded.epoch);
    if let Some(older) = older
        && !older.state.is_final()
        && let Some(record) = loaded.rollouts.get(&older.id)
    {
        let superseded = RolloutRecord { rollout: older.supersede(id), ..record.clone() };
        edit.put(keys::rollout(older.id), &superseded)?;
    }
    if !loaded.releases.contains_key(&release.id) {
        edit.put(keys::release(&release.id), release)?;
    }
    let (author, traceparent) = (caller.name.clone(), caller.traceparent.clone());
    edit.put(keys::rollout(id), &RolloutRecord { rollout, author, traceparent, notes: Vec::new() })?;
    edit.put(keys::stack(name), &Stack { settled: stack.settled, rollout: Some(id), removing: None })?;
    edit.put(keys::rollout_counter(), &Counter { last: id })?;
    edit.touch(&caller.traceparent)?;
    Ok(edit)
}
