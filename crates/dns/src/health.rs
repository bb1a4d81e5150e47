//! Which clusters may be answered right now, and to how many of the clients: words beside the snapshot.

use crate::snapshot::{Route, Snapshot};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use waggle_model::routing::Share;

/// One mask and one TTL cap per route of the snapshot it was made for, and one share per (route, cluster). Writers and
/// readers need no lock. A reader that meets a half-written change gives an answer that is right for one of its halves.
#[derive(Debug)]
pub struct Health {
    routes: Vec<RouteHealth>,
    /// [`Share`]s by ledger cell.
    shares: Vec<AtomicU32>,
}

#[derive(Debug)]
struct RouteHealth {
    mask: AtomicU64,
    ttl_cap: AtomicU32,
    /// Bits of clusters whose share is not everybody; shares are looked at only for these.
    limited: AtomicU64,
    /// First share, and their number.
    first: usize,
    width: usize,
}

impl Health {
    /// Every cluster that the plan does not drain may be answered, to everybody; no cap.
    pub fn new(snapshot: &Snapshot) -> Health {
        let fresh = |route: &Route| RouteHealth {
            mask: AtomicU64::new(route.undrained_mask()),
            ttl_cap: AtomicU32::new(u32::MAX),
            limited: AtomicU64::new(0),
            first: route.ledger as usize,
            width: route.pool.len(),
        };
        let routes: Vec<RouteHealth> = snapshot.routes().iter().map(fresh).collect();
        let shares = routes.iter().map(|route| route.width).sum();
        Health { routes, shares: (0..shares).map(|_| AtomicU32::new(Share::FULL.to_word())).collect() }
    }

    /// `mask`: pool bits that may be answered; 0 means all are down, and then the route's fallback addresses are answered
    /// if it has some, else its pool — never nothing. `ttl_cap`: seconds. An unknown route is ignored.
    pub fn set(&self, route: usize, mask: u64, ttl_cap: u32) {
        if let Some(health) = self.routes.get(route) {
            health.mask.store(mask, Ordering::Relaxed);
            health.ttl_cap.store(ttl_cap, Ordering::Relaxed);
        }
    }

    /// One share per cluster of the pool; those that are missing are everybody.
    pub fn limit(&self, route: usize, shares: &[Share]) {
        let Some(health) = self.routes.get(route) else { return };
        let mut limited = 0;
        for (bit, word) in self.words(health).iter().enumerate() {
            let share = shares.get(bit).copied().unwrap_or_default();
            word.store(share.to_word(), Ordering::Relaxed);
            limited |= u64::from(!share.is_full()) << (bit & 63);
        }
        health.limited.store(limited, Ordering::Relaxed);
    }

    /// Mask and TTL cap in seconds.
    pub fn get(&self, route: usize) -> (u64, u32) {
        let read = |health: &RouteHealth| (health.mask.load(Ordering::Relaxed), health.ttl_cap.load(Ordering::Relaxed));
        self.routes.get(route).map_or((0, u32::MAX), read)
    }

    /// Who may be answered, and to whom.
    pub(crate) fn fit(&self, route: usize) -> Fit<'_> {
        let Some(health) = self.routes.get(route) else { return Fit { mask: 0, limited: 0, words: &[] } };
        let (mask, limited) = (health.mask.load(Ordering::Relaxed), health.limited.load(Ordering::Relaxed));
        Fit { mask, limited, words: self.words(health) }
    }

    fn words(&self, health: &RouteHealth) -> &[AtomicU32] {
        self.shares.get(health.first..health.first + health.width).unwrap_or_default()
    }
}

/// One route's health.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fit<'a> {
    pub(crate) mask: u64,
    pub(crate) limited: u64,
    words: &'a [AtomicU32],
}

impl Fit<'_> {
    pub(crate) fn share(&self, bit: u8) -> Share {
        if self.limited & 1 << (bit & 63) == 0 {
            return Share::FULL;
        }
        self.words.get(usize::from(bit)).map_or(Share::FULL, |word| Share::from_word(word.load(Ordering::Relaxed)))
    }
}
