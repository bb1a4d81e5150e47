//! Whether the swarm has what the agent was told to run, and hashes of what it has, for comparing clusters.

use super::stack::planned;
use super::{Asked, Refusal, not_found};
use crate::seen::look;
use waggle_model::StackName;
use waggle_model::ask::{RefusalKind, Verb, Verified};
use waggle_stack::Objects;
use waggle_stack::diff::{Forms, Wanted, forms};
use waggle_stack::release::sha256_hex;

impl Asked {
    pub(super) async fn verify(&self, stack: &StackName) -> Result<Verified, Refusal> {
        let order = self.orders.borrow().clone();
        let told = order.as_ref().and_then(|order| order.desired.stacks.get(stack));
        let told = told.ok_or_else(|| not_found(format!("this cluster is not told to run stack {stack}")))?;
        let objects = Objects::from_json(&told.objects).map_err(|error| Refusal {
            kind: RefusalKind::Unavailable,
            message: format!("this agent cannot read the release: {}", waggle_daemon::tasks::chain(&error)),
            help: Some("update the agent to the version of control".into()),
        })?;
        let seen = look(self.engine.as_ref()).await?;
        let (release, upkeep, overrides) = (Some(&told.release), &told.upkeep, &told.overrides);
        let wanted = Wanted { objects: &objects, release, upkeep, overrides };
        let plan = planned(stack, &wanted, &seen, |plan| plan.actions);
        if !plan.problems.is_empty() {
            let message = format!("the swarm's objects cannot be those of the release: {}", plan.problems.join("; "));
            return Err(Refusal { kind: RefusalKind::Conflict, message, help: None });
        }
        let Forms { objects, overridden } = forms(&wanted, &seen.current());
        let hashes = objects.into_iter().map(|(object, form)| (object, sha256_hex(form.as_bytes())));
        let differences = plan.changes.into_iter().filter(|change| change.verb != Verb::Adopt).collect();
        Ok(Verified { release: Some(told.release), objects: hashes.collect(), differences, overridden })
    }
}
