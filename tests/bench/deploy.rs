//! One stack to three swarms by Waggle, beside `docker stack deploy --detach=false` of the same file to one swarm, and to
//! all three one after another as it is done by hand. Rounds are interleaved; each starts from empty swarms.

use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use waggle_tests::bed::engine::Engine;
use waggle_tests::bed::federation::{Federation, REGIONS};
use waggle_tests::bed::image::Registry;
use waggle_tests::bed::{self, Bed, PATIENCE, interrupt, wait_for};

/// Services of the stack.
const SERVICES: usize = 2;

#[derive(Default)]
struct Times {
    docker_one: Vec<Duration>,
    docker_three: Vec<Duration>,
    waggle: Vec<Duration>,
}

pub fn run(rounds: usize) -> Result<()> {
    interrupt::catch()?;
    let bed = Bed::make(bed::DEMO)?;
    let federation = Federation::start(&bed, &binary()?, Vec::new())?;
    let image = format!("{}/web:v1", Registry::name(&federation.hosts.hub));
    let file = federation.write_file("bench.yml", &compose(&image))?;
    let mut times = Times::default();
    println!("{SERVICES} services, {} swarms, {rounds} rounds; seconds", REGIONS.len());
    println!("{:>6} {:>22} {:>22} {:>22}", "round", "docker, one swarm", "docker, all by hand", "waggle, all swarms");
    for round in 1..=rounds {
        let began = Instant::now();
        for (at, engine) in federation.engines.iter().enumerate() {
            engine.docker(&["stack", "deploy", "--detach=false", "-c", &file, "bench"])?;
            if at == 0 {
                times.docker_one.push(began.elapsed());
            }
        }
        times.docker_three.push(began.elapsed());
        for engine in &federation.engines {
            engine.docker(&["stack", "rm", "bench"])?;
        }
        all_empty(&federation)?;

        let began = Instant::now();
        federation.waggle(&["stack", "deploy", "-c", &file, "bench"])?;
        times.waggle.push(began.elapsed());
        all_running(&federation)?;
        federation.waggle(&["stack", "rm", "bench"])?;
        all_empty(&federation)?;
        let last = |times: &[Duration]| times.last().copied().unwrap_or_default().as_secs_f64();
        let (one, three, ours) = (last(&times.docker_one), last(&times.docker_three), last(&times.waggle));
        println!("{round:>6} {one:>22.2} {three:>22.2} {ours:>22.2}");
    }
    let (one, three, ours) = (median(times.docker_one), median(times.docker_three), median(times.waggle));
    println!("{:>6} {one:>22.2} {three:>22.2} {ours:>22.2}", "median");
    println!("\nwaggle, three swarms / docker, one swarm     {:.2}   (goal: at most 1.0)", ours / one);
    println!("waggle, three swarms / docker, all by hand   {:.2}", ours / three);
    Ok(())
}

fn binary() -> Result<PathBuf> {
    let binary = std::env::current_exe()?.with_file_name("waggle");
    ensure!(binary.exists(), "{} is missing; run tests/bench/deploy, which builds it", binary.display());
    Ok(binary)
}

/// Swarm's own times everywhere: neither side is told to watch for less.
fn compose(image: &str) -> String {
    let mut text = String::from("version: \"3.8\"\nservices:\n");
    for at in 0..SERVICES {
        text += &format!(
            "  web{at}:\n    image: {image}\n    command: [\"/bin/sleep\", \"100000\"]\n    stop_signal: SIGKILL\n    deploy: \
             {{endpoint_mode: dnsrr, replicas: 2}}\n"
        );
    }
    text + "x-waggle:\n  promotion: {max_parallel: 3, strategy: in_place}\n"
}

fn all_running(federation: &Federation) -> Result<()> {
    for engine in &federation.engines {
        let replicas = engine.docker(&["service", "ls", "--format", "{{.Replicas}}"])?;
        let running = replicas.lines().filter(|line| *line == "2/2").count();
        ensure!(running == SERVICES, "{} runs {replicas}", engine.host.name);
    }
    Ok(())
}

/// No service, task container or network of the stack is left, so that each round starts alike.
fn all_empty(federation: &Federation) -> Result<()> {
    let empty = |engine: &Engine| -> Result<()> {
        let services = engine.docker(&["service", "ls", "-q"])?;
        let containers = engine.docker(&["ps", "-aq"])?;
        let networks = engine.docker(&["network", "ls", "-q", "--filter", "name=bench_"])?;
        ensure!(services.trim().is_empty() && containers.trim().is_empty() && networks.trim().is_empty());
        Ok(())
    };
    for engine in &federation.engines {
        wait_for(&format!("{} to be empty", engine.host.name), PATIENCE * 2, || empty(engine))?;
    }
    wait_for("the stack to be forgotten", PATIENCE * 2, || {
        let stacks = federation.waggle_json(&["stack", "ls"])?;
        ensure!(stacks.as_array().context("a list")?.is_empty(), "{stacks}");
        Ok(())
    })
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default().as_secs_f64()
}
