//! The table of a row: medians over the rounds, and each server's ratio to Waggle's.

use super::load::Seen;
use super::peer::Peer;
use super::server::Cpu;
use anyhow::{Result, ensure};
use std::time::Duration;

/// One server in one round. Processor time in microseconds per reply.
pub struct Figures {
    rate: f64,
    user: f64,
    total: f64,
    steady_total: f64,
    p50: f64,
    p99: f64,
    lost: u64,
    sent: u64,
}

impl Figures {
    pub fn new(flat: Seen, flat_cpu: Cpu, mut steady: Seen, steady_cpu: Cpu) -> Result<Figures> {
        ensure!(flat.replies > 0 && steady.replies > 0, "no replies");
        let each = |time: Duration, replies: u64| time.as_secs_f64() * 1e6 / replies as f64;
        Ok(Figures {
            rate: flat.replies as f64 / flat.elapsed.as_secs_f64(),
            user: each(flat_cpu.user, flat.replies),
            total: each(flat_cpu.user + flat_cpu.system, flat.replies),
            steady_total: each(steady_cpu.user + steady_cpu.system, steady.replies),
            p50: steady.percentile(0.5).into(),
            p99: steady.percentile(0.99).into(),
            lost: steady.lost,
            sent: steady.sent,
        })
    }
}

#[derive(Default)]
pub struct Table(Vec<(Peer, Figures)>);

impl Table {
    pub fn add(&mut self, peer: Peer, figures: Figures) {
        self.0.push((peer, figures));
    }

    fn median(&self, peer: Peer, of: impl Fn(&Figures) -> f64) -> f64 {
        let mut values: Vec<f64> =
            self.0.iter().filter(|(whose, _)| *whose == peer).map(|(_, figures)| of(figures)).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    }

    pub fn print(&self) {
        let mut peers: Vec<Peer> = Vec::new();
        for (peer, _) in &self.0 {
            if !peers.contains(peer) {
                peers.push(*peer);
            }
        }
        println!(
            "  {:<15}{:>10}{:>8}{:>8}{:>8}{:>9} |{:>8}{:>9}{:>8}{:>8}{:>9}",
            "", "flat, q/s", "user", "system", "both", "waggle/", "60k/s", "waggle/", "p50 us", "p99 us", "lost"
        );
        let ours = (self.median(Peer::Waggle, |f| f.total), self.median(Peer::Waggle, |f| f.steady_total));
        for peer in peers {
            let of = |value: fn(&Figures) -> f64| self.median(peer, value);
            let (user, total, steady) = (of(|f| f.user), of(|f| f.total), of(|f| f.steady_total));
            let mine = self.0.iter().filter(|(whose, _)| *whose == peer);
            let (lost, sent) = mine.fold((0, 0), |(lost, sent), (_, f)| (lost + f.lost, sent + f.sent));
            println!(
                "  {:<15}{:>10.0}{user:>8.2}{:>8.2}{total:>8.2}{:>9.2} |{steady:>8.2}{:>9.2}{:>8.0}{:>8.0}{:>8.3}%",
                peer.name(),
                of(|f| f.rate),
                total - user,
                ours.0 / total,
                ours.1 / steady,
                of(|f| f.p50),
                of(|f| f.p99),
                lost as f64 * 100.0 / sent as f64,
            );
        }
    }
}
