//! What can happen. Chosen by the seed, carried out on the world.

use crate::cluster::VERSIONS;
use crate::link::Place;
use crate::world::{CLUSTERS, World};
use anyhow::Result;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    DeployGood(u64),
    DeployBad(u64),
    Pause,
    Resume,
    Abort,
    Drain(usize),
    Readmit(usize),
    KillControl,
    KillAgent(usize),
    KillNameserver(usize),
    /// One way only.
    Cut(Place, Place),
    /// Nothing reaches the cluster or leaves it.
    Isolate(usize),
    HealAll,
    KillTask(usize),
    Wait,
}

/// One transition. In a calm run nothing touches a cluster's tasks or the users' way to it.
pub fn choose(world: &mut World, calm: bool) -> Transition {
    use Transition::*;
    let random = &mut world.random;
    let cluster = random.below(CLUSTERS.len() as u64) as usize;
    let nameserver = random.below(2) as usize;
    let version = random.below(VERSIONS);
    match random.below(if calm { 15 } else { 20 }) {
        0..=3 => DeployGood(version),
        4 => DeployBad(version),
        5 => Pause,
        6 | 7 => Resume,
        8 => Abort,
        9 => Drain(cluster),
        10 => Readmit(cluster),
        11 => KillControl,
        12 => KillAgent(cluster),
        13 => KillNameserver(nameserver),
        14 => Wait,
        15 => Isolate(cluster),
        16 => KillTask(cluster),
        17 => HealAll,
        _ => {
            let places = [
                Place::Control,
                Place::Cluster(cluster),
                Place::Nameserver(nameserver),
                Place::Nameserver(1 - nameserver),
            ];
            let (from, to) = (random.below(4) as usize, random.below(4) as usize);
            if from == to { Wait } else { Cut(places[from], places[to]) }
        }
    }
}

/// Carries a transition out; one that makes no sense just now does nothing.
pub async fn apply(world: &mut World, transition: Transition) -> Result<()> {
    use Transition::*;
    let now = world.now;
    match transition {
        DeployGood(version) => world.control.deploy("good", version, now).await?,
        // A first release has nothing to go back to.
        DeployBad(version) if world.control.settled_once => world.control.deploy("bad", version, now).await?,
        DeployBad(_) | Wait => {}
        Pause => world.control.pause(now).await?,
        Resume => world.control.resume(now).await?,
        Abort => world.control.abort(now).await?,
        Drain(cluster) => world.control.drain(CLUSTERS[cluster], now).await?,
        Readmit(cluster) => world.control.readmit(CLUSTERS[cluster], now).await?,
        KillControl => world.control.kill(),
        KillAgent(cluster) => world.clusters[cluster].kill_agent(),
        // The other one must be up, or nobody can answer.
        KillNameserver(at) if world.nameservers[1 - at].up => world.nameservers[at].kill(),
        KillNameserver(_) => {}
        Cut(from, to) => {
            world.hurt = true;
            world.links.cut(from, to);
        }
        Isolate(cluster) => {
            world.hurt = true;
            for other in [Place::Control, Place::Nameserver(0), Place::Nameserver(1), Place::Users] {
                world.links.cut(Place::Cluster(cluster), other);
                world.links.cut(other, Place::Cluster(cluster));
            }
        }
        HealAll => world.links.heal(),
        KillTask(cluster) => {
            world.hurt = true;
            world.clusters[cluster].engine.kill("shop_web", 1);
        }
    }
    Ok(())
}

/// Starts whatever is dead, heals whatever is cut.
pub async fn mend(world: &mut World) -> Result<()> {
    world.links.heal();
    let now = world.now;
    if !world.control.up {
        world.control.start(now);
    }
    for cluster in world.clusters.iter_mut().filter(|cluster| !cluster.agent_up) {
        cluster.start_agent(now);
    }
    for nameserver in world.nameservers.iter_mut().filter(|nameserver| !nameserver.up) {
        nameserver.start(now)?;
    }
    Ok(())
}
