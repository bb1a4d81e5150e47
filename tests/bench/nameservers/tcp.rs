//! Static names over TCP, by dnsperf: 32 connections that stay open.

use super::peer::{Peer, Setup};
use super::queries::{self, Kind};
use super::scene::{self, STATIC_NAMES, ZONE};
use super::server::need;
use super::{LOAD_PROCESSOR, PORT, start};
use anyhow::{Context, Result, ensure};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const CONNECTIONS: &str = "32";
const PEERS: [Peer; 4] = [Peer::Waggle, Peer::Gdnsd, Peer::Knot, Peer::Nsd];

pub fn run(time: Duration, rounds: usize) -> Result<()> {
    println!("\ntcp: 1,000 names, {CONNECTIONS} connections, by dnsperf");
    println!("  {:<15}{:>10}{:>10}{:>9}", "", "flat, q/s", "CPU us", "waggle/");
    need("dnsperf")?;
    let directory = tempfile::tempdir()?;
    let rules = scene::few_rules();
    let query = queries::make(Kind::Static, 1);
    let first = queries::split(&query)?[0];
    let mut names = String::new();
    for number in 0..STATIC_NAMES {
        writeln!(names, "w{number}.{ZONE} A")?;
    }
    let file = directory.path().join("names");
    std::fs::write(&file, names)?;
    let mut servers = Vec::new();
    for (peer, port) in PEERS.into_iter().zip(PORT..) {
        let command = peer.prepare(&Setup { directory: directory.path(), port, rules: &rules })?;
        servers.push((peer, port, start(directory.path(), peer, command, port, Kind::Static, first)?, Vec::new()));
    }
    for _ in 0..rounds {
        for (_, port, server, figures) in &mut servers {
            let before = server.cpu()?;
            let replies = load(*port, &file, time)?;
            let used = server.cpu()?.since(before);
            figures.push(((used.user + used.system).as_secs_f64() * 1e6 / replies, replies / time.as_secs_f64()));
        }
    }
    let mut ours = f64::NAN;
    for (peer, _, server, mut figures) in servers {
        figures.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (each, rate) = figures[figures.len() / 2];
        ours = if peer == Peer::Waggle { each } else { ours };
        println!("  {:<15}{rate:>10.0}{each:>10.2}{:>9.2}", peer.name(), ours / each);
        server.stop()?;
    }
    Ok(())
}

/// Replies that dnsperf got.
fn load(port: u16, file: &Path, time: Duration) -> Result<f64> {
    let mut command = Command::new("taskset");
    command.args(["-c", &LOAD_PROCESSOR.to_string(), "dnsperf", "-s", "127.0.0.1", "-m", "tcp", "-c", CONNECTIONS]);
    command.args(["-T", "1", "-p", &port.to_string(), "-l", &time.as_secs().to_string(), "-d"]).arg(file);
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.trim().strip_prefix("Queries completed:"));
    let replies = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    ensure!(output.status.success(), "dnsperf: {}", String::from_utf8_lossy(&output.stderr));
    replies.with_context(|| format!("dnsperf said nothing of replies: {text}"))
}
