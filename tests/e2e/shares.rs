//! How much of its clients a cluster has, counted over many client networks: those beyond its capacity are sent on, and after
//! an outage all of them come back in steps. Nobody else is moved by either, and nobody back and forth.

use crate::{deploy, image, with_federation};
use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use waggle_tests::bed::federation::{Federation, ROUTE};
use waggle_tests::bed::{PATIENCE, wait_for};
use waggle_tests::dns_client::{self, Subnet};
use waggle_tests::shop::Shop;

/// Client networks of which nothing is known, so that they are spread over the clusters.
const NETWORKS: u32 = 240;
const VICTIM: &str = "eu-1";
const RAMP: Duration = Duration::from_secs(8);
/// Shares are computed once a second from rates of about ten.
const SETTLED: Duration = Duration::from_secs(45);
/// Between two queries under load.
const PAUSE: Duration = Duration::from_millis(3);
/// Answers per second, well below what the load brings.
const CAPACITY: f64 = 30.0;
/// Of all of a cluster's clients. Its networks are about eighty, and their asking is not quite even.
const TOLERANCE: f64 = 0.15;

type Sent = BTreeMap<Ipv4Addr, String>;

#[test]
fn clients_spill_over_a_capacity_and_come_back_in_steps() -> Result<()> {
    with_federation(|federation| {
        let health = format!("health: {{hold_down: 200ms, hold_down_max: 200ms, ramp: {}s}}\n", RAMP.as_secs());
        federation.apply(&(federation.document() + &health))?;
        deploy(federation, &Shop::good(&image(federation, "v1")))?;
        let home = wait_for("every cluster to have its part", 2 * PATIENCE, || {
            // No faster than afterwards: what is asked is demand, and remembered.
            let first = ask_all(federation, PAUSE)?;
            ensure!(first == ask_all(federation, PAUSE)?, "somebody still moves");
            let own = networks_of(&first).len();
            ensure!((50..=110).contains(&own), "{own} of {NETWORKS} are sent to {VICTIM}");
            Ok(first)
        })?;
        spills(federation, &home, &health)?;
        returns_in_steps(federation, &home)
    })
}

fn returns_in_steps(federation: &Federation, home: &Sent) -> Result<()> {
    let own = networks_of(home);
    let victim = federation.hosts.region(VICTIM)?;
    victim.cut()?;
    wait_for("all clients to leave", PATIENCE, || {
        let left = networks_of(&ask_all(federation, Duration::ZERO)?).len();
        ensure!(left == 0, "{left} are left");
        Ok(())
    })?;
    victim.heal()?;
    let (mut began, mut before, mut parts) = (None, BTreeSet::new(), BTreeSet::new());
    let mut wrong = Vec::new();
    let took = wait_for("all clients to be back", PATIENCE + RAMP, || {
        let sent = ask_all(federation, Duration::ZERO)?;
        let back = networks_of(&sent);
        wrong.extend(before.difference(&back).map(|network| format!("{network} left again")));
        wrong.extend(moved_elsewhere(home, &sent));
        if !back.is_empty() {
            began.get_or_insert_with(Instant::now);
        }
        before = back;
        parts.insert(before.len());
        ensure!(before == own, "{} of {} are back", before.len(), own.len());
        Ok(began.map_or(Duration::ZERO, |began| began.elapsed()))
    })?;
    ensure!(wrong.is_empty(), "{wrong:?}");
    eprintln!("back within {took:.1?}, in steps: {parts:?} of {}", own.len());
    ensure!(parts.len() >= 8, "only so many steps: {parts:?}");
    let first = parts.iter().find(|part| **part > 0).context("a first step")?;
    ensure!(*first < own.len() / 3, "the first step brought {first} of {}", own.len());
    ensure!((RAMP / 2..2 * RAMP).contains(&took), "it took {took:?}");
    Ok(())
}

/// The load is the asking itself, half of it at each nameserver.
fn spills(federation: &Federation, home: &Sent, health: &str) -> Result<()> {
    let own = networks_of(home);
    let small = format!("{VICTIM}: {{capacity: {CAPACITY}, region");
    let document = federation.document().replace(&format!("{VICTIM}: {{region"), &small);
    federation.apply(&(document + health))?;
    let mut wrong = Vec::new();
    wait_for("the surplus to be sent on", SETTLED, || {
        let began = Instant::now();
        let sent = ask_all(federation, PAUSE)?;
        let wanted = own.len() as f64 / began.elapsed().as_secs_f64();
        wrong.extend(moved_elsewhere(home, &sent));
        let kept = networks_of(&sent);
        let (part, fair) = (kept.len() as f64 / own.len() as f64, CAPACITY / wanted);
        ensure!(fair < 0.8, "the load is too small to tell: {wanted:.0} of {CAPACITY} per second");
        ensure!((part - fair).abs() < TOLERANCE, "{part:.2} of its clients are kept, {fair:.2} would fit");
        eprintln!("{wanted:.0} per second want {VICTIM}, {CAPACITY} fit ({fair:.2}): {part:.2} are kept");
        let others: BTreeSet<&String> = own.iter().filter_map(|one| sent.get(one)).collect();
        ensure!(others.len() == 3, "all of the surplus goes to one cluster: {others:?}");
        Ok(())
    })?;
    ensure!(wrong.is_empty(), "{wrong:?}");
    federation.apply(&(federation.document() + health))?;
    wait_for("all to be back without a capacity", PATIENCE, || {
        ensure!(ask_all(federation, PAUSE)? == *home, "not all are back");
        Ok(())
    })
}

fn networks_of(sent: &Sent) -> BTreeSet<Ipv4Addr> {
    sent.iter().filter(|(_, to)| *to == VICTIM).map(|(network, _)| *network).collect()
}

/// Clients of the other clusters that are not where they were.
fn moved_elsewhere(home: &Sent, sent: &Sent) -> Vec<String> {
    let moved = home.iter().filter(|(network, to)| *to != VICTIM && sent.get(network) != Some(to));
    moved.map(|(network, to)| format!("{network} moved from {to} to {:?}", sent.get(network))).collect()
}

fn ask_all(federation: &Federation, pause: Duration) -> Result<Sent> {
    let mut sent = BTreeMap::new();
    for number in 0..NETWORKS {
        let network = Ipv4Addr::from(44 << 24 | number << 8);
        sent.insert(network, ask(federation, network)?);
        std::thread::sleep(pause);
    }
    Ok(sent)
}

/// A network asks the same nameserver always, as its resolver would.
fn ask(federation: &Federation, network: Ipv4Addr) -> Result<String> {
    let [_, _, number, _] = network.octets();
    let server = federation.nameserver(usize::from(number % 2));
    let subnet = Subnet { address: network, prefix: 24 };
    let answer = dns_client::ask(server, ROUTE, Some(subnet), Duration::from_millis(500))?;
    let got = *answer.addresses.first().with_context(|| format!("no address: {}", answer.code))?;
    Ok(federation.hosts.name_of(got).context("an address of a region")?.to_owned())
}
