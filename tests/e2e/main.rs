//! End to end, on real swarms: each test brings up a federation of its own the way an operator would.
//!
//! They run one at a time (the test group `swarm`), need root and a Docker Engine, and fail without them.

mod adoption;
mod bad_input;
mod closed_registry;
mod disk_full;
mod everyday;
mod kills;
mod outage;
mod overruled;
mod partitions;
mod promotion;
mod quick_start;
mod shares;
mod simulate;
mod stacks;
mod status;
mod steering;
mod telemetry;
mod troubles;

use anyhow::{Result, ensure};
use std::path::PathBuf;
use waggle_tests::bed::federation::{Environment, Federation};
use waggle_tests::bed::image::Registry;
use waggle_tests::bed::{self, Bed, Plot, interrupt};
use waggle_tests::shop::Shop;

/// Brings a federation up, runs the test, and shows the logs of every process when it fails.
fn with_federation(test: impl FnOnce(&mut Federation) -> Result<()>) -> Result<()> {
    with_federation_and(bed::TEST, |_| Ok(((), Vec::new())), |federation, ()| test(federation))
}

/// The same on another plot, with what `prepare` makes on the bed beforehand; it outlives the federation.
fn with_federation_and<T>(
    plot: Plot,
    prepare: impl FnOnce(&Bed) -> Result<(T, Environment)>,
    test: impl FnOnce(&mut Federation, &T) -> Result<()>,
) -> Result<()> {
    interrupt::catch()?;
    let bed = Bed::make(plot)?;
    let (prepared, environment) = prepare(&bed)?;
    let outcome = Federation::start(&bed, &binary(), environment).and_then(|mut federation| {
        let outcome = test(&mut federation, &prepared).and_then(|()| no_error_logged(&federation));
        if outcome.is_err() {
            show_logs(&federation);
        }
        outcome
    });
    drop(bed);
    let left = bed::leftovers(plot);
    ensure!(left.is_empty(), "left behind: {}", left.join(", "));
    outcome
}

fn binary() -> PathBuf {
    let tests = std::env::current_exe().unwrap_or_default();
    // target/<profile>/deps/e2e-… → target/<profile>/waggle
    tests.ancestors().nth(2).unwrap_or(&tests).join("waggle")
}

fn image(federation: &Federation, tag: &str) -> String {
    format!("{}/web:{tag}", Registry::name(&federation.hosts.hub))
}

fn deploy(federation: &Federation, shop: &Shop<'_>) -> Result<String> {
    let file = federation.write_file("shop.yml", &shop.compose())?;
    federation.waggle(&["stack", "deploy", "-c", &file, "shop"])
}

fn processes(federation: &Federation) -> impl Iterator<Item = &bed::process::Process> {
    [&federation.control].into_iter().chain(&federation.agents).chain(&federation.nameservers)
}

/// An ERROR in any log is a failure of the test, whatever else went well.
fn no_error_logged(federation: &Federation) -> Result<()> {
    for process in processes(federation) {
        let text = std::fs::read_to_string(&process.log).unwrap_or_default();
        let found = text.lines().find(|line| line.contains(" ERROR ") || line.contains("panicked at"));
        ensure!(found.is_none(), "{} logged: {}", process.log.display(), found.unwrap_or_default());
    }
    Ok(())
}

fn show_logs(federation: &Federation) {
    for process in processes(federation) {
        eprintln!("---- {} ----\n{}", process.log.display(), process.log_tail(40));
    }
    eprintln!("---- status ----\n{}", federation.waggle(&["status"]).unwrap_or_else(|error| format!("{error:#}")));
}
