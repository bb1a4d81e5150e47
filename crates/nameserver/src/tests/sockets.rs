//! Mutated packets through real sockets: what comes back is what the engine says of them, octet for octet and in order,
//! and an honest query behind them is answered.
//!
//! `WAGGLE_PACKETS` sets how many (100,000 unless set), half of them over TCP; `WAGGLE_SEED` where the sequence starts.

#[path = "../../../dns/tests/support/packets.rs"]
mod packets;
#[path = "../../../dns/tests/support/query.rs"]
mod query;

use super::{DEADLINE, build, keep, run, two};
use crate::state::State;
use crate::tests::fixture::{ROUTE, config};
use packets::{Random, corpus, mutate, number};
use query::Query;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use waggle_dns::Transport;
use waggle_model::Timestamp;

/// Packets on their way at once: few enough for the buffers of any system.
const AT_ONCE: usize = 64;
/// Chunks until a TCP client comes by a new connection.
const CHUNKS_PER_CONNECTION: usize = 100;

struct Packets {
    corpus: Vec<Vec<u8>>,
    random: Random,
}

impl Packets {
    /// Some mutated ones, and an honest one behind them.
    fn chunk(&mut self) -> Vec<Vec<u8>> {
        let mut chunk: Vec<Vec<u8>> = (1..AT_ONCE).map(|_| self.one()).collect();
        chunk.push(Query::new(ROUTE, 1).bytes());
        chunk
    }

    fn one(&mut self) -> Vec<u8> {
        let mut packet = self.corpus[self.random.below(self.corpus.len())].clone();
        for _ in 0..self.random.below(4) {
            mutate(&mut packet, &self.corpus, &mut self.random);
        }
        packet
    }
}

/// What the engine says to each that it answers.
fn expected(state: &State, chunk: &[Vec<u8>], client: SocketAddr, transport: Transport) -> Vec<Vec<u8>> {
    let serving = state.get().unwrap();
    let size = if transport == Transport::Udp { 1344 } else { 65_535 };
    let answer = |packet: &Vec<u8>| {
        let mut out = vec![0; size];
        let length = serving.answer(packet, client, transport, Timestamp(1), &mut out)?;
        out.truncate(length);
        Some(out)
    };
    chunk.iter().filter_map(answer).collect()
}

fn over_udp(server: SocketAddr, state: &State, packets: &mut Packets, count: u64) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let client = socket.local_addr().unwrap();
    let mut reply = [0; 4096];
    for _ in 0..count.div_ceil(AT_ONCE as u64) {
        let chunk = packets.chunk();
        for packet in &chunk {
            socket.send(packet).unwrap();
        }
        for wanted in expected(state, &chunk, client, Transport::Udp) {
            let length = socket.recv(&mut reply).unwrap_or_else(|error| panic!("{error}: no reply among {chunk:02x?}"));
            assert_eq!(reply[..length], wanted, "{chunk:02x?}");
        }
    }
    socket.set_nonblocking(true).unwrap();
    assert_eq!(socket.recv(&mut reply).unwrap_err().kind(), ErrorKind::WouldBlock, "more replies than expected");
}

fn over_tcp(server: SocketAddr, state: &State, packets: &mut Packets, count: u64) {
    let mut chunks = count.div_ceil(AT_ONCE as u64);
    while chunks > 0 {
        let mut stream = TcpStream::connect(server).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let client = stream.local_addr().unwrap();
        for _ in 0..chunks.min(CHUNKS_PER_CONNECTION as u64) {
            chunks -= 1;
            let chunk = packets.chunk();
            let framed: Vec<u8> = chunk.iter().flat_map(|packet| frame(packet)).collect();
            // In two pieces, cut anywhere.
            let (first, second) = framed.split_at(packets.random.below(framed.len()));
            stream.write_all(first).unwrap();
            stream.write_all(second).unwrap();
            let wanted: Vec<u8> =
                expected(state, &chunk, client, Transport::Tcp).iter().flat_map(|reply| frame(reply)).collect();
            let mut got = vec![0; wanted.len()];
            stream.read_exact(&mut got).unwrap_or_else(|error| panic!("{error}: {chunk:02x?}"));
            assert_eq!(got, wanted, "{chunk:02x?}");
        }
    }
}

fn frame(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

#[tokio::test]
async fn mutated_packets_over_real_sockets_get_what_the_engine_says() {
    let directory = tempfile::tempdir().unwrap();
    keep(directory.path(), &two(1));
    let nameserver = build(config("ns-1", directory.path())).unwrap();
    let (state, traffic) = (nameserver.shared.state.clone(), nameserver.shared.traffic.clone());
    let running = run(nameserver);
    let (count, seed) = (number("WAGGLE_PACKETS", 100_000) / 2, number("WAGGLE_SEED", 1));
    let senders = [Transport::Udp, Transport::Tcp].map(|transport| {
        let (server, state) = (running.dns, state.clone());
        let seed = if transport == Transport::Udp { seed } else { !seed };
        let mut packets = Packets { corpus: corpus("shop.example"), random: Random::new(seed) };
        let send = if transport == Transport::Udp { over_udp } else { over_tcp };
        tokio::task::spawn_blocking(move || send(server, &state, &mut packets, count))
    });
    for sender in senders {
        sender.await.unwrap();
    }
    assert_eq!(traffic.panics(), 0);
    assert!(running.status.metrics().unwrap().contains("waggle_dns_threads_restarted_total 0"));
    running.end().await;
}
