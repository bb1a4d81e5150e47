//! What people say over what is observed: a signed override while control is gone, a forced verdict, and a change that
//! would take out too much.

use crate::{deploy, image, with_federation};
use anyhow::{Context, Result, ensure};
use std::time::Duration;
use waggle_tests::bed::federation::{Federation, REGIONS, ROUTE};
use waggle_tests::bed::{PATIENCE, wait_for};
use waggle_tests::said::{Said, say};
use waggle_tests::shop::Shop;

/// Where clients of eu-1 are sent when they cannot be sent there.
const INSTEAD: &str = "ap-1";
/// Returning is not the subject.
const HEALTH: &str = "health: {ramp: 0s}\n";

#[test]
fn people_overrule_nameservers_with_and_without_control() -> Result<()> {
    with_federation(|federation| {
        let key = key(federation)?;
        let public = say(federation, &["override", "key", "--out", &key])?.code(0)?;
        let keys = format!("override_keys: [\"{}\"]\n", public.out.trim());
        federation.apply(&(federation.document() + HEALTH + &keys))?;
        deploy(federation, &Shop::quick(&image(federation, "v1")))?;
        everybody_at_home(federation)?;
        forced(federation)?;
        too_much_at_once(federation)?;
        federation.control.kill()?;
        let old = overridden(federation)?;
        survives_kills(federation)?;
        revoked(federation, &old)?;
        ends_by_itself(federation)?;
        federation.restart_control()?;
        federation.wait_connected()?;
        everybody_at_home(federation)
    })
}

