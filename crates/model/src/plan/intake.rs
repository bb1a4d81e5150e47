//! Whether a plan may follow the one in force.
//!
//! A plan that does not compile is refused anyway. What is looked at here is a sound plan that takes away too much: written
//! by a control that was restored from an old copy, by a reconciler that lost records, or because of a slip in the
//! federation file. Control asks before it writes a plan, and every nameserver again before it answers from one.
//!
//! The hard part is to stop accidents and never a rollout, a drain or a removal that somebody wants:
//!
//! * *A route must not lose its last endpoint, or vanish.* Unless the plan itself says that it is on its way out
//!   ([`Change::withdrawn`]): its stack is being removed, or the release has no such route. Only a writer that knows the
//!   route can say so; one that never heard of it cannot, and that is what tells a removal from a stale writer.
//! * *Several clusters must not leave at once if they are more than a share of what is in service.* One cluster alone may
//!   always go: a federation must bear that, and maintenance of one of two does it. What a rollout keeps out does not
//!   count: it is bounded by `max_parallel`, by what is fit, and comes back by itself.
//! * *Who means it says so.* `--force` travels in the plan ([`Change::force`]), so that nameservers know as well.
//! * *A nameserver that missed plans cannot judge the step*, for it sees many as one. Then it only asks whether routes that
//!   both plans have can still be answered. A plan it refused itself it has not missed.
//!
//! Rejected: comparing with what is *fit* (health is the nameservers' own, and differs among them), and a plan that expires
//! unless confirmed (answers would then hang on control).

use super::{Endpoint, PlanRoute, RoutePlan};
use crate::federate::{DRAINED_BY_ROLLOUT, NO_SUCH_ROUTE, NOT_DEPLOYED};
use crate::{ClusterName, DomainName, Generation};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Withdrawn routes that a plan remembers; the newest are kept.
pub const WITHDRAWN_KEPT: usize = 256;
/// Losses named one by one; the rest is counted.
const LOSSES_SHOWN: usize = 5;

/// How much may leave the answers at once. The plan in force sets it for the one that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Safety {
    /// Percent of the capacity in service, where more than one cluster leaves.
    pub max_loss_percent: u8,
}

impl Default for Safety {
    fn default() -> Self {
        Safety { max_loss_percent: 50 }
    }
}

/// How a plan came about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    /// Generation of the plan that control compared this one with; 0: there was none.
    pub after: Generation,
    /// Routes that are gone or on their way out because somebody wants it so.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub withdrawn: BTreeMap<DomainName, Withdrawn>,
    /// The newest plan that an operator forced, this one or an earlier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force: Option<Force>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawn {
    /// Of the first plan that said so.
    pub generation: Generation,
    pub why: String,
}

/// An operator's word that a loss is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Force {
    /// Of the plan that was forced.
    pub generation: Generation,
    pub by: String,
    pub reason: String,
}

impl Change {
    pub fn is_empty(&self) -> bool {
        *self == Change::default()
    }

    /// Follows `before`: what it said about withdrawn routes holds on as long as they are not back in `plan`, and `leaving`
    /// (route → why) is added.
    pub fn following(before: &RoutePlan, plan: &RoutePlan, leaving: BTreeMap<DomainName, String>) -> Change {
        let generation = before.generation.next();
        let known = &before.change.withdrawn;
        let gone = known.iter().filter(|(route, _)| !plan.routes.contains_key(*route));
        let mut withdrawn: BTreeMap<_, _> = gone.map(|(route, said)| (route.clone(), said.clone())).collect();
        for (route, why) in leaving {
            let since = known.get(&route).map_or(generation, |said| said.generation);
            withdrawn.insert(route, Withdrawn { generation: since, why });
        }
        let surplus = withdrawn.len().saturating_sub(WITHDRAWN_KEPT);
        let mut oldest: Vec<_> = withdrawn.iter().map(|(route, said)| (said.generation, route.clone())).collect();
        oldest.sort();
        // What this very step takes out must be said, however much it is.
        let oldest = oldest.into_iter().take(surplus).filter(|(_, route)| !before.routes.contains_key(route));
        oldest.for_each(|(_, route)| drop(withdrawn.remove(&route)));
        Change { after: before.generation, withdrawn, force: before.change.force.clone() }
    }
}

/// One reason not to take a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The route left the plan, and nothing says that it should.
    Gone { route: DomainName },
    /// None of its clusters can be answered any more; before, these could.
    Emptied { route: DomainName, clusters: BTreeSet<ClusterName> },
    /// These clusters leave at once. Percent of the capacity in service.
    Share { clusters: BTreeSet<ClusterName>, percent: u8, allowed: u8 },
}

/// Why a plan is refused; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct TooMuchLost(pub Vec<Loss>);

