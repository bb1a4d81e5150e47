//! Carries out the actions of one stack, in their order; neighbours of one kind at the same time.

use crate::engine::{Engine, EngineError, Kind};
use crate::order::Payloads;
use crate::seen::Seen;
use futures_util::{FutureExt, StreamExt, stream};
use std::collections::BTreeMap;
use std::fmt;
use waggle_stack::diff::Action;
use waggle_stack::objects::service::ServiceSpec;

/// Writes under way at once.
pub const WRITES_MAX: usize = 8;

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
        write!(f, "{}: {}", self.what, self.error)
    }
}

/// Runs `actions` until the first failure; those of its neighbours that are under way are ended first.
pub(super) async fn run(engine: &dyn Engine, payloads: &Payloads, ids: &mut Ids, actions: Vec<Action>) -> Done {
    let mut done = Done { writes: 0, outcome: Ok(()) };
    let mut rest = actions.as_slice();
    while let Some(first) = rest.first() {
        let length = rest.iter().take_while(|action| rank(action) == rank(first)).count();
        let (batch, later) = rest.split_at(length);
        rest = later;
        done.writes += batch.len();
        let known = &*ids;
        let calls: Vec<_> = batch.iter().map(|action| one(engine, payloads, known, action).boxed()).collect();
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
        if done.outcome.is_err() {
            break;
        }
    }
    done
}

/// Neighbours of one rank do not depend on each other.
fn rank(action: &Action) -> u8 {
    match action {
        Action::CreateNetwork { .. } => 0,
        Action::CreateSecret { .. } | Action::CreateConfig { .. } => 1,
        Action::CreateService { .. } | Action::UpdateService { .. } => 2,
        Action::RemoveService { .. } => 3,
        Action::RemoveSecret { .. } | Action::RemoveConfig { .. } => 4,
        Action::RemoveNetwork { .. } => 5,
    }
}

type Created = Option<((Kind, String), String)>;

async fn one(engine: &dyn Engine, payloads: &Payloads, ids: &Ids, action: &Action) -> Result<Created, Failure> {
    let (what, name) = named(action);
    let what = format!("{what} {name}");
    tracing::info!(action = what, "writing");
    let answer = match action {
        Action::CreateNetwork { spec } => engine.create_network(spec).await.map(|_| None),
        Action::CreateSecret { name, sha256, spec } => {
            let data = payloads.get(sha256).cloned().unwrap_or_default();
            engine.create_stored(Kind::Secret, spec, &data).await.map(|id| Some(((Kind::Secret, name.clone()), id)))
        }
        Action::CreateConfig { name, sha256, spec } => {
            let data = payloads.get(sha256).cloned().unwrap_or_default();
            engine.create_stored(Kind::Config, spec, &data).await.map(|id| Some(((Kind::Config, name.clone()), id)))
        }
        Action::CreateService { spec, .. } => engine.create_service(&ids.fill(spec)).await.map(|_| None),
        Action::UpdateService { id, version, spec, .. } => {
            engine.update_service(id, *version, &ids.fill(spec)).await.map(|()| None)
        }
        Action::RemoveService { id, .. } => gone(engine.remove_service(id).await),
        Action::RemoveSecret { id, .. } => gone(engine.remove_stored(Kind::Secret, id).await),
        Action::RemoveConfig { id, .. } => gone(engine.remove_stored(Kind::Config, id).await),
        Action::RemoveNetwork { id, .. } => gone(engine.remove_network(id).await),
    };
    answer.map_err(|error| Failure { what, at_removal: rank(action) > 2, error })
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
        Action::CreateService { name, .. } => ("create service", name),
        Action::UpdateService { name, .. } => ("update service", name),
        Action::RemoveService { name, .. } => ("remove service", name),
        Action::RemoveSecret { name, .. } => ("remove secret", name),
        Action::RemoveConfig { name, .. } => ("remove config", name),
        Action::RemoveNetwork { name, .. } => ("remove network", name),
    }
}