fn key(federation: &Federation) -> Result<String> {
    Ok(federation.hosts.plot.dir().join("break-glass.pem").display().to_string())
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

fn everybody_at_home(federation: &Federation) -> Result<()> {
    REGIONS.iter().try_for_each(|(region, ..)| sends(federation, region, region))
}

/// By control, for a time; what is observed counts again when that is over, or when it is ended.
fn forced(federation: &Federation) -> Result<()> {
    let force = |time| ["route", "force", ROUTE, "eu-1", "unfit", "--for", time, "--reason", "disk is dying"];
    say(federation, &force("6s"))?.code(0)?.err(&["eu-1 counts as unfit for www.shop.example until"])?;
    sends(federation, "eu-1", INSTEAD)?;
    sends(federation, "eu-1", "eu-1")?;
    say(federation, &force("1h"))?.code(0)?;
    sends(federation, "eu-1", INSTEAD)?;
    wait_for("an explanation", PATIENCE, || {
        let why = say(federation, &["why", ROUTE, "--client", "198.51.100.7"])?.code(0)?;
        why.out(&["forced unfit by admin until", "disk is dying"]).map(drop)
    })?;
    say(federation, &["route", "unforce", ROUTE, "eu-1"])?.code(0)?.err(&["counts again"])?;
    sends(federation, "eu-1", "eu-1")?;
    say(federation, &force("8d"))?.code(5)?.err(&["7 days"])?;
    Ok(())
}

/// Two of three clusters may go one after the other, and not both in one step.
fn too_much_at_once(federation: &Federation) -> Result<()> {
    let newest = || -> Result<String> {
        let plans = federation.waggle_json(&["route", "history"])?;
        Ok(plans["plans"][0]["generation"].as_u64().context("a generation")?.to_string())
    };
    for cluster in ["ap-1", "us-1"] {
        federation.waggle(&["cluster", "drain", cluster, "--reason", "maintenance"])?;
        sends(federation, cluster, "eu-1")?;
    }
    let narrow = newest()?;
    for cluster in ["us-1", "ap-1"] {
        federation.waggle(&["cluster", "readmit", cluster])?;
        sends(federation, cluster, cluster)?;
    }
    let revert = ["route", "revert", &narrow, "--reason", "a slip", "--for", "30m"];
    let words = ["ap-1, us-1 would leave at once, 67 %", "50 % may (safety.max_loss_percent)"];
    say(federation, &revert)?.code(5)?.err(&words)?;
    everybody_at_home(federation)?;
    say(federation, &[&revert[..], &["--force"]].concat())?.code(0)?;
    sends(federation, "ap-1", "eu-1")?;
    sends(federation, "us-1", "eu-1")?;
    say(federation, &["route", "resume"])?.code(0)?;
    everybody_at_home(federation)
}

/// Signs what the arguments say with the key, into a file.
fn sign(federation: &Federation, file: &str, arguments: &[&str]) -> Result<String> {
    let (verb, rest) = arguments.split_first().context("a verb")?;
    let key = key(federation)?;
    let said = say(federation, &[&["override", *verb, "--key", &key, "--cluster", "eu-1"], rest].concat())?.code(0)?;
    federation.write_file(file, &said.out)
}

/// To one nameserver, which passes it on.
fn send(federation: &Federation, file: &str, at: usize) -> Result<Said> {
    let to = federation.nameserver_status(at).to_string();
    wait_for("the nameserver to have time", PATIENCE, || {
        let said = say(federation, &["override", "send", file, "--to", &to])?;
        ensure!(!said.err.contains("try again in a moment"), "{}", said.err);
        Ok(said)
    })
}

fn overridden(federation: &Federation) -> Result<String> {
    sends(federation, "eu-1", "eu-1")?;
    let drained = ["sign", "--route", "all", "drained", "--for", "1h", "--reason", "fire"];
    let file = sign(federation, "drained.json", &drained)?;
    send(federation, &file, 0)?.code(0)?.out(&["ns1 goes by it", "eu-1 for all routes: drained", ROUTE])?;
    sends(federation, "eu-1", INSTEAD)?;
    send(federation, &file, 1)?.code(0)?.out(&["ns2 knows it already"])?;

    let other = federation.hosts.plot.dir().join("other.pem").display().to_string();
    say(federation, &["override", "key", "--out", &other])?.code(0)?;
    let strange =
        ["override", "sign", "--key", &other, "--route", "all", "--cluster", "us-1", "drained", "--for", "1h"];
    let strange = say(federation, &[&strange[..], &["--reason", "a stranger"]].concat())?.code(0)?;
    let strange = federation.write_file("strange.json", &strange.out)?;
    send(federation, &strange, 0)?.code(6)?.err(&["is not among override_keys"])?;
    sends(federation, "us-1", "us-1")?;
    Ok(file)
}

/// Both are killed at once, so neither can have it from the other.
fn survives_kills(federation: &mut Federation) -> Result<()> {
    for at in 0..federation.nameservers.len() {
        federation.nameservers[at].kill()?;
    }
    for at in 0..federation.nameservers.len() {
        federation.nameservers[at] = federation.start_nameserver(at)?;
    }
    for at in 0..federation.nameservers.len() {
        // The very first answers go by it already.
        let first = wait_for("an answer after the kill", PATIENCE, || federation.region_for(at, "eu-1"))?;
        ensure!(first == INSTEAD, "ns{} answered {first} first", at + 1);
    }
    sends(federation, "eu-1", INSTEAD)
}

fn revoked(federation: &Federation, old: &str) -> Result<()> {
    let file = sign(federation, "revoked.json", &["revoke", "--route", "all"])?;
    send(federation, &file, 1)?.code(0)?.out(&["ns2 goes by it", "as observed"])?;
    sends(federation, "eu-1", "eu-1")?;
    for at in 0..federation.nameservers.len() {
        send(federation, old, at)?.code(5)?.err(&["it is not newer than the last one"])?;
    }
    sends(federation, "eu-1", "eu-1")
}

fn ends_by_itself(federation: &Federation) -> Result<()> {
    let unfit = ["sign", "--route", ROUTE, "unfit", "--for", "6s", "--reason", "a short fire"];
    let file = sign(federation, "unfit.json", &unfit)?;
    send(federation, &file, 0)?.code(0)?;
    sends(federation, "eu-1", INSTEAD)?;
    sends(federation, "eu-1", "eu-1")?;
    wait_for("an override that has run out to be refused", Duration::from_secs(5), || {
        send(federation, &file, 0)?.code(5)?.err(&["ran out"]).map(drop)
    })
}
