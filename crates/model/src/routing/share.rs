//! Which part of its clients a cluster takes just now.
//!
//! A cluster that comes back, or is at its capacity, takes only some client prefixes: those whose hash with the cluster
//! lies below its share. Raising a share only moves clients to the cluster, lowering it only away from it, and a client
//! refused by one goes to the next in its own order. Drawing a random number per query was rejected: a client would be
//! sent to and fro, and no scope could be named for an answer.
//!
//! Clients that like the cluster best and those that others sent on have a share each, so that a cluster's own clients
//! keep it when it is nearly full.

use super::rendezvous::{Candidate, ClientKey, mix};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Everybody.
const ALL: u16 = u16::MAX;

/// In 65 536ths of client prefixes; 65 535 is everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Share {
    /// Of clients for whom this is the first fit cluster.
    pub home: u16,
    /// Of those that a cluster before this one in their order did not take.
    pub guests: u16,
}

impl Share {
    pub const FULL: Share = Share { home: ALL, guests: ALL };

    /// The same part of both. `part` is a fraction of 1.
    pub fn of(part: f64) -> Share {
        Share { home: quantum(part), guests: quantum(part) }
    }

    pub fn is_full(self) -> bool {
        self == Share::FULL
    }

    /// What both let in.
    pub fn and(self, other: Share) -> Share {
        Share { home: self.home.min(other.home), guests: self.guests.min(other.guests) }
    }

    /// Everybody of this kind is taken, so nothing depends on who it is.
    pub fn takes_all(self, home: bool) -> bool {
        self.part(home) == ALL
    }

    /// Whether a client is taken. `home`: this is the first fit cluster for it.
    pub fn admits(self, client: ClientKey, cluster: &Candidate, home: bool) -> bool {
        self.takes_all(home) || position(client, cluster) < self.part(home)
    }

    fn part(self, home: bool) -> u16 {
        if home { self.home } else { self.guests }
    }

    /// Of its own clients, rounded.
    pub fn percent(self) -> u8 {
        percent(self.home)
    }

    pub fn to_word(self) -> u32 {
        u32::from(self.home) << 16 | u32::from(self.guests)
    }

    pub fn from_word(word: u32) -> Share {
        Share { home: (word >> 16) as u16, guests: word as u16 }
    }
}

impl Default for Share {
    fn default() -> Share {
        Share::FULL
    }
}

fn percent(part: u16) -> u8 {
    (f64::from(part) * 100.0 / f64::from(ALL)).round() as u8
}

/// `30 % of its clients`, and of others' where that differs.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} % of its clients", percent(self.home))?;
        if self.home == self.guests { Ok(()) } else { write!(f, " and {} % of others'", percent(self.guests)) }
    }
}

/// Why a cluster does not take everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// It came back a moment ago.
    Returning,
    /// More would exceed its capacity, or that of all.
    Capacity,
}

/// A share below everybody, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limited {
    pub share: Share,
    pub why: Limit,
}

impl Limited {
    /// What both say; the stricter one is the reason. `None`: everybody.
    pub fn of(returning: Share, capacity: Share) -> Option<Limited> {
        let share = returning.and(capacity);
        let why = if share == returning { Limit::Returning } else { Limit::Capacity };
        (!share.is_full()).then_some(Limited { share, why })
    }
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.why {
            Limit::Returning => "it is just back",
            Limit::Capacity => "its capacity",
        };
        write!(f, "takes {} for now: {why}", self.share)
    }
}

/// 0..=65535. Another hash than that of the weighted order: with the same one, a cluster would refuse just those clients
/// that prefer it least.
fn position(client: ClientKey, cluster: &Candidate) -> u16 {
    (mix(mix(client.number() ^ 0x5ca1_ab1e_0ddb_a115) ^ cluster.key()) >> 48) as u16
}

/// Rounded down; everybody only for a whole.
pub(super) fn quantum(part: f64) -> u16 {
    if part >= 1.0 { ALL } else { (part.max(0.0) * f64::from(ALL)) as u16 }
}
