//! What a release would do here.

use super::{Asked, Refusal, invalid};
use crate::seen::{Seen, look};
use serde_json::Value;
use std::collections::BTreeMap;
use waggle_model::StackName;
use waggle_model::ask::{ClusterPlan, FieldChange, ObjectChange, Verb};
use waggle_model::release::Upkeep;
use waggle_stack::Objects;
use waggle_stack::compare::{self, Change, Kind, Restart};
use waggle_stack::diff::{Action, Current, Plan, Wanted, diff};

impl Asked {
    pub(super) async fn plan(&self, stack: &StackName, objects: &str, upkeep: &Upkeep) -> Result<ClusterPlan, Refusal> {
        let wanted = Objects::from_json(objects).map_err(|error| {
            invalid(format!("this agent cannot read the objects: {}", waggle_daemon::tasks::chain(&error)))
        })?;
        let seen = look(self.engine.as_ref()).await?;
        let overrides = BTreeMap::new();
        let wanted = Wanted { objects: &wanted, release: None, upkeep, overrides: &overrides };
        Ok(planned(stack, &wanted, &seen, |plan| plan.actions.into_iter().chain(plan.afterwards).collect()))
    }
}

/// What has to be written, or why nothing can be; `which` of the actions count.
pub(super) fn planned(
    stack: &StackName,
    wanted: &Wanted<'_>,
    seen: &Seen,
    which: impl FnOnce(Plan) -> Vec<Action>,
) -> ClusterPlan {
    let current = seen.current();
    match diff(stack, wanted, &current) {
        Ok(plan) => {
            let fields = fields(stack, wanted, &current);
            let changes = which(plan).iter().map(|action| change(action, &fields)).collect();
            ClusterPlan { problems: Vec::new(), changes }
        }
        Err(conflicts) => {
            ClusterPlan { problems: conflicts.iter().map(ToString::to_string).collect(), changes: Vec::new() }
        }
    }
}

type Fields = BTreeMap<(Kind, String), Vec<Change>>;

fn fields(stack: &StackName, wanted: &Wanted<'_>, current: &Current) -> Fields {
    let mut fields = Fields::new();
    let compared = compare::compare(stack, &wanted.over(current), current);
    for change in compared.into_iter().filter(|change| !change.path.is_empty()) {
        fields.entry((change.kind, change.name.clone())).or_default().push(change);
    }
    fields
}

fn change(action: &Action, fields: &Fields) -> ObjectChange {
    let (verb, kind, name) = match action {
        Action::CreateNetwork { spec } => (Verb::Create, Kind::Network, &spec.name),
        Action::CreateSecret { name, .. } => (Verb::Create, Kind::Secret, name),
        Action::CreateConfig { name, .. } => (Verb::Create, Kind::Config, name),
        Action::LabelSecret { name, .. } => (Verb::Update, Kind::Secret, name),
        Action::LabelConfig { name, .. } => (Verb::Update, Kind::Config, name),
        Action::CreateService { name, .. } => (Verb::Create, Kind::Service, name),
        Action::UpdateService { name, .. } => (Verb::Update, Kind::Service, name),
        Action::RemoveService { name, .. } => (Verb::Remove, Kind::Service, name),
        Action::RemoveSecret { name, .. } => (Verb::Remove, Kind::Secret, name),
        Action::RemoveConfig { name, .. } => (Verb::Remove, Kind::Config, name),
        Action::RemoveNetwork { name, .. } => (Verb::Remove, Kind::Network, name),
    };
    let restarts = matches!(action, Action::UpdateService { restarts: true, .. } | Action::RemoveService { .. });
    let fields = fields.get(&(kind, name.clone())).filter(|_| verb == Verb::Update);
    let fields: Vec<FieldChange> = fields.into_iter().flatten().map(field).collect();
    // A write that changes no field says only whose it is from now on.
    let verb = if verb == Verb::Update && fields.is_empty() && !restarts { Verb::Adopt } else { verb };
    ObjectChange { verb, what: word(kind).to_owned(), name: name.clone(), fields, restarts }
}

fn field(change: &Change) -> FieldChange {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    FieldChange {
        field: change.path.clone(),
        from: change.old.as_ref().map(text),
        to: change.new.as_ref().map(text),
        restarts: change.restart != Restart::No,
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Network => "network",
        Kind::Secret => "secret",
        Kind::Config => "config",
        Kind::Service => "service",
    }
}
