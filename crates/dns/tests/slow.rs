//! The engine beside a second opinion: random plans, random health, random questions, and the same octets.
//!
//! `WAGGLE_PACKETS` sets how many questions (200,000 unless set), `WAGGLE_SEED` where the sequence starts.

#[path = "support/packets.rs"]
mod packets;
#[path = "support/slow.rs"]
mod reference;
mod support;
#[path = "support/world.rs"]
mod world;

use support::query;

use hickory_proto::op::Message;
use hickory_proto::rr::rdata::svcb::SvcParamValue;
use hickory_proto::rr::{RData, Record};
use packets::{Random, number};
use reference::{RouteHealth, Slow};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use support::{Server, plan, show};
use waggle_dns::{Outcome, explain};
use waggle_model::DomainName;
use waggle_model::plan::RoutePlan;
use waggle_model::routing::Share;
use world::{Asked, World};

/// Questions about one plan.
const EACH: u64 = 400;

#[test]
fn the_fast_way_says_what_the_slow_way_says() {
    let (packets, seed) = (number("WAGGLE_PACKETS", 200_000), number("WAGGLE_SEED", 1));
    let mut seen = Seen::default();
    for number in 0..packets.div_ceil(EACH) {
        let mut random = Random::new(seed + number);
        let world = World::new(&mut random);
        let plan = plan(&world.plan);
        let server = Server::new(&plan);
        for _ in 0..4 {
            let slow = Slow { world: &world, plan: &plan, health: weather(&plan, &server, &mut random) };
            for _ in 0..EACH / 4 {
                compare(&server, &slow, &mut random, seed + number, &mut seen);
            }
        }
    }
    seen.check(packets);
}

/// Random health of all routes, told to the server and returned.
fn weather(plan: &RoutePlan, server: &Server, random: &mut Random) -> Vec<RouteHealth> {
    let mut all = Vec::new();
    for (index, route) in plan.routes.values().enumerate() {
        let full = (1 << route.pool.len()) - 1;
        let mask = [full, random.draw() & full, random.draw() & full][random.below(3)];
        let ttl_cap = if random.below(2) == 0 { u32::MAX } else { random.below(300) as u32 };
        let share = |random: &mut Random| match random.below(3) {
            0 => Share::of(random.below(100) as f64 / 100.0),
            1 => Share { home: random.draw() as u16, guests: random.draw() as u16 },
            _ => Share::FULL,
        };
        let shares: Vec<Share> = route.pool.iter().map(|_| share(random)).collect();
        server.health.set(index, mask, ttl_cap);
        server.health.limit(index, &shares);
        all.push(RouteHealth { mask, ttl_cap, shares });
    }
    all
}

fn compare(server: &Server, slow: &Slow<'_>, random: &mut Random, seed: u64, seen: &mut Seen) {
    let asked = Asked::new(slow.world, random);
    let query = asked.query.bytes();
    let reply = server.ask(&query, asked.source, asked.transport).expect("a query is answered");
    let expected = slow.answer(&asked, 0);
    // The subnet stands at the end, its scope before the address.
    let subnet = asked.query.edns.as_ref().and_then(|edns| edns.subnet.filter(|_| edns.version == 0));
    let at = subnet.map(|(_, source)| expected.len() - usize::from(source.div_ceil(8)) - 1);
    let scope = at.and_then(|at| reply.get(at)).copied().unwrap_or(0);
    let expected = if scope == 0 { expected } else { slow.answer(&asked, scope) };
    if reply != expected {
        let (fast, slow) = (show(&reply), show(&expected));
        panic!(
            "seed {seed}: {} from {}\nfast: {fast}\nslow: {slow}\n{reply:02x?}\n{expected:02x?}",
            asked.name, asked.source
        );
    }
    seen.note(&reply, scope);
    explained(server, &asked, &reply, seen);
}

