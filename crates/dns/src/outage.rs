//! An outage, simulated: the questions of the recent past are answered once with the present verdicts and once without the
//! lost clusters, by the code that answers queries and the rules that keep clusters within their capacities.
//!
//! Both times shares follow from the same questions and from nothing that is just under way: a cluster that is coming back
//! in steps counts as back. So what differs is what the outage does, and nothing else.

use crate::health::Health;
use crate::replay::{order, replay};
use crate::snapshot::{Route, Snapshot};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;
use waggle_model::ClusterName;
use waggle_model::outage::{Basis, Broken, ClusterOutage, Flow, Note, Outage, RouteOutage};
use waggle_model::plan::{PlanRoute, RoutePlan};
use waggle_model::release::AllDown;
use waggle_model::routing::Share;
use waggle_model::routing::spill::{Group, loads, spill};

/// What a load may exceed a capacity by before it counts: rates are estimates, and shares are rounded.
const TOLERANCE: f64 = 1.02;
/// From the last evidence to the answer: a nameserver concludes this often.
const CONCLUDE: Duration = Duration::from_millis(100);

/// Clients of one network who ask for one route.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Index of the route.
    pub route: usize,
    pub client: IpAddr,
    /// How their place orders the route's clusters, as far as it does.
    pub placed: Vec<u8>,
    /// Questions per second.
    pub rate: f64,
    pub basis: Basis,
}

/// What is so before clusters are lost.
#[derive(Debug)]
pub struct Present {
    /// Which clusters may be answered.
    pub health: Health,
    /// Per route, bits of those that are fit and kept out by nothing but the rejoin gate: answered if nothing else is left.
    pub gated: Vec<u64>,
    /// Per route, bits of those that a person calls fit, whatever is seen of them.
    pub forced_fit: Vec<u64>,
}

impl Present {
    /// Nobody is gated or forced.
    pub fn of(health: Health) -> Present {
        Present { health, gated: Vec::new(), forced_fit: Vec::new() }
    }

    fn gated(&self, route: usize) -> u64 {
        self.gated.get(route).copied().unwrap_or(0)
    }

    fn forced_fit(&self, route: usize) -> u64 {
        self.forced_fit.get(route).copied().unwrap_or(0)
    }
}

/// What changes when `lost` are gone. `s` is compiled from `plan`.
pub fn outage(
    s: &Snapshot,
    plan: &RoutePlan,
    present: &Present,
    questions: &[Question],
    lost: &BTreeSet<ClusterName>,
) -> Outage {
    let orders: Vec<Vec<u8>> = questions.iter().map(|one| order(s, one.route, one.client, &one.placed)).collect();
    let work = Work { s, plan, questions, orders };
    let steps: Vec<Step> =
        s.routes.iter().enumerate().map(|(at, route)| step(plan, at, route, present, lost)).collect();
    let masks = |mask: fn(&Step) -> u64| steps.iter().map(mask).collect::<Vec<u64>>();
    let (before, after) = (work.stage(&masks(|step| step.now)), work.stage(&masks(|step| step.then)));
    let mut found = Outage { lost: lost.clone(), ..Outage::default() };
    for (at, (route, step)) in s.routes.iter().zip(&steps).enumerate() {
        let Some(planned) = plan.routes.get(&route.name) else { continue };
        weaken(&mut found, route, planned, step);
        if let Some(told) = work.route(at, planned, step, &before, &after) {
            found.routes.insert(route.name.clone(), told);
        }
    }
    sum(&mut found);
    clusters(&mut found, plan, &before, &after);
    found.notes.extend(suspicion(plan, lost));
    found
}

/// Bits of one route that may be answered, before and after.
struct Step {
    now: u64,
    then: u64,
    /// The lost ones.
    gone: u64,
    /// Those of them that nameservers leave: not without a check, and not against a person's word.
    left: u64,
    /// What is answered then is held back by the rejoin gate now.
    held_back: bool,
}

