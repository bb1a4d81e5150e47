//! The `stack` crate against the real `docker` command: what it sends to an Engine on `stack deploy`, what it prints on
//! `stack config`, and what it refuses.
//!
//! Inputs are a corpus of files written by hand, and files generated from seeds: `WAGGLE_SEEDS=n` runs that many, from
//! `WAGGLE_SEEDS_FROM=n` on (0), and `WAGGLE_SEED=n` runs one. With every deviation switched off there must be no difference at all; with them on, the cases
//! of the corpus that name one must show it, and no other case may.
//!
//! A machine without the command cannot run these tests, and they fail there.

mod case;
mod compare;
mod corpus;
mod docker;
mod generate;
mod grammar;
mod ours;
mod run;
mod told;
mod tree;
mod update;

use anyhow::{Result, ensure};
use compare::Difference;
use docker::API_VERSIONS;
use generate::{Generated, generate, pair};
use std::collections::{BTreeMap, BTreeSet};
use update::{Compared, compared};
use waggle_stack::Deviation;

/// Seeds of a normal run: every key several times, in about a minute on two cores.
const SEEDS: u64 = 1200;
/// Pairs of generated cases that are deployed one over the other.
const PAIRS: u64 = 400;
/// Checks spent on making one failing case smaller.
const SHRINK_CHECKS_MAX: usize = 400;
/// Places named for one cause.
const PLACES_MAX: usize = 20;
/// Failing cases that are made smaller and printed, one per cause.
const PRINTED_MAX: usize = 40;

#[test]
fn the_corpus_gives_what_docker_gives() -> Result<()> {
    docker::version()?;
    let entries = corpus::entries()?;
    let found = run::side_by_side(entries.len(), |docker, at| {
        let entry = &entries[at];
        docker.set_out(&entry.case)?;
        let mut found = Vec::new();
        for api_version in API_VERSIONS {
            let theirs = docker.told(&entry.case, api_version)?;
            if theirs.deploy.is_err() != entry.refused {
                found.push(Difference::expected(entry.refused, &theirs));
            }
            let differs = |compat: &[Deviation]| -> Result<Vec<Difference>> {
                let ours = ours::told(&entry.case, &docker.workdir(), &docker.home(), api_version, compat)?;
                Ok(compare::differences(&theirs, &ours))
            };
            found.extend(differs(&Deviation::ALL)?);
            // Those that the case names are what it takes, and each of them.
            found.extend(differs(&entry.deviates)?);
            for deviation in &entry.deviates {
                let others: Vec<Deviation> =
                    entry.deviates.iter().copied().filter(|other| other != deviation).collect();
                if differs(&others)?.is_empty() {
                    found.push(Difference::not_seen(*deviation));
                }
            }
        }
        Ok(found)
    })?;
    let mut table = BTreeMap::new();
    for (at, differences) in found {
        for difference in differences {
            let entry = &entries[at];
            table.entry(difference.cause.clone()).or_insert_with(Vec::new).push((entry.name.clone(), difference));
        }
    }
    report(&table)
}

#[test]
fn generated_files_give_what_docker_gives() -> Result<()> {
    docker::version()?;
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let one = number("WAGGLE_SEED");
    let seeds: Vec<u64> = match one {
        Some(seed) => vec![seed],
        None => {
            let from = number("WAGGLE_SEEDS_FROM").unwrap_or(0);
            (from..from.saturating_add(number("WAGGLE_SEEDS").unwrap_or(SEEDS))).collect()
        }
    };
    let hit: BTreeSet<&str> = seeds.iter().flat_map(|seed| generate(*seed).hit).collect();
    let missed: Vec<&str> = grammar::KEYS.iter().map(|key| key.path).filter(|path| !hit.contains(path)).collect();
    ensure!(one.is_some() || missed.is_empty(), "no seed has these keys: {missed:?}");

    let found = run::side_by_side(seeds.len(), |docker, at| check(docker, &generate(seeds[at]), seeds[at]))?;
    let mut table = BTreeMap::new();
    for (at, differences) in &found {
        for difference in differences {
            let seeds_of = table.entry(difference.cause.clone()).or_insert_with(Vec::new);
            seeds_of.push((format!("seed {}", seeds[*at]), difference.clone()));
        }
    }
    println!(
        "{} generated cases, {} with a difference",
        seeds.len(),
        found.iter().filter(|(_, d)| !d.is_empty()).count()
    );
    let causes: Vec<(&String, &Vec<(String, Difference)>)> = table.iter().take(PRINTED_MAX).collect();
    let smallest = run::side_by_side(causes.len(), |docker, at| {
        let (cause, seeds_of) = causes[at];
        let seed = seeds_of[0].0.trim_start_matches("seed ").parse()?;
        shrink(docker, generate(seed), seed, cause)
    })?;
    for (at, (smallest, difference)) in &smallest {
        println!(
            "=== {} of {} seeds, e.g. {}\n{}{difference}\n",
            causes[*at].1.len(),
            seeds.len(),
            causes[*at].1[0].0,
            smallest.case().show()
        );
    }
    report(&table)
}