/// What `why` says about a question is what was answered.
fn explained(server: &Server, asked: &Asked, reply: &[u8], seen: &mut Seen) {
    let edns = asked.query.edns.as_ref();
    let plain = asked.query.class == 1 && edns.is_none_or(|edns| edns.version == 0) && asked.query.kind < 251;
    let cut = reply[2] & 2 != 0;
    let Ok(name) = asked.name.parse::<DomainName>() else { return };
    if !plain || asked.query.kind == 41 || cut {
        return;
    }
    let subnet = edns.and_then(|edns| edns.subnet).filter(|(_, source)| *source > 0);
    let client = subnet.map_or(asked.source.ip().to_canonical(), |(address, _)| address);
    let (snapshot, health) = (&server.snapshot, &server.health);
    let why = explain(snapshot, health, &name, asked.query.kind, client, subnet.is_some(), &BTreeMap::new());
    let message = Message::from_vec(reply).expect("a reply");
    let head = &message.metadata;
    let code = u16::from(head.response_code);
    let said = format!("{why:?}");
    let right = match (why.outcome, why.decided) {
        (Outcome::Routed, Some(decided)) => {
            // Where the subnet tells nothing, the resolver's address decided, of which `why` was not told.
            if decided.client.subnet_ignored {
                return;
            }
            seen.explained += 1;
            let last = message.answers.last().expect("a routed reply says something");
            let found: BTreeSet<IpAddr> = message.answers.iter().flat_map(addresses).collect();
            decided.answer.iter().copied().collect::<BTreeSet<_>>() == found && decided.ttl == last.ttl
        }
        (Outcome::NxDomain, None) => code == 3,
        (Outcome::Refused, None) => code == 5,
        // An alias has its target's outcome, and its target's servers are not told.
        (Outcome::Referral, None) if head.authoritative => !message.answers.is_empty(),
        (Outcome::Referral, None) => !message.authorities.is_empty(),
        (Outcome::NoData, None) => code == 0 && !message.authorities.is_empty(),
        (Outcome::Static, None) => code == 0 && !message.answers.is_empty(),
        _ => false,
    };
    assert!(right, "{}: {said}, and the answer is\n{}", asked.name, show(reply));
}

fn addresses(record: &Record) -> Vec<IpAddr> {
    match &record.data {
        RData::A(a) => vec![a.0.into()],
        RData::AAAA(aaaa) => vec![aaaa.0.into()],
        RData::HTTPS(https) => https.svc_params.iter().flat_map(|(_, value)| hints(value)).collect(),
        _ => Vec::new(),
    }
}

fn hints(value: &SvcParamValue) -> Vec<IpAddr> {
    match value {
        SvcParamValue::Ipv4Hint(hints) => hints.0.iter().map(|a| a.0.into()).collect(),
        SvcParamValue::Ipv6Hint(hints) => hints.0.iter().map(|aaaa| aaaa.0.into()).collect(),
        _ => Vec::new(),
    }
}

/// That all kinds of replies came up: a comparison of refusals alone proves nothing.
#[derive(Debug, Default)]
struct Seen {
    codes: [u64; 16],
    truncated: u64,
    referrals: u64,
    chased: u64,
    scoped: u64,
    /// Routed ones whose explanation was compared.
    explained: u64,
}

impl Seen {
    fn note(&mut self, reply: &[u8], scope: u8) {
        let (answers, servers) = (reply[7], reply[9]);
        self.codes[usize::from(reply[3] & 15)] += 1;
        self.truncated += u64::from(reply[2] & 2 != 0);
        self.referrals += u64::from(reply[2] & 4 == 0 && servers > 0);
        self.chased += u64::from(answers > 0 && servers > 0);
        self.scoped += u64::from(scope > 0);
    }

    fn check(&self, packets: u64) {
        let often = [
            self.codes[0],
            self.codes[3],
            self.codes[5],
            self.truncated,
            self.referrals,
            self.chased,
            self.scoped,
            self.explained,
        ];
        assert!(often.iter().all(|count| *count > packets / 2_000), "{self:?}");
    }
}