fn step(plan: &RoutePlan, at: usize, route: &Route, present: &Present, lost: &BTreeSet<ClusterName>) -> Step {
    let now = present.health.get(at).0 & route.full;
    let gone = gone(route, lost);
    let checked = plan.routes.get(&route.name).is_some_and(|planned| planned.check.is_some());
    let left = if checked { gone & !present.forced_fit(at) } else { 0 };
    let gated = present.gated(at) & route.full & !left;
    let held_back = now & !left == 0 && gated != 0;
    Step { now, then: if held_back { gated } else { now & !left }, gone, left, held_back }
}

fn gone(route: &Route, lost: &BTreeSet<ClusterName>) -> u64 {
    let bits = route.pool.iter().zip(0..).filter(|(cluster, _)| lost.contains(*cluster));
    bits.fold(0, |mask, (_, bit)| mask | 1 << (bit & 63))
}

struct Work<'a> {
    s: &'a Snapshot,
    plan: &'a RoutePlan,
    questions: &'a [Question],
    /// Per question, all bits in the order in which its clients try them.
    orders: Vec<Vec<u8>>,
}

/// The world with some clusters.
struct Stage {
    health: Health,
    /// By position in the plan: answers per second, and what part of the clients is taken.
    loads: Vec<f64>,
    shares: Vec<Share>,
}

impl Work<'_> {
    fn stage(&self, masks: &[u64]) -> Stage {
        let numbers: BTreeMap<&ClusterName, u16> = self.plan.clusters.keys().zip(0..).collect();
        let mut groups = Vec::new();
        for (question, order) in self.questions.iter().zip(&self.orders) {
            let (Some(route), Some(mask)) = (self.s.routes.get(question.route), masks.get(question.route)) else {
                continue;
            };
            let number = |bit: &u8| numbers.get(route.pool.get(usize::from(*bit))?).copied();
            let fit = order.iter().filter(|bit| mask & 1 << (**bit & 63) != 0);
            let fit: Vec<u16> = fit.filter_map(number).collect();
            let (first, behind) = fit.split_at(fit.len().min(route.picks as usize));
            for one in first {
                groups.push(Group { rate: question.rate, order: [&[*one], behind].concat() });
            }
        }
        let capacities: Vec<_> = self.plan.clusters.values().map(|cluster| cluster.capacity.map(f64::from)).collect();
        let limited = capacities.iter().any(Option::is_some);
        let shares = if limited { spill(&groups, &capacities) } else { vec![Share::FULL; capacities.len()] };
        let health = Health::new(self.s);
        for (at, (route, mask)) in self.s.routes.iter().zip(masks).enumerate() {
            health.set(at, *mask, u32::MAX);
            let share = |cluster| numbers.get(cluster).and_then(|number| shares.get(usize::from(*number))).copied();
            let own: Vec<Share> = route.pool.iter().map(|cluster| share(cluster).unwrap_or_default()).collect();
            health.limit(at, &own);
        }
        Stage { health, loads: loads(&groups, &shares), shares }
    }

    /// `None`: nobody asks for it.
    fn route(&self, at: usize, planned: &PlanRoute, step: &Step, before: &Stage, after: &Stage) -> Option<RouteOutage> {
        let route = self.s.routes.get(at)?;
        let own = || self.questions.iter().filter(|question| question.route == at);
        let basis = own().map(|question| question.basis).max()?;
        let total: f64 = own().map(|question| question.rate).sum();
        let (mut sums, mut flows) = ([BTreeMap::new(), BTreeMap::new()], BTreeMap::new());
        let mut moved = 0.0;
        for question in own().filter(|_| total > 0.0) {
            let part = question.rate / total;
            let was = answered(self.s, &before.health, question);
            let mut is = answered(self.s, &after.health, question);
            let mut nobody = 0.0;
            is.retain(|bit, share| {
                let dead = step.gone & 1 << (bit & 63) != 0;
                nobody += if dead { *share } else { 0.0 };
                !dead
            });
            add(&mut sums[0], &was, part);
            add(&mut sums[1], &is, part);
            moved += part
                * transport(&was, &is, nobody, |from, to, share| {
                    *flows.entry((from, to)).or_insert(0.0) += share * part;
                });
        }
        let name = |bit: &u8| route.pool.get(usize::from(*bit)).cloned();
        let named = |sums: &BTreeMap<u8, f64>| sums.iter().filter_map(|(bit, sum)| Some((name(bit)?, *sum))).collect();
        let flow = |((from, to), share): (&(u8, Option<u8>), &f64)| {
            Some(Flow { from: name(from)?, to: to.as_ref().and_then(name), share: *share })
        };
        Some(RouteOutage {
            basis,
            per_second: if basis == Basis::Weights { 0.0 } else { total },
            moved,
            before: named(&sums[0]),
            after: named(&sums[1]),
            flows: sorted(flows.iter().filter_map(flow).collect()),
            left: (step.then & !step.gone).count_ones() as usize,
            noticed_ms: noticed(self.plan, planned, step).map(|time| time.as_millis() as u64),
            ttl: route.ttl,
        })
    }
}

