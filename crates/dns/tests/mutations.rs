//! Packets that nobody meant: a corpus of honest queries, mutated, over both transports. No panic, no reply that is not a
//! reply, no scope that holds less than it says.
//!
//! `WAGGLE_PACKETS` sets how many (200,000 unless set), `WAGGLE_SEED` where the sequence starts.

#[path = "support/packets.rs"]
mod packets;
mod support;

use hickory_proto::op::Message;
use packets::{Random, corpus, mutate, number};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use support::{Server, plan, query};
use waggle_dns::{Transport, UDP_MAX};

const PLAN: &str = "
zones:
  z.example:
    nameservers: [ns.z.example]
    contact: c.z.example
    records:
      - {name: ns.z.example, type: A, values: [192.0.2.53]}
      - {name: alias.z.example, type: CNAME, values: [www.z.example.]}
      - {name: '*.wild.z.example', type: TXT, values: ['\"any\"']}
      - {name: sub.z.example, type: NS, values: [ns.sub.z.example.]}
      - {name: ns.sub.z.example, type: A, values: [192.0.2.54]}
      - {name: big.z.example, type: TXT, values: [
          '\"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"',
          '\"1123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"',
          '\"2123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"',
          '\"3123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"',
          '\"4123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"']}
clusters: {a: {}, b: {weight: 3}, c: {region: eu}}
client_map:
  0.0.0.0/1: [a]
  44.0.0.0/8: [b]
  44.3.0.0/16: [c]
  44.3.7.0/24: [a]
  2000::/3: [c]
  2001:db8::/32: [b]
routes:
  www.z.example: {https: {alpn: [h2, h3]}, pool: [
    {cluster: a, addresses: [192.0.2.1, '2001:db8::1']}, {cluster: b, addresses: [192.0.2.2, '2001:db8::2']},
    {cluster: c, addresses: [192.0.2.3, '2001:db8::3']}]}
  share.z.example: {policy: {weighted: {}}, pool: [{cluster: a, addresses: [192.0.2.1]}, {cluster: b, addresses: [192.0.2.2]}]}
";

#[test]
fn mutated_packets_get_a_reply_or_silence() {
    let (packets, seed) = (number("WAGGLE_PACKETS", 200_000), number("WAGGLE_SEED", 1));
    let server = Server::new(&plan(PLAN));
    let corpus = corpus("z.example");
    let mut random = Random::new(seed);
    let (mut replies, mut routed) = (0, 0);
    let mut packet = Vec::new();
    for count in 0..packets {
        packet.clone_from(&corpus[random.below(corpus.len())]);
        for _ in 0..random.below(4) {
            mutate(&mut packet, &corpus, &mut random);
        }
        let transport = if random.below(2) == 0 { Transport::Udp } else { Transport::Tcp };
        let source = source(&mut random);
        let Some(reply) = server.ask(&packet, source, transport) else { continue };
        replies += 1;
        check(&packet, &reply, transport);
        if count % 64 == 0 {
            Message::from_vec(&reply).unwrap_or_else(|error| panic!("{error}: {packet:02x?} -> {reply:02x?}"));
        }
        routed += u64::from(scope_holds(&server, &packet, &reply, source, transport, &mut random));
    }
    assert!(replies > packets / 2, "{replies} replies to {packets} packets");
    assert!(routed > packets / 100, "only {routed} replies with a scope: the corpus tests nothing");
}

fn source(random: &mut Random) -> SocketAddr {
    let port = 1 + random.below(65_535) as u16;
    match random.below(4) {
        0 => (Ipv6Addr::from(u128::from(random.draw()) << 80 | 1), port).into(),
        1 => (Ipv4Addr::new(44, 3, random.draw() as u8, 9), port).into(),
        _ => (Ipv4Addr::from(random.draw() as u32), port).into(),
    }
}

