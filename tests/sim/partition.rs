//! The partition table: what each of two nameservers answers before, during and after links are cut.
//!
//! Eighteen one-way links carry health: from each of three clusters a beat to each nameserver, from each nameserver a
//! probe to each cluster, and a view each way between the nameservers; one more to each nameserver from control carries
//! plans. Clusters, users and clocks are well throughout: whatever changes, changes because of the cut alone.
//!
//! `partitions/one_cluster.txt` and `partitions/two_clusters.txt` hold every set of cut links of cluster `a`, and of `a`
//! and `b`, each with every state of the two views. Of the 16,384 sets over all three clusters every eleventh is run too
//! (`WAGGLE_STRIDE=1`: all of them, in minutes), and held to rules instead of being written down. `WAGGLE_BLESS=1` writes
//! the files.

use crate::nameserver::Nameserver;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;
use waggle_model::fleet::Zone;
use waggle_model::health::{Beat, BeatStack, ProbeResult};
use waggle_model::plan::{Endpoint, PlanCluster, PlanRoute, RoutePlan};
use waggle_model::release::{AllDown, Check, CheckKind, Policy};
use waggle_model::{ClusterName, Generation, Timestamp};
use waggle_wire::document;

pub const ROUTE: &str = "www.shop.example";
const CLUSTERS: [&str; 3] = ["a", "b", "c"];
pub const NAMESERVERS: [&str; 2] = ["ns1", "ns2"];
pub const START: Timestamp = Timestamp(1_000_000_000);
/// Milliseconds. Beats and judgements come at each, probes at every second one, views at every fourth.
const TICK: u64 = 250;
/// Ticks before the cut, with the cut, and after it: long enough for each to come to rest.
const CALM: u64 = 16;
const CUT: u64 = 40;
const HEALED: u64 = 80;
/// One set in so many; prime to the powers of two that sets are made of.
const STRIDE: usize = 11;
/// Clients all over the routed space.
const CLIENTS: [Ipv4Addr; 3] = [Ipv4Addr::new(44, 0, 1, 0), Ipv4Addr::new(45, 0, 1, 0), Ipv4Addr::new(46, 0, 1, 0)];

/// Links of one cluster, a bit each: its beats to ns1 and ns2, the probes of it by ns1 and ns2.
type Links = u8;
const LINKS: [&str; 4] = ["beat>1", "beat>2", "1>probe", "2>probe"];
const ALL_OF_ONE: Links = 15;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cut {
    clusters: [Links; 3],
    /// Bit 0: what ns1 says does not reach ns2; bit 1: the other way round.
    views: u8,
    /// Plans of control reach no nameserver.
    control: bool,
}

/// Which cluster each client gets at each nameserver, as letters: `abc/abc`.
type Answers = String;

#[derive(Clone, PartialEq, Eq, Debug)]
struct Story {
    before: Answers,
    during: Answers,
    after: Answers,
}

#[test]
fn one_cluster_cut_off_in_every_way_is_answered_as_written() -> Result<()> {
    let cuts =
        (0..=ALL_OF_ONE).flat_map(|a| views().map(move |views| Cut { clusters: [a, 0, 0], views, control: false }));
    golden("one_cluster.txt", cuts)
}

#[test]
fn two_clusters_cut_off_in_every_way_are_answered_as_written() -> Result<()> {
    let pairs = (0..=ALL_OF_ONE).flat_map(|a| (0..=ALL_OF_ONE).map(move |b| [a, b, 0]));
    let cuts = pairs.flat_map(|clusters| views().map(move |views| Cut { clusters, views, control: false }));
    golden("two_clusters.txt", cuts)
}

/// Sets of all three clusters' links and both views: answers never run dry (asking fails if they do), a cluster is left
/// only when a probe of it fails, and not for one probe alone that the other nameserver and the agent contradict; and all
/// is as before once the links are back.
#[test]
fn sets_of_cut_links_keep_the_rules() -> Result<()> {
    let stride = std::env::var("WAGGLE_STRIDE").map_or(Ok(STRIDE), |text| text.parse())?;
    for code in (0..1u32 << 14).step_by(stride) {
        let part = |at: u32| (code >> (4 * at) & 15) as Links;
        let cut = Cut { clusters: [part(0), part(1), part(2)], views: (code >> 12) as u8, control: false };
        let story = play(cut).with_context(|| name(cut))?;
        ensure!(story.before == "abc/abc", "{}: {} before the cut", name(cut), story.before);
        ensure!(story.after == "abc/abc", "{}: {} long after it was mended", name(cut), story.after);
        for (at, (letter, links)) in "abc".chars().zip(cut.clusters).enumerate() {
            let failing = (links & 12).count_ones();
            let contradicted = failing == 1 && links & 3 == 0 && cut.views == 0;
            for (answers, server) in story.during.split('/').zip(NAMESERVERS) {
                let stayed = answers.chars().nth(at) == Some(letter);
                let reason = failing > 0 && (!contradicted || sees_nothing(cut, server));
                ensure!(stayed || reason, "{}: {server} left {letter} without reason", name(cut));
            }
        }
    }
    Ok(())
}