/// Parts of a question by the clusters that its answer names; none for fallback addresses.
fn answered(s: &Snapshot, health: &Health, question: &Question) -> BTreeMap<u8, f64> {
    let chosen = replay(s, health, question.route, question.client, &question.placed);
    let part = 1.0 / chosen.len().max(1) as f64;
    chosen.into_iter().map(|bit| (bit, part)).collect()
}

fn add(sums: &mut BTreeMap<u8, f64>, parts: &BTreeMap<u8, f64>, weight: f64) {
    parts.iter().for_each(|(bit, part)| *sums.entry(*bit).or_insert(0.0) += part * weight);
}

/// Tells `flow` what goes from clusters that lose to those that win, each in proportion; returns how much that is.
fn transport(
    was: &BTreeMap<u8, f64>,
    is: &BTreeMap<u8, f64>,
    nobody: f64,
    mut flow: impl FnMut(u8, Option<u8>, f64),
) -> f64 {
    let of = |parts: &BTreeMap<u8, f64>, bit: &u8| parts.get(bit).copied().unwrap_or(0.0);
    let less = was.iter().map(|(bit, part)| (*bit, part - of(is, bit))).filter(|(_, less)| *less > 1e-12);
    let more = is.iter().map(|(bit, part)| (Some(*bit), part - of(was, bit))).filter(|(_, more)| *more > 1e-12);
    let more: Vec<(Option<u8>, f64)> =
        more.chain([(None, nobody)].into_iter().filter(|(_, more)| *more > 0.0)).collect();
    let gained: f64 = more.iter().map(|(_, more)| more).sum();
    let mut total = 0.0;
    for (from, less) in less {
        for (to, more) in &more {
            flow(from, *to, less * more / gained);
        }
        // Fallback addresses are no cluster's.
        if more.is_empty() {
            flow(from, None, less);
        }
        total += less;
    }
    total
}

fn sorted(mut flows: Vec<Flow>) -> Vec<Flow> {
    flows.sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| (&a.from, &a.to).cmp(&(&b.from, &b.to))));
    flows
}

/// Longest time until probes and silence say that a cluster is gone. Without a check nobody says it, and of one that is
/// forced fit nobody believes it.
fn noticed(plan: &RoutePlan, route: &PlanRoute, step: &Step) -> Option<Duration> {
    let check = route.check.as_ref().filter(|_| step.gone == 0 || step.left != 0)?;
    let probes = check.interval.max(check.timeout) * u32::from(plan.health.fall) + check.timeout;
    Some(probes.max(plan.health.beat_deadline) + CONCLUDE)
}

/// The rule by which nameservers doubt themselves, for the case that all endpoints of the lost clusters fail at once.
fn suspicion(plan: &RoutePlan, lost: &BTreeSet<ClusterName>) -> Option<Note> {
    let checked = plan.routes.values().filter(|route| route.check.is_some()).flat_map(|route| &route.pool);
    let endpoints: Vec<&ClusterName> = checked.map(|endpoint| &endpoint.cluster).collect();
    let failing: Vec<&&ClusterName> = endpoints.iter().filter(|cluster| lost.contains(**cluster)).collect();
    let clusters: BTreeSet<_> = failing.iter().collect();
    let (failing, of) = (failing.len(), endpoints.len());
    let most = failing * 2 > of && clusters.len() >= 2 && (failing >= 3 || failing == of);
    most.then_some(Note::SelfSuspicion { failing, of })
}

