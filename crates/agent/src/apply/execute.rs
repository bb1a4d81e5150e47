//! Carries out the actions of one stack, in their order; neighbours of one kind at the same time.

use super::Given;
use crate::advice::advice;
use crate::engine::{Engine, EngineError, Kind};
use crate::logins::Login;
use crate::seen::Seen;
use futures_util::future::try_join;
use futures_util::{FutureExt, StreamExt, stream};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use waggle_model::StackName;
use waggle_stack::diff::{Action, Conflict};
use waggle_stack::labels;
use waggle_stack::objects::service::ServiceSpec;

/// Writes under way at once.
pub const WRITES_MAX: usize = 16;

/// Ids of secrets and configs by name: specs refer to both.
pub(super) struct Ids(BTreeMap<(Kind, String), String>);

impl Ids {
    pub fn of(seen: &Seen) -> Ids {
        let secrets = seen.secrets.iter().map(|s| ((Kind::Secret, s.name.clone()), s.id.clone()));
        let configs = seen.configs.iter().map(|s| ((Kind::Config, s.name.clone()), s.id.clone()));
        Ids(secrets.chain(configs).collect())
    }

    /// `spec` with the ids of what it refers to. Names that are unknown stay for the Engine to refuse.
    fn fill(&self, spec: &ServiceSpec) -> ServiceSpec {
        let mut spec = spec.clone();
        let id = |kind: Kind, name: &str| self.0.get(&(kind, name.to_owned())).cloned().unwrap_or_default();
        spec.fill_ids(|name| id(Kind::Secret, name), |name| id(Kind::Config, name));
        spec
    }
}

pub(super) struct Done {
    pub writes: usize,
    pub outcome: Result<(), Failure>,
}

/// A write that the Engine did not do.
#[derive(Debug)]
pub(super) struct Failure {
    /// `update service shop_web`.
    what: String,
    pub at_removal: bool,
    pub error: EngineError,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = self.error.to_string();
        write!(f, "{}: {said}", self.what)?;
        advice(&said).map_or(Ok(()), |advice| write!(f, "; {advice}"))
    }
}

/// Runs `actions` until the first failure; those of its neighbours that are under way are ended first. A secret, config
/// or network that cannot be removed hinders nothing.
pub(super) async fn run(engine: &dyn Engine, given: &Given<'_>, ids: &mut Ids, actions: Vec<Action>) -> Done {
    let mut done = Done { writes: 0, outcome: Ok(()) };
    let mut rest = actions.as_slice();
    while let Some(first) = rest.first() {
        let length = rest.iter().take_while(|action| rank(action) == rank(first)).count();
        let (batch, later) = rest.split_at(length);
        rest = later;
        done.writes += batch.len();
        let known = &*ids;
        let calls: Vec<_> = batch.iter().map(|action| one(engine, given, known, action).boxed()).collect();
        let answers: Vec<_> = stream::iter(calls).buffered(WRITES_MAX).collect().await;
        for answer in answers {
            match answer {
                Ok(Some((key, id))) => {
                    ids.0.insert(key, id);
                }
                Ok(None) => {}
                Err(failure) if done.outcome.is_ok() => done.outcome = Err(failure),
                Err(_) => {}
            }
        }
        if done.outcome.is_err() && rank(first) < REMOVALS {
            break;
        }
    }
    done
}

/// Rank of the first removals that nothing depends on.
const REMOVALS: u8 = 4;

/// Neighbours of one rank do not depend on each other.
fn rank(action: &Action) -> u8 {
    match action {
        Action::CreateNetwork { .. } => 0,
        Action::CreateSecret { .. } | Action::CreateConfig { .. } => 1,
        Action::LabelSecret { .. } | Action::LabelConfig { .. } => 1,
        Action::CreateService { .. } | Action::UpdateService { .. } => 2,
        Action::RemoveService { .. } => 3,
        Action::RemoveSecret { .. } | Action::RemoveConfig { .. } => 4,
        Action::RemoveNetwork { .. } => 5,
    }
}

type Created = Option<((Kind, String), String)>;

