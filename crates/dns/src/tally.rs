//! How often was asked and answered, and by which client networks: counters beside the snapshot.
//!
//! Their number follows from the plan and never from what clients send: per (route, cluster) one for answers, per (route,
//! order of its clusters) one for questions, and per route a few slots in which the client prefixes that ask most keep
//! their place. A map from prefix to count was rejected, because a million spoofed subnets would fill it.
//!
//! A slot's count is a lower bound: a prefix without a slot takes one off the weakest of its set, and gets the slot when
//! that is at zero. What asks most of all therefore stays, and what asks once leaves nothing behind. Two threads may spoil
//! one another's update now and then; these are figures for people and for shares, not for proofs (see `ledger`).

use crate::choose::Choice;
use crate::snapshot::{Order, Route, Snapshot};
use ipnet::IpNet;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use waggle_model::routing::{V4_PREFIX, V6_PREFIX};

/// Questions of one plan are counted in at most about so many cells; a route's share of them bounds [`ORDERS_COUNTED`].
const DEMAND_CELLS: usize = 1 << 22;
/// Orders of one route's clusters whose questions are counted apart.
pub const ORDERS_COUNTED: usize = 256;
/// … with very many routes.
const ORDERS_COUNTED_MIN: usize = 32;
/// Slots for client prefixes of all routes together, and of one route.
const SLOTS: usize = 1 << 16;
const SLOTS_OF_ROUTE: usize = 64;
/// Slots that one prefix may have.
const WAYS: usize = 4;

/// Copies of the counters, so that threads do not wait for one another's cache lines; fewer when there are many counters,
/// as then threads seldom meet.
const STRIPES: usize = 8;
/// Counters of all stripes together beyond which there are fewer stripes.
const STRIPED_CELLS: usize = 1 << 20;
/// Unused counters behind those of a stripe: two cache lines.
const APART: usize = 16;

/// Counters of one snapshot.
#[derive(Debug)]
pub struct Tally {
    /// A power of two.
    stripes: Vec<Stripe>,
    /// Slots of each route in one stripe.
    width: usize,
}

/// What some of the threads count.
#[derive(Debug)]
struct Stripe {
    /// By ledger cell.
    answers: Vec<AtomicU64>,
    /// By route, then by the order's counter.
    asked: Vec<AtomicU64>,
    slots: Vec<Slot>,
}

thread_local! {
    /// Number of this thread among those that answered anything; `MAX` before.
    static THREAD: Cell<usize> = const { Cell::new(usize::MAX) };
}
static THREADS: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug, Default)]
struct Slot {
    /// Prefix as a number; 0 when free.
    prefix: AtomicU64,
    count: AtomicU32,
}

/// Figures of one route since its counters began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteTally {
    /// Per cluster of the pool: answers that named it.
    pub answers: Vec<u64>,
    /// Per order in [`Snapshot::orders`]: questions of clients with that order.
    pub asked: Vec<u64>,
}

/// How some of a route's clients prefer its clusters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientOrder {
    /// Bits of clusters that the clients' place orders, best first. Over all others clients are spread by weight.
    pub placed: Vec<u8>,
}

impl Tally {
    pub(crate) fn new(snapshot: &Snapshot) -> Tally {
        let routes = snapshot.routes.len();
        let answers: usize = snapshot.routes.iter().map(|route| route.pool.len()).sum();
        let asked = snapshot.routes.last().map_or(0, |last| last.counters as usize + snapshot.orders_of(last));
        let stripes = power_of_two(STRIPED_CELLS / (answers + asked).max(1), 1, STRIPES);
        let width = power_of_two(SLOTS / (routes * stripes).max(1), WAYS, SLOTS_OF_ROUTE);
        let zeros = |count| (0..count + APART).map(|_| AtomicU64::new(0)).collect();
        let slots = || (0..routes * width).map(|_| Slot::default()).collect();
        let stripe = |_| Stripe { answers: zeros(answers), asked: zeros(asked), slots: slots() };
        Tally { stripes: (0..stripes).map(stripe).collect(), width }
    }

    /// A question for a route: what its client would have liked, and what it got.
    pub(crate) fn note(&self, index: u32, route: &Route, choice: &Choice, client: IpAddr) {
        let Some(stripe) = self.stripes.get(thread() & (self.stripes.len() - 1)) else { return };
        add(&stripe.asked, route.counters + choice.counter);
        for bit in choice.bits() {
            add(&stripe.answers, route.ledger + u32::from(*bit));
        }
        let prefix = pack(client);
        let set = spread(prefix) as usize & (self.width / WAYS - 1);
        let start = index as usize * self.width + set * WAYS;
        note_prefix(stripe.slots.get(start..start + WAYS).unwrap_or_default(), prefix);
    }

