//! What every [`Store`] must do. An implementation runs [`run`] in its tests; it is a store when that returns.
//!
//! `make` gives a fresh, empty store each time. Panics name what does not hold.

use super::{
    Change, Guard, Key, LeaseId, OPS_MAX, Op, Outcome, Rev, Store, StoreError, Txn, VALUE_BYTES_MAX, WatchItem,
};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use std::time::Duration;

/// Longest wait for anything that must happen.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the whole suite.
pub async fn run<S: Store>(make: impl Fn() -> S) {
    writes_are_read_back(&make()).await;
    revisions_grow_and_are_per_key(&make()).await;
    guards_decide_all_or_nothing(&make()).await;
    limits_are_kept(&make()).await;
    lists_are_sorted_and_of_one_revision(&make()).await;
    one_of_many_contenders_wins(&make()).await;
    every_change_below_the_prefix_in_order(&make()).await;
    from_the_past_without_gaps(&make()).await;
    compacted_history_is_said_so(&make()).await;
    keys_vanish_with_their_lease(&make()).await;
    kept_alive_and_revoked(&make()).await;
    an_election_has_one_winner_and_fences_the_old(&make()).await;
}

async fn writes_are_read_back(store: &impl Store) {
    assert_eq!(value(store, "a").await, None);
    write(store, vec![], vec![put("a", "1"), put("b", "2")]).await.unwrap();
    assert_eq!(value(store, "a").await.as_deref(), Some("1"));
    write(store, vec![], vec![put("a", "3"), Op::Delete(Key::new("b")), Op::Delete(Key::new("never"))]).await.unwrap();
    assert_eq!(value(store, "a").await.as_deref(), Some("3"));
    assert_eq!(value(store, "b").await, None);
}

async fn revisions_grow_and_are_per_key(store: &impl Store) {
    let first = write(store, vec![], vec![put("a", "1")]).await.unwrap();
    let second = write(store, vec![], vec![put("a", "2"), put("b", "2")]).await.unwrap();
    assert!(second > first);
    let a = store.get(&Key::new("a")).await.unwrap().unwrap();
    let b = store.get(&Key::new("b")).await.unwrap().unwrap();
    assert_eq!((a.create, a.modified), (first, second));
    assert_eq!((b.create, b.modified), (second, second));
    write(store, vec![], vec![Op::Delete(Key::new("a"))]).await.unwrap();
    let fourth = write(store, vec![], vec![put("a", "4")]).await.unwrap();
    assert_eq!(store.get(&Key::new("a")).await.unwrap().unwrap().create, fourth, "created anew");
    let nothing = write(store, vec![Guard::Exists(Key::new("a"))], vec![]).await.unwrap();
    assert_eq!(nothing, fourth, "a transaction without effect has no revision of its own");
}

async fn guards_decide_all_or_nothing(store: &impl Store) {
    let key = Key::new("a");
    let first = write(store, vec![Guard::Absent(key.clone())], vec![put("a", "1")]).await.unwrap();
    assert!(write(store, vec![Guard::Absent(key.clone())], vec![put("a", "x"), put("z", "x")]).await.is_none());
    assert_eq!(value(store, "z").await, None);
    assert!(write(store, vec![Guard::Exists(Key::new("z"))], vec![put("a", "x")]).await.is_none());
    let second = write(store, vec![Guard::AtRev(key.clone(), first)], vec![put("a", "2")]).await.unwrap();
    let stale = vec![Guard::Exists(key.clone()), Guard::AtRev(key.clone(), first)];
    assert!(write(store, stale, vec![put("a", "x")]).await.is_none());
    assert_eq!(value(store, "a").await.as_deref(), Some("2"));
    write(store, vec![Guard::AtRev(key.clone(), second)], vec![Op::Delete(key.clone())]).await.unwrap();
    assert!(write(store, vec![Guard::AtRev(key, second)], vec![put("a", "x")]).await.is_none());
}

async fn limits_are_kept(store: &impl Store) {
    let many = |count: usize| Txn { guards: vec![], ops: (0..count).map(|n| put(&format!("k{n}"), "")).collect() };
    let _ = store.commit(many(OPS_MAX)).await.unwrap();
    assert!(is_limit(store.commit(many(OPS_MAX + 1)).await));
    assert!(is_limit(store.commit(Txn { guards: vec![], ops: vec![put("a", "1"), put("a", "2")] }).await));
    assert!(is_limit(store.commit(Txn { guards: vec![], ops: vec![put("", "1")] }).await));
    assert!(is_limit(store.commit(Txn { guards: vec![], ops: vec![put(&"k".repeat(513), "1")] }).await));
    let value = Bytes::from(vec![0; VALUE_BYTES_MAX + 1]);
    let large = Op::Put { key: Key::new("large"), value, lease: None };
    assert!(is_limit(store.commit(Txn { guards: vec![], ops: vec![large] }).await));
}

