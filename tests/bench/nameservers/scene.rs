//! What every server is to serve in a row: one zone, one routed name, and the rules by which clients are routed.

use std::fmt::Write;
use std::net::Ipv4Addr;
use waggle_tests::random::Random;

pub const ZONE: &str = "bench.example";
/// The routed name, `www.bench.example`.
pub const ROUTE: &str = "www";
/// Static names, `w0` to `w999`, with one address each.
pub const STATIC_NAMES: u32 = 1000;
/// Seconds; of static and routed answers alike.
pub const TTL: u32 = 30;
/// Datacentres and the address each answers with.
pub const SITES: [(&str, Ipv4Addr); 4] = [
    ("ap", Ipv4Addr::new(192, 0, 2, 1)),
    ("eu", Ipv4Addr::new(192, 0, 2, 2)),
    ("sa", Ipv4Addr::new(192, 0, 2, 3)),
    ("us", Ipv4Addr::new(192, 0, 2, 4)),
];

/// Clients in `address/length` get the datacentre at `site`.
#[derive(Clone, Copy)]
pub struct Rule {
    pub address: Ipv4Addr,
    pub length: u8,
    pub site: usize,
}

/// The whole address space in 64 rules of six bits, and the loopback network, where the load comes from, in four of its own.
pub fn few_rules() -> Vec<Rule> {
    let sixth = |top: u32| Rule { address: Ipv4Addr::from(top << 26), length: 6, site: (top % 4) as usize };
    let own = |quarter: u8| Rule { address: Ipv4Addr::new(127, quarter << 6, 0, 0), length: 10, site: quarter.into() };
    (0..64).map(sixth).chain((0..4).map(own)).collect()
}

/// As many distinct rules, /16 to /22, as a list of networks has, over those of [`few_rules`].
pub fn many_rules(count: usize) -> Vec<Rule> {
    let mut random = Random::new(7);
    let mut rules = few_rules();
    let mut known = std::collections::BTreeSet::new();
    while rules.len() < count {
        let length = 16 + random.below(7) as u8;
        // Unicast space below 224.0.0.0, without loopback.
        let first = 1 + random.below(222) as u32;
        let bits = (first << 24 | random.draw() as u32 & 0x00ff_ffff) & (u32::MAX << (32 - length));
        if first != 127 && known.insert((bits, length)) {
            rules.push(Rule { address: Ipv4Addr::from(bits), length, site: random.below(4) as usize });
        }
    }
    rules
}

/// The zone's static part as a master file; `routed` is the line, or the lines, of the routed name, if the server wants it
/// there.
pub fn master_file(routed: &str) -> String {
    let mut text = format!(
        "$ORIGIN {ZONE}.\n$TTL {TTL}\n@ SOA ns1 hostmaster 1 3600 600 86400 5\n@ NS ns1\nns1 A 192.0.2.53\n{routed}\n"
    );
    for number in 0..STATIC_NAMES {
        let _ = writeln!(text, "w{number} A {}", static_address(number));
    }
    text
}

pub fn static_address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 51, 0, 0)) + number)
}
