//! A week without control: it dies in the first minute, and everything else goes on failing and coming back.
//!
//! Clusters are cut off and return, tasks die, agents and nameservers are killed and start again from what they have on
//! disk, one nameserver at a time or both. Soon after each trouble no user fails any more, and once it is mended every user
//! is back at his own cluster. Hours in which nothing happens are leapt over. After the week control starts again, and a new
//! release goes out as if nothing had been.
//!
//! That certificates last for the week is not part of this: there is no TLS here; see the tests of control's authority.

use crate::link::Place;
use crate::transition::{self, Transition};
use crate::world::{CLUSTERS, ROUTE, TICK_MS, World};
use crate::{at_rest, comes_to_rest};
use anyhow::{Result, ensure};
use std::net::IpAddr;
use std::time::Duration;

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
/// Troubles, one after the other.
const TROUBLES: u32 = 84;
/// Ticks in which users may fail after trouble began: seen by probes, out of caches.
const NOTICED: u64 = 150;
/// Ticks that trouble goes on for.
const GOES_ON: u64 = 200;
/// Ticks until all is as before: hold-downs and ramps included.
const MENDED: u64 = 900;

#[test]
fn a_week_without_control_hurts_nobody_for_long() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut world = World::new(7).await?;
        transition::apply(&mut world, Transition::DeployGood(0)).await?;
        while !at_rest(&world).await?.0 {
            world.run(10).await?;
        }
        // Clusters have all of their clients before anything is compared.
        world.run(MENDED).await?;
        transition::apply(&mut world, Transition::KillControl).await?;
        world.hurt = true;
        let (began, homes) = (world.now, answers(&world)?);
        for number in 0..TROUBLES {
            let due = began.after(WEEK / TROUBLES * number);
            if due > world.now {
                world.leap(due.since(world.now));
            }
            let told = trouble(&mut world, &homes).await;
            told.map_err(|error| {
                error.context(format!("trouble {number}, {} h in", due.since(began).as_secs() / 3600))
            })?;
        }
        world.leap(began.after(WEEK).since(world.now));
        world.run(100).await?;
        ensure!(answers(&world)? == homes, "after a week: {:?}, before it {homes:?}", answers(&world)?);
        transition::mend(&mut world).await?;
        world.run(50).await?;
        transition::apply(&mut world, Transition::DeployGood(1)).await?;
        comes_to_rest(&mut world).await
    })
}

/// One trouble, or two at once, from its beginning until all is as before.
async fn trouble(world: &mut World, homes: &[Option<IpAddr>]) -> Result<()> {
    let mut told = Vec::new();
    for _ in 0..=u64::from(world.random.chance(30)) {
        let both = world.random.chance(10);
        let chosen = if both { None } else { Some(choose(world)) };
        match chosen {
            Some(chosen) => transition::apply(world, chosen).await?,
            None => world.nameservers.iter_mut().for_each(|nameserver| nameserver.kill()),
        }
        told.push(chosen);
    }
    // Nobody can resolve while both nameservers are down; they start from disk within seconds.
    world.run(20).await?;
    let now = world.now;
    if world.nameservers.iter().all(|nameserver| !nameserver.up) {
        world.nameservers.iter_mut().try_for_each(|nameserver| nameserver.start(now))?;
    }
    world.run(NOTICED).await?;
    let failed = |world: &World| world.users.iter().map(|user| user.failed).sum::<u64>();
    let before = failed(world);
    world.run(GOES_ON).await?;
    let why = world.users.iter().map(|user| user.why.as_str()).collect::<Vec<_>>().join("; ");
    ensure!(failed(world) == before, "{told:?} still hurts after {} s: {why}", (NOTICED + 20) * TICK_MS / 1000);
    world.links.heal();
    let now = world.now;
    for cluster in world.clusters.iter_mut().filter(|cluster| !cluster.agent_up) {
        cluster.start_agent(now);
    }
    for nameserver in world.nameservers.iter_mut().filter(|nameserver| !nameserver.up) {
        nameserver.start(now)?;
    }
    world.run(MENDED).await?;
    ensure!(answers(world)? == homes, "{told:?} was mended, but users get {:?} instead of {homes:?}", answers(world)?);
    Ok(())
}

/// Anything that needs no control.
fn choose(world: &mut World) -> Transition {
    use Transition::*;
    let cut_off = (0..CLUSTERS.len()).filter(|at| !world.links.connects(Place::Users, Place::Cluster(*at))).count();
    loop {
        let chosen = transition::choose(world, false);
        match chosen {
            // One cluster at least must be left to go to.
            Isolate(_) | KillTask(_) if cut_off >= CLUSTERS.len() - 1 => {}
            KillAgent(_) | KillNameserver(_) | Cut(..) | Isolate(_) | KillTask(_) | Wait => return chosen,
            DeployGood(_) | DeployBad(_) | Pause | Resume | Abort => {}
            Drain(_) | Readmit(_) | KillControl | HealAll => {}
        }
    }
}

/// What each user gets at each nameserver.
fn answers(world: &World) -> Result<Vec<Option<IpAddr>>> {
    let mut all = Vec::new();
    for nameserver in &world.nameservers {
        for user in &world.users {
            all.push(nameserver.ask(ROUTE, user.subnet, world.now)?.map(|(address, _)| address));
        }
    }
    Ok(all)
}
