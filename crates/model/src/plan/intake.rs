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
//! * *Several clusters must not leave a route at once if they are more than a share of what it has in service.* One cluster
//!   alone may always go: a federation must bear that, and maintenance of one of two does it. What a rollout keeps out does
//!   not count: it is bounded by `max_parallel`, by what is fit, and comes back by itself. A capacity that is lowered counts
//!   as that part of a cluster leaving: clients beyond it are sent away just the same.
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
    /// These clusters leave at once, and these can take less. Percent of the capacity that the route has in service.
    Share { route: DomainName, leave: BTreeSet<ClusterName>, shrink: BTreeSet<ClusterName>, percent: u8, allowed: u8 },
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

/// The route that loses most of what its clusters can take, if that is too much for one step.
fn share(in_force: &RoutePlan, offered: &RoutePlan) -> Option<Loss> {
    let allowed = in_force.safety.max_loss_percent;
    let routes = in_force.routes.iter().filter(|(name, _)| !is_withdrawn(in_force, offered, name));
    let shares = routes.filter_map(|(name, route)| {
        let share = share_of(in_force, route, offered, offered.routes.get(name)?);
        let clusters = share.leave.len() + share.shrink.len();
        (clusters > 1 && share.percent() > allowed).then_some((name, share))
    });
    let (route, share) = shares.max_by_key(|(_, share)| share.percent())?;
    let (percent, Share { leave, shrink, .. }) = (share.percent(), share);
    Some(Loss::Share { route: route.clone(), leave, shrink, percent, allowed })
}

/// What a route's clusters can take together, and what of it goes.
#[derive(Default)]
struct Share {
    total: u64,
    lost: u64,
    leave: BTreeSet<ClusterName>,
    /// They stay, and can take less.
    shrink: BTreeSet<ClusterName>,
}

impl Share {
    fn percent(&self) -> u8 {
        let percent = (u128::from(self.lost) * 100).div_ceil(u128::from(self.total.max(1)));
        u8::try_from(percent).unwrap_or(100)
    }
}

/// A cluster counts its capacity where every one of the route has one, else its weight. Weights say who is preferred and
/// not what can be taken: that one is lowered is no loss.
fn share_of(in_force: &RoutePlan, route: &PlanRoute, offered: &RoutePlan, after: &PlanRoute) -> Share {
    let capacity = |endpoint: &Endpoint| in_force.clusters.get(&endpoint.cluster)?.capacity;
    let all = in_service(route).all(|endpoint| capacity(endpoint).is_some());
    let mut share = Share::default();
    for endpoint in in_service(route) {
        let weight = in_force.clusters.get(&endpoint.cluster).map_or(1, |cluster| cluster.weight);
        let size = u64::from(capacity(endpoint).filter(|_| all).unwrap_or(weight));
        let then = offered.clusters.get(&endpoint.cluster).and_then(|cluster| cluster.capacity).filter(|_| all);
        let less = then.map_or(0, |then| size.saturating_sub(u64::from(then)));
        share.total = share.total.saturating_add(size);
        if leaves(endpoint, after, offered) {
            share.lost = share.lost.saturating_add(size);
            share.leave.insert(endpoint.cluster.clone());
        } else if less > 0 {
            share.lost = share.lost.saturating_add(less);
            share.shrink.insert(endpoint.cluster.clone());
        }
    }
    share
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
            Loss::Share { route, leave, shrink, percent, allowed } => {
                match (leave.is_empty(), shrink.is_empty()) {
                    (_, true) => write!(f, "{} would leave at once", names(leave))?,
                    (true, false) => write!(f, "{} would have less capacity at once", names(shrink))?,
                    (false, false) => {
                        write!(f, "{} would leave and {} have less capacity at once", names(leave), names(shrink))?;
                    }
                }
                write!(
                    f,
                    ", {percent} % of the capacity in service for {route}; {allowed} % may (safety.max_loss_percent)"
                )
            }
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
