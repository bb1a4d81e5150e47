//! Random plans that compile, with their records also as octets, and random questions about them.

use super::packets::Random;
use super::query::{Edns, Query, wire};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use waggle_dns::Transport;

pub const A: u16 = 1;
pub const NS: u16 = 2;
pub const CNAME: u16 = 5;
pub const MX: u16 = 15;
pub const TXT: u16 = 16;
pub const AAAA: u16 = 28;
pub const DS: u16 = 43;
pub const HTTPS: u16 = 65;

const LABELS: [&str; 7] = ["a", "b", "c", "www", "x", "y", "wild"];
const CLUSTERS: [&str; 5] = ["ant", "bee", "cricket", "drone", "earwig"];
const ROUTES: [&str; 7] =
    ["www.z.example", "r.z.example", "x.y.z.example", "*.w.z.example", "r.other.test", "other.test", "a.b.k.z.example"];

/// Names are in lower case and have no dot at the end.
pub struct World {
    pub zones: Vec<Zone>,
    pub records: Vec<Record>,
    /// Names with a route.
    pub routes: Vec<String>,
    pub plan: String,
}

pub struct Zone {
    pub apex: &'static str,
    pub nameservers: Vec<String>,
    pub contact: String,
    pub ttl: u32,
    pub negative_ttl: u32,
}

pub struct Record {
    pub owner: String,
    pub kind: u16,
    pub ttl: u32,
    pub text: String,
    pub data: Vec<u8>,
}

/// `name` is `suffix` or below it.
pub fn below(name: &str, suffix: &str) -> bool {
    name == suffix || name.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.'))
}

impl World {
    pub fn new(random: &mut Random) -> World {
        let mut world = World { zones: Vec::new(), records: Vec::new(), routes: Vec::new(), plan: String::new() };
        for apex in ["z.example", "k.z.example", "other.test"] {
            if apex == "k.z.example" && random.below(2) == 0 {
                continue;
            }
            let nameservers = (1..2 + random.below(2)).map(|number| format!("ns{number}.{apex}")).collect();
            let contact = format!("host.{apex}");
            let (ttl, negative_ttl) = (random.below(500) as u32, random.below(60) as u32);
            world.zones.push(Zone { apex, nameservers, contact, ttl, negative_ttl });
        }
        world.delegate(random);
        world.routes = ROUTES.iter().filter(|_| random.below(3) > 0).map(|name| (*name).into()).collect();
        for _ in 0..10 + random.below(40) {
            world.add(random);
        }
        world.plan = world.document(random).to_string();
        world
    }

    pub fn zone_of(&self, name: &str) -> Option<&Zone> {
        self.zones.iter().filter(|zone| below(name, zone.apex)).max_by_key(|zone| zone.apex.len())
    }

    fn delegate(&mut self, random: &mut Random) {
        let mut push = |owner: &str, kind, (text, data): (String, Vec<u8>), ttl| {
            self.records.push(Record { owner: owner.into(), kind, ttl, text, data });
        };
        let host = |name: &str| (format!("{name}."), wire(name));
        let ttl = random.below(900) as u32;
        push("d.z.example", NS, host("ns.d.z.example"), ttl);
        push("d.z.example", NS, host("far.elsewhere.test"), ttl + 7);
        push("ns.d.z.example", A, address(random, false), 60);
        if random.below(2) == 0 {
            push("ns.d.z.example", AAAA, address(random, true), 61);
        }
        if random.below(2) == 0 {
            push("d.z.example", DS, signer(random), 62);
        }
        // A sibling's host, below neither.
        push("a.c.z.example", NS, host("ns.d.z.example"), 63);
    }