async fn lists_are_sorted_and_of_one_revision(store: &impl Store) {
    for key in ["s/b", "s/a", "s0", "s/c", "r/z", "s/b/1"] {
        write(store, vec![], vec![put(key, key)]).await.unwrap();
    }
    let (rev, entries) = store.list(&Key::new("s/"), None).await.unwrap();
    let keys: Vec<_> = entries.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(keys, ["s/a", "s/b", "s/b/1", "s/c"]);
    let (same, again) = store.list(&Key::new("s/"), Some(rev)).await.unwrap();
    assert_eq!((same, again), (rev, entries.clone()));
    write(store, vec![], vec![put("s/a", "new")]).await.unwrap();
    match store.list(&Key::new("s/"), Some(rev)).await {
        Ok((at, then)) => assert_eq!((at, then), (rev, entries)),
        Err(StoreError::NotKept(at)) => assert_eq!(at, rev),
        Err(error) => panic!("{error}"),
    }
    assert!(store.list(&Key::new("none/"), None).await.unwrap().1.is_empty());
}

/// Compare-and-commit under contention: as many increments as commits, none lost.
async fn one_of_many_contenders_wins(store: &impl Store) {
    write(store, vec![], vec![put("n", "0")]).await.unwrap();
    let increment = || async {
        let mut conflicts = 0u32;
        for _ in 0..10 {
            loop {
                let entry = store.get(&Key::new("n")).await.unwrap().unwrap();
                let number: u64 = String::from_utf8_lossy(&entry.value).parse().unwrap();
                let guard = Guard::AtRev(entry.key.clone(), entry.modified);
                if write(store, vec![guard], vec![put("n", &(number + 1).to_string())]).await.is_some() {
                    break;
                }
                conflicts += 1;
            }
        }
        conflicts
    };
    futures_util::future::join_all((0..8).map(|_| increment())).await;
    assert_eq!(value(store, "n").await.as_deref(), Some("80"));
    assert!(store.get(&Key::new("n")).await.unwrap().unwrap().modified > Rev(80));
}

async fn every_change_below_the_prefix_in_order(store: &impl Store) {
    let start = write(store, vec![], vec![put("w/old", "")]).await.unwrap();
    let mut watch = store.watch(Key::new("w/"), start);
    let first = write(store, vec![], vec![put("w/b", "1"), put("other", ""), put("w/a", "2")]).await.unwrap();
    write(store, vec![], vec![put("elsewhere", "")]).await.unwrap();
    let second = write(store, vec![], vec![Op::Delete(Key::new("w/b")), Op::Delete(Key::new("w/none"))]).await.unwrap();
    let (rev, mut keys) = next_batch(&mut watch).await;
    keys.sort();
    assert_eq!((rev, keys), (first, vec!["w/a".to_owned(), "w/b".to_owned()]));
    assert_eq!(next_batch(&mut watch).await, (second, vec!["-w/b".to_owned()]));
}

/// A watch that begins in the past sees what was then, not what is now.
async fn from_the_past_without_gaps(store: &impl Store) {
    for number in 0..300 {
        write(store, vec![], vec![put("n", &number.to_string())]).await.unwrap();
    }
    let mut watch = store.watch(Key::new("n"), Rev(0));
    let mut seen = Vec::new();
    while seen.len() < 300 {
        let item = tokio::time::timeout(PATIENCE, watch.next()).await.expect("the watch says nothing");
        if let WatchItem::Batch { changes, .. } = item.unwrap().unwrap() {
            seen.extend(changes.into_iter().filter_map(|change| match change {
                Change::Put(entry) => String::from_utf8_lossy(&entry.value).parse::<u32>().ok(),
                Change::Delete { .. } => None,
            }));
        }
    }
    assert_eq!(seen, (0..300).collect::<Vec<_>>());
}

async fn compacted_history_is_said_so(store: &impl Store) {
    let first = write(store, vec![], vec![put("a", "1")]).await.unwrap();
    let second = write(store, vec![], vec![put("a", "2")]).await.unwrap();
    let third = write(store, vec![], vec![put("a", "3")]).await.unwrap();
    store.compact(second).await.unwrap();
    let mut old = store.watch(Key::new(""), first);
    loop {
        let item = tokio::time::timeout(PATIENCE, old.next()).await.expect("the watch says nothing");
        match item.expect("ended without saying why").unwrap() {
            WatchItem::Compacted(rev) => break assert!(rev >= second && rev <= third),
            WatchItem::Progress(_) => {}
            WatchItem::Batch { rev, .. } => panic!("revision {} after a gap", rev.0),
        }
    }
    assert_eq!(next_batch(&mut store.watch(Key::new(""), second)).await.0, third);
}

