//! From a rendered stack to a release and its rollout.
//!
//! Everything that can be wrong is found before anything is written, and told at once. Images are pinned here, once,
//! for all clusters. Payloads are written before the release that names them, the release together with its rollout; a
//! crash in between leaves payloads that nobody names; they are encrypted, and the same deploy again finds them.

pub mod adopt;
mod check;
mod plan;
mod prune;
mod rollback;
mod write;

#[cfg(test)]
mod tests;

pub use plan::plan;
pub(crate) use prune::unnamed;
pub use rollback::rollback;
pub use write::{Written, release as store_release};

use crate::api::types::{DeployRequest, Deployed};
use crate::api::{ApiError, Caller};
use crate::sessions::Sessions;
use crate::sessions::agents::{Resolution, ResolveError};
use crate::store::Store;
use crate::vault::Vault;
use std::collections::BTreeMap;
use std::sync::Arc;
use waggle_model::release::{Release, ReleaseBody};
use waggle_model::{StackName, Timestamp};
use waggle_stack::objects::service::Platform;
use waggle_stack::release::{release_body, release_id};
use waggle_stack::{Objects, Pin};

/// Checks, pins, stores and begins to roll out.
pub async fn deploy(
    store: &Arc<dyn Store>,
    vault: &Vault,
    sessions: &Sessions,
    caller: &Caller,
    stack: StackName,
    request: DeployRequest,
    now: Timestamp,
) -> Result<Deployed, ApiError> {
    let checked = check::check(&**store, &sessions.seen(), &stack, request).await?;
    let resolved = sessions.agents.resolve(checked.objects.images(), &caller.traceparent).await;
    let (body, warnings) = pin(stack, &checked, resolved.map_err(not_resolved)?)?;
    let images = body.images.clone();
    let release = Release { id: release_id(&body), body, created: now, author: caller.name.clone() };
    write::payloads(&**store, vault, &checked.payloads).await?;
    let written = write::release(&**store, caller, release, now).await?;
    if !written.unchanged
        && let Err(error) = prune::prune(&**store, &written.stack).await
    {
        // The deploy is durable; the next one prunes.
        tracing::warn!(error = %waggle_daemon::tasks::chain(&error), "what is old could not be removed yet");
    }
    Ok(Deployed { release: written.release, rollout: written.rollout, images, unchanged: written.unchanged, warnings })
}

fn not_resolved(error: ResolveError) -> ApiError {
    match &error {
        ResolveError::NotFound(images) => {
            let problems = images.iter().map(|(image, why)| format!("image {image}: {why}")).collect();
            ApiError::problems("images cannot be pinned", problems)
                .help("check the name, and that the clusters' Engines are logged in to the registry")
        }
        ResolveError::TooMany(_) => ApiError::invalid(error.to_string()),
        ResolveError::NoAgent => ApiError::invalid(error.to_string())
            .help("join an agent first; `waggle cluster ls` shows which are connected"),
        ResolveError::Deadline => ApiError::unavailable(error.to_string()).help("try again"),
    }
}

/// The release's body: all images with their digests.
fn pin(
    stack: StackName,
    checked: &check::Checked,
    resolved: Resolution,
) -> Result<(ReleaseBody, Vec<String>), ApiError> {
    let (mut pins, mut problems, mut warnings) = (BTreeMap::new(), Vec::new(), Vec::new());
    for (image, found) in resolved {
        let parsed = image.parse::<waggle_stack::image::Image>();
        let parsed = match parsed {
            Ok(parsed) => parsed,
            Err(error) => {
                problems.push(error.to_string());
                continue;
            }
        };
        let reference = waggle_stack::image::Image { digest: Some(found.digest), ..parsed }.familiar();
        let platforms = found.platforms.into_iter();
        let platforms = platforms.map(|one| Platform { architecture: one.architecture, os: one.os });
        let platforms: Vec<_> = platforms.collect();
        if platforms.is_empty() {
            warnings
                .push(format!("image {image}: its platforms are not known, so its tasks may be placed on any node"));
        }
        pins.insert(image, Pin { reference, platforms });
    }
    if !problems.is_empty() {
        return Err(ApiError::problems("images cannot be pinned", problems));
    }
    let mut objects: Objects = checked.objects.clone();
    objects.pin(&pins).map_err(|error| ApiError::invalid(error.to_string()))?;
    let images = pins.into_iter().map(|(image, pin)| (image, pin.reference)).collect();
    let (routes, promotion, upkeep) = (checked.routes.clone(), checked.promotion.clone(), checked.upkeep.clone());
    let payloads = objects.payload_hashes();
    Ok((release_body(stack, &objects, images, routes, promotion, upkeep, payloads), warnings))
}
