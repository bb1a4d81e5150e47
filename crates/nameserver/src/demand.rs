//! Rates out of the answer path's counters: what each route was asked for lately, and what it answered.
//!
//! Rates follow the recent past with a time constant of [`WINDOW`], and begin as plain averages, so that the first figures
//! after a start are right too. They go on over a change of plans if the route's pool and orders stay what they were.

use crate::state::Serving;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;
use waggle_dns::{ClientOrder, RouteTally};
use waggle_model::traffic::{
    ClientTraffic, ClusterTraffic, OrderTraffic, RouteTraffic, TRAFFIC_CLIENTS_MAX, TRAFFIC_ORDERS_MAX,
    TRAFFIC_ROUTES_MAX,
};
use waggle_model::{ClusterName, DomainName, Generation};

/// How far rates look back, about.
const WINDOW: Duration = Duration::from_secs(10);
/// What is known about client prefixes is halved this often.
const AGE: Duration = Duration::from_secs(60);

/// The rates of all routes that were asked for.
#[derive(Debug, Default)]
pub struct Meter {
    routes: BTreeMap<DomainName, Metered>,
    last: Option<Instant>,
    generation: Generation,
    aged: Option<Instant>,
}

/// One route's counters when they were read last, and rates per second.
#[derive(Debug)]
pub struct Metered {
    pool: Vec<ClusterName>,
    pub orders: Vec<ClientOrder>,
    before: RouteTally,
    /// Time that the rates speak of.
    age: Duration,
    answers: Vec<f64>,
    /// Per order.
    pub asked: Vec<f64>,
}

impl Meter {
    /// Reads the counters; call about once a second.
    pub fn turn(&mut self, serving: &Serving, now: Instant) {
        let passed = self.last.replace(now).map(|last| now.duration_since(last));
        let (snapshot, tally) = (&serving.snapshot, serving.ledger.tally());
        let same_plan = std::mem::replace(&mut self.generation, snapshot.generation()) == snapshot.generation();
        let mut before = std::mem::take(&mut self.routes);
        for (index, route) in snapshot.routes().iter().enumerate() {
            let read = tally.read(snapshot, index);
            let known = before.remove(route.name());
            if known.is_none() && read.asked.iter().all(|count| *count == 0) {
                continue;
            }
            let orders = snapshot.orders(route);
            let known = known.filter(|known| known.pool == route.pool() && known.orders == orders);
            let known = known.unwrap_or_else(|| {
                // Left out before because nobody had asked yet; after a change of plans, counts may be older.
                let asked = if same_plan { vec![0; read.asked.len()] } else { read.asked.clone() };
                let before = RouteTally { asked, answers: read.answers.clone() };
                Metered::new(route.pool().to_vec(), orders, before)
            });
            let metered = match passed {
                Some(passed) if !passed.is_zero() => known.next(read, passed),
                _ => known,
            };
            self.routes.insert(route.name().clone(), metered);
        }
        if self.aged.is_none_or(|aged| now.duration_since(aged) >= AGE) {
            self.aged = Some(now);
            tally.age();
        }
    }

    /// Rates of the routes that were asked for.
    pub fn routes(&self) -> impl Iterator<Item = (&DomainName, &Metered)> {
        self.routes.iter()
    }

    /// The busiest routes, busiest first.
    pub fn told(&self, serving: &Serving) -> Vec<RouteTraffic> {
        let mut busiest: Vec<(&DomainName, &Metered)> =
            self.routes.iter().filter(|(_, metered)| metered.total() > 0.0).collect();
        busiest.sort_by(|a, b| b.1.total().total_cmp(&a.1.total()).then(a.0.cmp(b.0)));
        busiest.truncate(TRAFFIC_ROUTES_MAX);
        busiest.into_iter().filter_map(|(name, metered)| metered.told(name, serving)).collect()
    }
}

impl Metered {
    fn new(pool: Vec<ClusterName>, orders: Vec<ClientOrder>, before: RouteTally) -> Metered {
        let (answers, asked) = (vec![0.0; before.answers.len()], vec![0.0; before.asked.len()]);
        Metered { pool, orders, before, age: Duration::ZERO, answers, asked }
    }

    fn next(mut self, read: RouteTally, passed: Duration) -> Metered {
        self.age = (self.age + passed).min(WINDOW);
        let weight = passed.as_secs_f64() / self.age.as_secs_f64().max(passed.as_secs_f64());
        let follow = |rates: &mut [f64], now: &[u64], before: &[u64]| {
            for ((rate, now), before) in rates.iter_mut().zip(now).zip(before) {
                let lately = now.saturating_sub(*before) as f64 / passed.as_secs_f64();
                *rate += (lately - *rate) * weight;
            }
        };
        follow(&mut self.answers, &read.answers, &self.before.answers);
        follow(&mut self.asked, &read.asked, &self.before.asked);
        self.before = read;
        self
    }

    fn total(&self) -> f64 {
        self.asked.iter().sum()
    }

    fn told(&self, name: &DomainName, serving: &Serving) -> Option<RouteTraffic> {
        let (index, route) = serving.snapshot.route(name)?;
        let mut demand = vec![0.0; self.pool.len()];
        for (order, asked) in self.orders.iter().zip(&self.asked) {
            let parts = serving.snapshot.first_choice(route, order, route.full_mask());
            demand.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part * asked);
        }
        let clusters = self.pool.iter().zip(&self.answers).zip(&demand).map(|((cluster, answers), demand)| {
            (cluster.clone(), ClusterTraffic { answers: tenths(*answers), demand: tenths(*demand) })
        });
        let mut orders: Vec<(f64, &ClientOrder)> = self.asked.iter().copied().zip(&self.orders).collect();
        orders.retain(|(asked, _)| tenths(*asked) > 0.0);
        orders.sort_by_key(|(asked, _)| Reverse((*asked * 1000.0) as u64));
        orders.truncate(TRAFFIC_ORDERS_MAX);
        let names = |order: &ClientOrder| {
            order.placed.iter().filter_map(|bit| self.pool.get(usize::from(*bit)).cloned()).collect()
        };
        let orders = orders
            .into_iter()
            .map(|(asked, order)| OrderTraffic { clusters: names(order), per_second: tenths(asked) })
            .collect();
        let clients = serving.ledger.tally().clients(index).into_iter().take(TRAFFIC_CLIENTS_MAX);
        let clients = clients.map(|(prefix, questions)| ClientTraffic { prefix, questions }).collect();
        Some(RouteTraffic { route: name.clone(), clusters: clusters.collect(), orders, clients })
    }
}

/// Finer would only be noise on the wire.
fn tenths(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests;
