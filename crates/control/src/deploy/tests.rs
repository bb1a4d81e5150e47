use super::*;
use crate::records::{Edit, RELEASES_KEPT, ROLLOUTS_KEPT, RolloutRecord, Stack, get, keys, list};
use crate::store::redb::Redb;
use waggle_model::desired::Override;
use waggle_model::fleet::{Cluster, Federation};
use waggle_model::release::Promotion;
use waggle_model::rollout::State;
use waggle_stack::objects::{Payload, PayloadSpec};

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
    let objects = Objects { services: [(format!("s{number}"), Default::default())].into(), ..Objects::default() };
    let body = ReleaseBody {
        stack: stack.parse().unwrap(),
        objects: objects.canonical_json(),
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

/// A release of one secret with these bytes.
fn with_secret(number: u64, hash: &str) -> Release {
    let spec = PayloadSpec { name: "shop_key".into(), ..PayloadSpec::default() };
    let secret = Payload::Managed { sha256: hash.to_owned(), spec };
    let objects = Objects { secrets: [("shop_key".into(), secret)].into(), ..Objects::default() };
    let release = release("shop", number, vec![]);
    let body = ReleaseBody { objects: objects.canonical_json(), ..release.body };
    Release { id: release_id(&body), body, ..release }
}

#[tokio::test]
async fn a_changed_secret_gets_another_name_and_keeps_it() {
    let store = store().await;
    let stored = async |release: Release| {
        let written = deploy_one(&store, release).await.unwrap();
        let release = get::<Release>(&store, &keys::release(&written.release)).await.unwrap().unwrap().value;
        let objects = Objects::from_json(&release.body.objects).unwrap();
        (written.release, objects.secrets.keys().cloned().collect::<Vec<_>>())
    };
    let (one, two) = ("1".repeat(64), "2".repeat(64));
    let first = stored(with_secret(1, &one)).await;
    assert_eq!(first.1, ["shop_key"]);
    let second = stored(with_secret(2, &two)).await;
    assert_eq!(second.1, ["shop_key-2222222222"]);
    assert_eq!(stored(with_secret(3, &one)).await, first, "going back is the same release");
    assert_eq!(stored(with_secret(4, &two)).await, second);
}

#[tokio::test]
async fn a_release_ends_what_was_changed_by_hand_except_replicas_that_it_keeps() {
    let store = store().await;
    let written = deploy_one(&store, release("shop", 1, vec![])).await.unwrap();
    let mut record = get::<Stack>(&store, &keys::stack(&written.stack)).await.unwrap().unwrap().value;
    let change = |replicas, force| Override { replicas: Some(replicas), force };
    let services =
        [("web".to_owned(), change(5, 2)), ("job".to_owned(), change(3, 0)), ("db".to_owned(), change(3, 1))];
    record.overrides.insert("eu-1".parse().unwrap(), services.into());
    let mut edit = Edit::new();
    edit.put(keys::stack(&written.stack), &record).unwrap().touch("").unwrap();
    edit.commit(&store).await.unwrap();
    let mut next = release("shop", 2, vec![]);
    next.body.upkeep.keep_replicas.insert("web".into());
    deploy_one(&store, next).await.unwrap();
    let loaded = crate::reconcile::load(&store).await.unwrap();
    let left = &loaded.state.stacks[&written.stack].overrides[&"eu-1".parse().unwrap()];
    assert_eq!(
        *left,
        [("web".to_owned(), change(5, 2)), ("db".to_owned(), Override { replicas: None, force: 1 })].into()
    );
}