async fn one(engine: &dyn Engine, given: &Given<'_>, ids: &Ids, action: &Action) -> Result<Created, Failure> {
    let (what, name) = named(action);
    let what = format!("{what} {name}");
    tracing::info!(action = what, "writing");
    let answer = match action {
        Action::CreateNetwork { spec } => engine.create_network(spec).await.map(|_| None),
        Action::CreateSecret { name, sha256, spec } => {
            let data = given.payloads.get(sha256).cloned().unwrap_or_default();
            engine.create_stored(Kind::Secret, spec, &data).await.map(|id| Some(((Kind::Secret, name.clone()), id)))
        }
        Action::CreateConfig { name, sha256, spec } => {
            let data = given.payloads.get(sha256).cloned().unwrap_or_default();
            engine.create_stored(Kind::Config, spec, &data).await.map(|id| Some(((Kind::Config, name.clone()), id)))
        }
        Action::LabelSecret { id, version, name, verify, spec } => {
            let data = verify.as_ref().map(|sha256| given.payloads.get(sha256).cloned().unwrap_or_default());
            let answer = engine.update_stored(Kind::Secret, id, *version, spec, data.as_ref()).await;
            answer.map(|()| None).map_err(|error| other_content(name, error))
        }
        Action::LabelConfig { id, version, spec, .. } => {
            engine.update_stored(Kind::Config, id, *version, spec, None).await.map(|()| None)
        }
        Action::CreateService { spec, .. } => {
            let (spec, login) = prepared(ids, given, spec);
            engine.create_service(&spec, login).await.map(|_| None)
        }
        Action::UpdateService { id, version, spec, .. } => {
            let (spec, login) = prepared(ids, given, spec);
            engine.update_service(id, *version, &spec, login).await.map(|()| None)
        }
        Action::RemoveService { id, .. } => gone(engine.remove_service(id).await),
        Action::RemoveSecret { id, .. } => gone(engine.remove_stored(Kind::Secret, id).await),
        Action::RemoveConfig { id, .. } => gone(engine.remove_stored(Kind::Config, id).await),
        Action::RemoveNetwork { id, .. } => gone(engine.remove_network(id).await),
    };
    answer.map_err(|error| Failure { what, at_removal: rank(action) > 2, error })
}

/// Swarm's words for bytes that are not those it has (moby/swarmkit: manager/controlapi/secret.go).
fn other_content(name: &str, error: EngineError) -> EngineError {
    match error {
        EngineError::Refused(said) if said.contains("only updates to Labels") => {
            let what = "secret";
            EngineError::Refused(Conflict::OtherContent { what, name: name.to_owned() }.to_string())
        }
        other => other,
    }
}

/// The spec as it is written, and the login that goes with it.
fn prepared<'a>(ids: &Ids, given: &Given<'a>, spec: &ServiceSpec) -> (ServiceSpec, Option<&'a Login>) {
    let mut spec = ids.fill(spec);
    let login = given.logins.of(&spec.task_template.container_spec.image);
    if let Some(login) = login {
        spec.labels.insert(labels::LOGIN.into(), login.version.to_string());
    }
    (spec, login)
}

/// What is not there any more need not be removed.
fn gone(answer: Result<(), EngineError>) -> Result<Created, EngineError> {
    match answer {
        Ok(()) | Err(EngineError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn named(action: &Action) -> (&'static str, &str) {
    match action {
        Action::CreateNetwork { spec } => ("create network", &spec.name),
        Action::CreateSecret { name, .. } => ("create secret", name),
        Action::CreateConfig { name, .. } => ("create config", name),
        Action::LabelSecret { name, .. } => ("label secret", name),
        Action::LabelConfig { name, .. } => ("label config", name),
        Action::CreateService { name, .. } => ("create service", name),
        Action::UpdateService { name, .. } => ("update service", name),
        Action::RemoveService { name, .. } => ("remove service", name),
        Action::RemoveSecret { name, .. } => ("remove secret", name),
        Action::RemoveConfig { name, .. } => ("remove config", name),
        Action::RemoveNetwork { name, .. } => ("remove network", name),
    }
}

/// What [`prune_volumes`] did.
pub(super) struct PrunedVolumes {
    /// Removals that were tried.
    pub tried: usize,
    /// Nothing is left to remove, now or once a container is gone: Swarm removes those of a service after the service.
    pub done: bool,
}

/// Removes a stack's unused volumes of the Engine's node but those `kept`.
pub(super) async fn prune_volumes(engine: &dyn Engine, stack: &StackName, kept: &BTreeSet<String>) -> PrunedVolumes {
    let found = try_join(engine.volumes(stack, false), engine.volumes(stack, true)).await;
    let (unused, used) = match found {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(%stack, %error, "volumes cannot be listed");
            return PrunedVolumes { tried: 0, done: false };
        }
    };
    let mut pruned = PrunedVolumes { tried: 0, done: used.iter().all(|name| kept.contains(name)) };
    for name in unused.iter().filter(|name| !kept.contains(*name)) {
        tracing::info!(%stack, volume = name, "removing an unused volume");
        pruned.tried += 1;
        if let Err(error) = engine.remove_volume(name).await {
            pruned.done = false;
            tracing::warn!(%stack, volume = name, %error, "the volume stays");
        }
    }
    pruned
}
