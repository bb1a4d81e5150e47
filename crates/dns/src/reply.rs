//! Writes a reply into the caller's buffer, within a limit that leaves room for OPT.

use crate::request::{ECS, Edns, HEADER, Request, TCP_KEEPALIVE};
use std::net::IpAddr;
use std::time::Duration;

/// Largest UDP reply, octets: what passes every path unfragmented (RFC 9715). Also the size we advertise.
pub const UDP_MAX: usize = 1232;
/// Largest UDP reply to a client without EDNS, octets (RFC 1035 §2.3.4).
const UDP_PLAIN: usize = 512;

/// How long a connection without a query stays open; clients that ask are told (RFC 7828). RFC 7766 §6.2.3 asks for seconds.
pub const KEEPALIVE: Duration = Duration::from_secs(8);
/// The option: code, length 2, units of 100 ms.
const KEEPALIVE_OPTION: [u8; 6] = {
    let [code0, code1] = TCP_KEEPALIVE.to_be_bytes();
    let [time0, time1] = ((KEEPALIVE.as_millis() / 100) as u16).to_be_bytes();
    [code0, code1, 0, 2, time0, time1]
};

/// Octets of a record before its data, when its owner is a pointer.
pub(crate) const RECORD_HEAD: usize = 12;

/// The records of a fragment in which each owner is a pointer.
pub(crate) fn records(mut wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let size = wire.get(RECORD_HEAD - 2..)?.first_chunk::<2>()?;
        let (record, rest) = wire.split_at_checked(RECORD_HEAD + usize::from(u16::from_be_bytes(*size)))?;
        wire = rest;
        Some(record)
    })
}

/// The buffer was too small or the limit was reached.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

pub(crate) struct Reply<'a> {
    out: &'a mut [u8],
    len: usize,
    /// Octets up to which sections may grow.
    limit: usize,
    edns: Option<Edns>,
    /// Answer, authority, additional.
    counts: [u16; 3],
    pub(crate) authoritative: bool,
    pub(crate) scope: u8,
}

/// Sections, by their place among the counts.
#[derive(Clone, Copy)]
pub(crate) enum Section {
    Answer = 0,
    Authority = 1,
    Additional = 2,
}

impl<'a> Reply<'a> {
    /// `limit`: octets the transport allows. Writes the question.
    pub(crate) fn new(request: &Request<'_>, out: &'a mut [u8], limit: usize) -> Result<Reply<'a>, Full> {
        let limit = limit.min(out.len());
        let tail = request.edns.as_ref().map_or(0, opt_len);
        let limit = limit.checked_sub(tail).ok_or(Full)?;
        let mut reply =
            Reply { out, len: HEADER, limit, edns: request.edns, counts: [0; 3], authoritative: false, scope: 0 };
        if limit < HEADER {
            return Err(Full);
        }
        if let Some(question) = &request.question {
            reply.put(question.wire)?;
        }
        Ok(reply)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = self.len + bytes.len();
        if end > self.limit {
            return Err(Full);
        }
        self.out.get_mut(self.len..end).ok_or(Full)?.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    pub(crate) fn count(&mut self, section: Section, records: u16) {
        if let Some(count) = self.counts.get_mut(section as usize) {
            *count = count.saturating_add(records);
        }
    }

    /// Overwrites what `put` wrote before.
    pub(crate) fn patch(&mut self, at: usize, bytes: &[u8]) {
        if let Some(old) = self.out.get_mut(at..at + bytes.len()) {
            old.copy_from_slice(bytes);
        }
    }

    /// Whether one of the records from `start` on, whose owners are pointers, has this data.
    pub(crate) fn holds(&self, start: usize, data: &[u8]) -> bool {
        let written = self.out.get(start..self.len).unwrap_or_default();
        records(written).any(|record| record.get(RECORD_HEAD..) == Some(data))
    }

    /// Writes header and OPT. `truncated` takes everything but the question back (no RRset is ever sent in part).
    pub(crate) fn finish(mut self, request: &Request<'_>, code: u16, truncated: bool) -> Option<usize> {
        if truncated {
            self.len = HEADER + request.question.as_ref().map_or(0, |question| question.wire.len());
            self.counts = [0; 3];
        }
        let [high, low] = request.flags;
        let high = high | 0x80 | u8::from(self.authoritative) << 2 | u8::from(truncated) << 1;
        let low = low | (code & 0xf) as u8;
        let [id0, id1] = request.id;
        let [[an0, an1], [ns0, ns1], [ar0, ar1]] = {
            let [answer, authority, additional] = self.counts;
            let additional = additional + u16::from(self.edns.is_some());
            [answer.to_be_bytes(), authority.to_be_bytes(), additional.to_be_bytes()]
        };
        let question = u8::from(request.question.is_some());
        self.patch(0, &[id0, id1, high, low, 0, question, an0, an1, ns0, ns1, ar0, ar1]);
        if let Some(edns) = self.edns {
            self.limit = self.out.len();
            self.opt(&edns, (code >> 4) as u8).ok()?;
        }
        Some(self.len)
    }

    fn opt(&mut self, edns: &Edns, extended: u8) -> Result<(), Full> {
        let [size0, size1] = (UDP_MAX as u16).to_be_bytes();
        let flags = u8::from(edns.dnssec_ok) << 7;
        let data = (opt_len(edns) - OPT) as u8;
        self.put(&[0, 0, 41, size0, size1, extended, 0, flags, 0, 0, data])?;
        if edns.keepalive {
            self.put(&KEEPALIVE_OPTION)?;
        }
        let Some(subnet) = edns.subnet else { return Ok(()) };
        let [code0, code1] = ECS.to_be_bytes();
        let octets = subnet.octets();
        let family = if subnet.address.is_ipv4() { 1 } else { 2 };
        self.put(&[code0, code1, 0, octets as u8 + 4, 0, family, subnet.source, self.scope])?;
        match subnet.address {
            IpAddr::V4(v4) => self.put(v4.octets().get(..octets).ok_or(Full)?),
            IpAddr::V6(v6) => self.put(v6.octets().get(..octets).ok_or(Full)?),
        }
    }
}

/// OPT without options, octets.
const OPT: usize = 11;

fn opt_len(edns: &Edns) -> usize {
    let keepalive = if edns.keepalive { KEEPALIVE_OPTION.len() } else { 0 };
    OPT + keepalive + edns.subnet.map_or(0, |subnet| 8 + subnet.octets())
}

/// Octets a reply may take over UDP (RFC 6891 §6.2.3, RFC 9715).
pub(crate) fn udp_limit(edns: Option<&Edns>) -> usize {
    edns.map_or(UDP_PLAIN, |edns| usize::from(edns.size).clamp(UDP_PLAIN, UDP_MAX))
}
