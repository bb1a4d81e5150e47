//! Processor time per query of the nameserver, beside gdnsd, Knot, NSD, PowerDNS and stock hickory-server.
//!
//! Each server has one processor for itself and the load another. Within a row all servers run at once, idle, and are
//! loaded one after another, round by round, so that what the machine does meanwhile falls on all of them. What counts is
//! the processor time the server's process used, divided by its replies: unlike queries per second it does not depend on
//! how fast the load is.

mod crowd;
mod feeder;
pub mod load;
pub mod peer;
pub mod queries;
mod report;
mod scene;
mod server;
mod swap;
mod tcp;

use anyhow::{Context, Result, bail, ensure};
use load::Seen;
use peer::{Peer, Setup};
use queries::Kind;
use report::{Figures, Table};
use scene::Rule;
use server::{Cpu, Server};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

const SERVER_PROCESSOR: usize = 0;
const LOAD_PROCESSOR: usize = 1;
/// Distinct queries of a row.
const QUERIES: usize = 100_000;
/// Queries a second of the second half of each round.
pub const STEADY: u64 = 60_000;
/// First of the ports that the servers of a row get.
const PORT: u16 = 5380;

struct Row {
    name: &'static str,
    what: &'static str,
    kind: Kind,
    rules: fn() -> Vec<Rule>,
    peers: &'static [Peer],
}

const ROUTING: &[Peer] = &[Peer::Waggle, Peer::Gdnsd, Peer::Knot, Peer::PowerDns];
const ROWS: &[Row] = &[
    Row {
        name: "static",
        what: "1,000 names, random case, half with DO",
        kind: Kind::Static,
        rules: scene::few_rules,
        peers: &[Peer::Waggle, Peer::Gdnsd, Peer::Knot, Peer::Nsd, Peer::PowerDns, Peer::Hickory],
    },
    Row {
        name: "source",
        what: "routed by source, 68 rules",
        kind: Kind::Routed,
        rules: scene::few_rules,
        peers: ROUTING,
    },
    Row {
        name: "subnet",
        what: "routed by random client /24, 68 rules",
        kind: Kind::Subnets,
        rules: scene::few_rules,
        peers: ROUTING,
    },
    Row {
        name: "map",
        what: "routed by random client /24, 10,000 rules",
        kind: Kind::Subnets,
        rules: || scene::many_rules(10_000),
        peers: &[Peer::Waggle, Peer::Gdnsd, Peer::Knot],
    },
    Row {
        name: "missing",
        what: "random names that do not exist",
        kind: Kind::Missing,
        rules: scene::few_rules,
        peers: &[Peer::Waggle, Peer::Gdnsd, Peer::Knot, Peer::Nsd, Peer::PowerDns, Peer::Hickory],
    },
];

/// Measures the rows named, or all; `seconds` of each load, `rounds` times.
pub fn run(seconds: u64, rounds: usize, named: &[&str]) -> Result<()> {
    let known: Vec<&str> = ROWS.iter().map(|row| row.name).chain(["tcp", "swap", "crowd"]).collect();
    if let Some(unknown) = named.iter().find(|name| !known.contains(name)) {
        bail!("no row {unknown}; there are {}", known.join(", "));
    }
    ensure!(std::thread::available_parallelism()?.get() > LOAD_PROCESSOR, "two processors are needed");
    let time = Duration::from_secs(seconds);
    println!(
        "server on processor {SERVER_PROCESSOR}, load on {LOAD_PROCESSOR}; {rounds} rounds of {seconds} s flat out and {seconds} s"
    );
    println!("at {STEADY}/s; medians; processor time in microseconds per reply");
    for row in ROWS.iter().filter(|row| named.is_empty() || named.contains(&row.name)) {
        measure(row, time, rounds).with_context(|| format!("row {}", row.name))?;
    }
    if named.is_empty() || named.contains(&"tcp") {
        tcp::run(time, rounds).context("row tcp")?;
    }
    if named.is_empty() || named.contains(&"swap") {
        swap::run(time, rounds).context("row swap")?;
    }
    if named.is_empty() || named.contains(&"crowd") {
        crowd::run(time, rounds).context("row crowd")?;
    }
    Ok(())
}

fn measure(row: &Row, time: Duration, rounds: usize) -> Result<()> {
    println!("\n{}: {}", row.name, row.what);
    let directory = tempfile::tempdir()?;
    let rules = (row.rules)();
    let file = queries::make(row.kind, QUERIES);
    let all = queries::split(&file)?;
    let mut servers = Vec::new();
    for (peer, port) in row.peers.iter().zip(PORT..) {
        let command = peer.prepare(&Setup { directory: directory.path(), port, rules: &rules })?;
        servers.push((*peer, start(directory.path(), *peer, command, port, row.kind, all[0])?));
    }
    let mut table = Table::default();
    for _ in 0..rounds {
        for (peer, server) in &servers {
            let (flat, flat_cpu) = loaded(server, &all, None, time)?;
            let (steady, steady_cpu) = loaded(server, &all, Some(STEADY), time)?;
            ensure!(flat.errors + steady.errors == 0, "{} answered with errors", peer.name());
            table.add(*peer, Figures::new(flat, flat_cpu, steady, steady_cpu)?);
        }
    }
    table.print();
    for (_, server) in servers {
        server.stop()?;
    }
    Ok(())
}

fn start(
    directory: &Path,
    peer: Peer,
    command: std::process::Command,
    port: u16,
    kind: Kind,
    query: &[u8],
) -> Result<Server> {
    let mut server = Server::start(directory, peer.name(), SERVER_PROCESSOR, command, port)?;
    // Code, and number of answers: a server that refuses, or answers nothing, would be quick.
    let wanted = if kind == Kind::Missing { (3, 0) } else { (0, 1) };
    server.wait(query, |reply| match reply {
        [_, _, _, flags, _, _, 0, answers, ..] => (flags & 0xf, *answers) == wanted,
        _ => false,
    })?;
    Ok(server)
}

fn loaded(server: &Server, queries: &[&[u8]], rate: Option<u64>, time: Duration) -> Result<(Seen, Cpu)> {
    let before = server.cpu()?;
    let seen = from_other_processor(server.address, queries, rate, time)?;
    Ok((seen, server.cpu()?.since(before)))
}

/// In a thread of its own, which is the only one that is pinned.
pub fn from_other_processor(server: SocketAddr, queries: &[&[u8]], rate: Option<u64>, time: Duration) -> Result<Seen> {
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            load::pin(LOAD_PROCESSOR)?;
            load::run(server, queries, rate, time)
        });
        load.join().map_err(|_| anyhow::anyhow!("the load panicked"))?
    })
}
