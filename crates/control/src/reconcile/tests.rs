mod steering;
mod stores;
mod succession;
mod world;

use self::stores::{Dying, Meddling};
use self::world::{World, ids};
use super::*;
use crate::records::{Edit, Removing, RolloutRecord, Stack, get, keys};
use waggle_model::desired::Desired;
use waggle_model::plan::RoutePlan;
use waggle_model::rollout::State;

/// Looks that any of these rollouts needs at most.
const LOOKS_MAX: usize = 400;

#[tokio::test]
async fn a_rollout_ends_everywhere() {
    let mut world = World::new(&["eu-1", "eu-2", "us-1"]).await;
    let first = world.deploy("one").await;
    assert_eq!(world.until_final(first).await, State::Done);
    let second = world.deploy("two").await;
    let mut out = std::collections::BTreeSet::new();
    let mut most_out = 0;
    for _ in 0..LOOKS_MAX {
        world.look().await;
        let drained = world.drained();
        most_out = most_out.max(drained.len());
        out.extend(drained);
        if world.state(second).await.is_final() {
            break;
        }
    }
    assert_eq!(world.state(second).await, State::Done);
    assert_eq!((out.len(), most_out), (3, 1), "each cluster was drained, one at a time");
    let loaded = load(&*world.store).await.unwrap();
    let two = world.release("two").id;
    for cluster in loaded.state.federation.clusters.keys() {
        let desired: Desired = serde_json::from_slice(&loaded.desired[cluster].json).unwrap();
        assert_eq!(desired.stacks.values().map(|stack| stack.release).collect::<Vec<_>>(), [two]);
        assert_eq!(desired.generation, loaded.desired[cluster].generation);
        assert_eq!(loaded.stacks.values().next().unwrap().settled[cluster].release, Some(two));
    }
}

/// Invariant 6.
#[tokio::test]
async fn a_reconciler_may_run_any_number_of_times() {
    let mut world = World::new(&["eu-1", "eu-2"]).await;
    let id = world.deploy("one").await;
    world.until_final(id).await;
    for at in 0..30 {
        world.look().await;
        let mut runs = 0;
        while activate(&*world.store, &world.seen, world.now).await.unwrap().committed {
            runs += 1;
            assert!(runs < 5, "the same facts never come to rest");
        }
        let before = world.store.list(&crate::store::Key::new(""), None).await.unwrap();
        for _ in 0..3 {
            let again = activate(&*world.store, &world.seen, world.now).await.unwrap();
            assert!(!again.committed);
        }
        assert_eq!(world.store.list(&crate::store::Key::new(""), None).await.unwrap(), before);
        if at == 2 {
            world.deploy("two").await;
        }
    }
}

#[tokio::test]
async fn a_failure_is_held_and_reverted() {
    let mut world = World::new(&["eu-1", "eu-2"]).await;
    let first = world.deploy("one").await;
    world.until_final(first).await;
    world.broken.insert(world.release("bad").id);
    let bad = world.deploy("bad").await;
    let state = world.until(bad, |rollout| {
        matches!(rollout.state, State::Held { .. }) && rollout.clusters.values().all(|one| !one.is_under_way())
    });
    assert!(matches!(state.await, State::Held { .. }));
    let one = world.release("one").id;
    for (cluster, release) in world.wanted().await {
        assert_eq!(release, Some(one), "{cluster}");
    }
    assert!(world.drained().is_empty(), "the reverted cluster is back in the answers");
}

/// Invariant 6, the hard way: the process dies before every single commit in turn.
#[tokio::test]
async fn killed_between_any_two_commits_it_ends_at_the_same_place() {
    let mut undisturbed = World::new(&["eu-1", "eu-2", "us-1"]).await;
    let commits = undisturbed.story(None).await;
    let end = undisturbed.end().await;
    assert!(commits > 20, "{commits}");
    for death in 0..commits {
        let mut world = World::new(&["eu-1", "eu-2", "us-1"]).await;
        world.story(Some(death)).await;
        assert_eq!(world.end().await, end, "death before commit {death}");
    }
}

/// Invariant 3. Checked by the world at each look; here with people meddling all the time.
#[tokio::test]
async fn generations_never_go_down() {
    let mut world = World::new(&["eu-1", "eu-2"]).await;
    for number in 0..12 {
        world.deploy(["one", "two", "three"][number % 3]).await;
        for _ in 0..number {
            world.look().await;
        }
    }
    assert!(world.plan.as_ref().is_some_and(|plan| plan.generation.0 > 5));
}

#[tokio::test]
async fn a_stale_plan_is_not_committed_but_planned_again() {
    let mut world = World::new(&["eu-1", "eu-2"]).await;
    let id = world.deploy("one").await;
    let meddling = Meddling::new(world.store.clone(), id);
    let activation = activate(&meddling, &world.seen, world.now).await.unwrap();
    assert!(meddling.did() && activation.committed);
    assert!(matches!(world.state(id).await, State::Paused { .. }), "the pause is not overwritten");
    for _ in 0..20 {
        world.look().await;
    }
    assert!(world.wanted().await.values().all(Option::is_none), "no cluster was begun");
}

#[tokio::test]
async fn a_removed_stack_leaves_answers_then_swarms_then_the_store() {
    let mut world = World::new(&["eu-1", "eu-2"]).await;
    let id = world.deploy("one").await;
    world.until_final(id).await;
    let stack = ids::stack();
    let record = get::<Stack>(&*world.store, &keys::stack(&stack)).await.unwrap().unwrap().value;
    let removing = Some(Removing { since: world.now, by: "test".into(), withdrawn: false });
    let mut edit = Edit::new();
    edit.put(keys::stack(&stack), &Stack { removing, ..record }).unwrap().touch("").unwrap();
    edit.commit(&*world.store).await.unwrap();
    let (mut unrouted, mut undesired, mut gone) = (None, None, None);
    for look in 0..30 {
        world.look().await;
        let loaded = load(&*world.store).await.unwrap();
        let plan: RoutePlan = loaded.route_plan().unwrap().unwrap();
        if plan.routes.is_empty() {
            assert!(plan.change.withdrawn.values().any(|said| said.why == "stack shop is removed by test"));
            unrouted.get_or_insert(look);
        }
        if world.wanted().await.values().all(Option::is_none) {
            undesired.get_or_insert(look);
        }
        if loaded.stacks.is_empty() {
            gone.get_or_insert(look);
        }
    }
    assert!(unrouted.unwrap() < undesired.unwrap() && undesired.unwrap() < gone.unwrap());
    assert_eq!(get::<RolloutRecord>(&*world.store, &keys::rollout(id)).await.unwrap(), None);
}

#[tokio::test]
async fn an_operators_drain_is_in_the_plan() {
    let mut world = World::new(&["eu-1", "eu-2"]).await;
    let id = world.deploy("one").await;
    world.until_final(id).await;
    let drain = crate::records::DrainRecord { reason: "power".into(), by: "test".into(), since: world.now };
    let mut edit = Edit::new();
    edit.put(keys::drain(&ids::cluster("eu-1")), &drain).unwrap().touch("").unwrap();
    edit.commit(&*world.store).await.unwrap();
    world.look().await;
    assert_eq!(world.drained(), [ids::cluster("eu-1")]);
}
