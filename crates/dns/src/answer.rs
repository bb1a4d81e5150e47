//! From query bytes to reply bytes.

use crate::choose::{Client, choose};
use crate::health::Health;
use crate::ledger::Ledger;
use crate::name::Folded;
use crate::reply::{Full, RECORD_HEAD, Reply, Section, records, udp_limit};
use crate::request::{HEADER, Question, Request, rcode, rtype};
use crate::snapshot::{Addresses, Cut, Node, RecordSet, Route, Snapshot, ZoneData};
use crate::table::{Found, NONE};
use std::net::SocketAddr;
use waggle_model::Timestamp;

/// How the query arrived; decides how long the reply may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// At most 512 octets, or what EDNS allows up to [`crate::UDP_MAX`].
    Udp,
    /// TCP, TLS, HTTPS, QUIC: at most 65 535 octets, and never more than `out` has.
    Tcp,
}

/// CNAMEs followed within one reply.
pub(crate) const CHASE_MAX: usize = 8;
/// Where the TTL of a record begins whose owner is a pointer.
const TTL_AT: usize = 6;

/// Writes the reply to `query` into `out` and returns its length in octets. `None`: send nothing, because it is no query
/// (RFC 8906 §7: response bit set, shorter than a header, source port 0) or because `out` cannot hold even its question.
///
/// `h` and `l` are those made for `s`. `now` only goes into the ledger.
#[expect(clippy::too_many_arguments, reason = "everything an answer depends on, and nothing is looked up elsewhere")]
pub fn answer(
    s: &Snapshot,
    h: &Health,
    l: &Ledger,
    query: &[u8],
    source: SocketAddr,
    transport: Transport,
    now: Timestamp,
    out: &mut [u8],
) -> Option<usize> {
    if source.port() == 0 {
        return None;
    }
    let mut name = Folded::new();
    let mut request = Request::parse(query, &mut name)?;
    if let Some(edns) = request.edns.as_mut() {
        // Over UDP the option is to be ignored (RFC 7828 §3.3.1).
        edns.keepalive &= transport == Transport::Tcp;
    }
    let limit = match transport {
        Transport::Udp => udp_limit(request.edns.as_ref()),
        Transport::Tcp => usize::from(u16::MAX),
    };
    let mut reply = Reply::new(&request, out, limit).ok()?;
    let Some(question) = checked(&request) else {
        let code = request.fault.unwrap_or_else(|| refusal(&request));
        return reply.finish(&request, code, false);
    };
    let subnet = request.edns.and_then(|edns| edns.subnet).filter(|subnet| subnet.source > 0);
    let client = Client::new(source.ip(), subnet.map(|subnet| subnet.address));
    let mut walk = Walk { s, h, l, now, client, reply: &mut reply, kind: question.kind, code: rcode::NOERROR };
    let whole = walk.run(question);
    let code = walk.code;
    reply.finish(&request, code, whole.is_err())
}

/// The question, if it is one for zone data.
fn checked<'a>(request: &'a Request<'_>) -> Option<&'a Question<'a>> {
    let question = request.question.as_ref().filter(|_| request.fault.is_none())?;
    let transfer = matches!(question.kind, rtype::AXFR | rtype::IXFR);
    (question.class == 1 && !transfer && question.kind != rtype::OPT).then_some(question)
}

/// Other classes and zone transfers are refused; OPT is no type to ask for.
fn refusal(request: &Request<'_>) -> u16 {
    let opt = request.question.as_ref().is_some_and(|question| question.kind == rtype::OPT);
    if opt { rcode::FORMERR } else { rcode::REFUSED }
}

struct Walk<'a, 'out> {
    s: &'a Snapshot,
    h: &'a Health,
    l: &'a Ledger,
    now: Timestamp,
    client: Client,
    reply: &'a mut Reply<'out>,
    kind: u16,
    code: u16,
}

/// Where in the reply the name that is being resolved stands: the question, or the target of the last CNAME.
#[derive(Clone, Copy)]
struct Here {
    offset: usize,
    len: usize,
}

impl Here {
    /// Compression pointer to the last `suffix` octets of the name.
    fn pointer(self, suffix: u8) -> [u8; 2] {
        let offset = self.offset + self.len.saturating_sub(usize::from(suffix));
        (0xc000 | offset as u16 & 0x3fff).to_be_bytes()
    }
}

impl Walk<'_, '_> {
    fn run(&mut self, question: &Question<'_>) -> Result<(), Full> {
        let mut here = Here { offset: HEADER, len: question.name.len() };
        let mut found = self.s.table.deepest(question.name);
        let mut seen = [None; CHASE_MAX + 1];
        for hop in 0..=CHASE_MAX {
            if let Some(slot) = seen.get_mut(hop) {
                *slot = Some(found);
            }
            match self.step(found, here, hop)? {
                // A second visit would only repeat what the reply holds already.
                Some((next, at)) if !seen.contains(&Some(next)) => (found, here) = (next, at),
                _ => break,
            }
        }
        Ok(())
    }

