//! Forgetting what is old: rollouts and releases beyond a number per stack, and payloads that no release names.

use crate::reconcile::load;
use crate::records::{Edit, RELEASES_KEPT, ROLLOUTS_KEPT, RolloutRecord, keys, list};
use crate::store::{Key, OPS_MAX, Result, Store};
use std::collections::BTreeSet;
use waggle_model::StackName;
use waggle_model::release::Release;

/// Conditional on the epoch: if a deploy comes in between, the next one prunes.
pub(super) async fn prune(store: &dyn Store, stack: &StackName) -> Result<()> {
    let loaded = load(store).await?;
    let mut gone: Vec<Key> = Vec::new();
    let rollouts =
        list::<RolloutRecord>(store, keys::ROLLOUTS).await?.into_iter().map(|(_, found)| found.value.rollout);
    let mut old: Vec<u64> = rollouts
        .filter(|rollout| rollout.stack == *stack && !loaded.rollouts.contains_key(&rollout.id))
        .map(|rollout| rollout.id)
        .collect();
    old.truncate(old.len().saturating_sub(ROLLOUTS_KEPT));
    gone.extend(old.into_iter().map(keys::rollout));

    let (mine, others): (Vec<Release>, Vec<Release>) = list::<Release>(store, keys::RELEASES)
        .await?
        .into_iter()
        .map(|(_, found)| found.value)
        .partition(|release| release.body.stack == *stack);
    let (in_use, mut unused): (Vec<Release>, Vec<Release>) =
        mine.into_iter().partition(|release| loaded.releases.contains_key(&release.id));
    unused.sort_by_key(|release| std::cmp::Reverse(release.created));
    let surplus = unused.split_off(unused.len().min(RELEASES_KEPT));

    let kept: Vec<Release> = in_use.into_iter().chain(unused).chain(others).collect();
    gone.extend(unnamed(&surplus, &kept).iter().map(|name| keys::payload(name)));
    // After the payloads: what does not fit into this commit is found again by the releases that name it.
    gone.extend(surplus.iter().map(|release| keys::release(&release.id)));
    if gone.is_empty() {
        return Ok(());
    }
    let mut edit = Edit::new();
    // Touched, so that a deploy that has just found a payload to be there looks again.
    edit.expect(keys::epoch(), loaded.epoch).touch_for(&loaded.newest)?;
    gone.into_iter().take(OPS_MAX - 1).for_each(|key| {
        edit.delete(key);
    });
    edit.commit(store).await.map(|_| ())
}

/// Payloads that only releases of the first kind name.
pub(crate) fn unnamed(gone: &[Release], kept: &[Release]) -> BTreeSet<String> {
    let names = |releases: &[Release]| -> BTreeSet<String> {
        releases.iter().flat_map(|release| release.body.payloads.iter().cloned()).collect()
    };
    names(gone).difference(&names(kept)).cloned().collect()
}
