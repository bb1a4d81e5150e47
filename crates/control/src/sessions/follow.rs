//! Following what is stored: the newest version of a document now, then each newer one; or changes below a prefix.

use crate::records::Stored;
use crate::store::{Change, Entry, Key, Result, Store, WatchItem};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use std::sync::Arc;

pub(super) struct Follow {
    store: Arc<dyn Store>,
    key: Key,
    watch: Option<BoxStream<'static, Result<WatchItem>>>,
}

/// Following that something below a prefix changed, and not what.
pub(super) struct Changes {
    store: Arc<dyn Store>,
    prefix: Key,
    watch: Option<BoxStream<'static, Result<WatchItem>>>,
}

impl Changes {
    pub(super) fn new(store: Arc<dyn Store>, prefix: Key) -> Changes {
        Changes { store, prefix, watch: None }
    }

    /// Once at the beginning, then after each change. May be dropped and called again at any time.
    pub(super) async fn next(&mut self) -> Result<()> {
        loop {
            let Some(watch) = &mut self.watch else {
                let (rev, _) = self.store.list(&self.prefix, None).await?;
                self.watch = Some(self.store.watch(self.prefix.clone(), rev));
                return Ok(());
            };
            match watch.next().await {
                Some(Ok(WatchItem::Batch { .. })) => return Ok(()),
                Some(Ok(WatchItem::Progress(_))) => {}
                Some(Ok(WatchItem::Compacted(_))) | None => self.watch = None,
                Some(Err(error)) => return Err(error),
            }
        }
    }
}

impl Follow {
    pub(super) fn new(store: Arc<dyn Store>, key: Key) -> Follow {
        Follow { store, key, watch: None }
    }

    /// The next version. May be dropped and called again at any time.
    pub(super) async fn next(&mut self) -> Result<Stored> {
        loop {
            let Some(watch) = &mut self.watch else {
                let (rev, entries) = self.store.list(&self.key, None).await?;
                self.watch = Some(self.store.watch(self.key.clone(), rev));
                if let Some(entry) = entries.iter().find(|entry| entry.key == self.key) {
                    return Stored::open(entry);
                }
                continue;
            };
            match watch.next().await {
                Some(Ok(WatchItem::Batch { changes, .. })) => {
                    if let Some(entry) = self.newest(&changes) {
                        return Stored::open(entry);
                    }
                }
                Some(Ok(WatchItem::Progress(_))) => {}
                Some(Ok(WatchItem::Compacted(_))) | None => self.watch = None,
                Some(Err(error)) => return Err(error),
            }
        }
    }

    /// The prefix of a watch also covers longer keys.
    fn newest<'a>(&self, changes: &'a [Change]) -> Option<&'a Entry> {
        changes.iter().rev().find_map(|change| match change {
            Change::Put(entry) if entry.key == self.key => Some(entry),
            _ => None,
        })
    }
}