/// What breaks for a route, whether or not somebody asks for it just now.
fn weaken(found: &mut Outage, route: &Route, planned: &PlanRoute, step: &Step) {
    let (now, then) = (step.now, step.then);
    let name = || route.name.clone();
    for (cluster, bit) in route.pool.iter().zip(0u32..).filter(|(cluster, _)| found.lost.contains(*cluster)) {
        if now & 1 << (bit & 63) == 0 {
            found.notes.push(Note::OutAlready { route: name(), cluster: cluster.clone() });
        } else if planned.check.is_none() {
            found.broken.push(Broken::Unnoticed { route: name(), lost: cluster.clone() });
        } else if step.left & 1 << (bit & 63) == 0 {
            found.broken.push(Broken::ForcedFit { route: name(), lost: cluster.clone() });
        }
    }
    if now == then {
        return;
    }
    if step.held_back {
        let back = route.pool.iter().zip(0u32..).filter(|(_, bit)| then & 1 << (bit & 63) != 0);
        found.notes.extend(back.map(|(cluster, _)| Note::HeldBack { route: name(), cluster: cluster.clone() }));
    }
    if then == 0 {
        let rule = match &planned.all_down {
            AllDown::Fallback(addresses) if !addresses.is_empty() => "its fallback addresses are answered",
            AllDown::LastGood => "the clusters that were fit last are answered, though they are gone",
            AllDown::All | AllDown::Fallback(_) => "all its clusters are answered, though they are gone",
        };
        found.broken.push(Broken::AllDown { route: name(), rule: rule.to_owned() });
    } else if then.count_ones() == 1
        && let Some(cluster) = route.pool.get(then.trailing_zeros() as usize)
    {
        found.notes.push(Note::LastOne { route: name(), cluster: cluster.clone() });
    }
}

/// All routes together, by their rates.
fn sum(found: &mut Outage) {
    // Where nobody asked, all routes count alike.
    let unknown = found.routes.values().all(|route| route.per_second == 0.0);
    let weight = |route: &RouteOutage| if unknown { 1.0 } else { route.per_second };
    let total: f64 = found.routes.values().map(weight).sum();
    let mut flows: BTreeMap<(ClusterName, Option<ClusterName>), f64> = BTreeMap::new();
    for route in found.routes.values().filter(|_| total > 0.0) {
        let part = weight(route) / total;
        found.moved += route.moved * part;
        for flow in &route.flows {
            *flows.entry((flow.from.clone(), flow.to.clone())).or_default() += flow.share * part;
        }
    }
    found.per_second = found.routes.values().map(|route| route.per_second).sum();
    let flow = |((from, to), share)| Flow { from, to, share };
    found.flows = sorted(flows.into_iter().map(flow).filter(|flow| flow.share > 0.0).collect());
}

fn clusters(found: &mut Outage, plan: &RoutePlan, before: &Stage, after: &Stage) {
    let rates = before.loads.iter().zip(&after.loads).zip(&after.shares);
    for ((name, cluster), ((before, after), share)) in plan.clusters.iter().zip(rates) {
        let after = if found.lost.contains(name) { 0.0 } else { *after };
        let capacity = cluster.capacity;
        if let Some(capacity) = capacity.filter(|capacity| after > f64::from(*capacity) * TOLERANCE) {
            found.broken.push(Broken::Capacity { cluster: name.clone(), per_second: after, capacity });
        } else if !share.is_full() && !found.lost.contains(name) {
            found.notes.push(Note::Spilled { cluster: name.clone() });
        }
        found.clusters.insert(name.clone(), ClusterOutage { before: *before, after, capacity });
    }
}
