//! A sampled query as it is logged: read from the octets of query and reply.

use super::ring::Sampled;
use crate::metrics::RCODE_NAMES;
use crate::state::Serving;
use hickory_proto::op::Message;
use hickory_proto::rr::RData;
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use ipnet::IpNet;
use serde::Serialize;
use std::net::IpAddr;
use waggle_dns::{Asker, Transport};
use waggle_model::routing::{V4_PREFIX, V6_PREFIX};
use waggle_model::{ClusterName, DomainName, Timestamp};

/// Offset of the header's octet with the response code.
const RCODE_AT: usize = 3;
/// RFC 6891 §9.
const BADVERS: u16 = 16;

/// One line of the log. Fields that do not apply are left out.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Milliseconds since the epoch.
    pub at: Timestamp,
    /// Where the query came from: the client, or a resolver that asks for it.
    pub source: IpNet,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet: Option<IpNet>,
    pub transport: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    pub rcode: &'static str,
    /// Records in the answer.
    pub answers: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// Prefix for which the answer to a client subnet holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<DomainName>,
    /// Whose addresses were answered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<ClusterName>,
    /// Octets of query and reply.
    pub query_bytes: usize,
    pub reply_bytes: usize,
    /// How long the answer took, nanoseconds.
    pub took_ns: u32,
    /// Queries that this one stands for.
    pub weight: u32,
    /// As it arrived and left.
    #[serde(skip)]
    pub raw: Sampled,
}

impl Entry {
    /// `asker`: what the route's engine made of it, by the snapshot of `serving`.
    pub fn new(raw: Sampled, serving: Option<&Serving>, asker: Option<Asker>) -> Entry {
        let (query, reply) = (Message::from_vec(&raw.query).ok(), Message::from_vec(&raw.reply).ok());
        let question = query.as_ref().and_then(|query| query.queries.first());
        let answers = reply.as_ref().map(|reply| reply.answers.as_slice()).unwrap_or_default();
        let address = |data: &RData| match data {
            RData::A(a) => Some(IpAddr::V4(a.0)),
            RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
            _ => None,
        };
        let addresses: Vec<IpAddr> = answers.iter().filter_map(|record| address(&record.data)).collect();
        let route = serving.zip(asker.as_ref()).and_then(|(serving, asker)| {
            let route = serving.snapshot.routes().get(asker.route)?;
            let clusters = serving.snapshot.clusters_at(asker.route, &addresses).into_iter().cloned().collect();
            Some((route.name().clone(), clusters))
        });
        let (route, clusters) = route.map_or((None, Vec::new()), |(route, clusters)| (Some(route), clusters));
        let subnet = query.as_ref().and_then(subnet);
        Entry {
            at: raw.at,
            source: IpNet::from(raw.source.ip().to_canonical()),
            subnet: subnet.and_then(|subnet| IpNet::new(subnet.addr(), subnet.source_prefix()).ok()),
            transport: if raw.transport == Transport::Udp { "udp" } else { "tcp" },
            name: question.map(|question| text(&question.name().to_lowercase().to_ascii())),
            kind: question.map(|question| question.query_type().to_string()),
            rcode: rcode(&raw.reply, reply.as_ref()),
            answers: answers.len(),
            addresses,
            scope: reply.as_ref().and_then(self::subnet).map(ClientSubnet::scope_prefix),
            route,
            clusters,
            query_bytes: raw.query.len(),
            reply_bytes: raw.reply_len,
            took_ns: raw.took,
            weight: raw.weight,
            raw,
        }
    }

    /// The same with clients' addresses cut to a /24 or /56, also within the messages.
    pub fn cut(mut self) -> Entry {
        self.source = cut(self.source);
        let whole = self.subnet;
        self.subnet = whole.map(cut);
        self.raw.source.set_ip(self.source.addr());
        self.raw.source.set_port(0);
        if let Some((whole, cut)) = whole.zip(self.subnet).filter(|(whole, cut)| whole != cut) {
            blank(&mut self.raw.query, whole, cut);
            blank(&mut self.raw.reply, whole, cut);
        }
        self
    }
}

fn cut(net: IpNet) -> IpNet {
    let most = if net.addr().is_ipv4() { V4_PREFIX } else { V6_PREFIX };
    IpNet::new(net.addr(), net.prefix_len().min(most)).unwrap_or(net).trunc()
}

/// Puts `cut` where a client subnet option says `whole` (RFC 7871 §6: family, source prefix, scope, address).
fn blank(message: &mut [u8], whole: IpNet, cut: IpNet) {
    let octets = |address: IpAddr| match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let length = usize::from(whole.prefix_len().div_ceil(8));
    let (from, to) = (octets(whole.addr()), octets(cut.addr()));
    let (Some(from), Some(to)) = (from.get(..length), to.get(..length)) else { return };
    let family = if whole.addr().is_ipv4() { 1 } else { 2 };
    for at in 0..message.len().saturating_sub(length + 3) {
        let Some(option) = message.get_mut(at..at + length + 4) else { return };
        let (head, address) = option.split_at_mut(4);
        if let [0, known, source, _] = *head
            && (known, source) == (family, whole.prefix_len())
            && address == from
        {
            address.copy_from_slice(to);
        }
    }
}

fn subnet(message: &Message) -> Option<&ClientSubnet> {
    match message.edns.as_ref()?.option(EdnsCode::Subnet) {
        Some(EdnsOption::Subnet(subnet)) => Some(subnet),
        _ => None,
    }
}

/// Without the dot at the end.
fn text(name: &str) -> String {
    let short = name.strip_suffix('.').filter(|short| !short.is_empty());
    short.unwrap_or(name).to_owned()
}

fn rcode(reply: &[u8], message: Option<&Message>) -> &'static str {
    let extended = message.map_or(0, |message| u16::from(message.metadata.response_code));
    if extended == BADVERS {
        return "BADVERS";
    }
    let code = reply.get(RCODE_AT).map_or(0, |flags| flags & 0xf);
    RCODE_NAMES.get(usize::from(code)).copied().unwrap_or("?")
}

#[cfg(test)]
pub(in crate::querylog) mod tests;
