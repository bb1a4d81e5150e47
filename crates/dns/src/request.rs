//! A query, parsed in place.
//!
//! Every malformed part has one answer (RFC 8906): what can be echoed safely is kept in [`Request`], and `fault` says
//! what is wrong. Nothing here allocates.

use crate::name::Folded;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Octets of the fixed header (RFC 1035 §4.1.1).
pub(crate) const HEADER: usize = 12;

pub(crate) mod rcode {
    pub(crate) const NOERROR: u16 = 0;
    pub(crate) const FORMERR: u16 = 1;
    pub(crate) const NXDOMAIN: u16 = 3;
    pub(crate) const NOTIMP: u16 = 4;
    pub(crate) const REFUSED: u16 = 5;
    /// Extended (RFC 6891 §6.1.3).
    pub(crate) const BADVERS: u16 = 16;
}

pub(crate) mod rtype {
    pub(crate) const A: u16 = 1;
    pub(crate) const NS: u16 = 2;
    pub(crate) const CNAME: u16 = 5;
    pub(crate) const SOA: u16 = 6;
    pub(crate) const HINFO: u16 = 13;
    pub(crate) const TXT: u16 = 16;
    pub(crate) const AAAA: u16 = 28;
    pub(crate) const DNAME: u16 = 39;
    pub(crate) const OPT: u16 = 41;
    pub(crate) const DS: u16 = 43;
    /// RFC 9460.
    pub(crate) const HTTPS: u16 = 65;
    pub(crate) const IXFR: u16 = 251;
    pub(crate) const AXFR: u16 = 252;
    pub(crate) const ANY: u16 = 255;
}

/// EDNS option codes: client subnet (RFC 7871) and TCP keepalive (RFC 7828).
pub(crate) const ECS: u16 = 8;
pub(crate) const TCP_KEEPALIVE: u16 = 11;

pub(crate) struct Request<'a> {
    pub(crate) id: [u8; 2],
    /// Opcode, RD and CD of the query, where they stand in the two flag octets.
    pub(crate) flags: [u8; 2],
    pub(crate) question: Option<Question<'a>>,
    pub(crate) edns: Option<Edns>,
    /// Response code that answers the query without looking at data.
    pub(crate) fault: Option<u16>,
}

pub(crate) struct Question<'a> {
    /// As it arrived: name, type, class.
    pub(crate) wire: &'a [u8],
    pub(crate) name: &'a Folded,
    pub(crate) kind: u16,
    pub(crate) class: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edns {
    /// UDP payload the client can take, octets.
    pub(crate) size: u16,
    pub(crate) version: u8,
    pub(crate) dnssec_ok: bool,
    pub(crate) subnet: Option<Subnet>,
    /// The client asks how long it may leave the connection idle.
    pub(crate) keepalive: bool,
}

/// A client subnet that obeys every rule of RFC 7871 §6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subnet {
    /// Bits beyond `source` are zero.
    pub(crate) address: IpAddr,
    pub(crate) source: u8,
}

impl Subnet {
    /// Octets of the address that travel.
    pub(crate) fn octets(&self) -> usize {
        usize::from(self.source.div_ceil(8))
    }
}

impl<'a> Request<'a> {
    /// `None`: not a query at all, to be dropped. `name` is where the name asked for is kept.
    pub(crate) fn parse(query: &'a [u8], name: &'a mut Folded) -> Option<Request<'a>> {
        let header: &[u8; HEADER] = query.first_chunk()?;
        let [id0, id1, high, low, counts @ ..] = *header;
        if high & 0x80 != 0 {
            return None;
        }
        let mut request =
            Request { id: [id0, id1], flags: [high & 0x79, low & 0x10], question: None, edns: None, fault: None };
        if let Err(code) = request.body(query, counts, name) {
            request.fault = Some(code);
        }
        if high & 0x78 != 0 {
            request.fault = Some(rcode::NOTIMP);
        }
        Some(request)
    }

    fn body(&mut self, query: &'a [u8], counts: [u8; 8], name: &'a mut Folded) -> Result<(), u16> {
        let [q0, q1, an0, an1, ns0, ns1, ar0, ar1] = counts;
        if [q0, q1] != [0, 1] {
            return Err(rcode::FORMERR);
        }
        let mut at = HEADER;
        let question = question(query, at, name).ok_or(rcode::FORMERR)?;
        at += question.wire.len();
        self.question = Some(question);
        let before = u32::from(u16::from_be_bytes([an0, an1])) + u32::from(u16::from_be_bytes([ns0, ns1]));
        let total = before + u32::from(u16::from_be_bytes([ar0, ar1]));
        let mut edns = None;
        for number in 0..total {
            let record = record(query, at).ok_or(rcode::FORMERR)?;
            at = record.end;
            if record.kind == rtype::OPT {
                if number < before || edns.is_some() || !record.root {
                    return Err(rcode::FORMERR);
                }
                edns = Some((record.class, record.ttl, record.data));
            }
        }
        if at != query.len() {
            return Err(rcode::FORMERR);
        }
        if let Some((size, ttl, data)) = edns {
            let [_, version, flags, _] = ttl;
            let mut edns = Edns { size, version, dnssec_ok: flags & 0x80 != 0, subnet: None, keepalive: false };
            self.edns = Some(edns);
            if version != 0 {
                return Err(rcode::BADVERS);
            }
            options(data, &mut edns)?;
            self.edns = Some(edns);
        }
        Ok(())
    }
}