    /// Answers for one name; returns where a CNAME leads.
    fn step(&mut self, found: Found, here: Here, hop: usize) -> Result<Option<(Found, Here)>, Full> {
        let s = self.s;
        let node = s.nodes.get(found.node as usize);
        let Some((node, zone)) = node.and_then(|node| Some((node, s.zones.get(node.zone as usize)?))) else {
            // Not ours: refused, unless a CNAME of ours led here.
            self.code = if hop == 0 { rcode::REFUSED } else { self.code };
            return Ok(None);
        };
        if let Some(cut) = s.cuts.get(node.cut as usize) {
            // DS is the one type the parent answers at the delegation itself (RFC 4035 §3.1.4.1).
            let parent_side = found.exact && node.name_len == cut.name_len && self.kind == rtype::DS;
            if !parent_side {
                return if hop == 0 { self.refer(cut, here).map(|()| None) } else { Ok(None) };
            }
        }
        self.reply.authoritative = true;
        let node = if found.exact {
            node
        } else {
            match s.nodes.get(node.wildcard as usize) {
                Some(wildcard) => wildcard,
                None => {
                    self.code = rcode::NXDOMAIN;
                    return self.negative(zone, here).map(|()| None);
                }
            }
        };
        self.data(node, zone, here)
    }

    fn data(&mut self, node: &Node, zone: &ZoneData, here: Here) -> Result<Option<(Found, Here)>, Full> {
        let s = self.s;
        if let Some(route) = s.routes.get(node.route as usize).filter(|route| route.routes(self.kind)) {
            return self.routed(node.route, route, here).map(|()| None);
        }
        let sets = s.sets_of(node);
        if self.kind == rtype::ANY && (!sets.is_empty() || node.route != NONE) {
            return self.copy(s.wire(zone.any), 1, Section::Answer, here.pointer(here.len as u8)).map(|()| None);
        }
        let set = sets.iter().find(|set| set.kind == self.kind || set.kind == rtype::CNAME);
        match set {
            None => self.negative(zone, here).map(|()| None),
            Some(set) => self.stored(set, here),
        }
    }

    fn stored(&mut self, set: &RecordSet, here: Here) -> Result<Option<(Found, Here)>, Full> {
        let start = self.reply.len();
        self.copy(self.s.wire(set.wire), set.count, Section::Answer, here.pointer(here.len as u8))?;
        // The target is the data of the one record: after owner, type, class, TTL and length.
        let next = set
            .target
            .filter(|_| self.kind != rtype::CNAME)
            .map(|target| (target.found, Here { offset: start + 12, len: usize::from(target.name_len) }));
        Ok(next)
    }

    /// Copies records that begin with a pointer to the question, and lets them point to `owner`.
    fn copy(&mut self, wire: &[u8], count: u16, section: Section, owner: [u8; 2]) -> Result<(), Full> {
        let mut at = self.reply.len();
        self.reply.put(wire)?;
        self.reply.count(section, count);
        if owner != [0xc0, HEADER as u8] {
            let mut rest = wire;
            while let Some(size) = rest.get(10..12).and_then(|size| size.first_chunk::<2>()) {
                self.reply.patch(at, &owner);
                let record = 12 + usize::from(u16::from_be_bytes(*size));
                at += record;
                rest = rest.get(record..).unwrap_or_default();
            }
        }
        Ok(())
    }

    fn negative(&mut self, zone: &ZoneData, here: Here) -> Result<(), Full> {
        self.copy(self.s.wire(zone.negative), 1, Section::Authority, here.pointer(zone.apex_len))
    }

    /// RFC 9471: glue that does not fit sets TC, like everything else here.
    fn refer(&mut self, cut: &Cut, here: Here) -> Result<(), Full> {
        self.copy(self.s.wire(cut.ns), cut.ns_count, Section::Authority, here.pointer(cut.name_len))?;
        self.reply.put(self.s.wire(cut.glue))?;
        self.reply.count(Section::Additional, cut.glue_count);
        Ok(())
    }

    fn routed(&mut self, index: u32, route: &Route, here: Here) -> Result<(), Full> {
        let (_, cap) = self.h.get(index as usize);
        let ttl = route.ttl.min(cap);
        let choice = choose(self.s, route, &self.h.fit(index as usize), &self.client);
        self.l.tally().note(index, route, &choice, self.client.subnet.unwrap_or(self.client.source));
        self.reply.scope = choice.scope;
        let set = RoutedSet { start: self.reply.len(), ttl: ttl.to_be_bytes(), owner: here.pointer(here.len as u8) };
        if choice.bits().is_empty() {
            return route.fallback.as_ref().map_or(Ok(()), |addresses| self.addresses(addresses, &set, true));
        }
        let alone = choice.bits().len() == 1;
        for bit in choice.bits() {
            self.l.note(route.ledger + u32::from(*bit), self.now, ttl);
            if let Some(addresses) = route.addresses.get(usize::from(*bit)) {
                self.addresses(addresses, &set, alone)?;
            }
        }
        Ok(())
    }

    /// `distinct`: no earlier record of the set can have the same data.
    fn addresses(&mut self, addresses: &Addresses, set: &RoutedSet, distinct: bool) -> Result<(), Full> {
        for record in records(self.s.wire(addresses.wire(self.kind))) {
            let data = record.get(RECORD_HEAD..).unwrap_or_default();
            if !distinct && self.reply.holds(set.start, data) {
                continue;
            }
            let at = self.reply.len();
            self.reply.put(record)?;
            self.reply.patch(at, &set.owner);
            self.reply.patch(at + TTL_AT, &set.ttl);
            self.reply.count(Section::Answer, 1);
        }
        Ok(())
    }
}

struct RoutedSet {
    /// Where the set begins in the reply.
    start: usize,
    ttl: [u8; 4],
    owner: [u8; 2],
}