#[test]
fn a_second_deployment_writes_what_docker_writes() -> Result<()> {
    docker::version()?;
    let entries: Vec<corpus::Entry> = corpus::entries()?.into_iter().filter(|entry| !entry.refused).collect();
    let of_corpus = run::side_by_side(entries.len(), |docker, at| {
        let case = &entries[at].case;
        compared(docker, case, case, API_VERSIONS[at % 2])
    })?;
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let from = number("WAGGLE_SEEDS_FROM").unwrap_or(0);
    let pairs = number("WAGGLE_PAIRS").unwrap_or(PAIRS);
    let of_pairs = run::side_by_side(pairs as usize, |docker, at| {
        let seed = from.saturating_add(at as u64);
        let (first, second) = pair(seed);
        compared(docker, &first.case(), &second.case(), API_VERSIONS[(seed % 2) as usize])
    })?;
    let (mut table, mut counts) = (BTreeMap::new(), BTreeMap::new());
    let places = |at: usize| format!("seed {}", from.saturating_add(at as u64));
    let all = of_corpus.into_iter().map(|(at, one)| (entries[at].name.clone(), one));
    for (place, one) in all.chain(of_pairs.into_iter().map(|(at, one)| (places(at), one))) {
        match one {
            Compared::Passed(why) => *counts.entry(why).or_insert(0_u64) += 1,
            Compared::Found(found) => {
                *counts.entry("compared").or_insert(0_u64) += 1;
                for difference in found {
                    let of_cause = table.entry(difference.cause.clone()).or_insert_with(Vec::new);
                    of_cause.push((place.clone(), difference));
                }
            }
        }
    }
    println!("second deployments: {counts:?}");
    ensure!(counts.get("compared") >= Some(&(pairs / 4)), "too few could be compared: {counts:?}");
    report(&table)
}

fn check(docker: &docker::Docker, generated: &Generated, seed: u64) -> Result<Vec<Difference>> {
    let case = generated.case();
    docker.set_out(&case)?;
    let api_version = API_VERSIONS[(seed % 2) as usize];
    let theirs = docker.told(&case, api_version)?;
    let ours = ours::told(&case, &docker.workdir(), &docker.home(), api_version, &Deviation::ALL)?;
    Ok(compare::differences(&theirs, &ours))
}

/// The smallest case found that still has a difference of this cause.
fn shrink(docker: &docker::Docker, mut case: Generated, seed: u64, cause: &str) -> Result<(Generated, Difference)> {
    let of = |all: Vec<Difference>| all.into_iter().find(|difference| difference.cause == cause);
    let Some(mut kept) = of(check(docker, &case, seed)?) else {
        anyhow::bail!("seed {seed} gives {cause:?} only sometimes");
    };
    let mut checks = 0;
    'smaller: loop {
        for smaller in case.smaller() {
            checks += 1;
            if checks > SHRINK_CHECKS_MAX {
                return Ok((case, kept));
            }
            if let Some(difference) = of(check(docker, &smaller, seed)?) {
                (case, kept) = (smaller, difference);
                continue 'smaller;
            }
        }
        return Ok((case, kept));
    }
}

/// Prints the causes with their counts; fails if there is one.
fn report(table: &BTreeMap<String, Vec<(String, Difference)>>) -> Result<()> {
    for (cause, all) in table {
        let places: BTreeSet<&str> = all.iter().map(|(place, _)| place.as_str()).take(PLACES_MAX).collect();
        let places = places.into_iter().collect::<Vec<_>>().join(", ");
        println!("{:5}  {cause}\n       in {places}\n{}", all.len(), all[0].1);
    }
    ensure!(table.is_empty(), "{} differences from docker: {:#?}", table.len(), table.keys());
    Ok(())
}
