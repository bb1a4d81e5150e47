//! Raw queries of each row, made from a seed, in the framing of DNS over TCP: two octets of length before each. The same
//! bytes go to every server; only the ID is set when one is sent.

use super::scene::{ROUTE, STATIC_NAMES, ZONE};
use anyhow::{Result, ensure};
use waggle_tests::random::Random;

/// Octets of the longest query in a file.
const QUERY_MAX: usize = 512;

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    /// Existing names with static data, in random case; half of them with EDNS and DO.
    Static,
    /// The routed name, EDNS without a client subnet.
    Routed,
    /// The routed name with a random client /24.
    Subnets,
    /// Names that do not exist, one to three random labels below the zone.
    Missing,
}

/// `count` queries.
pub fn make(kind: Kind, count: usize) -> Vec<u8> {
    let mut random = Random::new(42);
    let mut file = Vec::new();
    for _ in 0..count {
        let query = one(kind, &mut random);
        file.extend((query.len() as u16).to_be_bytes());
        file.extend(query);
    }
    file
}

/// The queries of a file, without their lengths.
pub fn split(file: &[u8]) -> Result<Vec<&[u8]>> {
    let mut queries = Vec::new();
    let mut rest = file;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        ensure!(
            (12..=QUERY_MAX).contains(&length) && after.len() >= length,
            "no query at octet {}",
            file.len() - rest.len()
        );
        let (query, after) = after.split_at(length);
        queries.push(query);
        rest = after;
    }
    ensure!(rest.is_empty() && !queries.is_empty(), "the file ends within a length, or is empty");
    Ok(queries)
}

fn one(kind: Kind, random: &mut Random) -> Vec<u8> {
    let dnssec_ok = kind == Kind::Static && random.chance(50);
    let edns = dnssec_ok || kind != Kind::Static;
    let mut query = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)];
    let name = match kind {
        Kind::Static => format!("w{}.{ZONE}", random.below(STATIC_NAMES.into())),
        Kind::Routed | Kind::Subnets => format!("{ROUTE}.{ZONE}"),
        Kind::Missing => {
            let labels: Vec<String> = (0..=random.below(3)).map(|_| format!("{:014x}", random.draw())).collect();
            format!("{}.{ZONE}", labels.join("."))
        }
    };
    for label in name.split('.') {
        query.push(label.len() as u8);
        query.extend(label.bytes().map(|byte| if random.chance(50) { byte.to_ascii_uppercase() } else { byte }));
    }
    // Root, type A, class IN.
    query.extend([0, 0, 1, 0, 1]);
    if edns {
        let subnet = if kind == Kind::Subnets { subnet(random) } else { Vec::new() };
        query.extend([0, 0, 41, 0x04, 0xd0, 0, 0, u8::from(dnssec_ok) << 7, 0, 0, subnet.len() as u8]);
        query.extend(subnet);
    }
    query
}

/// Option 8 (RFC 7871): a random /24 of unicast space, no loopback.
fn subnet(random: &mut Random) -> Vec<u8> {
    let first = loop {
        match 1 + random.below(222) as u8 {
            127 => continue,
            first => break first,
        }
    };
    vec![0, 8, 0, 7, 0, 1, 24, 0, first, random.draw() as u8, random.draw() as u8]
}