/// A reply that is one: the ID, QR set, the sections as long as the header says, and nothing behind them.
fn check(packet: &[u8], reply: &[u8], transport: Transport) {
    let fail = |why: &str| -> ! { panic!("{why}: {packet:02x?} -> {reply:02x?}") };
    if reply.len() < 12 || reply[..2] != packet[..2] || reply[2] & 0x80 == 0 {
        fail("no reply");
    }
    if transport == Transport::Udp && reply.len() > UDP_MAX {
        fail("too long");
    }
    let count = |at: usize| usize::from(u16::from_be_bytes([reply[at], reply[at + 1]]));
    let mut at = 12;
    for _ in 0..count(4) {
        at = name_end(reply, at).unwrap_or_else(|| fail("bad name")) + 4;
    }
    for _ in 0..count(6) + count(8) + count(10) {
        at = name_end(reply, at).unwrap_or_else(|| fail("bad owner")) + 10;
        let Some(length) = reply.get(at - 2..at) else { fail("record cut") };
        at += usize::from(u16::from_be_bytes([length[0], length[1]]));
    }
    if at != reply.len() {
        fail("octets left or missing");
    }
}

/// Where the name at `at` ends; pointers go back only.
fn name_end(reply: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *reply.get(at)? {
            0 => return Some(at + 1),
            high @ 0xc0.. => {
                let to = usize::from(high & 0x3f) << 8 | usize::from(*reply.get(at + 1)?);
                return (to < at).then_some(at + 2);
            }
            length @ ..64 => at += 1 + usize::from(length),
            _ => return None,
        }
    }
}

/// Two other clients within the answered scope get the same answer. False if the reply has no scope.
fn scope_holds(
    server: &Server,
    packet: &[u8],
    reply: &[u8],
    source: SocketAddr,
    transport: Transport,
    random: &mut Random,
) -> bool {
    let Some((at, address, prefix, scope)) = subnet(reply) else { return false };
    if reply[3] & 0xf != 0 || reply[2] & 2 != 0 || prefix == 0 {
        return false;
    }
    // Where the same option stands in the query: its octets are the last that the reply echoes.
    let Some(asked) = packet.windows(reply.len() - at).position(|window| window == with_scope(&reply[at..], 0)) else {
        return false;
    };
    let width = if address.is_ipv4() { 32 } else { 128 };
    for _ in 0..2 {
        let noise = u128::from(random.draw()) << 80 | u128::from(random.draw()) << 32;
        let keep = scope.min(prefix);
        let bits = match address {
            IpAddr::V4(v4) => u128::from(u32::from(v4)) << 96,
            IpAddr::V6(v6) => u128::from(v6),
        };
        let kept = if keep == 0 { 0 } else { u128::MAX << (128 - u32::from(keep)) };
        let inside = u128::MAX << (128 - u32::from(prefix.min(width)));
        let other = (bits & kept | noise & !kept) & inside;
        let mut packet = packet.to_vec();
        let octets = usize::from(prefix.div_ceil(8));
        packet[asked + 8..asked + 8 + octets].copy_from_slice(&other.to_be_bytes()[..octets]);
        let again = server.ask(&packet, source, transport).expect("the neighbour is answered too");
        // Whoever says nothing about a place is answered by its source address, under its own scope.
        assert_eq!(reply[..at - 11], again[..at - 11], "scope {scope} is wrong: {packet:02x?}");
    }
    true
}

fn with_scope(option: &[u8], scope: u8) -> Vec<u8> {
    let mut option = option.to_vec();
    option[7] = scope;
    option
}

/// Client subnet at the end of a reply: offset of the option, address, source prefix, scope.
fn subnet(reply: &[u8]) -> Option<(usize, IpAddr, u8, u8)> {
    for octets in 1..=16usize {
        let at = reply.len().checked_sub(8 + octets)?;
        let option = &reply[at..];
        let opt = reply.get(at.checked_sub(11)?..at)?;
        let length = [0, 8, 0, 4 + octets as u8];
        if opt[..3] != [0, 0, 41] || option[..4] != length || usize::from(option[6].div_ceil(8)) != octets {
            continue;
        }
        let mut whole = [0; 16];
        whole[..octets].copy_from_slice(&option[8..]);
        let bits = u128::from_be_bytes(whole);
        let address = match option[5] {
            1 => IpAddr::V4(Ipv4Addr::from((bits >> 96) as u32)),
            _ => IpAddr::V6(Ipv6Addr::from(bits)),
        };
        return Some((at, address, option[6], option[7]));
    }
    None
}
