use super::*;
use crate::records::{Edit, RELEASES_KEPT, ROLLOUTS_KEPT, RolloutRecord, get, keys, list};
use crate::store::redb::Redb;
use waggle_model::fleet::{Cluster, Federation};
use waggle_model::release::Promotion;
use waggle_model::rollout::State;

async fn store() -> Redb {
    let store = Redb::in_memory().unwrap();
    let cluster = Cluster { addresses: vec!["192.0.2.1".parse().unwrap()], weight: 1, ..Cluster::default() };
    let clusters = [("eu-1".parse().unwrap(), cluster)].into();
    let mut edit = Edit::new();
    edit.put(keys::federation(), &Federation { clusters, ..Federation::default() }).unwrap().touch("").unwrap();
    edit.commit(&store).await.unwrap();
    store
}

fn caller() -> Caller {
    Caller { name: "test".into(), traceparent: String::new() }
}

fn release(stack: &str, number: u64, payloads: Vec<String>) -> Release {
    let body = ReleaseBody {
        stack: stack.parse().unwrap(),
        objects: format!("{{\"number\":{number}}}"),
        routes: Vec::new(),
        promotion: Promotion::default(),
        upkeep: Default::default(),
        images: BTreeMap::new(),
        payloads,
    };
    Release { id: release_id(&body), body, created: Timestamp(number), author: "test".into() }
}

async fn deploy_one(store: &Redb, release: Release) -> Result<Written, ApiError> {
    let now = release.created;
    let written = store_release(store, &caller(), release, now).await?;
    prune::prune(store, &written.stack).await?;
    Ok(written)
}

async fn state(store: &Redb, id: u64) -> State {
    get::<RolloutRecord>(store, &keys::rollout(id)).await.unwrap().unwrap().value.rollout.state
}

#[tokio::test]
async fn a_newer_rollout_supersedes_the_older() {
    let store = store().await;
    let one = deploy_one(&store, release("shop", 1, vec![])).await.unwrap();
    let same = deploy_one(&store, release("shop", 1, vec![])).await.unwrap();
    assert_eq!((same.rollout, same.unchanged), (one.rollout, false), "it is on its way already");
    let two = deploy_one(&store, release("shop", 2, vec![])).await.unwrap();
    assert_eq!(state(&store, one.rollout).await, State::Superseded { by: two.rollout });
    assert_eq!(state(&store, two.rollout).await, State::Running);
}

#[tokio::test]
async fn numbers_of_rollouts_are_never_given_twice() {
    let store = store().await;
    let (one, two) = (release("one", 1, vec![]), release("two", 2, vec![]));
    let caller = caller();
    let both = futures_util::future::join(
        store_release(&store, &caller, one, Timestamp(1)),
        store_release(&store, &caller, two, Timestamp(1)),
    );
    let (one, two) = both.await;
    assert_ne!(one.unwrap().rollout, two.unwrap().rollout);
}

#[tokio::test]
async fn old_releases_go_with_the_secrets_that_only_they_name() {
    let store = store().await;
    let vault = Vault::in_memory().unwrap();
    let mut names = Vec::new();
    for number in 0..60u64 {
        let clear = zeroize::Zeroizing::new(number.to_string().into_bytes());
        write::payloads(&store, &vault, std::slice::from_ref(&clear)).await.unwrap();
        names.push(waggle_stack::release::sha256_hex(&clear));
        let payloads = vec![names[0].clone(), names[number as usize].clone()];
        deploy_one(&store, release("shop", number, payloads)).await.unwrap();
    }
    let releases = list::<Release>(&store, keys::RELEASES).await.unwrap();
    assert!((RELEASES_KEPT..=RELEASES_KEPT + 2).contains(&releases.len()), "{}", releases.len());
    let rollouts = list::<RolloutRecord>(&store, keys::ROLLOUTS).await.unwrap();
    assert!((ROLLOUTS_KEPT..=ROLLOUTS_KEPT + 1).contains(&rollouts.len()), "{}", rollouts.len());
    let has = async |name: &String| store.get(&keys::payload(name)).await.unwrap().is_some();
    assert!(has(&names[0]).await, "still named");
    assert!(!has(&names[1]).await && has(&names[59]).await);
}

#[tokio::test]
async fn a_secret_that_vanished_meanwhile_is_noticed() {
    let store = store().await;
    let refused = deploy_one(&store, release("shop", 1, vec!["ab".repeat(32)])).await.unwrap_err();
    assert_eq!(refused.detail.code, "conflict");
}

#[tokio::test]
async fn pruning_moves_the_epoch_so_that_no_deploy_misses_what_it_takes_away() {
    let store = store().await;
    for number in 0..=RELEASES_KEPT as u64 {
        deploy_one(&store, release("shop", number, vec![])).await.unwrap();
    }
    let last = RELEASES_KEPT as u64 + 1;
    let written = store_release(&store, &caller(), release("shop", last, vec![]), Timestamp(last)).await.unwrap();
    let count = async || list::<Release>(&store, keys::RELEASES).await.unwrap().len();
    let (before, held) = (count().await, crate::reconcile::load(&store).await.unwrap().epoch);
    prune::prune(&store, &written.stack).await.unwrap();
    assert!(count().await < before, "something was removed");
    assert_ne!(crate::reconcile::load(&store).await.unwrap().epoch, held);
}
