//! A deterministic simulation of the whole federation over the behaving fake Engine.
//!
//! Each seed is one history: deploys, failures, cut links and kills in an order of its own. The same seed gives the same
//! history, so a failing one is replayed by `WAGGLE_SEED=n`. `WAGGLE_SEEDS=n` runs that many.

mod cluster;
mod control;
mod invariants;
mod link;
mod loss;
mod nameserver;
mod partition;
mod transition;
mod users;
mod week;
mod world;

use anyhow::{Context, Result, ensure};
use transition::Transition;
use waggle_model::rollout::State;
use world::{CLUSTERS, World};

/// Seeds of a normal run, half of them calm.
const SEEDS: u64 = 200;
/// Transitions per history.
const STEPS: u64 = 12;
/// Longest time between two transitions, in ticks.
const PAUSE_MAX: u64 = 120;
/// Time everything has to come to rest once all is mended, in ticks: ten minutes.
const REST_MAX: u64 = 6000;

/// Even seeds: deploys, drains and kills, but nothing that touches a cluster's tasks or the way to them. No request fails.
#[test]
fn calm_histories_fail_no_request_and_come_to_rest() -> Result<()> {
    histories(true)
}

/// Odd seeds: links are cut and tasks die as well.
#[test]
fn rough_histories_keep_the_invariants_and_come_to_rest() -> Result<()> {
    histories(false)
}

fn histories(calm: bool) -> Result<()> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("WAGGLE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("WAGGLE_SEEDS").unwrap_or(SEEDS),
    };
    let mut requests = 0;
    for seed in seeds.filter(|seed| is_calm(*seed) == calm) {
        requests += history(seed).with_context(|| format!("seed {seed}; replay with WAGGLE_SEED={seed}"))?;
    }
    println!("{requests} simulated requests");
    Ok(())
}

fn is_calm(seed: u64) -> bool {
    seed.is_multiple_of(2)
}

#[test]
fn the_same_seed_gives_the_same_history() -> Result<()> {
    ensure!(history(7)? == history(7)?);
    Ok(())
}

/// Runs one history; the number of requests users made.
fn history(seed: u64) -> Result<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut world = World::new(seed).await?;
        let mut told = Vec::new();
        let outcome = live(&mut world, seed, &mut told).await;
        outcome.with_context(|| format!("history: {told:?}\nrollout: {}", world.control.tell()))?;
        Ok(world.users.iter().map(|user| user.ok + user.failed).sum())
    })
}

async fn live(world: &mut World, seed: u64, told: &mut Vec<(u64, Transition)>) -> Result<()> {
    let calm = is_calm(seed);
    transition::apply(world, Transition::DeployGood(0)).await?;
    world.run(100).await?;
    for _ in 0..STEPS {
        let chosen = transition::choose(world, calm);
        told.push((world.now.0 % 100_000_000, chosen));
        transition::apply(world, chosen).await?;
        let pause = world.random.below(PAUSE_MAX);
        world.run(pause).await?;
        if world.random.chance(40) {
            told.push((world.now.0 % 100_000_000, Transition::HealAll));
            transition::mend(world).await?;
        }
    }
    transition::mend(world).await?;
    comes_to_rest(world).await
}

/// With everything mended, the rollout ends or is held, and every cluster runs what is settled and is answered.
async fn comes_to_rest(world: &mut World) -> Result<()> {
    for cluster in CLUSTERS {
        world.control.readmit(cluster, world.now).await?;
    }
    world.control.resume(world.now).await?;
    let mut left = REST_MAX;
    loop {
        world.run(10).await?;
        left = left.saturating_sub(10);
        let (rested, why) = at_rest(world).await?;
        if rested {
            return Ok(());
        }
        ensure!(left > 0, "not at rest: {why}");
    }
}

async fn at_rest(world: &World) -> Result<(bool, String)> {
    let Some(rollout) = world.control.rollout().await? else { return Ok((false, "no rollout".into())) };
    if !(rollout.state.is_final() || matches!(rollout.state, State::Held { .. })) {
        return Ok((false, format!("the rollout is {:?}", rollout.state)));
    }
    for cluster in &world.clusters {
        let Some(wanted) = world.control.wanted(&cluster.name).await? else { continue };
        let runs = cluster.observed.as_ref().and_then(|observed| observed.stacks.values().next()?.release);
        if runs != Some(wanted) || !cluster.serves().await {
            return Ok((false, format!("{} runs {runs:?} and should run {wanted}", cluster.name)));
        }
    }
    for nameserver in &world.nameservers {
        let routes = nameserver.plan().into_iter().flat_map(|plan| &plan.routes);
        for (_, route) in routes {
            if let Some(out) = route.pool.iter().find(|endpoint| endpoint.drained.is_some()) {
                return Ok((false, format!("{} is still drained: {:?}", out.cluster, out.drained)));
            }
        }
    }
    Ok((true, String::new()))
}