    /// One more record, unless it is not allowed where it fell.
    fn add(&mut self, random: &mut Random) {
        let apex = self.zones[random.below(self.zones.len())].apex;
        let mut owner = apex.to_owned();
        for _ in 0..random.below(4) {
            owner = format!("{}.{owner}", LABELS[random.below(LABELS.len())]);
        }
        if random.below(4) == 0 {
            owner = format!("*.{owner}");
        }
        let kind = [A, AAAA, TXT, TXT, MX, CNAME, CNAME][random.below(7)];
        let (text, data) = match kind {
            A => address(random, false),
            AAAA => address(random, true),
            TXT => strings(random),
            MX => {
                let target = self.target(random);
                (format!("{} {target}.", target.len()), [&[0, target.len() as u8], &wire(&target)[..]].concat())
            }
            _ => {
                let target = self.target(random);
                (format!("{target}."), wire(&target))
            }
        };
        // One large set, for replies that do not fit.
        let owner = if kind == TXT && random.below(2) == 0 { format!("x.{apex}") } else { owner };
        let record = Record { owner, kind, ttl: random.below(1_000) as u32, text, data };
        if self.allows(&record) {
            self.records.push(record);
        }
    }

    fn target(&self, random: &mut Random) -> String {
        match random.below(6) {
            0 => "www.elsewhere.test".into(),
            1 => "deep.d.z.example".into(),
            2 if !self.routes.is_empty() => self.routes[random.below(self.routes.len())].replace('*', "star"),
            3 => "www.wild.z.example".into(),
            _ => self.records[random.below(self.records.len())].owner.replace('*', "any"),
        }
    }

    fn allows(&self, record: &Record) -> bool {
        let owner = record.owner.as_str();
        if self.records.iter().any(|cut| cut.kind == NS && below(owner, &cut.owner)) {
            return matches!(record.kind, A | AAAA) && !self.routes.iter().any(|route| route == owner);
        }
        let mut others = self.records.iter().filter(|other| other.owner == owner);
        let routed = self.routes.iter().any(|route| route == owner);
        let apex = self.zones.iter().any(|zone| zone.apex == owner);
        match record.kind {
            CNAME => others.next().is_none() && !routed && !apex,
            kind => others.all(|other| other.kind != CNAME) && !(routed && matches!(kind, A | AAAA)),
        }
    }

    fn document(&self, random: &mut Random) -> Value {
        let zone = |zone: &Zone| {
            let own =
                self.records.iter().filter(|record| self.zone_of(&record.owner).is_some_and(|of| of.apex == zone.apex));
            let records: Vec<Value> = own.map(Record::document).collect();
            let Zone { nameservers, contact, ttl, negative_ttl, .. } = zone;
            json!({"nameservers": nameservers, "contact": contact, "ttl": ttl, "negative_ttl": negative_ttl, "records": records})
        };
        let zones: serde_json::Map<String, Value> =
            self.zones.iter().map(|one| (one.apex.to_owned(), zone(one))).collect();
        let mut clusters = json!({});
        for name in CLUSTERS {
            let region = [Value::Null, json!("eu"), json!("us")][random.below(3)].clone();
            let latitude = random.below(120) as f64 - 60.0;
            let location =
                if random.below(2) == 0 { Value::Null } else { json!({"latitude": latitude, "longitude": 20.0}) };
            clusters[name] = json!({"weight": random.below(4), "region": region, "location": location});
        }
        let mut map = json!({});
        for _ in 0..random.below(12) {
            map[network(random)] = json!(some(random, 0));
        }
        let mut routes = json!({});
        for name in &self.routes {
            routes[name] = route(random);
        }
        json!({"zones": zones, "clusters": clusters, "client_map": map, "routes": routes})
    }
}

impl Record {
    fn document(&self) -> Value {
        let kind = match self.kind {
            A => "A",
            NS => "NS",
            CNAME => "CNAME",
            MX => "MX",
            TXT => "TXT",
            AAAA => "AAAA",
            _ => "DS",
        };
        json!({"name": self.owner, "type": kind, "ttl": self.ttl, "values": [self.text]})
    }
}

