//! What one cluster has of a stack becomes a release: for stacks that docker deployed before there was a federation.
//!
//! Images stay as they are pinned in that cluster, so that nothing restarts there. Rejected: pinning anew from the tags,
//! which may mean other images by now.

use super::{check, plan, prune, write};
use crate::api::types::{DeployRequest, Deployed, Planned};
use crate::api::{ApiError, Caller, not_answered, refused};
use crate::reconcile::load;
use crate::sessions::Sessions;
use crate::store::Store;
use crate::vault::Vault;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use waggle_model::ask::{Answer, Export, Question};
use waggle_model::release::{Promotion, Release, ReleaseId, Strategy, Upkeep};
use waggle_model::{ClusterName, StackName, Timestamp};
use waggle_stack::{Objects, release_body, release_id};
use zeroize::Zeroizing;

/// An agent reads every service and config of the stack.
const EXPORT_DEADLINE: Duration = Duration::from_secs(20);

/// A release made of what a cluster has.
pub struct Adoption {
    release: Release,
    payloads: Vec<Zeroizing<Vec<u8>>>,
    notes: Vec<String>,
}

/// Asks `from` for the stack and makes a release of it; nothing is stored.
pub async fn adoption(
    store: &Arc<dyn Store>,
    sessions: &Sessions,
    caller: &Caller,
    stack: &StackName,
    from: &ClusterName,
    now: Timestamp,
) -> Result<Adoption, ApiError> {
    let question = Question::Export { stack: stack.clone() };
    let answer = sessions.agents.ask(from, &question, EXPORT_DEADLINE, &caller.traceparent).await;
    let export = match answer {
        Ok(Answer::Export(export)) => export,
        Ok(Answer::Refused(refusal)) => return Err(ApiError::from_reply(from, refused(refusal))),
        Ok(_) => return Err(ApiError::internal(format!("{from} gave another answer than asked for"))),
        Err(error) => return Err(ApiError::from_reply(from, not_answered(&error))),
    };
    let Export { objects, configs, notes } = export;
    let images = images(&objects)?;
    let request = DeployRequest {
        objects,
        routes: Vec::new(),
        promotion: Promotion { strategy: Strategy::InPlace, ..Promotion::default() },
        upkeep: Upkeep::default(),
        payloads: configs,
    };
    let checked = check::check(&**store, &sessions.seen(), stack, request).await?;
    let hashes = checked.objects.payload_hashes();
    let (promotion, upkeep) = (checked.promotion, checked.upkeep);
    let body = release_body(stack.clone(), &checked.objects, images, checked.routes, promotion, upkeep, hashes);
    let release = Release { id: release_id(&body), body, created: now, author: caller.name.clone() };
    let release = write::named(&load(&**store).await?, &release)?.release;
    Ok(Adoption { release, payloads: checked.payloads, notes })
}

/// Image as written in the file → as it is pinned.
fn images(objects: &str) -> Result<BTreeMap<String, String>, ApiError> {
    let objects = Objects::from_json(objects).map_err(|error| {
        ApiError::invalid(waggle_daemon::tasks::chain(&error)).help("use an agent and a control of the same version")
    })?;
    let image = |spec: &waggle_stack::objects::service::ServiceSpec| {
        (spec.raw_image().to_owned(), spec.task_template.container_spec.image.clone())
    };
    let images: BTreeMap<String, String> = objects.services.values().map(image).collect();
    let loose: Vec<String> = images.values().filter(|image| !image.contains("@sha256:")).cloned().collect();
    if loose.is_empty() {
        return Ok(images);
    }
    let problems = loose.iter().map(|image| format!("image {image} has no digest: nodes may run different bits"));
    Err(ApiError::problems("the stack cannot be adopted as it is", problems.collect())
        .help("deploy it from its files with `waggle stack deploy`"))
}

impl Adoption {
    /// What it would do in `clusters`.
    pub async fn plan(self, sessions: &Sessions, caller: &Caller, clusters: BTreeSet<ClusterName>) -> Planned {
        let clusters = plan::ask(sessions, caller, clusters, &self.release).await;
        Planned { release: self.release.id, images: self.release.body.images, warnings: self.notes, clusters }
    }

    /// Stores it and begins to roll it out, if it is the one that was `expected`.
    pub async fn deploy(
        self,
        store: &Arc<dyn Store>,
        vault: &Vault,
        caller: &Caller,
        expected: Option<ReleaseId>,
        now: Timestamp,
    ) -> Result<Deployed, ApiError> {
        if expected.is_some_and(|expected| expected != self.release.id) {
            return Err(ApiError::conflict("the stack has changed in that cluster since it was looked at")
                .help("look at it again"));
        }
        let images = self.release.body.images.clone();
        write::payloads(&**store, vault, &self.payloads).await?;
        let written = write::release(&**store, caller, self.release, now).await?;
        if let Err(error) = prune::prune(&**store, &written.stack).await {
            tracing::warn!(error = %waggle_daemon::tasks::chain(&error), "what is old could not be removed yet");
        }
        let (release, rollout, unchanged) = (written.release, written.rollout, written.unchanged);
        Ok(Deployed { release, rollout, images, unchanged, warnings: self.notes })
    }
}
