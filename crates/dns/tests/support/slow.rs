//! Answers worked out the slow way.
//!
//! Of the engine nothing is used. The definitions of `model` are: what a ranking, a hash and a share are. Names are
//! strings, zones and the client map are lists that are searched from end to end (RFC 1034 §4.3.2, RFC 4592), and nothing
//! is prepared before a question is asked.

use super::query::wire;
use super::world::{A, AAAA, Asked, CNAME, DS, HTTPS, NS, World, Zone, below};
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::net::IpAddr;
use waggle_dns::Transport;
use waggle_model::plan::{PlanRoute, RoutePlan};
use waggle_model::release::{AllDown, Policy};
use waggle_model::routing::{Candidate, ClientKey, Place, Share, failover, rank, score};

const SOA: u16 = 6;
const HINFO: u16 = 13;
const HOPS: usize = 9;
/// Networks that tell nothing about a place.
const NOWHERE: [&str; 15] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/8",
    "fc00::/7",
    "fe80::/9",
    "ff00::/8",
];

pub struct Slow<'a> {
    pub world: &'a World,
    pub plan: &'a RoutePlan,
    /// By route, in the order of their names.
    pub health: Vec<RouteHealth>,
}

pub struct RouteHealth {
    pub mask: u64,
    pub ttl_cap: u32,
    pub shares: Vec<Share>,
}

/// The reply does not fit.
struct Full;

struct Reply {
    bytes: Vec<u8>,
    counts: [u16; 3],
    limit: usize,
    code: u16,
    authoritative: bool,
}

/// Where in the reply a name stands that is being resolved.
#[derive(Clone)]
struct Here {
    name: String,
    offset: usize,
}

impl Here {
    fn pointer(&self, suffix: &str) -> Vec<u8> {
        let at = self.offset + wire(&self.name).len() - wire(suffix).len();
        (0xc000 | at as u16).to_be_bytes().to_vec()
    }
}

impl Reply {
    fn put(&mut self, section: usize, owner: &[u8], kind: u16, ttl: u32, data: &[u8]) -> Result<(), Full> {
        let mut record = owner.to_vec();
        record.extend(kind.to_be_bytes());
        record.extend([0, 1]);
        record.extend(ttl.to_be_bytes());
        record.extend((data.len() as u16).to_be_bytes());
        record.extend_from_slice(data);
        self.bytes.extend(record);
        self.counts[section] += 1;
        if self.bytes.len() > self.limit { Err(Full) } else { Ok(()) }
    }
}

