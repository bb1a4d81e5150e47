//! What `waggle simulate outage` foretells from sampled queries is what happens when the cluster is really lost.

use crate::{deploy, image, with_federation};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use waggle_tests::bed::federation::{Federation, REGIONS, ROUTE};
use waggle_tests::bed::{PATIENCE, wait_for};
use waggle_tests::dns_client::{self, Subnet};
use waggle_tests::said::say;
use waggle_tests::shop::Shop;

/// Client networks, most of them in no map.
const NETWORKS: u32 = 240;
/// Between two queries, to two nameservers in turn: so calm that every query is sampled.
const PAUSE: Duration = Duration::from_millis(35);
/// Shares may differ by this much: by the few queries that this test asks beside those it counts.
const TOLERANCE: f64 = 0.05;

#[test]
fn an_outage_does_what_its_simulation_said() -> Result<()> {
    with_federation(|federation| {
        deploy(federation, &Shop::good(&image(federation, "v1")))?;
        refusals(federation)?;
        // A cluster that has just come back does not have all of its clients yet. Nobody asks meanwhile: it would count.
        wait_for("every cluster to have all of its clients", PATIENCE, || {
            let nameservers = say(federation, &["nameserver", "ls", "--format", "json"])?.code(0)?.json()?;
            let each = nameservers.as_array().context("nameservers")?.iter();
            let verdicts: Vec<&Value> = each.filter_map(|one| one["verdicts"].as_array()).flatten().collect();
            ensure!(verdicts.len() == 2 * REGIONS.len(), "verdicts: {verdicts:?}");
            let ready = |verdict: &&Value| verdict["verdict"] == "fit" && verdict["limited"].is_null();
            ensure!(verdicts.iter().all(ready), "not all ready: {verdicts:?}");
            Ok(())
        })?;
        let before = ask_all(federation)?;
        let foretold = wait_for("samples at control", PATIENCE, || {
            let said = say(federation, &["simulate", "outage", "eu-1", "--format", "json"])?.code(0)?.json()?;
            ensure!(said["samples"].as_u64() >= Some(u64::from(NETWORKS)), "{} samples", said["samples"]);
            Ok(said)
        })?;
        let people = say(federation, &["simulate", "outage", "--region", "eu"])?.code(0)?;
        people.out(&["Without eu-1, ", "Nothing breaks.", "sampled queries of ns1, ns2 within", "samples"])?;
        let all = ["simulate", "outage", "--region", "eu", "us-1", "ap-1"];
        say(federation, &all)?.code(1)?.out(&["BREAKS www.shop.example would have no cluster left"])?;

        let eu = federation.hosts.region("eu-1")?.clone();
        let cut = Instant::now();
        eu.cut()?;
        wait_for("clients of eu-1 to be sent elsewhere", PATIENCE, || {
            let got = (federation.region_for(0, "eu-1")?, federation.region_for(1, "eu-1")?);
            ensure!(got.0 != "eu-1" && got.1 != "eu-1", "still {got:?}");
            Ok(())
        })?;
        let noticed = cut.elapsed();
        let after = ask_all(federation)?;
        agree(&foretold, &before, &after)?;
        let longest = foretold["outage"]["routes"][ROUTE]["noticed_ms"].as_u64().context("a time")?;
        eprintln!("noticed after {noticed:?}, said was at most {longest} ms");
        Ok(())
    })
}

fn refusals(federation: &Federation) -> Result<()> {
    say(federation, &["simulate", "outage", "mars"])?.code(5)?.err(&["there is no cluster mars"])?;
    say(federation, &["simulate", "outage", "--region", "mars"])?.code(5)?.err(&["no cluster has region=mars"])?;
    say(federation, &["simulate", "outage", "eu-1", "--at-rate", "0"])?.code(5)?.err(&["at_rate is 0"])?;
    Ok(())
}

/// Whom each network is sent to.
fn ask_all(federation: &Federation) -> Result<BTreeMap<Ipv4Addr, String>> {
    let mut found = BTreeMap::new();
    for number in 0..NETWORKS {
        let address = match REGIONS.get(number as usize % 20) {
            Some((_, _, [a, b, c])) => Ipv4Addr::new(*a, *b, *c, 0),
            None => Ipv4Addr::from(44 << 24 | number << 8),
        };
        let server = federation.nameserver(number as usize % 2);
        let answer = dns_client::ask(server, ROUTE, Some(Subnet { address, prefix: 24 }), Duration::from_millis(500))?;
        let got = *answer.addresses.first().with_context(|| format!("no address: {}", answer.code))?;
        found.insert(address, federation.hosts.name_of(got).context("an address of a region")?.to_owned());
        std::thread::sleep(PAUSE);
    }
    Ok(found)
}

/// Shares of queries, not of networks: those of the regions asked more than once.
fn agree(foretold: &Value, before: &BTreeMap<Ipv4Addr, String>, after: &BTreeMap<Ipv4Addr, String>) -> Result<()> {
    let times = |address: &Ipv4Addr| if address.octets()[0] == 44 { 1.0 } else { f64::from(NETWORKS) / 20.0 };
    let mut moved: BTreeMap<(String, String), f64> = BTreeMap::new();
    let mut total = 0.0;
    for (address, was) in before {
        total += times(address);
        let is = after.get(address).context("asked again")?;
        if was != is {
            *moved.entry((was.clone(), is.clone())).or_default() += times(address);
        }
    }
    ensure!(moved.keys().all(|(was, _)| was == "eu-1"), "others moved, too: {moved:?}");
    let flows = foretold["outage"]["flows"].as_array().context("flows")?;
    ensure!(flows.len() == moved.len() && moved.len() == 2, "{flows:?} and {moved:?}");
    for flow in flows {
        let text = |key: &str| flow[key].as_str().unwrap_or_default().to_owned();
        let really = moved.get(&(text("from"), text("to"))).copied().unwrap_or_default() / total;
        let said = flow["share"].as_f64().context("a share")?;
        eprintln!("{} → {}: {said:.3} was said, {really:.3} moved", text("from"), text("to"));
        ensure!((said - really).abs() < TOLERANCE, "{flow}: {really:.3} moved");
    }
    Ok(())
}
