//! What goes: objects that a release lacks, once it runs, and all of a stack that is not wanted any more.

use super::payloads::What;
use super::{Action, Current, CurrentNetwork, Diff, is_of, services};
use waggle_model::StackName;

impl Diff<'_> {
    pub(super) fn afterwards(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        for what in [What::Secret, What::Config] {
            actions.extend(self.superfluous_payloads(what).map(|payload| what.remove(payload)));
        }
        let networks = &self.wanted.objects.networks;
        let superfluous = |n: &&CurrentNetwork| self.may_go(&n.labels) && !networks.contains_key(&n.name);
        actions.extend(self.current.networks.iter().filter(superfluous).map(remove_network));
        actions
    }
}

/// Removes everything that bears the stack's label, as `docker stack rm` does: of a stack that was taken over, networks
/// never got our label, because no label of theirs can be changed.
pub fn removal(stack: &StackName, current: &Current) -> Vec<Action> {
    let services = current.services.iter().filter(|service| is_of(stack, &service.spec.labels));
    let mut actions: Vec<Action> = services.map(services::remove).collect();
    for (what, payloads) in [(What::Secret, &current.secrets), (What::Config, &current.configs)] {
        actions.extend(payloads.iter().filter(|p| is_of(stack, &p.labels)).map(|payload| what.remove(payload)));
    }
    actions.extend(current.networks.iter().filter(|network| is_of(stack, &network.labels)).map(remove_network));
    actions
}

fn remove_network(network: &CurrentNetwork) -> Action {
    Action::RemoveNetwork { id: network.id.clone(), name: network.name.clone() }
}
