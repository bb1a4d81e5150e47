//! Watches: each reads the log from where it is, woken by the newest revision.

use super::core::Core;
use super::tables::Tail;
use crate::store::{Key, Result, Rev, StoreError, WatchItem};
use futures_util::stream::{BoxStream, StreamExt, unfold};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Revisions read from the log at once.
const READ_REVS: u64 = 256;
/// Without a writer thread, watches look at leases themselves at least this often.
const IDLE: Duration = Duration::from_secs(1);

struct Watch {
    core: Arc<Core>,
    newest: watch::Receiver<Rev>,
    expires: bool,
    prefix: Key,
    at: Rev,
    ready: VecDeque<WatchItem>,
    greeted: bool,
    ended: bool,
}

pub(super) fn stream(core: Arc<Core>, expires: bool, prefix: Key, after: Rev) -> BoxStream<'static, Result<WatchItem>> {
    let newest = core.newest();
    let ready = VecDeque::new();
    let watch = Watch { core, newest, expires, prefix, at: after, ready, greeted: false, ended: false };
    unfold(watch, |mut watch| async move {
        let item = watch.next().await?;
        Some((item, watch))
    })
    .boxed()
}

impl Watch {
    async fn next(&mut self) -> Option<Result<WatchItem>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(Ok(item));
            }
            if self.ended {
                return None;
            }
            self.newest.borrow_and_update();
            match self.core.read(|tables| tables.tail(&self.prefix, self.at, READ_REVS)) {
                Ok(Tail::Compacted(rev)) => {
                    self.ended = true;
                    return Some(Ok(WatchItem::Compacted(rev)));
                }
                Ok(Tail::Batches(batches, upto)) => {
                    let moved = upto > self.at;
                    self.at = upto;
                    let items = batches.into_iter().map(|(rev, changes)| WatchItem::Batch { rev, changes });
                    self.ready.extend(items);
                    if !moved && !self.greeted {
                        self.greeted = true;
                        return Some(Ok(WatchItem::Progress(self.at)));
                    }
                    if !moved && !self.wait().await {
                        return None;
                    }
                }
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
    }

    /// Until something was written; `false` when nothing ever will be.
    async fn wait(&mut self) -> bool {
        if !self.expires {
            return self.newest.changed().await.is_ok();
        }
        let patience = self.core.leases.next_deadline().map_or(IDLE, |left| left.min(IDLE));
        match tokio::time::timeout(patience, self.newest.changed()).await {
            Ok(changed) => changed.is_ok(),
            Err(_) => match self.core.expire_leases() {
                Ok(()) | Err(StoreError::Busy) => true,
                Err(error) => {
                    tracing::warn!(%error, "leases that ran out cannot be removed yet");
                    true
                }
            },
        }
    }
}