impl Slow<'_> {
    /// The reply, whose client subnet has the scope given: which scopes are right is proven elsewhere.
    pub fn answer(&self, asked: &Asked, scope: u8) -> Vec<u8> {
        let query = &asked.query;
        let opt = options(asked, scope);
        let question = [&query.name[..], &query.kind.to_be_bytes(), &query.class.to_be_bytes()].concat();
        let limit = match (asked.transport, &query.edns) {
            (Transport::Tcp, _) => 65_535,
            (Transport::Udp, None) => 512,
            (Transport::Udp, Some(edns)) => usize::from(edns.size.clamp(512, 1232)),
        };
        let bytes = [&[0; 12], &question[..]].concat();
        let mut reply = Reply { bytes, counts: [0; 3], limit: limit - opt.len(), code: 0, authoritative: false };
        let version = query.edns.as_ref().map_or(0, |edns| edns.version);
        let code = match query.kind {
            _ if version > 0 => Some(16),
            41 => Some(1),
            251 | 252 => Some(5),
            _ => (query.class != 1).then_some(5),
        };
        reply.code = code.unwrap_or(0);
        let whole = if code.is_some() { Ok(()) } else { self.resolve(asked, &mut reply) };
        if whole.is_err() {
            reply.bytes.truncate(12 + question.len());
            reply.counts = [0; 3];
        }
        let high = 0x80 | query.flags[0] & 1 | u8::from(reply.authoritative) << 2 | u8::from(whole.is_err()) << 1;
        let mut head = vec![0x12, 0x34, high, query.flags[1] & 0x10 | (reply.code & 15) as u8, 0, 1];
        reply.counts[2] += u16::from(!opt.is_empty());
        head.extend(reply.counts.iter().flat_map(|count| count.to_be_bytes()));
        reply.bytes[..12].copy_from_slice(&head);
        reply.bytes.extend(opt);
        reply.bytes
    }

    fn resolve(&self, asked: &Asked, reply: &mut Reply) -> Result<(), Full> {
        let mut here = Here { name: asked.name.clone(), offset: 12 };
        let mut visited = Vec::new();
        for hop in 0..HOPS {
            let place = self.deepest(&here.name);
            if visited.contains(&place) {
                break;
            }
            visited.push(place);
            match self.step(&here, asked, hop, reply)? {
                Some(next) => here = next,
                None => break,
            }
        }
        Ok(())
    }

    /// The longest part of a name that exists, and whether it is the whole.
    fn deepest(&self, name: &str) -> (String, bool) {
        let mut rest = name;
        while !self.exists(rest) {
            rest = rest.split_once('.').map_or("", |(_, up)| up);
        }
        (rest.to_owned(), rest == name)
    }

    fn exists(&self, name: &str) -> bool {
        let owners = self.world.records.iter().map(|record| record.owner.as_str());
        let all = owners
            .chain(self.world.routes.iter().map(String::as_str))
            .chain(self.world.zones.iter().map(|zone| zone.apex));
        name.is_empty() || all.into_iter().any(|owner| below(owner, name))
    }

    fn step(&self, here: &Here, asked: &Asked, hop: usize, reply: &mut Reply) -> Result<Option<Here>, Full> {
        let (name, kind) = (here.name.as_str(), asked.query.kind);
        let Some(zone) = self.world.zone_of(name) else {
            if hop == 0 {
                reply.code = 5;
            }
            return Ok(None);
        };
        let cut = self.world.records.iter().find(|record| record.kind == NS && below(name, &record.owner));
        if let Some(cut) = cut.filter(|cut| cut.owner != name || kind != DS) {
            if hop == 0 {
                self.refer(&cut.owner, here, reply)?;
            }
            return Ok(None);
        }
        reply.authoritative = true;
        let (closest, whole) = self.deepest(name);
        let node = if whole { name.to_owned() } else { format!("*.{closest}") };
        if !self.exists(&node) {
            reply.code = 3;
            return negative(zone, here, reply).map(|()| None);
        }
        self.data(&node, zone, here, asked, reply)
    }

    fn refer(&self, cut: &str, here: &Here, reply: &mut Reply) -> Result<(), Full> {
        let servers = self.set(cut, NS);
        for (ttl, data) in &servers {
            reply.put(1, &here.pointer(cut), NS, *ttl, data)?;
        }
        for (_, data) in &servers {
            let below_a_cut =
                |owner: &str| self.world.records.iter().any(|cut| cut.kind == NS && below(owner, &cut.owner));
            let host =
                self.world.records.iter().find(|record| wire(&record.owner) == *data && below_a_cut(&record.owner));
            for kind in [A, AAAA] {
                for (ttl, address) in host.map(|host| self.set(&host.owner, kind)).unwrap_or_default() {
                    reply.put(2, data, kind, ttl, &address)?;
                }
            }
        }
        Ok(())
    }

    /// TTL and data of the records of one type, each once, with the lowest TTL.
    fn set(&self, owner: &str, kind: u16) -> Vec<(u32, Vec<u8>)> {
        let own = || self.world.records.iter().filter(|record| record.owner == owner && record.kind == kind);
        let ttl = own().map(|record| record.ttl).min().unwrap_or(0);
        let mut set = Vec::new();
        for record in own() {
            if !set.contains(&(ttl, record.data.clone())) {
                set.push((ttl, record.data.clone()));
            }
        }
        if let Some(zone) = self.world.zones.iter().find(|zone| zone.apex == owner) {
            match kind {
                SOA => set.push((zone.ttl, soa(zone))),
                NS => set.extend(zone.nameservers.iter().map(|server| (zone.ttl, wire(server)))),
                _ => {}
            }
        }
        set
    }

    fn data(
        &self,
        node: &str,
        zone: &Zone,
        here: &Here,
        asked: &Asked,
        reply: &mut Reply,
    ) -> Result<Option<Here>, Full> {
        let kind = asked.query.kind;
        let owner = here.pointer(&here.name);
        let route = self.plan.routes.iter().position_of(node);
        if let Some((at, route)) = route.filter(|(_, route)| route.answers(kind)) {
            return self.routed(at, route, &owner, asked, reply).map(|()| None);
        }
        let apex = node == zone.apex;
        if kind == 255 && (apex || route.is_some() || self.world.records.iter().any(|record| record.owner == node)) {
            return reply.put(0, &owner, HINFO, zone.ttl, b"\x07RFC8482\x00").map(|()| None);
        }
        let alias = self.set(node, CNAME);
        if let Some((ttl, data)) = alias.first() {
            let start = reply.bytes.len();
            reply.put(0, &owner, CNAME, *ttl, data)?;
            let next = Here { name: text(data), offset: start + 12 };
            return Ok((kind != CNAME).then_some(next));
        }
        let set = self.set(node, kind);
        if set.is_empty() {
            return negative(zone, here, reply).map(|()| None);
        }
        for (ttl, data) in set {
            reply.put(0, &owner, kind, ttl, &data)?;
        }
        Ok(None)
    }

    fn routed(&self, at: usize, route: &PlanRoute, owner: &[u8], asked: &Asked, reply: &mut Reply) -> Result<(), Full> {
        let health = &self.health[at];
        let ttl = route.ttl.min(health.ttl_cap);
        let kind = asked.query.kind;
        let mut said = Vec::new();
        for addresses in self.chosen(route, health, asked) {
            for data in data_of(route, &addresses, kind) {
                if !said.contains(&data) {
                    reply.put(0, owner, kind, ttl, &data)?;
                    said.push(data);
                }
            }
        }
        Ok(())
    }

    /// Address lists of the clusters that this client gets, or the fallback.
    fn chosen(&self, route: &PlanRoute, health: &RouteHealth, asked: &Asked) -> Vec<Vec<IpAddr>> {
        let all: Vec<usize> = (0..route.pool.len()).collect();
        let of = |positions: &[usize]| positions.iter().map(|at| route.pool[*at].addresses.clone()).collect();
        let fit: Vec<usize> = all.iter().copied().filter(|at| health.mask & 1 << at != 0).collect();
        if fit.is_empty() {
            if let AllDown::Fallback(addresses) = &route.all_down {
                return vec![addresses.clone()];
            }
            let undrained: Vec<usize> = all.iter().copied().filter(|at| route.pool[*at].drained.is_none()).collect();
            return of(if undrained.is_empty() { &all } else { &undrained });
        }
        let picks = if let Policy::Multivalue(count) = route.policy { usize::from(count) } else { 1 };
        if fit.len() <= picks {
            return of(&fit);
        }
        let client = self.client(asked);
        let key = ClientKey::new(client);
        let (line, placed) = self.line(route, client, key);
        let line: Vec<usize> = line.into_iter().filter(|at| fit.contains(at)).collect();
        let (mut taken, mut refused) = (Vec::new(), Vec::new());
        for (tried, at) in line.iter().enumerate() {
            // Those who all come anyway, and whose order the place does not know, come in the pool's.
            let mut rest = line[tried..].to_vec();
            let alike = rest.iter().all(|at| !placed.contains(at) && health.shares[*at].is_full());
            if alike && taken.len() + rest.len() <= picks {
                rest.sort_unstable();
                taken.extend(rest);
                break;
            }
            let takes = health.shares[*at].admits(key, &self.candidate(route, *at), tried < picks);
            if takes {
                taken.push(*at)
            } else {
                refused.push(*at)
            }
            if taken.len() == picks {
                break;
            }
        }
        taken.extend(refused);
        taken.truncate(picks);
        of(&taken)
    }

    /// Whose place decides.
    fn client(&self, asked: &Asked) -> IpAddr {
        let source = asked.source.ip().to_canonical();
        let subnet = asked.query.edns.as_ref().and_then(|edns| edns.subnet).filter(|(_, len)| *len > 0);
        let nowhere = |address: IpAddr| {
            let within = NOWHERE.iter().any(|network| network.parse::<IpNet>().unwrap().contains(&address));
            within && self.listed(address).is_none()
        };
        subnet.map(|(address, _)| address).filter(|address| !nowhere(*address)).unwrap_or(source)
    }

    /// The longest line of the client map with this address that says something.
    fn listed(&self, address: IpAddr) -> Option<&[waggle_model::ClusterName]> {
        let lines =
            self.plan.client_map.iter().filter(|(network, listed)| network.contains(&address) && !listed.is_empty());
        lines.max_by_key(|(network, _)| network.prefix_len()).map(|(_, listed)| listed.as_slice())
    }

    fn candidate(&self, route: &PlanRoute, at: usize) -> Candidate {
        let cluster = &route.pool[at].cluster;
        let own = self.plan.clusters[cluster].weight;
        let weight = if let Policy::Weighted(weights) = &route.policy { weights.get(cluster).copied() } else { None };
        Candidate::new(cluster, weight.unwrap_or(own))
    }

    /// Positions in the pool in the order in which the client tries them, and those that its place or the operator ordered.
    fn line(&self, route: &PlanRoute, client: IpAddr, key: ClientKey) -> (Vec<usize>, Vec<usize>) {
        let names: Vec<_> = route.pool.iter().map(|endpoint| endpoint.cluster.clone()).collect();
        let placed: Vec<usize> = match &route.policy {
            Policy::Failover(order) => failover(&names, order),
            Policy::Weighted(_) => Vec::new(),
            Policy::Nearest | Policy::Multivalue(_) => {
                let listed = self.listed(client).unwrap_or_default();
                let ranked = rank(Place { listed, location: None }, &self.plan.clusters);
                let front = ranked.order.iter().take(ranked.placed);
                let placed: Vec<usize> = front.filter_map(|name| names.iter().position(|own| own == *name)).collect();
                // One alone behind them has nobody to be ordered with.
                let rest = (0..names.len()).filter(|at| !placed.contains(at));
                if placed.len() + 1 == names.len() { placed.iter().copied().chain(rest).collect() } else { placed }
            }
        };
        let mut others: Vec<usize> = (0..names.len()).filter(|at| !placed.contains(at)).collect();
        others.sort_by(|a, b| {
            let score = |at: usize| score(key, &self.candidate(route, at));
            score(*a).total_cmp(&score(*b)).then(a.cmp(b))
        });
        (placed.iter().copied().chain(others).collect(), placed)
    }
}

