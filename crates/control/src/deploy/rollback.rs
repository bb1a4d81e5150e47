//! Going back: a stored release rolled out again, like any other.

use super::{prune, write};
use crate::api::types::Deployed;
use crate::api::{ApiError, Caller};
use crate::reconcile::load;
use crate::records::{RolloutRecord, keys, list};
use crate::store::Store;
use std::collections::BTreeSet;
use waggle_model::release::{Release, ReleaseId};
use waggle_model::rollout::State;
use waggle_model::{StackName, Timestamp};

/// Rolls out `wanted` (the first digits of its id), or else the newest release before the current one that once ran
/// everywhere; if none did, the newest before the current one.
pub async fn rollback(
    store: &dyn Store,
    caller: &Caller,
    stack: &StackName,
    wanted: Option<&str>,
    now: Timestamp,
) -> Result<Deployed, ApiError> {
    let loaded = load(store).await?;
    let no_stack = || ApiError::not_found(format!("there is no stack {stack}")).help("`waggle stack ls` lists them");
    let state = loaded.state.stacks.get(stack).ok_or_else(no_stack)?;
    let releases = list::<Release>(store, keys::RELEASES).await?.into_iter().map(|(_, found)| found.value);
    let releases: Vec<Release> = releases.filter(|release| release.body.stack == *stack).collect();
    let current = state.rollout.as_ref().map(|rollout| rollout.release);
    let release = match wanted {
        Some(digits) => named(releases, digits, stack)?,
        None => {
            let rollouts = list::<RolloutRecord>(store, keys::ROLLOUTS).await?.into_iter();
            let done = rollouts.map(|(_, found)| found.value.rollout).filter(|rollout| rollout.state == State::Done);
            let proven: BTreeSet<ReleaseId> = done.map(|rollout| rollout.release).collect();
            before(releases, current, &proven).ok_or_else(|| {
                ApiError::conflict(format!("stack {stack} has no release before the current one"))
                    .help(format!("`waggle release ls {stack}` lists those there are"))
            })?
        }
    };
    let images = release.body.images.clone();
    let written = write::release(store, caller, release, now).await?;
    if let Err(error) = prune::prune(store, &written.stack).await {
        tracing::warn!(error = %waggle_daemon::tasks::chain(&error), "what is old could not be removed yet");
    }
    let (release, rollout, unchanged) = (written.release, written.rollout, written.unchanged);
    Ok(Deployed { release, rollout, images, unchanged, warnings: Vec::new() })
}

fn named(releases: Vec<Release>, digits: &str, stack: &StackName) -> Result<Release, ApiError> {
    let digits = digits.to_ascii_lowercase();
    let mut found = releases.into_iter().filter(|release| release.id.to_string().starts_with(&digits));
    match (found.next(), found.next()) {
        (Some(release), None) => Ok(release),
        (None, _) => Err(ApiError::not_found(format!("stack {stack} has no release {digits}"))
            .help(format!("`waggle release ls {stack}` lists those there are"))),
        _ => Err(ApiError::conflict(format!("several releases begin with {digits}")).help("give more digits")),
    }
}

fn before(releases: Vec<Release>, current: Option<ReleaseId>, proven: &BTreeSet<ReleaseId>) -> Option<Release> {
    let created = releases.iter().find(|release| Some(release.id) == current)?.created;
    let order = |release: &Release| (release.created, release.id);
    let earlier = releases.into_iter().filter(|release| release.created <= created && Some(release.id) != current);
    earlier.max_by_key(|release| (proven.contains(&release.id), order(release)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use waggle_model::release::ReleaseBody;

    fn release(number: u8) -> Release {
        let body: ReleaseBody = serde_json::from_value(serde_json::json!({
            "stack": "shop", "objects": "", "routes": [], "promotion": {}, "images": {}, "payloads": []
        }))
        .unwrap();
        let created = Timestamp(u64::from(number));
        Release { id: ReleaseId([number; 32]), body, created, author: "test".into() }
    }

    fn id(number: u8) -> ReleaseId {
        ReleaseId([number; 32])
    }

    #[test]
    fn the_newest_earlier_release_that_ran_is_meant() {
        let all = || (1..=4).map(release).collect::<Vec<_>>();
        let back = |current: u8, proven: &[u8]| {
            before(all(), Some(id(current)), &proven.iter().map(|n| id(*n)).collect()).map(|release| release.id)
        };
        assert_eq!(back(4, &[1, 2, 4]), Some(id(2)), "3 never ran everywhere");
        assert_eq!(back(4, &[]), Some(id(3)));
        assert_eq!(back(2, &[4]), Some(id(1)), "4 is newer");
        assert_eq!(back(1, &[2]), None);
        assert_eq!(before(all(), None, &BTreeSet::new()), None);
    }

    #[test]
    fn a_release_is_named_by_its_first_digits() {
        let stack = "shop".parse().unwrap();
        let all = || vec![release(0x11), release(0x12)];
        assert_eq!(named(all(), "12", &stack).unwrap().id, id(0x12));
        assert_eq!(named(all(), "1", &stack).unwrap_err().detail.code, "conflict");
        assert_eq!(named(all(), "ff", &stack).unwrap_err().detail.code, "not_found");
    }
}
