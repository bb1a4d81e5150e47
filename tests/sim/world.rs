//! The whole federation under a pushed clock: the real decision code of every process, links that can be cut one way,
//! and processes that can be killed. One tick is a tenth of a second; within a tick everything happens in a fixed order.

use crate::cluster::Cluster;
use crate::control::Control;
use crate::invariants;
use crate::link::{Links, Place};
use crate::nameserver::Nameserver;
use crate::users::{User, address_of};
use anyhow::{Context, Result};
use std::net::Ipv4Addr;
use std::time::Duration;
use waggle_model::Timestamp;
use waggle_model::health::ProbeResult;
use waggle_tests::random::Random;

pub const TICK_MS: u64 = 100;
pub const CLUSTERS: [&str; 3] = ["ap-1", "eu-1", "us-1"];
pub const ROUTE: &str = "www.shop.example";

/// Ticks between two runs of each part.
const CONTROL_EVERY: u64 = 2;
const AGENT_EVERY: u64 = 3;
const BEAT_EVERY: u64 = 2;
const PROBE_EVERY: u64 = 3;
const VIEW_EVERY: u64 = 5;

pub struct World {
    pub now: Timestamp,
    pub random: Random,
    pub links: Links,
    pub control: Control,
    pub clusters: Vec<Cluster>,
    pub nameservers: Vec<Nameserver>,
    pub users: Vec<User>,
    pub watch: invariants::Watch,
    /// Frozen or cut clusters, dead tasks: from then on users may see failures.
    pub hurt: bool,
    ticks: u64,
}

impl World {
    pub async fn new(seed: u64) -> Result<World> {
        // Not zero: a timestamp of zero means "never" to people.
        let now = Timestamp(1_700_000_000_000);
        let clusters = CLUSTERS.iter().enumerate().map(|(at, name)| Cluster::new(name, seed ^ at as u64, now));
        let users = (0..3).map(|network| User::new(Ipv4Addr::new(198, 51, 100 + network, 0)));
        let mut world = World {
            now,
            random: Random::new(seed),
            links: Links::default(),
            control: Control::new(now)?,
            clusters: clusters.collect::<Result<_>>()?,
            nameservers: vec![Nameserver::new("ns1", now)?, Nameserver::new("ns2", now)?],
            users: users.collect(),
            watch: invariants::Watch::default(),
            hurt: false,
            ticks: 0,
        };
        world.control.configure(&CLUSTERS.map(|name| (name, address_of(at(name)))), now).await?;
        Ok(world)
    }

    pub async fn run(&mut self, ticks: u64) -> Result<()> {
        for _ in 0..ticks {
            self.tick().await.with_context(|| format!("at {} ms", self.now.0 % 100_000_000))?;
        }
        Ok(())
    }

    /// Time in which nothing happens to anybody.
    pub fn leap(&mut self, by: Duration) {
        self.now = self.now.after(by);
        for cluster in &mut self.clusters {
            cluster.engine.advance(self.now);
        }
    }

    async fn tick(&mut self) -> Result<()> {
        self.now = Timestamp(self.now.0 + TICK_MS);
        self.ticks += 1;
        for cluster in &mut self.clusters {
            cluster.engine.advance(self.now);
        }
        if self.ticks.is_multiple_of(AGENT_EVERY) {
            for cluster in &mut self.clusters {
                cluster.work(self.now).await;
            }
        }
        if self.ticks.is_multiple_of(PROBE_EVERY) {
            self.probe().await;
        }
        self.beat();
        self.exchange_views();
        for nameserver in self.nameservers.iter_mut().filter(|nameserver| nameserver.up) {
            nameserver.judge(self.now);
        }
        if self.ticks.is_multiple_of(CONTROL_EVERY) {
            self.control_sessions().await?;
        }
        // Before the first release is out there is nothing to visit.
        for user in self.users.iter_mut().filter(|_| self.control.settled_once) {
            user.visit(ROUTE, &self.nameservers, &self.clusters, &self.links, self.now).await?;
        }
        invariants::check(self).await
    }

    /// Sessions of control: what others say comes in, control acts, and whole documents go out.
    async fn control_sessions(&mut self) -> Result<()> {
        if !self.control.up {
            return Ok(());
        }
        for (number, cluster) in self.clusters.iter().enumerate() {
            let connected = cluster.agent_up && self.links.connects(Place::Control, Place::Cluster(number));
            let report = cluster.observed.clone().filter(|_| connected);
            self.control.hear_agent(&cluster.name, connected, report, self.now);
        }
        for (number, nameserver) in self.nameservers.iter().enumerate() {
            let connected = nameserver.up && self.links.connects(Place::Control, Place::Nameserver(number));
            let status = nameserver.status(self.now).filter(|_| connected);
            self.control.hear_nameserver(&nameserver.name, connected, status, self.now);
        }
        self.control.activate(self.now).await?;
        for (number, cluster) in self.clusters.iter_mut().enumerate() {
            if cluster.agent_up
                && self.links.connects(Place::Control, Place::Cluster(number))
                && let Some(document) = self.control.desired(&cluster.name).await?
            {
                cluster.offer(&document)?;
            }
        }
        for (number, nameserver) in self.nameservers.iter_mut().enumerate() {
            if nameserver.up
                && self.links.connects(Place::Control, Place::Nameserver(number))
                && let Some(document) = self.control.plan().await?
            {
                nameserver.offer(&document)?;
            }
        }
        Ok(())
    }

    async fn probe(&mut self) {
        for (number, cluster) in self.clusters.iter().enumerate() {
            let serves = cluster.serves().await;
            for (at, nameserver) in self.nameservers.iter_mut().enumerate().filter(|(_, nameserver)| nameserver.up) {
                let reached = self.links.connects(Place::Nameserver(at), Place::Cluster(number));
                let outcome = match (reached, serves) {
                    (true, true) => Ok(()),
                    (true, false) => Err("connection refused".to_owned()),
                    (false, _) => Err("no answer in time".to_owned()),
                };
                nameserver.probed(&cluster.name, &ProbeResult { at: self.now, took: Duration::ZERO, outcome });
            }
        }
    }

    fn beat(&mut self) {
        if !self.ticks.is_multiple_of(BEAT_EVERY) {
            return;
        }
        for (number, cluster) in self.clusters.iter_mut().enumerate() {
            let Some(beat) = cluster.beat() else { continue };
            for (at, nameserver) in self.nameservers.iter_mut().enumerate().filter(|(_, nameserver)| nameserver.up) {
                if self.links.carries(Place::Cluster(number), Place::Nameserver(at)) {
                    // Refused until the plan names the cluster.
                    let _ = nameserver.judge.beat(self.now, beat.clone());
                }
            }
        }
    }

    fn exchange_views(&mut self) {
        if !self.ticks.is_multiple_of(VIEW_EVERY) {
            return;
        }
        for from in 0..self.nameservers.len() {
            if !self.nameservers[from].up {
                continue;
            }
            let view = self.nameservers[from].judge.own_view(self.now);
            for to in 0..self.nameservers.len() {
                let carried = self.links.carries(Place::Nameserver(from), Place::Nameserver(to));
                if to != from && carried && self.nameservers[to].up {
                    // Refused until the plan names the peer.
                    let _ = self.nameservers[to].judge.view(self.now, view.clone());
                }
            }
        }
    }
}

fn at(name: &str) -> usize {
    CLUSTERS.iter().position(|cluster| *cluster == name).unwrap_or_default()
}