    /// By route index. `snapshot` is the one this was made for.
    pub fn read(&self, snapshot: &Snapshot, index: usize) -> RouteTally {
        let Some(route) = snapshot.routes.get(index) else { return RouteTally { answers: vec![], asked: vec![] } };
        let (answers, asked) = (route.ledger as usize, route.counters as usize);
        let sum = |read: &dyn Fn(&Stripe) -> Option<&AtomicU64>| {
            self.stripes.iter().filter_map(read).map(|cell| cell.load(Ordering::Relaxed)).sum()
        };
        RouteTally {
            answers: (0..route.pool.len()).map(|at| sum(&|stripe| stripe.answers.get(answers + at))).collect(),
            asked: (0..snapshot.orders_of(route)).map(|at| sum(&|stripe| stripe.asked.get(asked + at))).collect(),
        }
    }

    /// Client prefixes that asked most lately, and at least how often; busiest first.
    pub fn clients(&self, index: usize) -> Vec<(IpNet, u32)> {
        let mut counts: BTreeMap<IpNet, u32> = BTreeMap::new();
        for slot in self.stripes.iter().flat_map(|stripe| self.slots(stripe, index)) {
            let count = slot.count.load(Ordering::Relaxed);
            if let Some(prefix) = unpack(slot.prefix.load(Ordering::Relaxed)).filter(|_| count > 0) {
                let sum = counts.entry(prefix).or_default();
                *sum = sum.saturating_add(count);
            }
        }
        let mut clients: Vec<(IpNet, u32)> = counts.into_iter().collect();
        clients.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        clients
    }

    /// Halves what is known about client prefixes, so that it speaks of the recent past.
    pub fn age(&self) {
        for slot in self.stripes.iter().flat_map(|stripe| &stripe.slots) {
            slot.count.store(slot.count.load(Ordering::Relaxed) / 2, Ordering::Relaxed);
        }
    }

    /// Takes over what another tally counted, and leaves it at zero: nothing is lost or counted twice, however often this
    /// is repeated while threads still count there. Figures of routes and clusters that left the plan end there; those of
    /// orders are only taken over if the route's orders are still the same.
    pub fn absorb(&self, snapshot: &Snapshot, old: &Tally, before: &Snapshot) {
        for (was_at, was) in before.routes.iter().enumerate() {
            let Some((at, route)) = snapshot.route(&was.name) else { continue };
            let same_pool = was.pool == route.pool;
            let same_orders = same_pool && before.orders(was) == snapshot.orders(route);
            for (number, theirs) in old.stripes.iter().enumerate() {
                let Some(ours) = self.stripes.get(number & (self.stripes.len() - 1)) else { continue };
                for (bit, cluster) in was.pool.iter().enumerate() {
                    if let Ok(now) = route.pool.binary_search(cluster) {
                        carry(&theirs.answers, was.ledger as usize + bit, &ours.answers, route.ledger as usize + now);
                    }
                }
                for order in (0..before.orders_of(was)).filter(|_| same_orders) {
                    carry(&theirs.asked, was.counters as usize + order, &ours.asked, route.counters as usize + order);
                }
                let (slots, own) = (old.slots(theirs, was_at), self.slots(ours, at));
                if same_pool && slots.len() == own.len() {
                    slots.iter().zip(own).for_each(|(old, own)| old.hand_on(own));
                }
            }
        }
    }

    fn slots<'a>(&self, stripe: &'a Stripe, index: usize) -> &'a [Slot] {
        stripe.slots.get(index * self.width..(index + 1) * self.width).unwrap_or_default()
    }
}

/// Of the calling thread.
fn thread() -> usize {
    let known = THREAD.get();
    if known != usize::MAX {
        return known;
    }
    let number = THREADS.fetch_add(1, Ordering::Relaxed) & (usize::MAX >> 1);
    THREAD.set(number);
    number
}

/// The largest one up to `value`, between `min` and `max`, which are powers of two.
fn power_of_two(value: usize, min: usize, max: usize) -> usize {
    let value = value.clamp(min, max);
    if value.is_power_of_two() { value } else { value.next_power_of_two() / 2 }
}

impl Slot {
    /// To a free one, or to that of the same prefix; elsewhere something newer has its place.
    fn hand_on(&self, next: &Slot) {
        let (count, prefix) = (self.count.swap(0, Ordering::Relaxed), self.prefix.load(Ordering::Relaxed));
        let known = next.count.load(Ordering::Relaxed);
        if count > 0 && (known == 0 || next.prefix.load(Ordering::Relaxed) == prefix) {
            next.prefix.store(prefix, Ordering::Relaxed);
            next.count.store(known.saturating_add(count), Ordering::Relaxed);
        }
    }
}