/// Whether a nameserver's own probes reach no cluster at all.
fn sees_nothing(cut: Cut, server: &str) -> bool {
    let bit = if server == NAMESERVERS[0] { 4 } else { 8 };
    cut.clusters.iter().all(|links| links & bit != 0)
}

/// Control sends plans and nothing else: with it gone every story ends the same.
#[test]
fn losing_control_changes_no_answer() -> Result<()> {
    for a in 0..=ALL_OF_ONE {
        for views in views() {
            let cut = Cut { clusters: [a, 0, 0], views, control: false };
            let (with, without) = (play(cut)?, play(Cut { control: true, ..cut })?);
            ensure!(with == without, "{}: {with:?}, without control {without:?}", name(cut));
        }
    }
    Ok(())
}

/// What Facebook saw in October 2021: nobody sees anything. For ten minutes, over a restart of both, nothing is withdrawn.
#[test]
fn nameservers_that_see_nothing_answer_as_before() -> Result<()> {
    let mut world = Partition::new()?;
    world.run(CALM, Cut { clusters: [0; 3], views: 0, control: false })?;
    let blind = Cut { clusters: [ALL_OF_ONE; 3], views: 3, control: true };
    for minute in 0..10 {
        world.run(240, blind)?;
        ensure!(world.answers()? == "abc/abc", "{} after {minute} minutes", world.answers()?);
        if minute == 5 {
            for server in &mut world.servers {
                server.kill();
                server.start(world.now)?;
            }
        }
    }
    Ok(())
}

fn views() -> impl Iterator<Item = u8> + Clone {
    0..4
}