trait PositionOf<'a> {
    fn position_of(self, name: &str) -> Option<(usize, &'a PlanRoute)>;
}

impl<'a, I: Iterator<Item = (&'a waggle_model::DomainName, &'a PlanRoute)>> PositionOf<'a> for I {
    fn position_of(self, name: &str) -> Option<(usize, &'a PlanRoute)> {
        self.enumerate().find(|(_, (own, _))| own.as_str() == name).map(|(at, (_, route))| (at, route))
    }
}

trait Answers {
    fn answers(&self, kind: u16) -> bool;
}

impl Answers for PlanRoute {
    fn answers(&self, kind: u16) -> bool {
        let first = &self.pool[0].addresses;
        match kind {
            A => first.iter().any(IpAddr::is_ipv4),
            AAAA => first.iter().any(IpAddr::is_ipv6),
            HTTPS => self.https.is_some(),
            _ => false,
        }
    }
}

/// Data of one cluster's records of a type, or of its HTTPS record (RFC 9460 §2.2).
fn data_of(route: &PlanRoute, addresses: &[IpAddr], kind: u16) -> Vec<Vec<u8>> {
    let sorted: BTreeSet<IpAddr> = addresses.iter().copied().collect();
    let octets = |four: bool| -> Vec<Vec<u8>> {
        let of = |address: &IpAddr| match address {
            IpAddr::V4(v4) if four => Some(v4.octets().to_vec()),
            IpAddr::V6(v6) if !four => Some(v6.octets().to_vec()),
            _ => None,
        };
        sorted.iter().filter_map(of).collect()
    };
    let Some(https) = route.https.as_ref().filter(|_| kind == HTTPS) else { return octets(kind == A) };
    let alpn = https.alpn.iter().flat_map(|id| [&[id.len() as u8], id.as_bytes()].concat()).collect();
    let port = https.port.map(|port| port.to_be_bytes().to_vec()).unwrap_or_default();
    let hints = |four: bool, kind: u16| if route.answers(kind) { octets(four).concat() } else { Vec::new() };
    let mut data = vec![0, 1, 0];
    for (key, value) in [(1u16, alpn), (3, port), (4, hints(true, A)), (6, hints(false, AAAA))] {
        if !value.is_empty() {
            data.extend(key.to_be_bytes());
            data.extend((value.len() as u16).to_be_bytes());
            data.extend(value);
        }
    }
    vec![data]
}

