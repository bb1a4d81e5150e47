//! Writing a release and beginning its rollout.

use super::check::against_federation;
use crate::api::{ApiError, Caller};
use crate::reconcile::{Loaded, load};
use crate::records::{Counter, Edit, RolloutRecord, Stack, get, keys};
use crate::store::Store;
use crate::vault::Vault;
use std::collections::BTreeMap;
use waggle_model::desired::Override;
use waggle_model::fleet_state::StackState;
use waggle_model::release::{Release, ReleaseBody, ReleaseId};
use waggle_model::rollout::{Begin, Rollout, State, begin};
use waggle_model::{ClusterName, StackName, Timestamp};
use waggle_stack::{Bound, Objects, release_id};
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
/// its way. Its secrets and configs get their names here, which depend on those that the stack had before. An older
/// rollout that is not final is superseded.
pub async fn release(store: &dyn Store, caller: &Caller, given: Release, now: Timestamp) -> Result<Written, ApiError> {
    for _ in 0..ATTEMPTS_MAX {
        let loaded = load(store).await?;
        let Named { release, bound } = named(&loaded, &given)?;
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
        let edit = edit(&loaded, caller, &release, bound, id, now)?;
        if edit.commit(store).await?.is_some() {
            tracing::info!(stack = %release.body.stack, release = release.id.short(), rollout = id, by = caller.name, "deploy");
            return Ok(written(id, false));
        }
    }
    Err(ApiError::contended())
}

/// A release as it is stored and sent.
pub(super) struct Named {
    pub(super) release: Release,
    bound: Bound,
}

pub(super) fn named(loaded: &Loaded, release: &Release) -> Result<Named, ApiError> {
    let mut bound = loaded.stacks.get(&release.body.stack).map(|stack| stack.bound.clone()).unwrap_or_default();
    let objects = Objects::from_json(&release.body.objects);
    let objects = objects.map_err(|error| ApiError::internal(waggle_daemon::tasks::chain(&error)))?;
    let mut rotated = objects.clone();
    rotated.rotate(&mut bound);
    if rotated == objects {
        return Ok(Named { release: release.clone(), bound });
    }
    let body = ReleaseBody { objects: rotated.canonical_json(), ..release.body.clone() };
    Ok(Named { release: Release { id: release_id(&body), body, ..release.clone() }, bound })
}

/// What people changed by hand ends with the next release, except numbers of replicas that it keeps. The counter of
/// restarts stays: services remember it, and it must not begin anew.
fn overrides_left(stack: &StackState, release: &Release) -> BTreeMap<ClusterName, BTreeMap<String, Override>> {
    let kept = |service: &String| release.body.upkeep.keep_replicas.contains(service);
    let of_cluster = |services: &BTreeMap<String, Override>| -> BTreeMap<String, Override> {
        let left = services.iter().map(|(service, change)| {
            let replicas = change.replicas.filter(|_| kept(service));
            (service.clone(), Override { replicas, ..*change })
        });
        left.filter(|(_, change)| *change != Override::default()).collect()
    };
    let left = stack.overrides.iter().map(|(cluster, services)| (cluster.clone(), of_cluster(services)));
    left.filter(|(_, services)| !services.is_empty()).collect()
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

fn edit(
    loaded: &Loaded,
    caller: &Caller,
    release: &Release,
    bound: Bound,
    id: u64,
    now: Timestamp,
) -> Result<Edit, ApiError> {
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
    let overrides = overrides_left(&stack, release);
    let record = Stack { settled: stack.settled, rollout: Some(id), removing: None, bound, overrides };
    edit.put(keys::stack(name), &record)?;
    edit.put(keys::rollout_counter(), &Counter { last: id })?;
    edit.touch_for(&caller.did(format!("release {} of {name}", release.id.short())))?;
    Ok(edit)
}