/// So many clusters at least, in random order.
fn some(random: &mut Random, least: usize) -> Vec<&'static str> {
    let mut clusters = CLUSTERS.to_vec();
    for at in (1..clusters.len()).rev() {
        clusters.swap(at, random.below(at + 1));
    }
    clusters.truncate(least + random.below(CLUSTERS.len() + 1 - least));
    clusters
}

fn network(random: &mut Random) -> String {
    if random.below(4) == 0 {
        let len = 20 + random.below(40) as u32;
        let bits = (0x2001_0db8u128 << 96 | u128::from(random.below(256) as u32) << 72) & (u128::MAX << (128 - len));
        return format!("{}/{len}", Ipv6Addr::from(bits));
    }
    let len = 6 + random.below(20) as u32;
    let first = [44, 44, 44, 10, 192][random.below(5)];
    let bits = u32::from_be_bytes([first, random.below(4) as u8, random.below(4) as u8, 0]) & (u32::MAX << (32 - len));
    format!("{}/{len}", Ipv4Addr::from(bits))
}

fn route(random: &mut Random) -> Value {
    let mut names = some(random, 1);
    let order = names.clone();
    names.sort_unstable();
    let six = random.below(2) == 0;
    let endpoint = |name: &&str| {
        // Few addresses, so that clusters share some.
        let mut addresses: Vec<String> =
            (0..=random.below(2)).map(|_| format!("192.0.2.{}", random.below(6))).collect();
        if six {
            addresses.push(format!("2001:db8::{}", random.below(6)));
        }
        let drained = if random.below(5) == 0 { json!("rollout") } else { Value::Null };
        json!({"cluster": name, "addresses": addresses, "drained": drained})
    };
    let pool: Vec<Value> = names.iter().map(endpoint).collect();
    let policy = [json!("nearest"), json!({"multivalue": 2}), json!({"failover": order}), json!({"weighted": {}})];
    let mut route = json!({"ttl": random.below(700), "pool": pool, "policy": policy[random.below(4)]});
    if random.below(3) == 0 {
        let sorry = if six { json!(["198.51.100.9", "2001:db8::99"]) } else { json!(["198.51.100.9", "198.51.100.1"]) };
        route["all_down"] = json!({"fallback": sorry});
    }
    match random.below(3) {
        0 => route["https"] = json!({"alpn": ["h2"]}),
        1 => route["https"] = json!({"alpn": ["h2", "h3"], "port": 8443}),
        _ => {}
    }
    route
}

fn address(random: &mut Random, six: bool) -> (String, Vec<u8>) {
    let last = random.below(200) as u8;
    if six {
        let address = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, last.into());
        return (address.to_string(), address.octets().to_vec());
    }
    let address = Ipv4Addr::new(203, 0, 113, last);
    (address.to_string(), address.octets().to_vec())
}

fn strings(random: &mut Random) -> (String, Vec<u8>) {
    let (mut text, mut data) = (String::new(), Vec::new());
    for _ in 0..=random.below(3) {
        let size = [3, 40, 250][random.below(3)];
        let string: String = (0..size).map(|_| char::from(b'a' + random.below(26) as u8)).collect();
        text.push_str(&format!("\"{string}\" "));
        data.push(size as u8);
        data.extend(string.bytes());
    }
    (text.trim_end().to_owned(), data)
}

fn signer(random: &mut Random) -> (String, Vec<u8>) {
    let digest: Vec<u8> = (0..32).map(|_| random.draw() as u8).collect();
    let hex: String = digest.iter().map(|octet| format!("{octet:02x}")).collect();
    (format!("4660 13 2 {hex}"), [&[0x12, 0x34, 13, 2], &digest[..]].concat())
}

/// A question with everything else that an answer depends on.
pub struct Asked {
    /// The name asked for, in lower case.
    pub name: String,
    pub query: Query,
    pub source: SocketAddr,
    pub transport: Transport,
}