fn negative(zone: &Zone, here: &Here, reply: &mut Reply) -> Result<(), Full> {
    reply.put(1, &here.pointer(zone.apex), SOA, zone.ttl.min(zone.negative_ttl), &soa(zone))
}

fn soa(zone: &Zone) -> Vec<u8> {
    let numbers = [7, 86_400, 7_200, 3_600_000, zone.negative_ttl];
    let numbers = numbers.iter().flat_map(|number: &u32| number.to_be_bytes());
    wire(&zone.nameservers[0]).into_iter().chain(wire(&zone.contact)).chain(numbers).collect()
}

/// A name from its octets, in lower case.
fn text(mut wire: &[u8]) -> String {
    let mut labels = Vec::new();
    while let [size @ 1..=63, rest @ ..] = wire {
        let (label, next) = rest.split_at(usize::from(*size));
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        wire = next;
    }
    labels.join(".")
}

/// OPT with what it says in a reply.
fn options(asked: &Asked, scope: u8) -> Vec<u8> {
    let Some(edns) = &asked.query.edns else { return Vec::new() };
    let mut options = Vec::new();
    if edns.version == 0 && edns.keepalive && asked.transport == Transport::Tcp {
        options.extend([0, 11, 0, 2, 0, 80]);
    }
    if let Some((address, source)) = edns.subnet.filter(|_| edns.version == 0) {
        let (family, octets) = match address {
            IpAddr::V4(v4) => (1, v4.octets().to_vec()),
            IpAddr::V6(v6) => (2, v6.octets().to_vec()),
        };
        let octets = &octets[..usize::from(source.div_ceil(8))];
        options.extend([0, 8, 0, 4 + octets.len() as u8, 0, family, source, scope]);
        options.extend_from_slice(octets);
    }
    let high = u8::from(edns.version > 0);
    let mut opt = vec![0, 0, 41, 4, 208, high, 0, u8::from(edns.dnssec_ok) << 7, 0, 0, options.len() as u8];
    opt.extend(options);
    opt
}
