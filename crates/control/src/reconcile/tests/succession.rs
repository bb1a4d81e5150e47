//! What must never come into force: a plan of a writer that is late, or that lost records; and how it does when it is meant.

use super::stores::Overtaking;
use super::world::{World, ids};
use crate::reconcile::{activate, load};
use crate::records::{DrainRecord, Edit, ForceRecord, Stored, keys};
use crate::store::Store;
use waggle_model::Generation;
use waggle_model::plan::RoutePlan;
use waggle_model::plan::intake::Change;

async fn settled(clusters: &[&str]) -> World {
    let mut world = World::new(clusters).await;
    let id = world.deploy("one").await;
    world.until_final(id).await;
    world.look().await;
    world
}

async fn drain(world: &World, clusters: &[&str]) {
    let mut edit = Edit::new();
    for cluster in clusters {
        let drain = DrainRecord { reason: "power".into(), by: "test".into(), since: world.now };
        edit.put(keys::drain(&ids::cluster(cluster)), &drain).unwrap();
    }
    edit.touch("").unwrap();
    edit.commit(&*world.store).await.unwrap();
}

async fn stored(world: &World) -> Stored {
    Stored::open(&world.store.get(&keys::plan()).await.unwrap().unwrap()).unwrap()
}

async fn plan(world: &World) -> RoutePlan {
    load(&*world.store).await.unwrap().route_plan().unwrap().unwrap()
}

/// As at AWS in October 2025, first half: a writer takes so long that another one has been there several times. The second
/// half, where cleanup removes what is in force, is the nameserver's: see its shelf.
#[tokio::test]
async fn a_delayed_writer_does_not_bring_an_older_plan_back() {
    let world = settled(&["eu-1", "eu-2", "us-1"]).await;
    drain(&world, &["eu-1"]).await;
    // It has read and decided; before it writes, two newer plans are written by others.
    let delayed = Overtaking::new(world.store.clone(), world.seen.clone(), world.now);
    let before = plan(&world).await.generation;
    activate(&delayed, &world.seen, world.now).await.unwrap();
    assert!(delayed.did());
    let after = plan(&world).await;
    assert_eq!(after.generation, Generation(before.0 + 2), "nothing was written on top of what it had not seen");
    let out: Vec<_> = after.routes.values().flat_map(|route| &route.pool).filter(|one| one.drained.is_some()).collect();
    assert!(out.is_empty(), "the cluster was readmitted meanwhile: {out:?}");
    // The bytes it had made, written as they are: the guard on the epoch refuses them.
    let stale = load(&*world.store).await.unwrap();
    drain(&world, &["us-1"]).await;
    let mut edit = Edit::new();
    edit.expect(keys::epoch(), stale.epoch).put_bytes(keys::plan(), stored(&world).await.seal().unwrap());
    assert_eq!(edit.commit(&*world.store).await.unwrap(), None);
}

#[tokio::test]
async fn a_reconciler_that_lost_records_writes_no_plan() {
    let world = settled(&["eu-1", "eu-2"]).await;
    let before = stored(&world).await;
    let mut edit = Edit::new();
    edit.delete(keys::stack(&ids::stack())).touch("").unwrap();
    edit.commit(&*world.store).await.unwrap();
    for _ in 0..2 {
        let activation = activate(&*world.store, &world.seen, world.now).await.unwrap();
        let said = activation.problems.join("\n");
        assert!(said.contains("the route plan is not written: route www.shop.example would be gone"), "{said}");
        assert!(said.contains("waggle apply -f FILE --force"), "{said}");
        assert_eq!(stored(&world).await.json, before.json);
    }
}

#[tokio::test]
async fn two_of_three_at_once_must_be_meant() {
    let world = settled(&["eu-1", "eu-2", "us-1"]).await;
    let before = stored(&world).await;
    drain(&world, &["eu-1", "eu-2"]).await;
    let activation = activate(&*world.store, &world.seen, world.now).await.unwrap();
    assert!(activation.problems[0].contains("eu-1, eu-2 would leave at once"), "{:?}", activation.problems);
    assert_eq!(stored(&world).await.json, before.json);

    let force = ForceRecord { by: "ops".into(), reason: "storm".into() };
    let mut edit = Edit::new();
    edit.put(keys::force(), &force).unwrap().touch("").unwrap();
    edit.commit(&*world.store).await.unwrap();
    assert_eq!(activate(&*world.store, &world.seen, world.now).await.unwrap().problems, Vec::<String>::new());
    let forced = plan(&world).await;
    assert_eq!(forced.change.after, before.generation);
    let said = forced.change.force.unwrap();
    assert_eq!((said.generation, said.by.as_str(), said.reason.as_str()), (forced.generation, "ops", "storm"));
    assert!(load(&*world.store).await.unwrap().force.is_none(), "the word was for one look");
    assert!(!activate(&*world.store, &world.seen, world.now).await.unwrap().committed);
}

/// Nameservers may refuse what this control finds in order, after it was restored from a copy: then the same is sent again.
#[tokio::test]
async fn what_is_forced_is_written_anew_even_if_nothing_changed() {
    let world = settled(&["eu-1", "eu-2"]).await;
    let before = plan(&world).await;
    let mut edit = Edit::new();
    let force = ForceRecord { by: "ops".into(), reason: "restored".into() };
    edit.put(keys::force(), &force).unwrap().touch("").unwrap();
    edit.commit(&*world.store).await.unwrap();
    activate(&*world.store, &world.seen, world.now).await.unwrap();
    let after = plan(&world).await;
    assert_eq!(after.generation, before.generation.next());
    assert_eq!(after.change.force.as_ref().map(|force| force.generation), Some(after.generation));
    let told = |plan: &RoutePlan| RoutePlan {
        generation: Generation(0),
        issued: world.now,
        change: Change::default(),
        ..plan.clone()
    };
    assert_eq!(told(&after), told(&before));
}
