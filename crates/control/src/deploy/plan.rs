//! What a deploy would do: everything up to the first write, and then the clusters are asked instead.

use super::{check, not_resolved, pin, write};
use crate::api::types::{DeployRequest, Planned};
use crate::api::{ApiError, Caller, reply};
use crate::reconcile::load;
use crate::sessions::Sessions;
use crate::store::Store;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use waggle_model::ask::Question;
use waggle_model::release::Release;
use waggle_model::{ClusterName, StackName, Timestamp};
use waggle_stack::release_id;

/// Agents compare every object of the stack with what their Engine has.
const PLAN_DEADLINE: Duration = Duration::from_secs(20);

/// Checks and pins as a deploy does, stores nothing, and asks `clusters` what they would do.
pub async fn plan(
    store: &Arc<dyn Store>,
    sessions: &Sessions,
    caller: &Caller,
    clusters: BTreeSet<ClusterName>,
    stack: StackName,
    request: DeployRequest,
    now: Timestamp,
) -> Result<Planned, ApiError> {
    let checked = check::check(&**store, &sessions.seen(), &stack, request).await?;
    let resolved = sessions.agents.resolve(checked.objects.images(), &caller.traceparent).await;
    let (body, warnings) = pin(stack, &checked, resolved.map_err(not_resolved)?)?;
    let release = Release { id: release_id(&body), body, created: now, author: caller.name.clone() };
    let release = write::named(&load(&**store).await?, &release)?.release;
    let clusters = ask(sessions, caller, clusters, &release).await;
    Ok(Planned { release: release.id, images: release.body.images, warnings, clusters })
}

/// What each of the clusters would do to run `release`.
pub async fn ask(
    sessions: &Sessions,
    caller: &Caller,
    clusters: BTreeSet<ClusterName>,
    release: &Release,
) -> BTreeMap<ClusterName, crate::api::types::Reply> {
    let body = &release.body;
    let (objects, upkeep) = (body.objects.clone(), body.upkeep.clone());
    let question = Question::Plan { stack: body.stack.clone(), objects, upkeep };
    let answers = sessions.agents.ask_all(clusters, &question, PLAN_DEADLINE, &caller.traceparent).await;
    answers.into_iter().map(|(cluster, answer)| (cluster, reply(answer))).collect()
}
