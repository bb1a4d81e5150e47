//! A region is lost, control is lost, a nameserver starts without control: DNS goes on.

use crate::{deploy, image, with_federation};
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};
use waggle_tests::bed::federation::{Federation, ROUTE};
use waggle_tests::bed::{PATIENCE, wait_for};
use waggle_tests::dns_client;
use waggle_tests::shop::Shop;

#[test]
fn answers_move_without_a_region_and_without_control() -> Result<()> {
    with_federation(|federation| {
        deploy(federation, &Shop::good(&image(federation, "v1")))?;
        settled(federation, "eu-1")?;

        let eu = federation.hosts.region("eu-1")?.clone();
        eu.cut()?;
        moved(federation, "eu-1")?;
        eu.heal()?;
        settled(federation, "eu-1")?;

        federation.control.kill()?;
        let us = federation.hosts.region("us-1")?.clone();
        us.cut()?;
        moved(federation, "us-1")?;
        restarted_nameserver_answers_from_disk(federation)?;
        us.heal()?;
        settled(federation, "us-1")?;

        agent_keeps_the_swarm_without_control(federation)?;

        let start = Instant::now();
        federation.restart_control()?;
        federation.wait_connected()?;
        let releases = federation.waggle_json(&["release", "ls"])?;
        ensure!(releases.as_array().is_some_and(|list| list.len() == 1), "{releases}");
        ensure!(start.elapsed() < PATIENCE);
        settled(federation, "eu-1")
    })
}

#[test]
fn a_crashed_application_leaves_the_answers() -> Result<()> {
    with_federation(|federation| {
        deploy(federation, &Shop::good(&image(federation, "v1")))?;
        settled(federation, "eu-1")?;
        let eu = federation.engines.iter().find(|engine| engine.host.name == "eu-1");
        let container = eu.map(|engine| engine.docker(&["ps", "-q", "--filter", "name=shop_web"])).transpose()?;
        let container = container.unwrap_or_default();
        // Paused, not killed: Swarm restarts a dead task within a second; a frozen one stays and must be noticed.
        let eu = eu.map(|engine| engine.docker(&["pause", container.trim()])).transpose()?;
        ensure!(eu.is_some());
        moved(federation, "eu-1")
    })
}

fn moved(federation: &Federation, region: &str) -> Result<()> {
    wait_for(&format!("clients of {region} to be sent elsewhere"), PATIENCE, || {
        for nameserver in 0..2 {
            let got = federation.region_for(nameserver, region)?;
            ensure!(got != region, "still {region}");
        }
        Ok(())
    })
}

fn settled(federation: &Federation, region: &str) -> Result<()> {
    wait_for(&format!("clients of {region} to be sent there"), PATIENCE, || {
        for nameserver in 0..2 {
            let got = federation.region_for(nameserver, region)?;
            ensure!(got == region, "clients of {region} get {got}");
        }
        Ok(())
    })
}

fn restarted_nameserver_answers_from_disk(federation: &mut Federation) -> Result<()> {
    federation.nameservers[0].kill()?;
    federation.nameservers[0] = federation.start_nameserver(0)?;
    let server = federation.nameserver(0);
    wait_for("the restarted nameserver to answer without control", Duration::from_secs(3), || {
        let answer = dns_client::ask(server, ROUTE, None, Duration::from_millis(200))?;
        ensure!(!answer.addresses.is_empty(), "{answer:?}");
        Ok(())
    })
}

/// With control away the agent restarts from disk and puts back what somebody removed.
fn agent_keeps_the_swarm_without_control(federation: &mut Federation) -> Result<()> {
    federation.agents[0].kill()?;
    let engine = &federation.engines[0];
    engine.docker(&["service", "rm", "shop_web"])?;
    federation.agents[0] = federation.start_agent(0)?;
    wait_for("the agent to restore the service from its disk", PATIENCE, || {
        federation.engines[0].docker(&["service", "inspect", "shop_web"])
    })?;
    Ok(())
}
