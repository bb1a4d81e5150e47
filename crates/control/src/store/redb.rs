//! The embedded store: one file, one process, nothing to run beside us.
//!
//! All writes go through one writer. It takes what is waiting, applies it as one redb transaction and syncs once (group
//! commit), and only then answers: an acknowledged write survives `kill -9` (invariant 12). Watches read the change log
//! and are woken by the newest revision, so a slow one costs nobody memory and can at worst be told to list again.
//!
//! After a failed write redb refuses everything; the writer then opens the file again, which replays to the last synced
//! state, and learns from the revision there whether its batch was written. So callers get a plain answer also when the
//! disk was full, and writing goes on once there is room.
//!
//! In memory (for the simulation and tests) the caller itself is the writer: no thread, same bytes, same order.
//! Reads run on the caller's thread: they touch a few cached pages.

mod batch;
mod core;
mod leases;
mod tables;
mod watch;

#[cfg(test)]
mod tests;

use self::core::{Core, Reply, Request};
use super::{
    Entry, Key, LEASE_TTL_MAX, LEASE_TTL_MIN, LeaseId, Outcome, Result, Rev, Store, StoreError, Txn, WatchItem,
};
use ::redb::backends::InMemoryBackend;
use ::redb::{Builder, Database, DatabaseError};
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// Commits waiting for the writer.
const QUEUE_MAX: usize = 1024;
/// Commits that share one sync.
const GROUP_MAX: usize = 128;
/// Bytes of pages kept in memory.
const CACHE_BYTES: usize = 64 * 1024 * 1024;
/// The file's permissions, also of one that was made with others.
const MODE: u32 = 0o600;
/// The writer looks at leases at least this often.
const IDLE: Duration = Duration::from_secs(1);

/// The embedded [`Store`].
pub struct Redb {
    core: Arc<Core>,
    writer: Writer,
}

enum Writer {
    Thread { queue: Option<SyncSender<Waiting>>, handle: Option<JoinHandle<()>> },
    Caller(Mutex<()>),
}

struct Waiting {
    request: Request,
    reply: oneshot::Sender<Result<Reply>>,
}

/// Opens the database anew after a failed write.
pub(crate) type Open = Box<dyn Fn() -> std::result::Result<Database, DatabaseError> + Send + Sync>;

impl Redb {
    /// Opens or creates the file, for its owner alone. It is locked: a second process gets [`StoreError::Locked`].
    pub fn open(path: &Path) -> Result<Redb> {
        let path = path.to_owned();
        Redb::with_writer(Box::new(move || {
            let mut file = OpenOptions::new();
            let file = file.read(true).write(true).create(true).truncate(false).mode(MODE).open(&path)?;
            file.set_permissions(Permissions::from_mode(MODE))?;
            Builder::new().set_cache_size(CACHE_BYTES).create_file(file)
        }))
    }

    /// A store that is forgotten when it is dropped; commits happen on the caller's thread.
    pub fn in_memory() -> Result<Redb> {
        let core = Core::open(Box::new(|| Builder::new().create_with_backend(InMemoryBackend::new())))?;
        Ok(Redb { core: Arc::new(core), writer: Writer::Caller(Mutex::new(())) })
    }

    pub(crate) fn with_writer(open: Open) -> Result<Redb> {
        let core = Arc::new(Core::open(open)?);
        let (queue, waiting) = sync_channel(QUEUE_MAX);
        let writing = core.clone();
        let thread =
            std::thread::Builder::new().name("store-writer".into()).spawn(move || write_loop(&writing, &waiting));
        let handle = thread.map_err(|error| StoreError::Io(Box::new(error)))?;
        Ok(Redb { core, writer: Writer::Thread { queue: Some(queue), handle: Some(handle) } })
    }

    async fn ask(&self, request: Request) -> Result<Reply> {
        match &self.writer {
            Writer::Caller(turn) => {
                let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
                self.core.expire_leases()?;
                self.core.write(vec![request]).pop().unwrap_or(Err(StoreError::Unknown))
            }
            Writer::Thread { queue, .. } => {
                let (reply, answer) = oneshot::channel();
                let queue = queue.as_ref().ok_or(StoreError::Unknown)?;
                queue.try_send(Waiting { request, reply }).map_err(|error| match error {
                    TrySendError::Full(_) => StoreError::Busy,
                    TrySendError::Disconnected(_) => StoreError::Unknown,
                })?;
                answer.await.unwrap_or(Err(StoreError::Unknown))
            }
        }
    }

    /// Without a thread of its own, the store lets leases run out when it is used.
    fn expire_if_idle(&self) -> Result<()> {
        match &self.writer {
            Writer::Thread { .. } => Ok(()),
            Writer::Caller(turn) => {
                let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
                self.core.expire_leases()
            }
        }
    }
}

fn write_loop(core: &Core, waiting: &Receiver<Waiting>) {
    loop {
        let patience = core.leases.next_deadline().map_or(IDLE, |left| left.min(IDLE));
        let first = match waiting.recv_timeout(patience) {
            Ok(first) => Some(first),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if let Err(error) = core.expire_leases() {
            tracing::warn!(%error, "leases that ran out cannot be removed yet");
        }
        let Some(first) = first else { continue };
        let group: Vec<Waiting> = std::iter::once(first).chain(waiting.try_iter().take(GROUP_MAX - 1)).collect();
        let (requests, replies): (Vec<_>, Vec<_>) = group.into_iter().map(|one| (one.request, one.reply)).unzip();
        for (reply, answer) in replies.into_iter().zip(core.write(requests)) {
            // The asker may have gone; the write stands.
            let _ = reply.send(answer);
        }
    }
}

impl Drop for Redb {
    /// Waits for what was queued, so that the file is free again afterwards.
    fn drop(&mut self) {
        if let Writer::Thread { queue, handle } = &mut self.writer {
            drop(queue.take());
            if let Some(handle) = handle.take() {
                let _ = handle.join();
            }
        }
    }
}

#[async_trait]
impl Store for Redb {
    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        self.expire_if_idle()?;
        self.core.read(|tables| tables.get(key))
    }

    async fn list(&self, prefix: &Key, at: Option<Rev>) -> Result<(Rev, Vec<Entry>)> {
        self.expire_if_idle()?;
        self.core.read(|tables| {
            let rev = tables.rev()?;
            match at {
                Some(at) if at != rev => Err(StoreError::NotKept(at)),
                _ => Ok((rev, tables.list(prefix)?)),
            }
        })
    }

    async fn commit(&self, txn: Txn) -> Result<Outcome> {
        txn.check()?;
        match self.ask(Request::Commit(txn)).await? {
            Reply::Outcome(outcome) => Ok(outcome),
            _ => Err(StoreError::Unknown),
        }
    }

    fn watch(&self, prefix: Key, after: Rev) -> BoxStream<'static, Result<WatchItem>> {
        watch::stream(self.core.clone(), matches!(self.writer, Writer::Caller(_)), prefix, after)
    }

    async fn lease(&self, ttl: Duration) -> Result<LeaseId> {
        let ttl = ttl.clamp(LEASE_TTL_MIN, LEASE_TTL_MAX);
        match self.ask(Request::Lease(ttl)).await? {
            Reply::Lease(lease) => Ok(lease),
            _ => Err(StoreError::Unknown),
        }
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<Duration> {
        self.core.leases.keep_alive(lease)
    }

    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        self.ask(Request::Revoke(lease)).await.map(|_| ())
    }

    async fn compact(&self, upto: Rev) -> Result<()> {
        self.ask(Request::Compact(upto)).await.map(|_| ())
    }
}
