//! The query log as dnstap: protobuf messages in a frame stream, as `dnstap-read` and others take them.
//!
//! Frame streams are 32-bit lengths in network order before each message; a length of zero escapes to a control frame. One
//! message holds both the query and its reply.

use super::entry::Entry;
use std::net::IpAddr;
use waggle_dns::Transport;
use waggle_wire::proto::dnstap::{Dnstap, Message};

const CONTENT: &[u8] = b"protobuf:dnstap.Dnstap";
const ESCAPE: u32 = 0;
const START: u32 = 2;
const STOP: u32 = 3;
const CONTENT_TYPE: u32 = 1;

/// `AUTH_RESPONSE`.
const REPLY: u32 = 2;
const MESSAGE: u32 = 1;

/// Begins a file.
pub(super) fn start() -> Vec<u8> {
    let words = [ESCAPE, 12 + CONTENT.len() as u32, START, CONTENT_TYPE, CONTENT.len() as u32];
    let mut frame: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    frame.extend_from_slice(CONTENT);
    frame
}

/// Ends one.
pub(super) fn stop() -> Vec<u8> {
    [ESCAPE, 4, STOP].iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// `identity`: name of the nameserver.
pub(super) fn frame(identity: &str, entry: &Entry) -> Vec<u8> {
    let raw = &entry.raw;
    let (seconds, nanoseconds) = (raw.at.0 / 1000, (raw.at.0 % 1000) as u32 * 1_000_000);
    let (family, address) = match entry.source.addr() {
        IpAddr::V4(v4) => (1, v4.octets().to_vec()),
        IpAddr::V6(v6) => (2, v6.octets().to_vec()),
    };
    let message = Message {
        r#type: REPLY,
        socket_family: family,
        socket_protocol: if raw.transport == Transport::Udp { 1 } else { 2 },
        query_address: address,
        query_port: u32::from(raw.source.port()),
        query_time_sec: seconds,
        query_time_nsec: nanoseconds,
        query_message: raw.query.clone(),
        response_time_sec: seconds,
        response_time_nsec: nanoseconds.saturating_add(raw.took).min(999_999_999),
        response_message: raw.reply.clone(),
    };
    let version = concat!("waggle ", env!("CARGO_PKG_VERSION"));
    let extra = serde_json::json!({ "route": entry.route, "clusters": entry.clusters, "weight": entry.weight });
    let whole = Dnstap {
        identity: identity.as_bytes().to_vec(),
        version: version.as_bytes().to_vec(),
        extra: extra.to_string().into_bytes(),
        message: Some(message),
        r#type: MESSAGE,
    };
    let bytes = whole.encode();
    [&(bytes.len() as u32).to_be_bytes()[..], &bytes].concat()
}