fn question<'a>(query: &'a [u8], at: usize, name: &'a mut Folded) -> Option<Question<'a>> {
    let rest = query.get(at..)?;
    name.read(rest)?;
    let wire = rest.get(..name.len() + 4)?;
    let [.., k0, k1, c0, c1] = *wire else { return None };
    Some(Question { wire, name, kind: u16::from_be_bytes([k0, k1]), class: u16::from_be_bytes([c0, c1]) })
}

struct RawRecord<'a> {
    root: bool,
    kind: u16,
    class: u16,
    ttl: [u8; 4],
    data: &'a [u8],
    end: usize,
}

fn record(query: &[u8], at: usize) -> Option<RawRecord<'_>> {
    let root = *query.get(at)? == 0;
    let fixed = skip_name(query, at)?;
    let [k0, k1, c0, c1, t0, t1, t2, t3, l0, l1] = *query.get(fixed..)?.first_chunk::<10>()?;
    let start = fixed + 10;
    let end = start + usize::from(u16::from_be_bytes([l0, l1]));
    Some(RawRecord {
        root,
        kind: u16::from_be_bytes([k0, k1]),
        class: u16::from_be_bytes([c0, c1]),
        ttl: [t0, t1, t2, t3],
        data: query.get(start..end)?,
        end,
    })
}

fn skip_name(query: &[u8], mut at: usize) -> Option<usize> {
    let limit = at + crate::name::NAME_MAX;
    while at < limit {
        match *query.get(at)? {
            0 => return Some(at + 1),
            size @ 1..=63 => at += 1 + usize::from(size),
            0xc0..=0xff => return query.get(at + 1).map(|_| at + 2),
            _ => return None,
        }
    }
    None
}

/// Walks the options of an OPT record; those that have no meaning here are skipped.
fn options(mut data: &[u8], edns: &mut Edns) -> Result<(), u16> {
    while !data.is_empty() {
        let [c0, c1, l0, l1, rest @ ..] = data else { return Err(rcode::FORMERR) };
        let len = usize::from(u16::from_be_bytes([*l0, *l1]));
        let (value, next) = rest.split_at_checked(len).ok_or(rcode::FORMERR)?;
        match u16::from_be_bytes([*c0, *c1]) {
            ECS if edns.subnet.is_some() => return Err(rcode::FORMERR),
            ECS => edns.subnet = Some(client_subnet(value).ok_or(rcode::FORMERR)?),
            TCP_KEEPALIVE => edns.keepalive = true,
            _ => {}
        }
        data = next;
    }
    Ok(())
}

fn client_subnet(value: &[u8]) -> Option<Subnet> {
    let [f0, f1, source, scope, octets @ ..] = value else { return None };
    let (source, scope) = (*source, *scope);
    let width = match u16::from_be_bytes([*f0, *f1]) {
        1 => 32,
        2 => 128,
        _ => return None,
    };
    if scope != 0 || source > width || octets.len() != usize::from(source.div_ceil(8)) {
        return None;
    }
    let mut whole = [0u8; 16];
    whole.get_mut(..octets.len())?.copy_from_slice(octets);
    let bits = u128::from_be_bytes(whole);
    if source < 128 && bits << source != 0 {
        return None;
    }
    let address =
        if width == 32 { IpAddr::V4(Ipv4Addr::from((bits >> 96) as u32)) } else { IpAddr::V6(Ipv6Addr::from(bits)) };
    Some(Subnet { address, source })
}
