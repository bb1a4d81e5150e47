//! `waggle nameserver`, the release build, with one UDP thread.

use super::Setup;
use crate::nameservers::feeder::Feeder;
use crate::nameservers::scene::{ROUTE, Rule, SITES, STATIC_NAMES, TTL, ZONE, static_address};
use anyhow::{Context, Result, ensure};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::process::Command;
use waggle_model::fleet::{Record, Zone};
use waggle_model::plan::{Endpoint, PlanCluster, PlanRoute, RoutePlan};
use waggle_model::release::{AllDown, Policy};
use waggle_model::{ClusterName, DomainName, Generation, Timestamp};

const NAME: &str = "bench";
/// Its port for peers, above the one for queries.
const PEER_PORT_ABOVE: u16 = 100;

/// Serves a plan from its disk, with no control.
pub fn prepare(setup: &Setup<'_>) -> Result<Command> {
    configure(setup, "")
}

/// Takes further plans from `feeder`.
pub fn prepare_fed(setup: &Setup<'_>, feeder: &Feeder) -> Result<Command> {
    let command = configure(setup, &format!("control = [\"{}\"]\n", feeder.address))?;
    feeder.admit(NAME, &setup.directory.join("waggle"))?;
    Ok(command)
}

fn configure(setup: &Setup<'_>, control: &str) -> Result<Command> {
    let home = setup.directory.join("waggle");
    let plans = home.join("plans");
    fs::create_dir_all(&plans)?;
    let plan = plan(1, setup.rules)?;
    let file = plans.join(format!("{:020}.json", plan.generation.0));
    waggle_daemon::file::write_document(&file, &serde_json::to_vec(&plan)?)?;
    let config = format!(
        "name = \"{NAME}\"\n{control}data_dir = \"{}\"\nlisten = [\"127.0.0.1:{}\"]\npeer_listen = \"127.0.0.1:{}\"\nworkers = 1\n",
        home.display(),
        setup.port,
        setup.port + PEER_PORT_ABOVE
    );
    let path = home.join("nameserver.toml");
    fs::write(&path, config)?;
    let binary = std::env::current_exe()?.with_file_name("waggle");
    ensure!(binary.exists(), "{} is missing; run tests/bench/dns, which builds it", binary.display());
    let mut command = Command::new(binary);
    command.arg("nameserver").arg("--config").arg(path);
    Ok(command)
}

/// The plan of a row. Plans of different generations differ in nothing else.
pub fn plan(generation: u64, rules: &[Rule]) -> Result<RoutePlan> {
    let cluster = |at: usize| SITES[at].0.parse::<ClusterName>();
    let order = |site: usize| -> Result<Vec<ClusterName>> {
        let others = (0..SITES.len()).filter(|other| *other != site);
        Ok(std::iter::once(site).chain(others).map(cluster).collect::<Result<_, _>>()?)
    };
    let mut client_map = BTreeMap::new();
    for rule in rules {
        client_map.insert(IpNet::new(IpAddr::V4(rule.address), rule.length)?, order(rule.site)?);
    }
    let endpoint = |(name, address): &(&str, std::net::Ipv4Addr)| -> Result<Endpoint> {
        Ok(Endpoint {
            cluster: name.parse()?,
            addresses: vec![IpAddr::V4(*address)],
            drained: None,
            release: None,
            forced: None,
        })
    };
    let pool: Vec<Endpoint> = SITES.iter().map(endpoint).collect::<Result<_>>()?;
    let policy = Policy::Nearest;
    let (check, all_down) = (None, AllDown::LastGood);
    let route = PlanRoute { stack: "bench".parse()?, policy, ttl: TTL, check, all_down, https: None, pool };
    let known = PlanCluster { region: None, location: None, weight: 1, capacity: None };
    let clusters = SITES.iter().map(|(name, _)| Ok((name.parse()?, known.clone()))).collect::<Result<_>>()?;
    Ok(RoutePlan {
        generation: Generation(generation),
        issued: Timestamp(generation),
        zones: [(domain(ZONE)?, zone()?)].into(),
        clusters,
        client_map,
        routes: [(domain(&format!("{ROUTE}.{ZONE}"))?, route)].into(),
        ..RoutePlan::default()
    })
}

fn zone() -> Result<Zone> {
    let record = |number: u32| -> Result<Record> {
        let values = vec![static_address(number).to_string()];
        Ok(Record { name: domain(&format!("w{number}.{ZONE}"))?, kind: "A".into(), ttl: Some(TTL), values })
    };
    Ok(Zone {
        nameservers: vec![domain(&format!("ns1.{ZONE}"))?],
        contact: domain(&format!("hostmaster.{ZONE}"))?,
        ttl: TTL,
        negative_ttl: 5,
        records: (0..STATIC_NAMES).map(record).collect::<Result<_>>()?,
        master: None,
    })
}

fn domain(text: &str) -> Result<DomainName> {
    text.parse().with_context(|| format!("{text} is no domain name"))
}
