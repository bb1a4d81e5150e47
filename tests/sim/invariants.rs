//! What must hold after every tick, whatever was cut or killed.

use crate::world::{ROUTE, World};
use anyhow::{Result, ensure};
use std::collections::BTreeMap;

/// What was seen before, to compare with.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    generations: BTreeMap<String, u64>,
    releases: u64,
}

pub async fn check(world: &mut World) -> Result<()> {
    nothing_moves_to_a_lower_generation(world)?;
    a_plan_never_takes_the_last_cluster_out(world)?;
    no_acknowledged_write_is_lost(world).await?;
    users_are_not_hurt_by_rollouts(world)
    // "Never answered empty" is checked by every question a user asks.
}

fn nothing_moves_to_a_lower_generation(world: &mut World) -> Result<()> {
    let agents = world.clusters.iter().map(|cluster| (cluster.name.to_string(), cluster.generation()));
    let nameservers = world.nameservers.iter().map(|one| (one.name.to_string(), one.generation().0));
    for (who, generation) in agents.chain(nameservers) {
        let before = world.watch.generations.insert(who.clone(), generation).unwrap_or_default();
        ensure!(generation >= before, "{who} went from generation {before} to {generation}");
    }
    Ok(())
}

fn a_plan_never_takes_the_last_cluster_out(world: &World) -> Result<()> {
    for nameserver in &world.nameservers {
        for (name, route) in nameserver.plan().into_iter().flat_map(|plan| &plan.routes) {
            let left = route.pool.iter().filter(|endpoint| endpoint.drained.is_none()).count();
            // Before the first cluster has it, a route is there with every endpoint still out.
            let begun = world.control.settled_once;
            ensure!(left > 0 || !begun, "{name}: every endpoint is drained in {}'s plan", nameserver.name);
        }
    }
    Ok(())
}

async fn no_acknowledged_write_is_lost(world: &mut World) -> Result<()> {
    let releases = world.control.releases().await?;
    ensure!(releases >= world.watch.releases, "releases went from {} to {releases}", world.watch.releases);
    world.watch.releases = releases;
    Ok(())
}

fn users_are_not_hurt_by_rollouts(world: &World) -> Result<()> {
    for user in &world.users {
        ensure!(world.hurt || user.failed == 0, "a rollout failed a request to {ROUTE}: {}", user.why);
    }
    Ok(())
}
