//! Measurements beside the named peers, in one run, printed as ratios. Not tests: a slow machine fails none of them.

mod deploy;
mod loss;
mod nameservers;

use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "\
usage: bench deploy [ROUNDS]                      one stack to three swarms, beside docker
       bench dns [SECONDS [ROUNDS [ROW...]]]      processor time per query, beside other nameservers
       bench failover [TRIALS [BREAK...]]         from a loss to the first other answer, beside gdnsd
       bench load ADDRESS:PORT FILE SECONDS [RATE]  only the load: raw queries, two octets of length before each";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// False: the arguments make no sense.
fn run(words: &[&str]) -> Result<bool> {
    match words {
        ["deploy"] => deploy::run(3)?,
        ["deploy", rounds] => deploy::run(count(rounds)?)?,
        ["dns"] => nameservers::run(2, 3, &[])?,
        ["dns", seconds] => nameservers::run(count(seconds)? as u64, 3, &[])?,
        ["dns", seconds, rounds, rows @ ..] => nameservers::run(count(seconds)? as u64, count(rounds)?, rows)?,
        ["failover"] => loss::run(10, &[])?,
        ["failover", trials, breaks @ ..] => loss::run(count(trials)?, breaks)?,
        ["load", server, file, seconds] => load(server, file, count(seconds)?, None)?,
        ["load", server, file, seconds, rate] => load(server, file, count(seconds)?, Some(rate.parse()?))?,
        ["hickory", port, zone] => nameservers::peer::hickory::serve(port.parse()?, Path::new(zone))?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn count(text: &str) -> Result<usize> {
    match text.parse() {
        Ok(count @ 1..=100) => Ok(count),
        _ => bail!("{text:?} is no number from 1 to 100"),
    }
}

fn load(server: &str, file: &str, seconds: usize, rate: Option<u64>) -> Result<()> {
    let server = server.parse().with_context(|| format!("{server:?} is no ADDRESS:PORT"))?;
    let file = std::fs::read(file).with_context(|| format!("cannot read {file}"))?;
    let queries = nameservers::queries::split(&file)?;
    let time = Duration::from_secs(seconds as u64);
    let mut seen = nameservers::from_other_processor(server, &queries, rate, time)?;
    let rate = seen.replies as f64 / seen.elapsed.as_secs_f64();
    println!("{rate:.0} replies/s, {} of {} lost, {} with errors", seen.lost, seen.sent, seen.errors);
    println!("latency: p50 {} us, p99 {} us", seen.percentile(0.5), seen.percentile(0.99));
    Ok(())
}
