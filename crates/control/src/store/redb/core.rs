//! The database and its one writer: requests in, one redb transaction, one sync, answers out.

use super::Open;
use super::batch::Batch;
use super::leases::Leases;
use super::tables::{
    FORMAT, KV, LEASED, LEASES, LOG, META, META_FORMAT, Read, commit_error, database_error, storage_error, table_error,
    transaction_error,
};
use crate::store::{LeaseId, Outcome, Result, Rev, StoreError, Txn};
use ::redb::{Database, Durability, ReadableDatabase, ReadableTable};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;

#[derive(Debug)]
pub(super) enum Request {
    Commit(Txn),
    Lease(Duration),
    Revoke(LeaseId),
    Expire(Vec<LeaseId>),
    Compact(Rev),
}

#[derive(Debug)]
pub(super) enum Reply {
    Outcome(Outcome),
    Lease(LeaseId),
    Done,
}

pub(super) struct Core {
    open: Open,
    /// `None` only while it is opened again, or when that failed.
    database: RwLock<Option<Database>>,
    newest: watch::Sender<Rev>,
    pub(super) leases: Leases,
    /// One writer at a time: the thread, or a caller together with watches.
    writing: Mutex<()>,
}

impl Core {
    pub(super) fn open(open: Open) -> Result<Core> {
        let database = open().map_err(database_error)?;
        prepare(&database)?;
        let (newest, _) = watch::channel(Rev(0));
        let database = RwLock::new(Some(database));
        let core = Core { open, database, newest, leases: Leases::default(), writing: Mutex::new(()) };
        core.newest.send_replace(core.read(Read::rev)?);
        for (lease, ttl) in core.read(stored_leases)? {
            core.leases.start(lease, ttl);
        }
        Ok(core)
    }

    pub(super) fn newest(&self) -> watch::Receiver<Rev> {
        self.newest.subscribe()
    }

    pub(super) fn read<T>(&self, query: impl FnOnce(&Read) -> Result<T>) -> Result<T> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or(StoreError::Unknown)?;
        query(&Read(database.begin_read().map_err(transaction_error)?))
    }

    pub(super) fn expire_leases(&self) -> Result<()> {
        let ended = self.leases.ended();
        if ended.is_empty() {
            return Ok(());
        }
        self.write(vec![Request::Expire(ended)]).pop().unwrap_or(Err(StoreError::Unknown)).map(|_| ())
    }

    /// Applies all requests in one synced transaction; one answer each, in order.
    pub(super) fn write(&self, requests: Vec<Request>) -> Vec<Result<Reply>> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.reopen_if_lost();
        let before = *self.newest.borrow();
        match self.attempt(&requests) {
            Ok((rev, replies)) => {
                self.settle(&requests, &replies);
                if rev > before {
                    self.newest.send_replace(rev);
                }
                replies
            }
            Err((rev, replies, error)) => self.recover(before, rev, requests, replies, error),
        }
    }

    #[allow(clippy::type_complexity, reason = "private; the parts are named where they are taken apart")]
    fn attempt(
        &self,
        requests: &[Request],
    ) -> std::result::Result<(Rev, Vec<Result<Reply>>), (Rev, Vec<Result<Reply>>, StoreError)> {
        let nothing = |error| (Rev(0), Vec::new(), error);
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(|| nothing(StoreError::Unknown))?;
        let mut write = database.begin_write().map_err(|error| nothing(transaction_error(error)))?;
        write.set_durability(Durability::Immediate).map_err(|error| nothing(StoreError::Io(Box::new(error))))?;
        let mut replies = Vec::with_capacity(requests.len());
        let rev = {
            let mut batch = Batch::new(&write, &self.leases).map_err(nothing)?;
            for request in requests {
                match batch.apply(request) {
                    Err(error @ (StoreError::NoLease(_) | StoreError::Limit(_))) => replies.push(Err(error)),
                    Err(error) => return Err(nothing(error)),
                    Ok(reply) => replies.push(Ok(reply)),
                }
            }
            batch.finish().map_err(nothing)?
        };
        match write.commit() {
            Ok(()) => Ok((rev, replies)),
            Err(error) => Err((rev, replies, commit_error(error))),
        }
    }

    /// Brings the leases in memory in line with what was written.
    fn settle(&self, requests: &[Request], replies: &[Result<Reply>]) {
        for (request, reply) in requests.iter().zip(replies) {
            match (request, reply) {
                (Request::Lease(ttl), Ok(Reply::Lease(lease))) => self.leases.start(*lease, *ttl),
                (Request::Revoke(lease), Ok(_)) => self.leases.forget(*lease),
                (Request::Expire(leases), Ok(_)) => leases.iter().for_each(|lease| self.leases.forget(*lease)),
                _ => {}
            }
        }
    }

    /// After a failed write: what is on disk decides.
    fn recover(
        &self,
        before: Rev,
        wanted: Rev,
        requests: Vec<Request>,
        replies: Vec<Result<Reply>>,
        error: StoreError,
    ) -> Vec<Result<Reply>> {
        tracing::error!(%error, "a write of the store failed; opening it again");
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.reopen_if_lost();
        match self.read(Read::rev) {
            Ok(rev) if rev > before && rev == wanted => {
                self.settle(&requests, &replies);
                self.newest.send_replace(rev);
                replies
            }
            Ok(_) => requests.iter().map(|_| Err(copy(&error))).collect(),
            Err(_) => requests.iter().map(|_| Err(StoreError::Unknown)).collect(),
        }
    }

    fn reopen_if_lost(&self) {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if database.is_none() {
            match (self.open)() {
                Ok(opened) => *database = Some(opened),
                Err(error) => tracing::error!(%error, "the store cannot be opened again"),
            }
        }
    }
}

fn copy(error: &StoreError) -> StoreError {
    let text = || Box::<dyn std::error::Error + Send + Sync>::from(error.to_string());
    match error {
        StoreError::DiskFull(source) => StoreError::DiskFull(source.to_string().into()),
        StoreError::Corrupt(what) => StoreError::Corrupt(what.clone()),
        StoreError::Io(source) => StoreError::Io(source.to_string().into()),
        _ => StoreError::Io(text()),
    }
}

/// Makes missing tables, so that readers find them.
fn prepare(database: &Database) -> Result<()> {
    let write = database.begin_write().map_err(transaction_error)?;
    {
        let mut meta = write.open_table(META).map_err(table_error)?;
        let format = meta.get(META_FORMAT).map_err(storage_error)?.map(|format| format.value());
        match format {
            Some(FORMAT) => return Ok(()),
            Some(found) => {
                return Err(StoreError::Newer {
                    found: u32::try_from(found).unwrap_or(u32::MAX),
                    known: FORMAT as u32,
                });
            }
            None => meta.insert(META_FORMAT, FORMAT).map_err(storage_error)?,
        };
        write.open_table(KV).map_err(table_error)?;
        write.open_table(LOG).map_err(table_error)?;
        write.open_table(LEASES).map_err(table_error)?;
        write.open_table(LEASED).map_err(table_error)?;
    }
    write.commit().map_err(commit_error)
}

fn stored_leases(read: &Read) -> Result<Vec<(LeaseId, Duration)>> {
    let table = read.0.open_table(LEASES).map_err(table_error)?;
    let rows = table.iter().map_err(storage_error)?;
    rows.map(|row| {
        let (lease, ttl) = row.map_err(storage_error)?;
        Ok((LeaseId(lease.value()), Duration::from_millis(ttl.value())))
    })
    .collect()
}
