//! Stores that go wrong in one way.

use crate::reconcile::{Seen, activate};
use crate::records::{DrainRecord, Edit, RolloutRecord, get, keys, list};
use crate::store::redb::Redb;
use crate::store::{Entry, Key, LeaseId, Outcome, Result, Rev, Store, StoreError, Txn, WatchItem};
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use waggle_model::Timestamp;

/// Counts commits, and dies for good instead of the one with the given number.
pub(super) struct Dying {
    inner: Arc<Redb>,
    commits: AtomicUsize,
    death: Option<usize>,
}

impl Dying {
    pub(super) fn new(inner: Arc<Redb>, death: Option<usize>) -> Dying {
        Dying { inner, commits: AtomicUsize::new(0), death }
    }

    pub(super) fn commits(&self) -> usize {
        self.commits.load(Ordering::Relaxed)
    }

    async fn before(&self, _txn: &Txn) -> Result<()> {
        let number = self.commits.fetch_add(1, Ordering::Relaxed);
        if self.death == Some(number) { Err(StoreError::Unknown) } else { Ok(()) }
    }
}

/// Pauses a rollout right before the first commit of somebody else.
pub(super) struct Meddling {
    inner: Arc<Redb>,
    rollout: u64,
    did: AtomicBool,
}

impl Meddling {
    pub(super) fn new(inner: Arc<Redb>, rollout: u64) -> Meddling {
        Meddling { inner, rollout, did: AtomicBool::new(false) }
    }

    pub(super) fn did(&self) -> bool {
        self.did.load(Ordering::Relaxed)
    }

    async fn before(&self, _txn: &Txn) -> Result<()> {
        if self.did.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let key = keys::rollout(self.rollout);
        let record = get::<RolloutRecord>(&*self.inner, &key).await?.unwrap().value;
        let rollout = record.rollout.pause("somebody").unwrap();
        let mut edit = Edit::new();
        edit.put(key, &RolloutRecord { rollout, ..record })?.touch("")?;
        edit.commit(&*self.inner).await.map(|_| ())
    }
}

/// Right before the first commit of somebody else, another reconciler looks, a drain is lifted, and it looks again.
pub(super) struct Overtaking {
    inner: Arc<Redb>,
    seen: Seen,
    now: Timestamp,
    did: AtomicBool,
}

impl Overtaking {
    pub(super) fn new(inner: Arc<Redb>, seen: Seen, now: Timestamp) -> Overtaking {
        Overtaking { inner, seen, now, did: AtomicBool::new(false) }
    }

    pub(super) fn did(&self) -> bool {
        self.did.load(Ordering::Relaxed)
    }

    async fn before(&self, _txn: &Txn) -> Result<()> {
        if self.did.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        activate(&*self.inner, &self.seen, self.now).await.unwrap();
        let mut edit = Edit::new();
        for (cluster, _) in list::<DrainRecord>(&*self.inner, keys::DRAINS).await? {
            edit.delete(keys::drain(&cluster.parse().unwrap()));
        }
        edit.touch("")?;
        edit.commit(&*self.inner).await?;
        activate(&*self.inner, &self.seen, self.now).await.unwrap();
        Ok(())
    }
}

macro_rules! wrapped {
    ($type:ty) => {
        #[async_trait]
        impl Store for $type {
            async fn get(&self, key: &Key) -> Result<Option<Entry>> {
                self.inner.get(key).await
            }
            async fn list(&self, prefix: &Key, at: Option<Rev>) -> Result<(Rev, Vec<Entry>)> {
                self.inner.list(prefix, at).await
            }
            async fn commit(&self, txn: Txn) -> Result<Outcome> {
                self.before(&txn).await?;
                self.inner.commit(txn).await
            }
            fn watch(&self, prefix: Key, after: Rev) -> BoxStream<'static, Result<WatchItem>> {
                self.inner.watch(prefix, after)
            }
            async fn lease(&self, ttl: Duration) -> Result<LeaseId> {
                self.inner.lease(ttl).await
            }
            async fn keep_alive(&self, lease: LeaseId) -> Result<Duration> {
                self.inner.keep_alive(lease).await
            }
            async fn revoke(&self, lease: LeaseId) -> Result<()> {
                self.inner.revoke(lease).await
            }
            async fn compact(&self, upto: Rev) -> Result<()> {
                self.inner.compact(upto).await
            }
        }
    };
}

wrapped!(Dying);
wrapped!(Meddling);
wrapped!(Overtaking);
