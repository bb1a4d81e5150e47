//! Which clusters may be answered right now: one word of bits per route, beside the snapshot.

use crate::snapshot::Snapshot;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// One mask and one TTL cap per route of the snapshot it was made for. Writers and readers need no lock.
#[derive(Debug)]
pub struct Health {
    routes: Vec<RouteHealth>,
}

#[derive(Debug)]
struct RouteHealth {
    mask: AtomicU64,
    ttl_cap: AtomicU32,
}

impl Health {
    /// Every cluster that the plan does not drain may be answered; no cap.
    pub fn new(snapshot: &Snapshot) -> Health {
        let fresh = |mask| RouteHealth { mask: AtomicU64::new(mask), ttl_cap: AtomicU32::new(u32::MAX) };
        Health { routes: snapshot.routes().iter().map(|route| fresh(route.undrained_mask())).collect() }
    }

    /// `mask`: pool bits that may be answered; 0 means all are down, and then the route's fallback addresses are answered
    /// if it has some, else its pool — never nothing. `ttl_cap`: seconds. An unknown route is ignored.
    pub fn set(&self, route: usize, mask: u64, ttl_cap: u32) {
        if let Some(health) = self.routes.get(route) {
            health.mask.store(mask, Ordering::Relaxed);
            health.ttl_cap.store(ttl_cap, Ordering::Relaxed);
        }
    }

    /// Mask and TTL cap in seconds.
    pub fn get(&self, route: usize) -> (u64, u32) {
        let read = |health: &RouteHealth| (health.mask.load(Ordering::Relaxed), health.ttl_cap.load(Ordering::Relaxed));
        self.routes.get(route).map_or((0, u32::MAX), read)
    }
}
