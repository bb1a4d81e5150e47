//! A small DNS client for tests: one question over UDP, with a client subnet if wanted. Independent of the server's code:
//! messages are made and read by hickory-proto.

use anyhow::{Context, Result, bail};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, RData, RecordType};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub code: ResponseCode,
    pub addresses: Vec<IpAddr>,
    /// Seconds; of the first record.
    pub ttl: u32,
    /// Scope of the echoed client subnet.
    pub scope: Option<u8>,
    pub authoritative: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct Subnet {
    pub address: Ipv4Addr,
    pub prefix: u8,
}

/// Asks `server` for the A records of `name`.
pub fn ask(server: SocketAddr, name: &str, subnet: Option<Subnet>, patience: Duration) -> Result<Answer> {
    static NEXT_ID: AtomicU16 = AtomicU16::new(1);
    let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(format!("{name}."))?, RecordType::A));
    if let Some(subnet) = subnet {
        let mut edns = Edns::new();
        edns.set_max_payload(1232);
        let option = ClientSubnet::new(IpAddr::V4(subnet.address), subnet.prefix, 0);
        edns.options_mut().insert(EdnsOption::Subnet(option));
        message.set_edns(edns);
    }
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(patience))?;
    socket.connect(server)?;
    socket.send(&message.to_vec()?)?;
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).with_context(|| format!("no answer from {server} for {name}"))?;
    let answer = Message::from_vec(&buffer[..length])?;
    if answer.metadata.id != id {
        bail!("{server} answered another question");
    }
    Ok(read(&answer))
}

fn read(message: &Message) -> Answer {
    let mut addresses = Vec::new();
    for record in &message.answers {
        match record.data {
            RData::A(a) => addresses.push(IpAddr::V4(a.0)),
            RData::AAAA(a) => addresses.push(IpAddr::V6(a.0)),
            _ => {}
        }
    }
    let scope = message.edns.as_ref().and_then(|edns| match edns.option(EdnsCode::Subnet) {
        Some(EdnsOption::Subnet(subnet)) => Some(subnet.scope_prefix()),
        _ => None,
    });
    Answer {
        code: message.metadata.response_code,
        addresses,
        ttl: message.answers.first().map_or(0, |record| record.ttl),
        scope,
        authoritative: message.metadata.authoritative,
    }
}
