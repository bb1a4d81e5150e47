//! The operator's view of steering: what is answered and why, what changed, going back to an earlier route plan and
//! forward again, and the checks a person would make by hand.

use crate::{deploy, image, with_federation};
use anyhow::{Context, Result, ensure};
use std::time::Duration;
use waggle_tests::bed::federation::{Federation, REGIONS, ROUTE};
use waggle_tests::bed::{PATIENCE, wait_for};
use waggle_tests::said::say;
use waggle_tests::shop::Shop;

#[test]
fn an_operator_sees_steering_and_takes_it_back() -> Result<()> {
    with_federation(|federation| {
        deploy(federation, &Shop::quick(&image(federation, "v1")))?;
        everything_is_answered(federation)?;
        traffic_is_counted(federation)?;
        let before = drained_by_mistake(federation)?;
        reverted(federation, before)?;
        rollouts_wait(federation)?;
        resumed(federation)?;
        doctor(federation)
    })
}

fn everything_is_answered(federation: &Federation) -> Result<()> {
    wait_for("all to be answered", PATIENCE, || {
        let listed = say(federation, &["route", "ls"])?.code(0)?;
        ensure!(listed.out.matches(" answered").count() == REGIONS.len(), "{}", listed.out);
        listed.out(&["www.shop.example shop nearest 1 s eu-1"]).map(drop)
    })?;
    let shown = say(federation, &["route", "show", ROUTE])?.code(0)?;
    let check = "Check: http /health on port 80 every 300 ms, 250 ms at most";
    shown.out(&["Policy: nearest", check, "All down: last_good", "ns1 eu-1 fit up", "ns2 us-1 fit up"])?;
    let missing = say(federation, &["route", "show", "mail.shop.example"])?.code(5)?;
    missing.err(&["there is no route mail.shop.example", "waggle route ls"])?;
    Ok(())
}

/// Questions of clients of eu-1 to both nameservers, until the rates are told.
fn traffic_is_counted(federation: &Federation) -> Result<()> {
    wait_for("traffic to be told", PATIENCE, || {
        for at in 0..federation.nameservers.len() {
            for _ in 0..20 {
                federation.ask_from(at, "eu-1")?;
            }
        }
        let route = &federation.waggle_json(&["route", "show", ROUTE])?;
        let rate = |cluster: &str| route["route"]["clusters"][cluster]["answers"].as_f64().unwrap_or_default();
        ensure!(rate("eu-1") > 1.0 && rate("us-1") < rate("eu-1"), "{route:#}");
        ensure!(route["clients"][0]["prefix"] == "198.51.100.0/24", "{route:#}");
        say(federation, &["status"])?.code(0)?.out(&["ROUTE CLUSTER ANSWERS/S STATE"]).map(drop)
    })
}

fn sends(federation: &Federation, region: &str, wanted: &str) -> Result<()> {
    wait_for(&format!("clients of {region} to be sent to {wanted}"), PATIENCE, || {
        for at in 0..federation.nameservers.len() {
            let got = federation.region_for(at, region)?;
            ensure!(got == wanted, "ns{}: {got}", at + 1);
        }
        Ok(())
    })
}

/// The generation before the mistake.
fn drained_by_mistake(federation: &Federation) -> Result<u64> {
    let newest = || -> Result<u64> {
        let plans = federation.waggle_json(&["route", "history"])?;
        plans["plans"][0]["generation"].as_u64().context("a generation")
    };
    let before = newest()?;
    federation.waggle(&["cluster", "drain", "eu-1", "--reason", "wrong cluster"])?;
    wait_for("a newer plan", PATIENCE, || {
        ensure!(newest()? > before, "still {before}");
        Ok(())
    })?;
    let history = say(federation, &["route", "history", ROUTE, "-n", "1"])?.code(0)?;
    history.out(&["admin", "drain of eu-1: wrong cluster", "shop: eu-1 drained (wrong cluster)"])?;
    say(federation, &["route", "history"])?.code(0)?.out(&["route added, in"])?;
    sends(federation, "eu-1", "ap-1")?;
    Ok(before)
}

fn reverted(federation: &Federation, to: u64) -> Result<()> {
    let to = to.to_string();
    let reason = ["--reason", "Europe was drained"];
    let missing = say(federation, &[&["route", "revert", "4711"], &reason[..]].concat())?.code(5)?;
    missing.err(&["the route plan of generation 4711 is not kept", "waggle route history"])?;
    let dry = say(federation, &[&["route", "revert", &to, "--dry-run"], &reason[..]].concat())?.code(0)?;
    dry.out(&["shop: eu-1 back (was drained: wrong cluster)"])?;
    say(federation, &["status"])?.code(0)?.without(&["is held by"])?;
    let done = say(federation, &[&["route", "revert", &to, "--for", "30m"], &reason[..]].concat())?.code(0)?;
    done.out(&["shop: eu-1 back"])?.err(&["waggle route resume"])?;
    sends(federation, "eu-1", "eu-1")?;
    let held = format!("the route plan of generation {to} is held by admin until");
    say(federation, &["status"])?.code(0)?.out(&[&held, "Europe was drained"])?;
    say(federation, &["route", "history", "-n", "1"])?.code(0)?.out(&[&format!("back to generation {to}")])?;
    Ok(())
}

fn rollouts_wait(federation: &Federation) -> Result<()> {
    let file = federation.write_file("shop.yml", &Shop::quick(&image(federation, "v2")).compose())?;
    federation.waggle(&["stack", "deploy", "--detach", "-c", &file, "shop"])?;
    wait_for("the rollout to say why it waits", PATIENCE, || {
        let shown = say(federation, &["rollout", "show", "shop"])?.code(0)?;
        shown.out(&["waiting", "admin put an earlier route plan back in force until"])?.without(&["draining"]).map(drop)
    })
}

fn resumed(federation: &Federation) -> Result<()> {
    say(federation, &["route", "resume"])?.code(0)?.out(&["follows clusters and releases again"])?;
    say(federation, &["route", "resume"])?.code(0)?.out(&["No earlier route plan is held."])?;
    wait_for("eu-1 to be drained again", PATIENCE, || {
        say(federation, &["route", "ls"])?.code(0)?.out(&["drained: wrong cluster"]).map(drop)
    })?;
    federation.waggle(&["cluster", "readmit", "eu-1"])?;
    federation.waggle(&["rollout", "watch", "shop", "--timeout", "4m"])?;
    sends(federation, "eu-1", "eu-1")
}

/// The bed has no parent zone, and everything in one network.
fn doctor(federation: &mut Federation) -> Result<()> {
    let resolver = federation.resolver.address.to_string();
    let command = ["doctor", "--all", "--resolver", &resolver];
    let fine = say(federation, &command)?.code(0)?;
    let ok = "ok: shop.example: every nameserver answers over UDP and TCP";
    fine.out(&[ok, "all answer from the present route plan", "one failure domain", "0 problems"])?;
    let missing = say(federation, &["doctor", "--zone", "other.example"])?.code(5)?;
    missing.err(&["the federation has no zone other.example"])?;
    federation.nameservers[1].terminate()?;
    wait_for("control to notice", Duration::from_secs(20), || {
        let lame = say(federation, &command)?.code(1)?;
        lame.out(&["problem: ns2.shop.example: is lame for shop.example", "nameserver ns2 is not connected"]).map(drop)
    })
}
