use super::*;
use crate::store::{Guard, Op, conformance};
use ::redb::StorageBackend;
use bytes::Bytes;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

#[tokio::test]
async fn conforms_in_memory() {
    conformance::run(|| Redb::in_memory().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let next = AtomicU64::new(0);
    conformance::run(|| Redb::open(&dir.path().join(next.fetch_add(1, Ordering::Relaxed).to_string())).unwrap()).await;
}

fn put(key: &str, value: impl Into<Bytes>) -> Op {
    Op::Put { key: Key::new(key), value: value.into(), lease: None }
}

async fn commit(store: &Redb, op: Op) -> Result<Outcome> {
    store.commit(Txn { guards: vec![], ops: vec![op] }).await
}

#[tokio::test]
async fn an_acknowledged_write_survives_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = Redb::open(&path).unwrap();
    assert!(matches!(Redb::open(&path), Err(StoreError::Locked)));
    let lease = store.lease(Duration::from_secs(60)).await.unwrap();
    let op = Op::Put { key: Key::new("leased"), value: Bytes::from_static(b"x"), lease: Some(lease) };
    let _ = store.commit(Txn { guards: vec![], ops: vec![put("a", "1"), op] }).await.unwrap();
    let before = store.list(&Key::new(""), None).await.unwrap();
    drop(store);
    let store = Redb::open(&path).unwrap();
    assert_eq!(store.list(&Key::new(""), None).await.unwrap(), before);
    assert_eq!(store.keep_alive(lease).await.unwrap(), Duration::from_secs(60));
    let txn = Txn { guards: vec![Guard::AtRev(Key::new("a"), before.0)], ops: vec![put("a", "2")] };
    assert!(matches!(store.commit(txn).await.unwrap(), Outcome::Committed(rev) if rev > before.0));
}

/// Takes the image of the file as it is right after an acknowledgement, without any orderly close: what `kill -9`
/// leaves.
#[tokio::test]
async fn an_acknowledged_write_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let (path, image) = (dir.path().join("store"), dir.path().join("image"));
    let store = Redb::open(&path).unwrap();
    for number in 0..20u32 {
        let _ = commit(&store, put("n", number.to_string())).await.unwrap();
        std::fs::copy(&path, &image).unwrap();
        let found = Redb::open(&image).unwrap().get(&Key::new("n")).await.unwrap().unwrap();
        assert_eq!(found.value, number.to_string());
    }
}

/// A disk of limited size whose content outlives the database, as a file's does.
#[derive(Debug, Clone)]
struct SmallDisk {
    bytes: Arc<Mutex<Vec<u8>>>,
    quota: Arc<AtomicU64>,
}

impl StorageBackend for SmallDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = offset as usize;
        out.copy_from_slice(&self.bytes.lock().unwrap()[start..start + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if len > self.quota.load(Ordering::Relaxed) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.bytes.lock().unwrap().resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let start = offset as usize;
        self.bytes.lock().unwrap()[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }
}

#[tokio::test]
async fn a_full_disk_is_a_typed_error_and_nothing_is_half_written() {
    let disk = SmallDisk { bytes: Arc::default(), quota: Arc::new(AtomicU64::new(8 << 20)) };
    let opened = disk.clone();
    let store = Redb::with_writer(Box::new(move || Builder::new().create_with_backend(opened.clone()))).unwrap();
    let _ = commit(&store, put("small", "kept")).await.unwrap();
    let txn = Txn { guards: vec![], ops: vec![put("small", "lost"), put("large", vec![7; 16 << 20])] };
    assert!(matches!(store.commit(txn.clone()).await, Err(StoreError::DiskFull(_))));
    assert_eq!(store.get(&Key::new("small")).await.unwrap().unwrap().value, "kept");
    assert_eq!(store.get(&Key::new("large")).await.unwrap(), None);
    let _ = commit(&store, put("small", "still writable")).await.unwrap();
    disk.quota.store(256 << 20, Ordering::Relaxed);
    assert!(matches!(store.commit(txn).await.unwrap(), Outcome::Committed(_)));
}

#[tokio::test]
async fn the_log_is_bounded() {
    let store = Redb::in_memory().unwrap();
    for number in 0..batch::LOG_REVS_MAX + 10 {
        let _ = commit(&store, put("n", number.to_string())).await.unwrap();
    }
    let mut old = store.watch(Key::new(""), Rev(1));
    use futures_util::StreamExt;
    assert_eq!(old.next().await.unwrap().unwrap(), WatchItem::Compacted(Rev(10)));
    assert!(old.next().await.is_none());
}