/// Compares the plan in force with one that is to follow. `refused`: the newest generation that was refused here for a
/// loss; 0 if none was.
pub fn check(in_force: &RoutePlan, refused: Generation, offered: &RoutePlan) -> Result<(), TooMuchLost> {
    let forced = offered.change.force.as_ref().is_some_and(|force| force.generation > in_force.generation);
    if forced {
        return Ok(());
    }
    let missed = offered.change.after > in_force.generation.max(refused);
    let mut losses = Vec::new();
    for (name, route) in in_force.routes.iter().filter(|(_, route)| in_service(route).next().is_some()) {
        if is_withdrawn(in_force, offered, name) {
            continue;
        }
        match offered.routes.get(name) {
            None if missed => {}
            None => losses.push(Loss::Gone { route: name.clone() }),
            Some(after) if in_service(after).next().is_none() => {
                let clusters = in_service(route).map(|endpoint| endpoint.cluster.clone()).collect();
                losses.push(Loss::Emptied { route: name.clone(), clusters });
            }
            Some(_) => {}
        }
    }
    if !missed {
        losses.extend(share(in_force, offered));
    }
    if losses.is_empty() { Ok(()) } else { Err(TooMuchLost(losses)) }
}

fn in_service(route: &PlanRoute) -> impl Iterator<Item = &Endpoint> {
    route.pool.iter().filter(|endpoint| endpoint.drained.is_none())
}

/// Said for the first time since the plan in force, or said by that one already.
fn is_withdrawn(in_force: &RoutePlan, offered: &RoutePlan, route: &DomainName) -> bool {
    let known = in_force.change.withdrawn.contains_key(route);
    offered.change.withdrawn.get(route).is_some_and(|said| known || said.generation > in_force.generation)
}

/// Clusters that leave some route of both plans, if that is too much for one step.
fn share(in_force: &RoutePlan, offered: &RoutePlan) -> Option<Loss> {
    let size = sizes(in_force);
    let (mut total, mut lost) = (0u64, 0u64);
    let mut clusters = BTreeSet::new();
    for (name, route) in &in_force.routes {
        let Some(after) = offered.routes.get(name).filter(|_| !is_withdrawn(in_force, offered, name)) else { continue };
        for endpoint in in_service(route) {
            let weight = size(&endpoint.cluster);
            total = total.saturating_add(weight);
            if leaves(endpoint, after, offered) {
                lost = lost.saturating_add(weight);
                clusters.insert(endpoint.cluster.clone());
            }
        }
    }
    let percent = u8::try_from((u128::from(lost) * 100).div_ceil(u128::from(total.max(1)))).unwrap_or(100);
    let allowed = in_force.safety.max_loss_percent;
    (clusters.len() > 1 && percent > allowed).then_some(Loss::Share { clusters, percent, allowed })
}

/// By another hand than a rollout's or a release's: those say which clusters serve a route, and are bounded themselves.
fn leaves(endpoint: &Endpoint, route: &PlanRoute, offered: &RoutePlan) -> bool {
    let after = route.pool.iter().find(|after| after.cluster == endpoint.cluster);
    match after.map(|after| after.drained.as_deref()) {
        Some(None | Some(DRAINED_BY_ROLLOUT | NOT_DEPLOYED | NO_SUCH_ROUTE)) => false,
        Some(Some(_)) => true,
        None => !offered.clusters.contains_key(&endpoint.cluster),
    }
}

/// What a cluster counts: its capacity where every cluster has one, else its weight.
fn sizes(plan: &RoutePlan) -> impl Fn(&ClusterName) -> u64 {
    let all = plan.clusters.values().all(|cluster| cluster.capacity.is_some());
    move |name| {
        let Some(cluster) = plan.clusters.get(name) else { return 1 };
        let capacity = cluster.capacity.filter(|_| all);
        u64::from(capacity.unwrap_or(cluster.weight))
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names =
            |clusters: &BTreeSet<ClusterName>| clusters.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match self {
            Loss::Gone { route } => {
                write!(f, "route {route} would be gone, and neither a removed stack nor a release says so")
            }
            Loss::Emptied { route, clusters } => {
                write!(f, "route {route} would have no cluster left to answer with; it has {}", names(clusters))
            }
            Loss::Share { clusters, percent, allowed } => write!(
                f,
                "{} would leave at once, {percent} % of the capacity in service; {allowed} % may (safety.max_loss_percent)",
                names(clusters)
            ),
        }
    }
}

impl fmt::Display for TooMuchLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<_> = self.0.iter().take(LOSSES_SHOWN).map(ToString::to_string).collect();
        f.write_str(&shown.join("; "))?;
        match self.0.len().saturating_sub(LOSSES_SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
