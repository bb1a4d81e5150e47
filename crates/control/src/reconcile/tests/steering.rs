//! Route plans are written down with whose change they were, and an earlier one can be held.

use super::world::{World, ids};
use crate::reconcile::{activate, load};
use crate::records::{DrainRecord, Edit, Epoch, HeldPlan, PLANS_KEPT, PlanLog, Stored, get, keys};
use crate::store::Store;
use std::time::Duration;
use waggle_model::plan::RoutePlan;
use waggle_model::plan::hold::Hold;
use waggle_model::rollout::{State, Step};
use waggle_model::{ClusterName, Generation};

async fn log(world: &World) -> PlanLog {
    get::<PlanLog>(&*world.store, &keys::plan_log()).await.unwrap().unwrap().value
}

async fn kept(world: &World, generation: Generation) -> RoutePlan {
    let entry = world.store.get(&keys::kept_plan(generation)).await.unwrap().unwrap();
    serde_json::from_slice(&Stored::open(&entry).unwrap().json).unwrap()
}

async fn drain(world: &World, cluster: &ClusterName, why: &str) {
    let record = DrainRecord { reason: why.into(), by: "ann".into(), since: world.now };
    let mut edit = Edit::new();
    let change = Epoch { by: "ann".into(), what: format!("drain of {cluster}: {why}"), ..Epoch::default() };
    edit.put(keys::drain(cluster), &record).unwrap().touch_for(&change).unwrap();
    edit.commit(&*world.store).await.unwrap().unwrap();
}

async fn hold(world: &World, generation: Generation, time: Duration) {
    let (since, until) = (world.now, world.now.after(time));
    let hold = Hold { generation, by: "ann".into(), reason: "test".into(), since, until };
    let record = HeldPlan { hold, plan: kept(world, generation).await };
    let mut edit = Edit::new();
    edit.put(keys::held_plan(), &record).unwrap().touch("").unwrap();
    edit.commit(&*world.store).await.unwrap().unwrap();
}

#[tokio::test]
async fn plans_are_written_down() {
    let mut world = World::new(&["eu-1", "us-1"]).await;
    for text in ["one", "two"] {
        let id = world.deploy(text).await;
        world.until_final(id).await;
    }
    drain(&world, &ids::cluster("eu-1"), "power").await;
    world.look().await;
    let log = log(&world).await;
    let generations: Vec<u64> = log.plans.iter().map(|plan| plan.generation.0).collect();
    assert_eq!(generations, (1..=world.plan.as_ref().unwrap().generation.0).collect::<Vec<_>>());
    for plan in &log.plans {
        let kept = kept(&world, plan.generation).await;
        assert_eq!((kept.generation, kept.issued), (plan.generation, plan.at));
    }
    let said = |text: &str| log.plans.iter().find(|plan| plan.changes.iter().any(|c| c.to_string() == text)).unwrap();
    let rolled = said("shop: us-1 drained (rollout)");
    assert_eq!(rolled.by, "test");
    assert!(rolled.what.starts_with("rollout 2 of shop to "), "{}", rolled.what);
    let drained = said("shop: eu-1 drained (power)");
    assert_eq!((drained.by.as_str(), drained.what.as_str()), ("ann", "drain of eu-1: power"));
}

#[tokio::test]
async fn only_the_last_plans_are_kept() {
    let mut world = World::new(&["eu-1", "us-1"]).await;
    let id = world.deploy("one").await;
    world.until_final(id).await;
    for number in 0..PLANS_KEPT + 3 {
        drain(&world, &ids::cluster("eu-1"), &format!("reason {number}")).await;
        world.look().await;
    }
    let log = log(&world).await;
    let (_, bodies) = world.store.list(&crate::store::Key::new(keys::PLANS), None).await.unwrap();
    assert_eq!((log.plans.len(), bodies.len()), (PLANS_KEPT, PLANS_KEPT));
}

#[tokio::test]
async fn a_held_plan_is_in_force_until_its_time_is_over() {
    let mut world = World::new(&["eu-1", "us-1"]).await;
    let first = world.deploy("one").await;
    world.until_final(first).await;
    let good = world.plan.clone().unwrap();
    drain(&world, &ids::cluster("eu-1"), "by mistake").await;
    world.look().await;
    let bad = world.plan.clone().unwrap();
    assert_eq!(world.drained(), [ids::cluster("eu-1")]);

    hold(&world, good.generation, Duration::from_secs(60)).await;
    world.look().await;
    let held = world.plan.clone().unwrap();
    assert!(held.generation > bad.generation && world.drained().is_empty());
    assert_eq!(held.routes, good.routes);
    assert_eq!(log(&world).await.plans.last().unwrap().held, Some(good.generation));
    assert!(!activate(&*world.store, &world.seen, world.now).await.unwrap().committed, "it comes to rest");

    let second = world.deploy("two").await;
    for _ in 0..20 {
        world.look().await;
    }
    let record = get::<crate::records::RolloutRecord>(&*world.store, &keys::rollout(second)).await.unwrap().unwrap();
    assert!(record.value.rollout.clusters.values().all(|cluster| cluster.step == Step::Waiting), "none is begun");
    assert_eq!(world.plan, Some(held));
    drain(&world, &ids::cluster("us-1"), "power").await;
    world.look().await;
    assert_eq!(world.drained(), [ids::cluster("us-1")], "an operator may drain on top of it");

    let mut edit = Edit::new();
    edit.delete(keys::drain(&ids::cluster("eu-1"))).delete(keys::drain(&ids::cluster("us-1"))).touch("").unwrap();
    edit.commit(&*world.store).await.unwrap().unwrap();
    assert_eq!(world.until_final(second).await, State::Done);
    let loaded = load(&*world.store).await.unwrap();
    assert!(loaded.held.is_none(), "the record goes by itself");
}
