//! Weighted choice by highest random weight (rendezvous hashing).
//!
//! Each (client prefix, cluster) pair gets a fixed random number `u` in (0, 1); the cluster with the smallest
//! `-ln(u) / weight` wins, which gives every cluster exactly its share. A ring with virtual nodes was rejected: its shares
//! are uneven, and a change of one weight moves clients between two others.

use crate::ClusterName;
use std::net::IpAddr;

/// Clients within one such prefix are always sent to the same cluster: about one site.
pub const V4_PREFIX: u8 = 24;
pub const V6_PREFIX: u8 = 56;

/// A client's prefix as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientKey(u64);

impl ClientKey {
    pub fn new(address: IpAddr) -> ClientKey {
        match address {
            IpAddr::V4(v4) => ClientKey(mix(u64::from(u32::from(v4) >> (32 - u32::from(V4_PREFIX))))),
            IpAddr::V6(v6) => {
                let prefix = (u128::from(v6) >> (128 - u32::from(V6_PREFIX))) as u64;
                ClientKey(mix(prefix | 1 << 63))
            }
        }
    }

    /// Stands for one of many clients of whom only their number is known; the same for the same `number`.
    pub fn sample(number: u64) -> ClientKey {
        ClientKey(mix(mix(number)))
    }

    pub(super) fn number(self) -> u64 {
        self.0
    }
}

/// One cluster of a pool, prepared for scoring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    key: u64,
    weight: u32,
}

impl Candidate {
    pub fn new(cluster: &ClusterName, weight: u32) -> Candidate {
        let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        Candidate { key: cluster.as_str().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, fnv), weight }
    }

    pub fn weight(&self) -> u32 {
        self.weight
    }

    pub(super) fn key(&self) -> u64 {
        self.key
    }
}

/// Smallest wins. Infinite for weight 0: chosen only when nothing else is left.
pub fn score(client: ClientKey, candidate: &Candidate) -> f64 {
    if candidate.weight == 0 {
        return f64::INFINITY;
    }
    let hash = mix(client.0 ^ mix(candidate.key));
    let unit = ((hash >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    -unit.ln() / f64::from(candidate.weight)
}

/// Positions of the candidates, best first.
pub fn weighted(client: ClientKey, candidates: &[Candidate]) -> Vec<usize> {
    let mut scored: Vec<(f64, usize)> =
        candidates.iter().enumerate().map(|(at, one)| (score(client, one), at)).collect();
    scored.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    scored.into_iter().map(|(_, at)| at).collect()
}

/// The finaliser of SplitMix64: every input bit reaches every output bit.
pub(super) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
