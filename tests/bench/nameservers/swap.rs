//! What a change costs those who ask meanwhile: the same load with and without ten new snapshots a second.
//!
//! Waggle gets whole plans over a session, gdnsd and Knot reload their zone by their own control programs. The reload
//! programs run on the load's processor.

use super::feeder::Feeder;
use super::load::Seen;
use super::peer::{Peer, Setup, waggle};
use super::queries::{self, Kind};
use super::scene::{self, Rule};
use super::server::Server;
use super::{PORT, QUERIES, STEADY, from_other_processor, start};
use anyhow::{Result, ensure};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const EVERY: Duration = Duration::from_millis(100);

pub fn run(time: Duration, rounds: usize) -> Result<()> {
    println!("\nswap: routed by random client /24, {} q/s, a new snapshot every {} ms", STEADY / 2, EVERY.as_millis());
    println!(
        "  {:<15}{:>12}{:>12}{:>12}{:>12}{:>14}{:>14}{:>9}{:>8}",
        "",
        "p99 us, calm",
        "p99, swaps",
        "worst, calm",
        "worst, swaps",
        "CPU us, calm",
        "CPU us, swaps",
        "lost",
        "swaps"
    );
    let directory = tempfile::tempdir()?;
    let rules = scene::few_rules();
    let file = queries::make(Kind::Subnets, QUERIES);
    let all = queries::split(&file)?;
    for (peer, port) in [Peer::Waggle, Peer::Gdnsd, Peer::Knot].into_iter().zip(PORT..) {
        let setup = Setup { directory: directory.path(), port, rules: &rules };
        let feeder = (peer == Peer::Waggle).then(Feeder::start).transpose()?;
        let command = match &feeder {
            Some(feeder) => waggle::prepare_fed(&setup, feeder)?,
            None => peer.prepare(&setup)?,
        };
        let server = start(directory.path(), peer, command, port, Kind::Subnets, all[0])?;
        let mut swapper = Swapper { peer, feeder, rules: &rules, directory: directory.path(), generation: 1 };
        let (mut calm, mut busy) = (Sum::default(), Sum::default());
        for _ in 0..rounds {
            calm.add(&server, &all, time, None)?;
            busy.add(&server, &all, time, Some(&mut swapper))?;
        }
        println!(
            "  {:<15}{:>12}{:>12}{:>12}{:>12}{:>14.2}{:>14.2}{:>9}{:>8}",
            peer.name(),
            calm.seen.percentile(0.99),
            busy.seen.percentile(0.99),
            calm.seen.percentile(1.0),
            busy.seen.percentile(1.0),
            calm.cpu.as_secs_f64() * 1e6 / calm.seen.replies as f64,
            busy.cpu.as_secs_f64() * 1e6 / busy.seen.replies as f64,
            busy.seen.lost,
            busy.swaps,
        );
        if let Some(feeder) = &swapper.feeder {
            let behind = swapper.generation - feeder.in_force().0;
            ensure!(behind <= 10, "the nameserver is {behind} generations behind");
        }
        server.stop()?;
    }
    Ok(())
}

#[derive(Default)]
struct Sum {
    seen: Seen,
    cpu: Duration,
    swaps: u64,
}

impl Sum {
    fn add(&mut self, server: &Server, all: &[&[u8]], time: Duration, swapper: Option<&mut Swapper<'_>>) -> Result<()> {
        let before = server.cpu()?;
        let over = AtomicBool::new(false);
        let seen = std::thread::scope(|scope| {
            let swaps = swapper.map(|swapper| scope.spawn(|| swapper.run(&over)));
            let seen = from_other_processor(server.address, all, Some(STEADY / 2), time);
            over.store(true, Ordering::Relaxed);
            if let Some(swaps) = swaps {
                self.swaps += swaps.join().map_err(|_| anyhow::anyhow!("swapping panicked"))??;
            }
            seen
        })?;
        let used = server.cpu()?.since(before);
        self.cpu += used.user + used.system;
        self.seen.sent += seen.sent;
        self.seen.replies += seen.replies;
        self.seen.lost += seen.lost;
        self.seen.latency.extend(seen.latency);
        Ok(())
    }
}

struct Swapper<'a> {
    peer: Peer,
    feeder: Option<Feeder>,
    rules: &'a [Rule],
    directory: &'a Path,
    generation: u64,
}

impl Swapper<'_> {
    /// Until `over`; returns how often.
    fn run(&mut self, over: &AtomicBool) -> Result<u64> {
        let mut swaps = 0;
        while !over.load(Ordering::Relaxed) {
            self.generation += 1;
            match &self.feeder {
                Some(feeder) => feeder.send(&waggle::plan(self.generation, self.rules)?)?,
                None => self.reload()?,
            }
            swaps += 1;
            std::thread::sleep(EVERY);
        }
        Ok(swaps)
    }

    fn reload(&self) -> Result<()> {
        let home = self.directory.join(self.peer.name());
        let mut command = match self.peer {
            Peer::Gdnsd => Command::new("gdnsdctl"),
            _ => Command::new("knotc"),
        };
        match self.peer {
            Peer::Gdnsd => command.arg("-c").arg(home).arg("reload-zones"),
            _ => command.arg("-c").arg(home.join("conf")).arg("zone-reload").arg(scene::ZONE),
        };
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        ensure!(status.success(), "{} cannot be told to reload", self.peer.name());
        Ok(())
    }
}