fn leased(key: &str, lease: LeaseId) -> Op {
    Op::Put { key: Key::new(key), value: Bytes::from_static(b"here"), lease: Some(lease) }
}

async fn keys_vanish_with_their_lease(store: &impl Store) {
    let lease = store.lease(Duration::from_millis(300)).await.unwrap();
    write(store, vec![], vec![leased("l/a", lease), leased("l/b", lease), put("l/stays", "")]).await.unwrap();
    // Written again without the lease, a key is free of it.
    let rev = write(store, vec![], vec![put("l/b", "free")]).await.unwrap();
    assert_eq!(store.get(&Key::new("l/a")).await.unwrap().unwrap().lease, Some(lease));
    let mut watch = store.watch(Key::new("l/"), rev);
    assert_eq!(next_batch(&mut watch).await.1, ["-l/a"]);
    assert_eq!(value(store, "l/a").await, None);
    assert_eq!(value(store, "l/b").await.as_deref(), Some("free"));
    assert!(matches!(store.keep_alive(lease).await, Err(StoreError::NoLease(_))));
    let late = Txn { guards: vec![], ops: vec![leased("l/late", lease)] };
    assert!(matches!(store.commit(late).await, Err(StoreError::NoLease(_))));
}

async fn kept_alive_and_revoked(store: &impl Store) {
    let lease = store.lease(Duration::from_millis(1000)).await.unwrap();
    write(store, vec![], vec![leased("k", lease)]).await.unwrap();
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_millis(1500) {
        assert!(store.keep_alive(lease).await.unwrap() > Duration::ZERO);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(value(store, "k").await.as_deref(), Some("here"));
    store.revoke(lease).await.unwrap();
    assert_eq!(value(store, "k").await, None);
    assert!(matches!(store.revoke(lease).await, Err(StoreError::NoLease(_))));
}

async fn an_election_has_one_winner_and_fences_the_old(store: &impl Store) {
    let leader = Key::new("leader");
    let (one, two) =
        (store.lease(Duration::from_secs(60)).await.unwrap(), store.lease(Duration::from_secs(60)).await.unwrap());
    let term = write(store, vec![Guard::Absent(leader.clone())], vec![leased("leader", one)]).await.unwrap();
    assert!(write(store, vec![Guard::Absent(leader.clone())], vec![leased("leader", two)]).await.is_none());
    write(store, vec![Guard::AtRev(leader.clone(), term)], vec![put("work", "by one")]).await.unwrap();
    store.revoke(one).await.unwrap();
    let next = write(store, vec![Guard::Absent(leader.clone())], vec![leased("leader", two)]).await.unwrap();
    assert!(next > term);
    assert!(write(store, vec![Guard::AtRev(leader.clone(), term)], vec![put("work", "by a ghost")]).await.is_none());
    assert_eq!(value(store, "work").await.as_deref(), Some("by one"));
}

fn put(key: &str, value: &str) -> Op {
    Op::Put { key: Key::new(key), value: Bytes::copy_from_slice(value.as_bytes()), lease: None }
}

async fn write(store: &impl Store, guards: Vec<Guard>, ops: Vec<Op>) -> Option<Rev> {
    match store.commit(Txn { guards, ops }).await.expect("commit") {
        Outcome::Committed(rev) => Some(rev),
        Outcome::Conflict { .. } => None,
    }
}

async fn value(store: &impl Store, key: &str) -> Option<String> {
    let entry = store.get(&Key::new(key)).await.expect("get")?;
    Some(String::from_utf8_lossy(&entry.value).into_owned())
}

/// The next batch, as (revision, keys with `-` before deleted ones).
async fn next_batch(watch: &mut BoxStream<'static, super::Result<WatchItem>>) -> (Rev, Vec<String>) {
    loop {
        let item = tokio::time::timeout(PATIENCE, watch.next()).await.expect("the watch says nothing");
        match item.expect("the watch ended").expect("the watch failed") {
            WatchItem::Batch { rev, changes } => {
                let text = |change: &Change| match change {
                    Change::Put(entry) => entry.key.to_string(),
                    Change::Delete { key, .. } => format!("-{key}"),
                };
                return (rev, changes.iter().map(text).collect());
            }
            WatchItem::Progress(_) => {}
            WatchItem::Compacted(rev) => panic!("history is gone up to {}", rev.0),
        }
    }
}

fn is_limit<T>(result: super::Result<T>) -> bool {
    matches!(result, Err(StoreError::Limit(_)))
}
