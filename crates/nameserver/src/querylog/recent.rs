//! Who asked for what lately: the newest samples, and what control is told of them.
//!
//! Of more client networks than there is room for, those are kept whose weight divided by a random number of their own is
//! largest, and the others' part is spread over them (priority sampling, Duffield, Lund and Thorup 2007). Heavy clients
//! stay as they are, light ones stand for one another, and sums over any set of clients come out right on average. Keeping
//! the heaviest only was rejected: thousands of small networks together are most of a public service's clients.

use super::ring::Sampled;
use ipnet::IpNet;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use waggle_dns::{Asker, Snapshot, asker};
use waggle_model::traffic::{
    QuerySamples, RouteSamples, SAMPLED_CLIENTS_MAX, SAMPLED_ORDER_MAX, SAMPLED_ROUTES_MAX, SampledClient,
};
use waggle_model::{ClusterName, DomainName, NameserverName, Timestamp};

/// Samples remembered.
pub const KEPT_MAX: usize = 4096;
/// … for so long.
pub const AGE_MAX: Duration = Duration::from_secs(600);
/// Samples are taken to cover this much at least: a single query is no rate.
const WINDOW_MIN: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct Recent {
    kept: VecDeque<Kept>,
    /// Each once, however many samples have it.
    keys: BTreeSet<Arc<Key>>,
}

#[derive(Debug)]
struct Kept {
    at: Timestamp,
    key: Arc<Key>,
    client: IpNet,
    weight: u32,
}

/// A route, and how clients prefer its clusters: names, so that both outlive a change of plans.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    route: DomainName,
    order: Vec<ClusterName>,
}

impl Recent {
    /// Remembers who asked, if a route decides that query. `snapshot` is the one in force.
    pub fn take(&mut self, snapshot: &Snapshot, sampled: &Sampled) -> Option<Asker> {
        let asker = asker(snapshot, &sampled.query, sampled.source.ip())?;
        let route = snapshot.routes().get(asker.route)?;
        let placed = asker.order.placed.iter().take(SAMPLED_ORDER_MAX);
        let order = placed.filter_map(|bit| route.pool().get(usize::from(*bit)).cloned()).collect();
        let key = Key { route: route.name().clone(), order };
        let key = match self.keys.get(&key) {
            Some(known) => known.clone(),
            None => {
                let key = Arc::new(key);
                self.keys.insert(key.clone());
                key
            }
        };
        self.kept.push_back(Kept { at: sampled.at, key, client: asker.client, weight: sampled.weight });
        while self.kept.len() > KEPT_MAX {
            self.forget_first();
        }
        Some(asker)
    }

    /// What control is told; `None`: nothing was sampled lately.
    pub fn told(&mut self, name: &NameserverName, now: Timestamp) -> Option<QuerySamples> {
        while self.kept.front().is_some_and(|first| now.since(first.at) > AGE_MAX) {
            self.forget_first();
        }
        let window = now.since(self.kept.front()?.at).max(WINDOW_MIN);
        let mut weights: BTreeMap<(&Key, IpNet), f64> = BTreeMap::new();
        for kept in &self.kept {
            *weights.entry((&kept.key, kept.client)).or_default() += f64::from(kept.weight);
        }
        let chosen = chosen(weights.into_iter().collect(), SAMPLED_CLIENTS_MAX);
        let mut routes: BTreeMap<&DomainName, RouteSamples> = BTreeMap::new();
        for ((key, client), weight) in chosen {
            let empty = || RouteSamples { route: key.route.clone(), orders: Vec::new(), clients: Vec::new() };
            let route = routes.entry(&key.route).or_insert_with(empty);
            let order = route.orders.iter().position(|order| *order == key.order).unwrap_or_else(|| {
                route.orders.push(key.order.clone());
                route.orders.len() - 1
            });
            let per_second = weight / window.as_secs_f64();
            route.clients.push(SampledClient { client, order: order as u32, per_second });
        }
        let mut routes: Vec<RouteSamples> = routes.into_values().collect();
        let total = |route: &RouteSamples| route.clients.iter().map(|client| client.per_second).sum::<f64>();
        routes.sort_by(|a, b| total(b).total_cmp(&total(a)).then(a.route.cmp(&b.route)));
        routes.truncate(SAMPLED_ROUTES_MAX);
        let (window_ms, samples) = (window.as_millis() as u64, self.kept.len() as u64);
        Some(QuerySamples { name: name.clone(), at: now, window_ms, samples, routes })
    }

    fn forget_first(&mut self) {
        let Some(first) = self.kept.pop_front() else { return };
        // Besides this one, only the set itself knows the key.
        if Arc::strong_count(&first.key) <= 2 {
            self.keys.remove(&first.key);
        }
    }
}

/// At most `max` of the weighted items, with weights that stand for those left out, too.
fn chosen<T: Hash>(items: Vec<(T, f64)>, max: usize) -> Vec<(T, f64)> {
    if items.len() <= max {
        return items;
    }
    let priority = |item: &T, weight: f64| {
        // The same number for the same client at all times, so that who is told of changes slowly.
        let mut hasher = DefaultHasher::new();
        item.hash(&mut hasher);
        weight / (((hasher.finish() >> 11) as f64 + 1.0) / (1u64 << 53) as f64)
    };
    let mut ranked: Vec<(f64, (T, f64))> =
        items.into_iter().map(|(item, weight)| (priority(&item, weight), (item, weight))).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let least = ranked.get(max).map_or(0.0, |(priority, _)| *priority);
    ranked.truncate(max);
    ranked.into_iter().map(|(_, (item, weight))| (item, weight.max(least))).collect()
}

#[cfg(test)]
mod tests;
