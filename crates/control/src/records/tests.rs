use super::*;
use crate::store::redb::Redb;
use crate::store::{Rev, Store};
use bytes::Bytes;
use waggle_model::Generation;

#[tokio::test]
async fn records_are_written_only_if_unchanged_since_read() {
    let store = Redb::in_memory().unwrap();
    let key = keys::rollout_counter();
    let write = |last, expected| {
        let (store, key) = (&store, key.clone());
        async move {
            let mut edit = Edit::new();
            edit.expect(key.clone(), expected).put(key, &Counter { last }).unwrap();
            edit.commit(store).await.unwrap()
        }
    };
    let first = write(1, None).await.unwrap();
    assert_eq!(write(2, None).await, None);
    assert!(write(2, Some(first)).await.is_some());
    assert_eq!(write(3, Some(first)).await, None);
    assert_eq!(get::<Counter>(&store, &key).await.unwrap().unwrap().value.last, 2);
}

#[tokio::test]
async fn documents_keep_their_bytes() {
    let store = Redb::in_memory().unwrap();
    let json = Bytes::from_static(b"{\"text\":\"a \\\" and a \\n\"}");
    let content = document::content_of(&json);
    let stored = Stored { generation: Generation(3), content, traceparent: "00-ab".into(), json, rev: Rev(0) };
    let mut edit = Edit::new();
    edit.put_bytes(keys::plan(), stored.seal().unwrap());
    let rev = edit.commit(&store).await.unwrap().unwrap();
    let found = Stored::open(&store.get(&keys::plan()).await.unwrap().unwrap()).unwrap();
    assert_eq!(found, Stored { rev, ..stored });
}

#[test]
fn rollout_keys_sort_as_numbers() {
    assert!(keys::rollout(9) < keys::rollout(10));
    assert!(keys::rollout(u64::MAX).as_str().len() < crate::store::KEY_BYTES_MAX);
}
