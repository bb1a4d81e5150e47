//! TCP clients that mean no good: 10,000 that say nothing and 1,000 that send an octet now and then, all over 127.0.0.0/8.
//! What that does to UDP beside it, and to an honest TCP client of another network.

use super::load::{self, Seen};
use super::peer::{Peer, Setup};
use super::queries::{self, Kind};
use super::server::Server;
use super::{LOAD_PROCESSOR, PORT, QUERIES, STEADY, scene, start};
use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;

const IDLE: u32 = 10_000;
const SLOW: u32 = 1_000;
/// Between two octets of a slow client.
const DRIP: Duration = Duration::from_millis(200);
/// Between two questions of the honest one, each over a connection of its own.
const HONEST: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(3);

pub fn run(time: Duration, rounds: usize) -> Result<()> {
    println!("\ncrowd: {IDLE} idle and {SLOW} slow TCP connections; UDP at {STEADY}/s beside them");
    println!(
        "  {:<15}{:>14}{:>14}{:>12}{:>16}{:>16}{:>9}",
        "", "UDP p99, calm", "UDP p99, crowd", "UDP lost", "honest p50 us", "honest worst", "failed"
    );
    let directory = tempfile::tempdir()?;
    let rules = scene::few_rules();
    let file = queries::make(Kind::Static, QUERIES);
    let all = queries::split(&file)?;
    for (peer, port) in [Peer::Waggle, Peer::Gdnsd, Peer::Knot].into_iter().zip(PORT..) {
        let command = peer.prepare(&Setup { directory: directory.path(), port, rules: &rules })?;
        let server = start(directory.path(), peer, command, port, Kind::Static, all[0])?;
        let (mut calm, mut crowded, mut honest) = (Seen::default(), Seen::default(), Honest::default());
        for _ in 0..rounds {
            add(&mut calm, load(&server, &all, time)?);
            let crowd = Crowd::gather(server.address)?;
            let over = AtomicBool::new(false);
            let seen = std::thread::scope(|scope| {
                let asking = scope.spawn(|| ask(server.address, all[0], &over));
                let seen = load(&server, &all, time);
                over.store(true, Ordering::Relaxed);
                honest.add(asking.join().map_err(|_| anyhow::anyhow!("asking panicked"))?);
                seen
            })?;
            add(&mut crowded, seen);
            drop(crowd);
        }
        honest.micros.sort_unstable();
        println!(
            "  {:<15}{:>14}{:>14}{:>12}{:>16}{:>16}{:>9}",
            peer.name(),
            calm.percentile(0.99),
            crowded.percentile(0.99),
            crowded.lost,
            honest.micros.get(honest.micros.len() / 2).copied().unwrap_or(0),
            honest.micros.last().copied().unwrap_or(0),
            honest.failed,
        );
        server.stop()?;
    }
    Ok(())
}

fn load(server: &Server, all: &[&[u8]], time: Duration) -> Result<Seen> {
    super::from_other_processor(server.address, all, Some(STEADY), time)
}

fn add(sum: &mut Seen, seen: Seen) {
    sum.lost += seen.lost;
    sum.latency.extend(seen.latency);
}

/// The connections, for as long as it lives; those that the server closes come again.
struct Crowd {
    _runtime: Runtime,
}

impl Crowd {
    fn gather(server: SocketAddr) -> Result<Crowd> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .on_thread_start(|| drop(load::pin(LOAD_PROCESSOR)))
            .enable_all()
            .build()?;
        let slow = (0..SLOW).map(|number| runtime.spawn(stay(server, number, true)));
        let idle = (SLOW..SLOW + IDLE).map(|number| runtime.spawn(stay(server, number, false)));
        let members: Vec<_> = slow.chain(idle).collect();
        let gathered = Instant::now();
        while gathered.elapsed() < PATIENCE {
            std::thread::sleep(DRIP);
        }
        drop(members);
        Ok(Crowd { _runtime: runtime })
    }
}

/// One member. Each network has some hundred of them.
async fn stay(server: SocketAddr, number: u32, drips: bool) {
    let source = Ipv4Addr::new(127, 100, (number % 64) as u8, (number / 64 % 250 + 1) as u8);
    loop {
        let connected = async {
            let socket = TcpSocket::new_v4()?;
            socket.bind((source, 0).into())?;
            socket.connect(server).await
        };
        if let Ok(stream) = connected.await {
            // A query of 60 octets is announced.
            let mut next: &[u8] = &[0, 60];
            loop {
                tokio::time::sleep(DRIP).await;
                let gone = match stream.try_read(&mut [0; 64]) {
                    Ok(0) => true,
                    Ok(_) => false,
                    Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
                };
                if gone || drips && stream.try_write(&next[..1]).is_err() {
                    break;
                }
                next = if next.len() > 1 { &next[1..] } else { &[1] };
            }
        }
        tokio::time::sleep(DRIP).await;
    }
}

#[derive(Default)]
struct Honest {
    micros: Vec<u64>,
    failed: usize,
}

impl Honest {
    fn add(&mut self, other: Honest) {
        self.micros.extend(other.micros);
        self.failed += other.failed;
    }
}

/// Connects, asks and reads, again and again until `over`.
fn ask(server: SocketAddr, query: &[u8], over: &AtomicBool) -> Honest {
    // A thread that cannot be moved only makes the figures worse.
    let _ = load::pin(LOAD_PROCESSOR);
    let mut honest = Honest::default();
    while !over.load(Ordering::Relaxed) {
        let began = Instant::now();
        match ask_once(server, query) {
            Ok(()) => honest.micros.push(began.elapsed().as_micros() as u64),
            Err(_) => honest.failed += 1,
        }
        std::thread::sleep(HONEST);
    }
    honest
}

fn ask_once(server: SocketAddr, query: &[u8]) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&[&(query.len() as u16).to_be_bytes(), query].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).context("no reply")?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    Ok(stream.read_exact(&mut reply)?)
}
