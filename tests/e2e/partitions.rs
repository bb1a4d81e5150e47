//! Links cut in one direction or both, on real swarms: what clients of each region get meanwhile is what the simulation
//! wrote down for these cuts (`tests/sim/partitions/one_cluster.txt`), and all is as before once the links are back.
//!
//! The simulation runs every set of cuts. Here are those in which sockets that still send, connections that hang half open
//! and resent segments could make a difference.

use crate::{deploy, image, with_federation};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::time::{Duration, Instant};
use waggle_tests::bed::federation::{Federation, PEER_PORT, REGIONS};
use waggle_tests::bed::{PATIENCE, wait_for};
use waggle_tests::http_client;
use waggle_tests::shop::Shop;

const WRITTEN: &str = include_str!("../sim/partitions/one_cluster.txt");
/// The clusters that the simulation calls a, b and c. Clients of the first one prefer the second if they must leave.
const LETTERS: [(&str, char); 3] = [("eu-1", 'a'), ("ap-1", 'b'), ("us-1", 'c')];
const VICTIM: &str = "eu-1";
/// What clients near a, b and c get at ns1 and ns2 while nothing is cut.
const WHOLE: &str = "abc/abc";
/// Answers are watched for so long after they became what they should be: longer than any silence that is waited for.
const WATCHED: Duration = Duration::from_secs(3);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// Longest time for answers to become what they should.
const MOVED: Duration = Duration::from_secs(5);
/// Connections that hung come back when a segment is sent again: after twice the time that the cut lasted, at most.
const CALM: Duration = Duration::from_secs(45);
/// Returning is not the subject, and every case makes clusters return.
const HEALTH: &str = "health: {hold_down: 200ms, hold_down_max: 200ms, ramp: 0s}\n";

#[test]
fn cut_links_are_answered_as_the_simulation_says() -> Result<()> {
    with_federation(|federation| {
        federation.apply(&(federation.document() + HEALTH))?;
        deploy(federation, &Shop::good(&image(federation, "v1")))?;
        calm(federation)?;
        for cut in [
            "a beat>1",
            "a beat>1 beat>2",
            "a 1>probe",
            "a beat>1 1>probe",
            "a 1>probe 2>probe",
            "a 1>probe, view 1>2, view 2>1",
        ] {
            one_way(federation, cut).with_context(|| cut.to_owned())?;
        }
        nameservers_apart(federation).context("both nameservers apart while a cluster dies")?;
        blind(federation).context("a nameserver that no cluster reaches")?;
        nothing_left(federation).context("all clusters lost at once")?;
        without_control(federation).context("control cut off while a cluster dies")
    })
}

/// Packets are lost at the nameservers, on their way in: what they send still arrives.
fn one_way(federation: &Federation, cut: &str) -> Result<()> {
    let expected = written(cut)?;
    let lost = |at: usize| -> Result<Vec<String>> {
        let words = cut.split([' ', ',']).filter(|word| !word.is_empty()).collect::<Vec<_>>();
        let (me, other) = (at + 1, 2 - at);
        let victim = federation.hosts.region(VICTIM)?.address;
        let peer = federation.hosts.nameservers[other - 1].address;
        let all = [
            (format!("beat>{me}"), format!("ip saddr {victim} tcp dport {PEER_PORT}")),
            (format!("{me}>probe"), format!("ip saddr {victim} tcp sport 80")),
            (format!("{other}>{me}"), format!("ip saddr {peer} tcp dport {PEER_PORT}")),
        ];
        Ok(all.into_iter().filter(|(name, _)| words.contains(&name.as_str())).map(|(_, rule)| rule).collect())
    };
    for (at, host) in federation.hosts.nameservers.iter().enumerate() {
        host.lose(&lost(at)?)?;
    }
    stays(federation, expected)?;
    mend(federation)
}

/// Neither hears the other, and each finds out by itself.
fn nameservers_apart(federation: &Federation) -> Result<()> {
    let apart = written("a beat>1 beat>2 1>probe 2>probe, view 1>2, view 2>1")?;
    let [one, two] = &federation.hosts.nameservers[..] else { anyhow::bail!("two nameservers are needed") };
    one.lose(&[format!("ip saddr {}", two.address)])?;
    two.lose(&[format!("ip saddr {}", one.address)])?;
    stays(federation, WHOLE)?;
    federation.hosts.region(VICTIM)?.cut()?;
    stays(federation, apart)?;
    mend(federation)
}

/// Only its clients reach ns1. It suspects itself and answers as before; as soon as it hears the other nameserver again, it
/// goes by what that one sees.
fn blind(federation: &Federation) -> Result<()> {
    let [one, two] = &federation.hosts.nameservers[..] else { anyhow::bail!("two nameservers are needed") };
    let clusters: Vec<String> =
        federation.hosts.regions.iter().map(|host| format!("ip saddr {}", host.address)).collect();
    let all = [&clusters[..], &[format!("ip saddr {}", two.address)]].concat();
    one.lose(&all)?;
    stays(federation, WHOLE)?;
    federation.hosts.region(VICTIM)?.cut()?;
    // What ns2 sees it cannot know.
    stays(federation, "abc/bbc")?;
    one.lose(&clusters)?;
    becomes(federation, "bbc/bbc", CALM)?;
    stays(federation, "bbc/bbc")?;
    mend(federation)
}

