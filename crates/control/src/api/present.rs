//! What nameservers may answer with at present: the newest verdicts of one of them, and over those what people said. It
//! counts here even before a nameserver has told that it knows.

use crate::reconcile::Seen;
use waggle_dns::{Health, Present, Route, Snapshot};
use waggle_model::health::Verdict;
use waggle_model::health::overrides::{ActiveOverride, Effect};
use waggle_model::plan::{Endpoint, EndpointVerdict, RoutePlan};
use waggle_model::routing::Share;
use waggle_model::{DomainName, NameserverName, Timestamp};

/// What one nameserver said.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told<'a> {
    pub(super) by: Option<&'a NameserverName>,
    pub(super) verdicts: &'a [EndpointVerdict],
    pub(super) overrides: &'a [ActiveOverride],
}

impl<'a> Told<'a> {
    /// By the connected nameserver that reported last.
    pub(super) fn newest(seen: &'a Seen) -> Told<'a> {
        let Some((name, status)) = seen.newest_status() else { return Told::default() };
        Told { by: Some(name), verdicts: &status.verdicts, overrides: &status.overrides }
    }

    fn of(&self, route: &DomainName, endpoint: &Endpoint) -> Option<&'a EndpointVerdict> {
        let own = |verdict: &&EndpointVerdict| verdict.route == *route && verdict.cluster == endpoint.cluster;
        self.verdicts.iter().find(own)
    }

    fn overrides_of(&self, route: &DomainName, endpoint: &Endpoint) -> impl Iterator<Item = &'a ActiveOverride> {
        let covers = move |one: &&ActiveOverride| {
            one.target.cluster == endpoint.cluster && one.target.route.as_ref().is_none_or(|only| only == route)
        };
        self.overrides.iter().filter(covers)
    }
}

/// As a nameserver that was told this answers: unfit clusters are out, unknown ones stay, and those that only the rejoin
/// gate keeps out are answered if nothing else is left.
pub(super) fn present(snapshot: &Snapshot, plan: &RoutePlan, told: Told<'_>, now: Timestamp) -> Present {
    let mut present = Present::of(Health::new(snapshot));
    for (at, route) in snapshot.routes().iter().enumerate() {
        let masks = masks(plan, route, told, now);
        let mask = if masks.fit != 0 { masks.fit } else { masks.gated };
        present.health.set(at, mask & route.undrained_mask(), u32::MAX);
        present.health.limit(at, &masks.shares);
        present.gated.push(masks.gated & route.undrained_mask());
        present.forced_fit.push(masks.forced_fit & route.undrained_mask());
    }
    present
}

#[derive(Default)]
struct Masks {
    fit: u64,
    gated: u64,
    forced_fit: u64,
    shares: Vec<Share>,
}

fn masks(plan: &RoutePlan, route: &Route, told: Told<'_>, now: Timestamp) -> Masks {
    let mut masks = Masks::default();
    let pool = plan.routes.get(route.name()).map(|planned| planned.pool.as_slice()).unwrap_or_default();
    for (endpoint, bit) in pool.iter().zip(0u32..) {
        let said = told.of(route.name(), endpoint);
        let bit = 1u64 << (bit & 63);
        // An override counts more than the plan, and what comes of it is in the verdict.
        let mut overrides = told.overrides_of(route.name(), endpoint).peekable();
        let forced = endpoint.forced.as_ref().filter(|forced| overrides.peek().is_none() && forced.holds(now));
        let seen_fit = !said.is_some_and(|said| matches!(said.verdict, Verdict::Unfit(_)));
        let fit = forced.map_or(seen_fit, |forced| forced.fit);
        let gate = said.and_then(|said| said.gate.as_ref()).filter(|_| forced.is_none());
        let forced_fit = forced.is_some() || overrides.any(|one| one.effect == Effect::Fit);
        masks.fit |= if fit && gate.is_none() { bit } else { 0 };
        masks.gated |= if fit && gate.is_some() { bit } else { 0 };
        masks.forced_fit |= if fit && forced_fit { bit } else { 0 };
        let limited = said.and_then(|said| said.limited);
        masks.shares.push(limited.map_or(Share::FULL, |limited| limited.share));
    }
    masks
}

#[cfg(test)]
mod tests;