impl Asked {
    pub fn new(world: &World, random: &mut Random) -> Asked {
        let name = name(world, random);
        let spelled: String = name
            .chars()
            .map(|letter| if random.below(2) == 0 { letter.to_ascii_uppercase() } else { letter })
            .collect();
        let kind = [A, A, A, AAAA, AAAA, HTTPS, TXT, NS, CNAME, MX, DS, 6, 255, 252, 41, 99][random.below(16)];
        let class = if random.below(40) == 0 { 3 } else { 1 };
        let flags = [random.below(2) as u8, 0x10 * random.below(4) as u8];
        let query = Query { class, flags, edns: edns(random), ..Query::new(&spelled, kind) };
        let transport = if random.below(3) == 0 { Transport::Tcp } else { Transport::Udp };
        let source = SocketAddr::new(place(random), 1 + random.below(65_000) as u16);
        Asked { name, query, source, transport }
    }
}

fn name(world: &World, random: &mut Random) -> String {
    if !world.routes.is_empty() && random.below(3) == 0 {
        return world.routes[random.below(world.routes.len())].replace('*', LABELS[random.below(LABELS.len())]);
    }
    let known = world.records.len() + world.routes.len() + world.zones.len();
    let at = random.below(known);
    let mut name = match (world.records.get(at), world.routes.get(at.wrapping_sub(world.records.len()))) {
        (Some(record), _) => record.owner.clone(),
        (None, Some(route)) => route.clone(),
        (None, None) => world.zones[random.below(world.zones.len())].apex.to_owned(),
    };
    if random.below(3) == 0 {
        name = name.replace('*', LABELS[random.below(LABELS.len())]);
    }
    match random.below(6) {
        // Up, down, aside.
        0 => name = name.split_once('.').map_or("", |(_, rest)| rest).to_owned(),
        1 => name = format!("{}.{name}", LABELS[random.below(LABELS.len())]),
        2 => name = format!("new{}.also.{name}", random.below(100)),
        3 if random.below(8) == 0 => name = format!("{0}.{0}.{0}.{name}", "l".repeat(63)),
        _ => {}
    }
    if random.below(50) == 0 { "www.elsewhere.test".into() } else { name }
}

fn edns(random: &mut Random) -> Option<Edns> {
    if random.below(4) == 0 {
        return None;
    }
    let subnet = (random.below(3) > 0).then(|| {
        let address = place(random);
        let width = if address.is_ipv4() { 32 } else { 128 };
        let source = [0, 8, 16, 24, 32, 48, 56, 128][random.below(8)].min(width);
        let kept = |bits: u128| if source == 0 { 0 } else { bits & u128::MAX << (128 - u32::from(source)) };
        let address = match address {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from((kept(u128::from(u32::from(v4)) << 96) >> 96) as u32)),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(kept(u128::from(v6)))),
        };
        (address, source)
    });
    let size = [0, 512, 700, 1232, 4096][random.below(5)];
    let version = u8::from(random.below(30) == 0);
    Some(Edns { size, version, dnssec_ok: random.below(2) == 0, subnet, keepalive: random.below(8) == 0 })
}

fn place(random: &mut Random) -> IpAddr {
    let (second, third) = (random.below(5) as u8, random.below(5) as u8);
    match random.below(8) {
        0 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, random.below(256) as u16, random.draw() as u16, 0, 0, 0, 1)),
        1 => IpAddr::V6(Ipv4Addr::new(44, second, third, 7).to_ipv6_mapped()),
        2 => IpAddr::V4(Ipv4Addr::new(10, second, third, 7)),
        3 => IpAddr::V4(Ipv4Addr::from(random.draw() as u32)),
        4 => IpAddr::V6(Ipv6Addr::new(0xfd00, 1, second.into(), 0, 0, 0, 0, 1)),
        _ => IpAddr::V4(Ipv4Addr::new(44, second, third, 7)),
    }
}