impl Snapshot {
    /// The orders by which questions for a route are counted. With too many of them, one stands for all that begin with
    /// the same cluster.
    pub fn orders(&self, route: &Route) -> Vec<ClientOrder> {
        match &route.order {
            Order::Fixed(order) => vec![ClientOrder { placed: order.clone() }],
            Order::Weighted => vec![ClientOrder { placed: Vec::new() }],
            Order::Place { shape } => {
                let Some(shape) = self.shapes.get(*shape as usize) else { return Vec::new() };
                shape.counted.iter().map(|class| ClientOrder { placed: shape.placed(*class).to_vec() }).collect()
            }
        }
    }

    /// By which part of the clients with `order` each cluster of the pool is liked best, as fractions of 1, when the bits
    /// in `mask` are all there is.
    pub fn first_choice(&self, route: &Route, order: &ClientOrder, mask: u64) -> Vec<f64> {
        let mut parts = vec![0.0; route.pool.len()];
        let fit = |bit: usize| mask & 1 << (bit & 63) != 0;
        if let Some(first) = order.placed.iter().find(|bit| fit(usize::from(**bit))) {
            parts.iter_mut().skip(usize::from(*first)).take(1).for_each(|part| *part = 1.0);
            return parts;
        }
        let weight = |bit: usize| route.candidates.get(bit).map_or(0.0, |one| f64::from(one.weight()));
        let total: f64 = (0..parts.len()).filter(|bit| fit(*bit)).map(weight).sum();
        if total > 0.0 {
            parts
                .iter_mut()
                .enumerate()
                .filter(|(bit, _)| fit(*bit))
                .for_each(|(bit, part)| *part = weight(bit) / total);
        }
        parts
    }

    /// Their number.
    pub(crate) fn orders_of(&self, route: &Route) -> usize {
        match &route.order {
            Order::Fixed(_) | Order::Weighted => 1,
            Order::Place { shape } => self.shapes.get(*shape as usize).map_or(0, |shape| shape.counted.len()),
        }
    }
}

/// Orders of one route that are counted apart when the plan has `routes`.
pub(crate) fn orders_counted(routes: usize) -> usize {
    (DEMAND_CELLS / routes.max(1)).clamp(ORDERS_COUNTED_MIN, ORDERS_COUNTED)
}

fn add(cells: &[AtomicU64], at: u32) {
    if let Some(cell) = cells.get(at as usize) {
        cell.fetch_add(1, Ordering::Relaxed);
    }
}

fn carry(from: &[AtomicU64], at: usize, into: &[AtomicU64], to: usize) {
    if let (Some(from), Some(into)) = (from.get(at), into.get(to)) {
        into.fetch_add(from.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }
}

fn note_prefix(set: &[Slot], prefix: u64) {
    let mut weakest: Option<(&Slot, u32)> = None;
    for slot in set {
        let count = slot.count.load(Ordering::Relaxed);
        if slot.prefix.load(Ordering::Relaxed) == prefix {
            slot.count.store(count.saturating_add(1), Ordering::Relaxed);
            return;
        }
        if weakest.is_none_or(|(_, least)| count < least) {
            weakest = Some((slot, count));
        }
    }
    match weakest {
        Some((slot, 0)) => {
            slot.prefix.store(prefix, Ordering::Relaxed);
            slot.count.store(1, Ordering::Relaxed);
        }
        Some((slot, count)) => slot.count.store(count - 1, Ordering::Relaxed),
        None => {}
    }
}

const V4_MARK: u64 = 1 << 62;
const V6_MARK: u64 = 1 << 63;
const V4_SHIFT: u32 = 32 - V4_PREFIX as u32;
const V6_SHIFT: u32 = 128 - V6_PREFIX as u32;

fn pack(client: IpAddr) -> u64 {
    match client {
        IpAddr::V4(v4) => u64::from(u32::from(v4) >> V4_SHIFT) | V4_MARK,
        IpAddr::V6(v6) => (u128::from(v6) >> V6_SHIFT) as u64 | V6_MARK,
    }
}

fn unpack(prefix: u64) -> Option<IpNet> {
    if prefix & V6_MARK != 0 {
        let bits = u128::from(prefix & !V6_MARK) << V6_SHIFT;
        return IpNet::new(Ipv6Addr::from(bits).into(), V6_PREFIX).ok();
    }
    let bits = ((prefix & !V4_MARK) as u32) << V4_SHIFT;
    IpNet::new(Ipv4Addr::from(bits).into(), V4_PREFIX).ok().filter(|_| prefix & V4_MARK != 0)
}

/// Fibonacci hashing: the top bits depend on all of them.
fn spread(prefix: u64) -> u64 {
    prefix.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48
}