/// Both nameservers see all fail and agree: clusters go on being answered, for nobody is helped by none.
fn nothing_left(federation: &Federation) -> Result<()> {
    for host in &federation.hosts.regions {
        host.cut()?;
    }
    let since = Instant::now();
    while since.elapsed() < WATCHED {
        answers(federation).with_context(|| format!("{:.1?} after the last cut", since.elapsed()))?;
        std::thread::sleep(LOOK);
    }
    for host in &federation.hosts.regions {
        host.heal()?;
    }
    mend(federation)
}

/// Nameservers and agents do it alone, and also bring the cluster back.
fn without_control(federation: &Federation) -> Result<()> {
    let lost = written("a beat>1 beat>2 1>probe 2>probe")?;
    let victim = federation.hosts.region(VICTIM)?;
    federation.hosts.control.cut()?;
    stays(federation, WHOLE)?;
    victim.cut()?;
    stays(federation, lost)?;
    victim.heal()?;
    becomes(federation, WHOLE, PATIENCE)?;
    federation.hosts.control.heal()?;
    federation.wait_connected()?;
    mend(federation)
}

/// What the simulation wrote down for a set of cut links.
fn written(cut: &str) -> Result<&'static str> {
    let found = WRITTEN.lines().find_map(|line| line.strip_prefix(cut)?.strip_prefix(": "));
    found.with_context(|| format!("no line for {cut:?}"))
}

fn answers(federation: &Federation) -> Result<String> {
    let mut text = String::new();
    for at in 0..federation.nameservers.len() {
        text += if at > 0 { "/" } else { "" };
        for (region, _) in LETTERS {
            let got = federation.region_for(at, region)?;
            let letter = LETTERS.iter().find(|(name, _)| *name == got).context("a region")?;
            text.push(letter.1);
        }
    }
    Ok(text)
}

fn becomes(federation: &Federation, expected: &str, patience: Duration) -> Result<()> {
    wait_for(&format!("answers {expected}"), patience, || {
        let got = answers(federation)?;
        ensure!(got == expected, "answers are {got}");
        Ok(())
    })
}

/// Answers become so and then are always so.
fn stays(federation: &Federation, expected: &str) -> Result<()> {
    becomes(federation, expected, MOVED)?;
    let since = Instant::now();
    while since.elapsed() < WATCHED {
        let (got, when) = (answers(federation)?, since.elapsed());
        ensure!(got == expected, "answers were {expected} and are {got}, {when:.1?} later");
        std::thread::sleep(LOOK);
    }
    Ok(())
}

fn mend(federation: &Federation) -> Result<()> {
    for host in &federation.hosts.nameservers {
        host.lose(&[])?;
    }
    federation.hosts.region(VICTIM)?.heal()?;
    calm(federation)
}

/// Everybody is sent to their own region, every observer sees and hears everything.
fn calm(federation: &Federation) -> Result<()> {
    becomes(federation, WHOLE, CALM)?;
    wait_for("agents to be heard and all to be seen", CALM, || {
        let told = federation.waggle_json(&["nameserver", "ls"])?;
        let nameservers = told.as_array().context("nameservers")?;
        let verdicts: Vec<&Value> = nameservers.iter().filter_map(|one| one["verdicts"].as_array()).flatten().collect();
        ensure!(verdicts.len() == 2 * REGIONS.len(), "{} verdicts", verdicts.len());
        // A release is named as long as its agent is heard.
        let good = |one: &&&Value| one["verdict"] == "fit" && one["probe_up"] == true && one["release"].is_string();
        let bad = verdicts.iter().find(|one| !good(one));
        ensure!(bad.is_none(), "not calm: {bad:?}");
        Ok(())
    })?;
    for at in 0..federation.nameservers.len() {
        let before = views(federation, at)?;
        wait_for("a view of the other nameserver", CALM, || {
            ensure!(views(federation, at)? > before, "ns{} hears nothing", at + 1);
            Ok(())
        })?;
    }
    becomes(federation, WHOLE, MOVED)
}

/// Views that a nameserver has taken.
fn views(federation: &Federation, at: usize) -> Result<u64> {
    let metrics = http_client::get(federation.nameserver_status(at), "ns", "/metrics", Duration::from_secs(2))?;
    let counter = "waggle_messages_received_total{kind=\"view\",outcome=\"taken\"} ";
    let line = metrics.lines().find_map(|line| line.strip_prefix(counter));
    Ok(line.context("a count of views")?.parse()?)
}
