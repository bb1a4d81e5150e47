//! The operator's view of steering: what is answered and why, what changed, going back to an earlier route plan and
//! forward again, and the checks a person would make by hand.

use crate::{deploy, image, with_federation};
use anyhow::{Context, Result, ensure};
use std::net::Ipv4Addr;
use std::time::Duration;
use waggle_tests::bed::federation::{Federation, REGIONS, ROUTE};
use waggle_tests::bed::parent::Referral;
use waggle_tests::bed::{PATIENCE, wait_for};
use waggle_tests::said::say;
use waggle_tests::shop::Shop;

/// Nobody has it.
const UNUSED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);

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
        by_force(federation)?;
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

/// Two of three clusters leave at once, by an earlier plan and by the end of one.
fn by_force(federation: &Federation) -> Result<()> {
    let newest = || -> Result<String> {
        let plans = federation.waggle_json(&["route", "history"])?;
        Ok(plans["plans"][0]["generation"].as_u64().context("a generation")?.to_string())
    };
    let (two, reason) = (["ap-1", "eu-1"], ["--reason", "a storm"]);
    let drained = |cluster: &str, out: bool| {
        wait_for(&format!("{cluster} to be out: {out}"), PATIENCE, || {
            let listed = say(federation, &["route", "ls"])?.code(0)?.out;
            let line = listed.lines().find(|line| line.contains(cluster)).unwrap_or_default();
            ensure!(line.contains("drained") == out, "{listed}");
            Ok(())
        })
    };
    let refused = |command: &[&str]| -> Result<()> {
        let said = say(federation, command)?.code(5)?;
        said.err(&["ap-1, eu-1 would leave at once, 67 % of the capacity in service", "--force"]).map(drop)
    };
    let all = newest()?;
    for cluster in two {
        federation.waggle(&["cluster", "drain", cluster, "--reason", "power"])?;
    }
    let few = newest()?;
    for cluster in two {
        federation.waggle(&["cluster", "readmit", cluster])?;
        drained(cluster, false)?;
    }
    let revert = [&["route", "revert", &few], &reason[..]].concat();
    refused(&revert)?;
    say(federation, &[&revert[..], &["--force"]].concat())?.code(0)?.out(&["ap-1 drained (power)"])?;
    two.iter().try_for_each(|cluster| drained(cluster, true))?;
    sends(federation, "eu-1", "us-1")?;
    say(federation, &["route", "resume"])?.code(0)?;
    two.iter().try_for_each(|cluster| drained(cluster, false))?;

    for cluster in two {
        federation.waggle(&["cluster", "drain", cluster, "--reason", "power"])?;
    }
    say(federation, &[&["route", "revert", &all], &reason[..]].concat())?.code(0)?;
    refused(&["route", "resume"])?;
    say(federation, &["route", "resume", "--force"])?.code(0)?.out(&["follows clusters and releases again"])?;
    two.iter().try_for_each(|cluster| drained(cluster, true))?;
    two.iter().try_for_each(|cluster| federation.waggle(&["cluster", "readmit", cluster]).map(drop))?;
    sends(federation, "eu-1", "eu-1")
}

/// The bed has everything in one network; what is found beyond that is what was broken.
fn doctor(federation: &mut Federation) -> Result<()> {
    let resolver = federation.resolver.address.to_string();
    let command = ["doctor", "--all", "--resolver", &resolver];
    let fine = say(federation, &command)?.code(0)?;
    let ok = "ok: shop.example: every nameserver answers over UDP and TCP";
    fine.out(&[ok, "all answer from the present route plan", "one failure domain", "0 problems"])?.out(&[
        "ok: shop.example: is delegated to its nameservers",
        "ok: shop.example: the parent's NS records live 3600 s, the zone's 300 s",
        "certificates are renewed",
    ])?;
    delegation(federation, &command)?;
    let missing = say(federation, &["doctor", "--zone", "other.example"])?.code(5)?;
    missing.err(&["the federation has no zone other.example"])?;
    federation.nameservers[1].terminate()?;
    wait_for("control to notice", Duration::from_secs(20), || {
        let lame = say(federation, &command)?.code(1)?;
        lame.out(&["problem: ns2.shop.example: is lame for shop.example", "nameserver ns2 is not connected"]).map(drop)
    })
}

/// What a registry may have wrong.
fn delegation(federation: &Federation, command: &[&str]) -> Result<()> {
    let right = federation.hosts.referral();
    let with = |change: fn(&mut Referral)| {
        let mut referral = right.clone();
        change(&mut referral);
        referral
    };
    let (one, stale) = (with(|it| drop(it.nameservers.pop())), with(|it| it.nameservers[0].1 = Some(UNUSED)));
    let (bare, long) = (with(|it| it.nameservers[1].1 = None), with(|it| it.ttl = 604_800));
    let foreign = with(|it| it.nameservers.push(("ns3.shop.example".into(), Some(UNUSED))));
    for (referral, code, said) in [
        (one, 0, "warning: shop.example: the parent zone does not name ns2.shop.example"),
        (stale, 1, "problem: ns1.shop.example: the parent's glue says 192.0.2.99, the zone"),
        (bare, 1, "problem: ns2.shop.example: the parent names it without an address (glue)"),
        (long, 0, "warning: shop.example: the parent's NS records live 604800 s, the zone's 300 s"),
        (foreign, 1, "problem: shop.example: the parent zone names ns3.shop.example, not listed"),
        (right.clone(), 0, "ok: shop.example: is delegated to its nameservers"),
    ] {
        federation.parent.refer(&referral)?;
        wait_for(said, PATIENCE, || say(federation, command)?.code(code)?.out(&[said]).map(drop))?;
    }
    Ok(())
}
