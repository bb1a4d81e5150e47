//! The demo: a federation of three real swarms on this machine, and what it is for, shown with figures.
//!
//! `deploy/demo` installs, builds and runs this; `--keep` leaves the federation running.

use anyhow::{Result, bail, ensure};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use waggle_tests::bed::federation::{Federation, REGIONS, ROUTE, ZONE};
use waggle_tests::bed::image::Registry;
use waggle_tests::bed::{self, Bed, interrupt, wait_for};
use waggle_tests::shop::Shop;
use waggle_tests::steady_client::{SteadyClient, Tally};

fn main() -> ExitCode {
    let keep = std::env::args().skip(1).any(|argument| argument == "--keep");
    let outcome = interrupt::catch().and_then(|()| run(keep));
    let left = if keep { Vec::new() } else { bed::leftovers(bed::DEMO) };
    match outcome {
        Ok(figures) if left.is_empty() => {
            println!("\nfigures");
            for (what, figure) in figures.0 {
                println!("  {what:<58} {figure}");
            }
            println!("\ndemo: ok");
            ExitCode::SUCCESS
        }
        Ok(_) => {
            eprintln!("demo: failed: left behind: {}", left.join(", "));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("demo: failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Default)]
struct Figures(Vec<(String, String)>);

impl Figures {
    fn add(&mut self, what: &str, figure: impl std::fmt::Display) {
        println!("    {what}: {figure}");
        self.0.push((what.to_owned(), figure.to_string()));
    }
}

fn run(keep: bool) -> Result<Figures> {
    let mut figures = Figures::default();
    let start = Instant::now();
    step("three one-node swarms, a registry, control, three agents, two nameservers, a resolver");
    let mut bed = Bed::make(bed::DEMO)?;
    if keep {
        bed.keep();
    }
    let binary = binary()?;
    let mut federation = Federation::start(&bed, &binary, Vec::new())?;
    figures.add("federation up", seconds(start.elapsed()));

    deploy_everywhere(&federation, &mut figures)?;
    let client = federation.client();
    update(&federation, &client, &mut figures)?;
    bad_update(&federation, &client, &mut figures)?;
    cut_region(&federation, &mut figures)?;
    control_dies(&mut federation, &mut figures)?;
    let tally = client.take();
    figures.add("requests over both outages", format!("{} failed of {}", tally.failed, tally.ok + tally.failed));
    drop(client);
    figures.add("whole demo", seconds(start.elapsed()));
    if keep {
        print_what_to_try(&federation);
        keep_processes(federation);
    }
    Ok(figures)
}

fn deploy_everywhere(federation: &Federation, figures: &mut Figures) -> Result<()> {
    step("deploy v1 everywhere");
    let start = Instant::now();
    let image = format!("{}/web:v1", Registry::name(&federation.hosts.hub));
    deploy(federation, &Shop::good(&image))?;
    figures.add("v1 deployed to three clusters", seconds(start.elapsed()));
    for (region, _, [a, b, c]) in REGIONS {
        wait_for("each client network to get its region", bed::PATIENCE, || {
            for nameserver in 0..2 {
                let got = federation.region_for(nameserver, region)?;
                ensure!(got == region, "clients of {region} get {got}");
            }
            Ok(())
        })?;
        let answer = federation.ask_from(0, region)?;
        let scope = answer.scope.map_or("none".to_owned(), |scope| format!("/{scope}"));
        figures.add(
            &format!("clients in {a}.{b}.{c}.0/24 get"),
            format!("{region} (scope {scope}, TTL {} s)", answer.ttl),
        );
    }
    Ok(())
}

fn update(federation: &Federation, client: &SteadyClient, figures: &mut Figures) -> Result<()> {
    step("deploy v2, region by region, under a client that honours TTLs");
    let start = Instant::now();
    let image = format!("{}/web:v2", Registry::name(&federation.hosts.hub));
    deploy(federation, &Shop::good(&image))?;
    figures.add("v2 deployed to three clusters", seconds(start.elapsed()));
    wait_for("the client to see v2", bed::PATIENCE, || {
        ensure!(client.tally().bodies.contains_key("v2"), "only {:?}", client.tally().bodies);
        Ok(())
    })?;
    report_client(client.take(), "update to v2", figures)
}

fn bad_update(federation: &Federation, client: &SteadyClient, figures: &mut Figures) -> Result<()> {
    step("deploy a bad v3 (its health check fails): held and reverted");
    let start = Instant::now();
    let image = format!("{}/web:v3", Registry::name(&federation.hosts.hub));
    let Err(refusal) = deploy(federation, &Shop::bad(&image)) else { bail!("a bad release was rolled out") };
    let last = refusal.to_string();
    println!("    {}", last.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim());
    wait_for("the failed cluster to serve v2 again", bed::PATIENCE * 6, || {
        let view = federation.waggle_json(&["rollout", "show", "shop"])?;
        let steps = view["rollout"]["clusters"].to_string();
        ensure!(steps.contains("reverted"), "{steps}");
        Ok(())
    })?;
    figures.add("bad v3 held and reverted", seconds(start.elapsed()));
    for (at, host) in federation.hosts.regions.iter().enumerate() {
        let image = federation.engines[at].docker(&[
            "service",
            "inspect",
            "shop_web",
            "-f",
            "{{.Spec.TaskTemplate.ContainerSpec.Image}}",
        ])?;
        ensure!(image.contains("web:v2@sha256:"), "{} runs {image}", host.name);
    }
    report_client(client.take(), "bad update", figures)
}

fn cut_region(federation: &Federation, figures: &mut Figures) -> Result<()> {
    step("the link of eu-1 is cut");
    let region = federation.hosts.region("eu-1")?;
    let start = Instant::now();
    region.cut()?;
    let moved = wait_moved(federation, "eu-1")?;
    figures.add("eu-1 cut: answers changed after", format!("{} (now {moved})", seconds(start.elapsed())));

    step("the link is healed");
    let start = Instant::now();
    region.heal()?;
    wait_back(federation, "eu-1")?;
    figures.add("eu-1 healed: readmitted after", seconds(start.elapsed()));
    Ok(())
}

fn control_dies(federation: &mut Federation, figures: &mut Figures) -> Result<()> {
    step("control is killed with -9, then the link of us-1 is cut");
    let before = federation.waggle_json(&["release", "ls"])?;
    federation.control.kill()?;
    let region = federation.hosts.region("us-1")?.clone();
    let start = Instant::now();
    region.cut()?;
    let moved = wait_moved(federation, "us-1")?;
    figures
        .add("us-1 cut without control: answers changed after", format!("{} (now {moved})", seconds(start.elapsed())));

    step("control is back, the link is healed");
    let start = Instant::now();
    federation.restart_control()?;
    region.heal()?;
    federation.wait_connected()?;
    wait_back(federation, "us-1")?;
    ensure!(federation.waggle_json(&["release", "ls"])? == before, "control's state changed over the kill");
    figures.add("control back with its state, us-1 readmitted after", seconds(start.elapsed()));
    Ok(())
}

/// Both nameservers send the clients of `region` somewhere else; where to.
fn wait_moved(federation: &Federation, region: &str) -> Result<String> {
    wait_for("the answers to change", bed::PATIENCE, || {
        let (first, second) = (federation.region_for(0, region)?, federation.region_for(1, region)?);
        ensure!(first != region && second != region, "still {region}");
        Ok(first)
    })
}

fn wait_back(federation: &Federation, region: &str) -> Result<()> {
    wait_for("the region to be readmitted", bed::PATIENCE, || {
        for nameserver in 0..2 {
            let got = federation.region_for(nameserver, region)?;
            ensure!(got == region, "clients of {region} get {got}");
        }
        Ok(())
    })
}

fn deploy(federation: &Federation, shop: &Shop<'_>) -> Result<()> {
    interrupt::check()?;
    let file = federation.write_file("shop.yml", &shop.compose())?;
    federation.waggle(&["stack", "deploy", "-c", &file, "shop"])?;
    Ok(())
}

fn report_client(tally: Tally, what: &str, figures: &mut Figures) -> Result<()> {
    let text = format!("{} failed of {}", tally.failed, tally.ok + tally.failed);
    figures.add(&format!("requests during the {what}"), text);
    ensure!(tally.failed == 0, "failed requests during the {what}: {}", tally.reasons.join("; "));
    ensure!(tally.ok > 0, "the client made no request during the {what}");
    Ok(())
}

fn print_what_to_try(federation: &Federation) {
    let (home, binary) = (federation.hosts.plot.dir(), std::env::current_exe().unwrap_or_default());
    let waggle = format!("HOME={} {}", home.display(), binary.with_file_name("waggle").display());
    let nameserver = federation.hosts.nameservers[0].address;
    println!("\nleft running; try");
    println!("  {waggle} status");
    println!("  {waggle} why {ROUTE} --client 198.51.100.7");
    println!("  {waggle} cluster drain eu-1 --reason maintenance");
    println!("  dig @{nameserver} {ROUTE} +subnet=198.51.100.0/24");
    println!("  docker -H {} service ls", federation.engines[0].endpoint());
    println!("the next run of deploy/demo removes it, in the zone {ZONE} and all");
}

fn keep_processes(federation: Federation) {
    // Dropping would stop them.
    std::mem::forget(federation);
}

fn binary() -> Result<PathBuf> {
    let binary = std::env::current_exe()?.with_file_name("waggle");
    ensure!(binary.exists(), "{} is missing; build it with `cargo build --release -p waggle`", binary.display());
    Ok(binary)
}

fn step(what: &str) {
    println!("\n==> {what}");
}

fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}
