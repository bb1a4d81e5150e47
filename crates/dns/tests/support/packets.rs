//! Honest queries, and what becomes of them on the way through a bad cable or a bad program.

#![allow(dead_code, reason = "each test target uses its part")]

use super::query::{EDNS, Edns, Query};

/// xorshift64*, as the other seeded tests use.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.draw() as usize % limit.max(1)
    }
}

pub fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

/// Honest queries for a zone.
pub fn corpus(zone: &str) -> Vec<Vec<u8>> {
    let names = [
        "www",
        "WwW",
        "share",
        "alias",
        "sub",
        "a.sub",
        "ns.sub",
        "x.wild",
        "big",
        "none",
        "a.b.c.none",
        "ns",
        "",
        "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a",
    ];
    let mut corpus = Vec::new();
    for name in names {
        let full = format!("{name}.{zone}");
        for kind in [1, 2, 5, 6, 16, 28, 43, 65, 251, 252, 255] {
            corpus.push(Query { edns: None, ..Query::new(&full, kind) }.bytes());
            corpus.push(Query::new(&full, kind).bytes());
        }
        for (address, source) in [("44.3.7.0", 24), ("44.0.0.0", 8), ("8.8.8.0", 24), ("10.0.0.0", 8), ("0.0.0.0", 0)] {
            corpus.push(Query::new(&full, 1).subnet(address.parse().unwrap(), source).bytes());
            corpus.push(Query::new(&full, 65).subnet(address.parse().unwrap(), source).bytes());
        }
        for (address, source) in [("2001:db8::", 48), ("2600::", 56), ("::", 0)] {
            corpus.push(Query::new(&full, 28).subnet(address.parse().unwrap(), source).bytes());
        }
        let keepalive = Edns { keepalive: true, ..EDNS };
        corpus.push(Query { edns: Some(keepalive), ..Query::new(&full, 1) }.bytes());
        let odd = Edns { size: 100, version: 3, dnssec_ok: true, ..EDNS };
        corpus.push(Query { edns: Some(odd), ..Query::new(&full, 1) }.bytes());
    }
    corpus
}

/// One change.
pub fn mutate(packet: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
    let at = random.below(packet.len());
    match random.below(8) {
        0 => packet.truncate(at),
        1 => packet.insert(at, random.draw() as u8),
        2 if !packet.is_empty() => drop(packet.remove(at)),
        3 => {
            let other = &corpus[random.below(corpus.len())];
            packet.truncate(at);
            packet.extend_from_slice(&other[random.below(other.len())..]);
        }
        4 => packet.extend((0..random.below(64)).map(|at| at as u8)),
        // Lengths and pointers sit on small and on large values.
        5 => set(packet, at, [0, 1, 63, 64, 0x7f, 0x80, 0xc0, 0xff][random.below(8)]),
        6 => set(packet, at, random.draw() as u8),
        _ => {
            let bit = 1 << random.below(8);
            let flipped = packet.get(at).map_or(0, |byte| byte ^ bit);
            set(packet, at, flipped);
        }
    }
}

fn set(packet: &mut [u8], at: usize, value: u8) {
    if let Some(byte) = packet.get_mut(at) {
        *byte = value;
    }
}
