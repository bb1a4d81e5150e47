//! Everything that decides, read from the store.
//!
//! The epoch is read first. What is read after it may be newer; then the epoch has moved too, and a commit that names
//! the epoch as read is refused.

use crate::records::{
    DrainRecord, Epoch, ForceRecord, Found, HeldPlan, NameserverIdentity, RolloutRecord, Stack, Stored, get, keys, list,
};
use crate::store::{Key, Result, Rev, Store};
use std::collections::{BTreeMap, BTreeSet};
use waggle_model::fleet::{Federation, NameserverPeer};
use waggle_model::fleet_state::{OperatorDrain, StackState, State};
use waggle_model::health::forced::Forced;
use waggle_model::plan::RoutePlan;
use waggle_model::release::{Release, ReleaseId};
use waggle_model::{ClusterName, Generation, StackName};

/// The state as read.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    pub(crate) epoch: Option<Rev>,
    /// The newest change.
    pub(crate) newest: Epoch,
    pub state: State,
    pub stacks: BTreeMap<StackName, Stack>,
    pub drains: BTreeMap<ClusterName, DrainRecord>,
    /// The newest rollout of each stack.
    pub rollouts: BTreeMap<u64, RolloutRecord>,
    /// The releases that some cluster runs or is to run.
    pub releases: BTreeMap<ReleaseId, Release>,
    /// An earlier plan that a person put back in force, if so.
    pub(crate) held: Option<HeldPlan>,
    pub(crate) plan: Option<Stored>,
    pub(crate) force: Option<ForceRecord>,
    pub(crate) desired: BTreeMap<ClusterName, Stored>,
}

impl Loaded {
    pub fn plan_generation(&self) -> Generation {
        self.plan.as_ref().map(|plan| plan.generation).unwrap_or_default()
    }

    pub fn desired_generation(&self, cluster: &ClusterName) -> Generation {
        self.desired.get(cluster).map(|desired| desired.generation).unwrap_or_default()
    }

    /// The route plan that nameservers get now.
    pub fn route_plan(&self) -> Result<Option<RoutePlan>> {
        let Some(plan) = &self.plan else { return Ok(None) };
        let read = serde_json::from_slice(&plan.json);
        read.map(Some).map_err(|error| crate::store::StoreError::Corrupt(error.to_string()))
    }
}

pub async fn load(store: &dyn Store) -> Result<Loaded> {
    let epoch = get::<Epoch>(store, &keys::epoch()).await?;
    let mut loaded = Loaded {
        epoch: epoch.as_ref().map(|epoch| epoch.rev),
        newest: epoch.map(|epoch| epoch.value).unwrap_or_default(),
        ..Loaded::default()
    };
    let federation = get::<Federation>(store, &keys::federation()).await?;
    loaded.state.federation = federation.map(|federation| federation.value).unwrap_or_default();
    for (_, found) in list::<NameserverIdentity>(store, keys::NAMESERVERS).await? {
        let NameserverIdentity { name, advertise: address, .. } = found.value;
        loaded.state.nameservers.push(NameserverPeer { name, address });
    }
    for (name, found) in list::<DrainRecord>(store, keys::DRAINS).await? {
        let Ok(cluster) = name.parse::<ClusterName>() else { continue };
        let drain = OperatorDrain { reason: found.value.reason.clone(), by: found.value.by.clone(), until: None };
        loaded.state.drains.insert(cluster.clone(), drain);
        loaded.drains.insert(cluster, found.value);
    }
    for (name, found) in list::<Forced>(store, keys::FORCED).await? {
        let Some((route, cluster)) = name.split_once('/') else { continue };
        let (Ok(route), Ok(cluster)) = (route.parse(), cluster.parse()) else { continue };
        loaded.state.forced.entry(route).or_default().insert(cluster, found.value);
    }
    for (name, found) in list::<Stack>(store, keys::STACKS).await? {
        let Ok(name) = name.parse::<StackName>() else { continue };
        load_stack(store, &mut loaded, name, found).await?;
    }
    loaded.force = get::<ForceRecord>(store, &keys::force()).await?.map(|force| force.value);
    loaded.held = get::<HeldPlan>(store, &keys::held_plan()).await?.map(|found| found.value);
    loaded.state.hold = loaded.held.as_ref().map(|held| held.hold.clone());
    if let Some(entry) = store.get(&keys::plan()).await? {
        loaded.plan = Some(Stored::open(&entry)?);
    }
    for entry in store.list(&Key::new(keys::DESIRED), None).await?.1 {
        let name = entry.key.as_str().strip_prefix(keys::DESIRED).unwrap_or_default();
        if let Ok(cluster) = name.parse() {
            loaded.desired.insert(cluster, Stored::open(&entry)?);
        }
    }
    Ok(loaded)
}

async fn load_stack(store: &dyn Store, loaded: &mut Loaded, name: StackName, found: Found<Stack>) -> Result<()> {
    let (settled, overrides) = (found.value.settled.clone(), found.value.overrides.clone());
    let mut stack = StackState { settled, overrides, ..StackState::default() };
    if let Some(id) = found.value.rollout
        && let Some(record) = get::<RolloutRecord>(store, &keys::rollout(id)).await?
    {
        stack.rollout = Some(record.value.rollout.clone());
        loaded.rollouts.insert(id, record.value);
    }
    let mut wanted: BTreeSet<ReleaseId> = stack.settled.values().filter_map(|settled| settled.release).collect();
    if let Some(rollout) = &stack.rollout {
        wanted.insert(rollout.release);
        wanted.extend(rollout.clusters.values().filter_map(|cluster| cluster.previous));
    }
    for id in wanted {
        if let Some(release) = get::<Release>(store, &keys::release(&id)).await? {
            stack.releases.insert(id, release.value.body.clone());
            loaded.releases.insert(id, release.value);
        }
    }
    loaded.state.stacks.insert(name.clone(), stack);
    loaded.stacks.insert(name, found.value);
    Ok(())
}
