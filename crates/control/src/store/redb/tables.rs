//! The tables of the file, and reading them.

use crate::store::{Change, Entry, Key, LeaseId, Result, Rev, StoreError};
use ::redb::{
    CommitError, DatabaseError, ReadTransaction, StorageError, TableDefinition, TableError, TransactionError,
};
use bytes::Bytes;
use std::io;

/// Created, modified, lease (0: none), value.
pub(super) type Row<'a> = (u64, u64, u64, &'a [u8]);
/// Key, kind, created, lease, value.
pub(super) type LogRow<'a> = (&'a str, u8, u64, u64, &'a [u8]);

pub(super) const KV: TableDefinition<&str, Row<'static>> = TableDefinition::new("kv");
/// By revision and position in the commit.
pub(super) const LOG: TableDefinition<(u64, u32), LogRow<'static>> = TableDefinition::new("log");
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// Lease → its length in milliseconds.
pub(super) const LEASES: TableDefinition<u64, u64> = TableDefinition::new("leases");
/// Keys by lease.
pub(super) const LEASED: TableDefinition<(u64, &str), ()> = TableDefinition::new("leased");

pub(super) const META_REV: &str = "rev";
/// The log holds what came after this revision.
pub(super) const META_COMPACTED: &str = "compacted";
pub(super) const META_LOG_BYTES: &str = "log_bytes";
pub(super) const META_LEASE: &str = "lease";
/// Form of the tables.
pub(super) const META_FORMAT: &str = "format";
pub(super) const FORMAT: u64 = 1;

pub(super) const KIND_PUT: u8 = 0;
pub(super) const KIND_DELETE: u8 = 1;

pub(super) struct Read(pub(super) ReadTransaction);

/// What the log says after a revision.
pub(super) enum Tail {
    /// Changes below the prefix, and the revision up to which the log was read.
    Batches(Vec<(Rev, Vec<Change>)>, Rev),
    Compacted(Rev),
}

impl Read {
    pub(super) fn rev(&self) -> Result<Rev> {
        self.meta(META_REV).map(Rev)
    }

    pub(super) fn meta(&self, name: &str) -> Result<u64> {
        let table = self.0.open_table(META).map_err(table_error)?;
        Ok(table.get(name).map_err(storage_error)?.map_or(0, |value| value.value()))
    }

    pub(super) fn get(&self, key: &Key) -> Result<Option<Entry>> {
        let table = self.0.open_table(KV).map_err(table_error)?;
        let row = table.get(key.as_str()).map_err(storage_error)?;
        Ok(row.map(|row| entry(key.clone(), row.value())))
    }

    pub(super) fn list(&self, prefix: &Key) -> Result<Vec<Entry>> {
        let table = self.0.open_table(KV).map_err(table_error)?;
        let mut entries = Vec::new();
        for row in table.range(prefix.as_str()..).map_err(storage_error)? {
            let (key, value) = row.map_err(storage_error)?;
            if !key.value().starts_with(prefix.as_str()) {
                break;
            }
            entries.push(entry(Key::new(key.value()), value.value()));
        }
        Ok(entries)
    }

    /// At most `revs` revisions of the log after `after`.
    pub(super) fn tail(&self, prefix: &Key, after: Rev, revs: u64) -> Result<Tail> {
        let (newest, compacted) = (self.rev()?, Rev(self.meta(META_COMPACTED)?));
        if after < compacted {
            return Ok(Tail::Compacted(compacted));
        }
        let upto = Rev(newest.0.min(after.0.saturating_add(revs)));
        let table = self.0.open_table(LOG).map_err(table_error)?;
        let mut batches: Vec<(Rev, Vec<Change>)> = Vec::new();
        let range = (after.0.saturating_add(1), 0)..=(upto.0, u32::MAX);
        if after >= upto {
            return Ok(Tail::Batches(batches, after));
        }
        for row in table.range(range).map_err(storage_error)? {
            let (at, row) = row.map_err(storage_error)?;
            let (rev, (key, kind, create, lease, value)) = (Rev(at.value().0), row.value());
            if !key.starts_with(prefix.as_str()) {
                continue;
            }
            let change = match kind {
                KIND_DELETE => Change::Delete { key: Key::new(key), at: rev },
                _ => Change::Put(entry(Key::new(key), (create, rev.0, lease, value))),
            };
            match batches.last_mut() {
                Some((last, changes)) if *last == rev => changes.push(change),
                _ => batches.push((rev, vec![change])),
            }
        }
        Ok(Tail::Batches(batches, upto))
    }
}

pub(super) fn entry(key: Key, (create, modified, lease, value): Row<'_>) -> Entry {
    let lease = (lease != 0).then_some(LeaseId(lease));
    Entry { key, value: Bytes::copy_from_slice(value), create: Rev(create), modified: Rev(modified), lease }
}

pub(super) fn storage_error(error: StorageError) -> StoreError {
    match error {
        StorageError::Io(io) if is_full(&io) => StoreError::DiskFull(Box::new(io)),
        StorageError::Corrupted(what) => StoreError::Corrupt(what),
        other => StoreError::Io(Box::new(other)),
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

pub(super) fn table_error(error: TableError) -> StoreError {
    match error {
        TableError::Storage(storage) => storage_error(storage),
        other => StoreError::Corrupt(other.to_string()),
    }
}

pub(super) fn transaction_error(error: TransactionError) -> StoreError {
    match error {
        TransactionError::Storage(storage) => storage_error(storage),
        other => StoreError::Io(Box::new(other)),
    }
}

pub(super) fn commit_error(error: CommitError) -> StoreError {
    match error {
        CommitError::Storage(storage) => storage_error(storage),
        other => StoreError::Io(Box::new(other)),
    }
}

pub(super) fn database_error(error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::Locked,
        DatabaseError::Storage(storage) => storage_error(storage),
        other => StoreError::Io(Box::new(other)),
    }
}