fn golden(file: &str, cuts: impl Iterator<Item = Cut>) -> Result<()> {
    let mut text = String::from(
        "# cut links: what clients near a, b and c get at ns1/ns2 during the cut; before and after it: abc/abc\n",
    );
    for cut in cuts {
        let story = play(cut).with_context(|| name(cut))?;
        ensure!((story.before.as_str(), story.after.as_str()) == ("abc/abc", "abc/abc"), "{}: {story:?}", name(cut));
        writeln!(text, "{}: {}", name(cut), story.during)?;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sim/partitions").join(file);
    if std::env::var_os("WAGGLE_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().context("a folder")?)?;
        std::fs::write(&path, &text)?;
    }
    let written = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let different = written.lines().zip(text.lines()).find(|(written, now)| written != now);
    ensure!(written == text, "{file}: first difference (written, now): {different:?}");
    Ok(())
}

fn name(cut: Cut) -> String {
    let mut parts = Vec::new();
    for (cluster, links) in CLUSTERS.iter().zip(cut.clusters) {
        let names: Vec<_> = (0..4).filter(|bit| links >> bit & 1 == 1).map(|bit| LINKS[bit]).collect();
        if !names.is_empty() {
            parts.push(format!("{cluster} {}", names.join(" ")));
        }
    }
    parts.extend(
        [(1, "view 1>2"), (2, "view 2>1")]
            .iter()
            .filter(|(bit, _)| cut.views & bit != 0)
            .map(|(_, name)| (*name).to_owned()),
    );
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}

fn play(cut: Cut) -> Result<Story> {
    let mut world = Partition::new()?;
    let whole = Cut { clusters: [0; 3], views: 0, control: false };
    world.run(CALM, whole)?;
    let before = world.answers()?;
    world.run(CUT, cut)?;
    let during = world.answers()?;
    world.run(HEALED, whole)?;
    Ok(Story { before, during, after: world.answers()? })
}

struct Partition {
    now: Timestamp,
    tick: u64,
    servers: Vec<Nameserver>,
    clusters: Vec<ClusterName>,
}

impl Partition {
    fn new() -> Result<Partition> {
        let plan = plan(1)?;
        let mut servers = Vec::new();
        for name in NAMESERVERS {
            let mut server = Nameserver::new(name, START)?;
            server.offer(&document::encode(plan.generation, &plan)?)?;
            servers.push(server);
        }
        let clusters = CLUSTERS.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
        Ok(Partition { now: START, tick: 0, servers, clusters })
    }

    fn run(&mut self, ticks: u64, cut: Cut) -> Result<()> {
        for _ in 0..ticks {
            self.tick += 1;
            self.now = self.now.after(Duration::from_millis(TICK));
            for (at, links) in cut.clusters.into_iter().enumerate() {
                self.cluster(at, links)?;
            }
            if self.tick.is_multiple_of(4) {
                self.views(cut.views);
            }
            for server in &mut self.servers {
                server.judge(self.now);
            }
            if !cut.control && self.tick.is_multiple_of(16) {
                let plan = plan(self.tick)?;
                for server in &mut self.servers {
                    server.offer(&document::encode(plan.generation, &plan)?)?;
                    server.judge(self.now);
                }
            }
        }
        Ok(())
    }

    fn cluster(&mut self, at: usize, links: Links) -> Result<()> {
        let serving = BTreeMap::from([(ROUTE.parse()?, true)]);
        let stacks = BTreeMap::from([("shop".parse()?, BeatStack { release: None, converged: true, serving })]);
        let beat = Beat { cluster: self.clusters[at].clone(), boot: 1, seq: self.tick, engine_ok: true, stacks };
        for (number, server) in self.servers.iter_mut().enumerate() {
            if links >> number & 1 == 0 {
                server.judge.beat(self.now, beat.clone())?;
            }
            if self.tick.is_multiple_of(2) {
                let reached = links >> (2 + number) & 1 == 0;
                let outcome = if reached { Ok(()) } else { Err("no answer".to_owned()) };
                server.probed(&self.clusters[at], &ProbeResult { at: self.now, took: Duration::ZERO, outcome });
            }
        }
        Ok(())
    }

    fn views(&mut self, cut: u8) {
        let said: Vec<_> = self.servers.iter_mut().map(|server| server.judge.own_view(self.now)).collect();
        for (number, view) in said.into_iter().enumerate() {
            if cut >> number & 1 == 0 {
                // A view of before a peer's newest one cannot come: they are in order here.
                let _ = self.servers[1 - number].judge.view(self.now, view);
            }
        }
    }

    fn answers(&self) -> Result<Answers> {
        let mut text = String::new();
        for (number, server) in self.servers.iter().enumerate() {
            text.push_str(if number > 0 { "/" } else { "" });
            for client in CLIENTS {
                let (address, _) = server.ask(ROUTE, client, self.now)?.context("the route is not there")?;
                let IpAddr::V4(v4) = address else { anyhow::bail!("{address}") };
                text.push_str(CLUSTERS[usize::from(v4.octets()[3]) - 1]);
            }
        }
        Ok(text)
    }
}

/// Clients near each cluster prefer it, then the others in order.
pub fn plan(generation: u64) -> Result<RoutePlan> {
    let clusters: Vec<ClusterName> = CLUSTERS.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
    let mut client_map = BTreeMap::new();
    for (at, client) in CLIENTS.iter().enumerate() {
        let order = (0..3).map(|step| clusters[(at + step) % 3].clone()).collect();
        client_map.insert(format!("{}.0.0.0/8", client.octets()[0]).parse()?, order);
    }
    let pool = clusters.iter().zip(1u8..).map(|(cluster, last)| Endpoint {
        cluster: cluster.clone(),
        addresses: vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))],
        drained: None,
        release: None,
        forced: None,
    });
    let check = Check {
        kind: CheckKind::Tcp,
        port: 80,
        interval: Duration::from_millis(2 * TICK),
        timeout: Duration::from_millis(TICK),
        latency: None,
    };
    let (policy, all_down) = (Policy::Nearest, AllDown::LastGood);
    let route = PlanRoute {
        stack: "shop".parse()?,
        policy,
        ttl: 5,
        check: Some(check),
        all_down,
        https: None,
        pool: pool.collect(),
    };
    let zone = Zone {
        nameservers: vec!["ns1.shop.example".parse()?],
        contact: "hostmaster.shop.example".parse()?,
        ttl: 300,
        negative_ttl: 5,
        records: Vec::new(),
        master: None,
    };
    let known = PlanCluster { region: None, location: None, weight: 1, capacity: None };
    let peer = |name: &str| -> Result<_> {
        Ok(waggle_model::fleet::NameserverPeer { name: name.parse()?, address: "192.0.2.53:7442".parse()? })
    };
    Ok(RoutePlan {
        generation: Generation(generation),
        issued: Timestamp(generation),
        zones: [("shop.example".parse()?, zone)].into(),
        clusters: clusters.iter().map(|name| (name.clone(), known.clone())).collect(),
        client_map,
        routes: [(ROUTE.parse()?, route)].into(),
        nameservers: NAMESERVERS.iter().map(|name| peer(name)).collect::<Result<_>>()?,
        ..RoutePlan::default()
    })
}
