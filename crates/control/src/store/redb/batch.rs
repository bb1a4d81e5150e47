//! One redb transaction that takes several requests, each whole or not at all.

use super::core::{Reply, Request};
use super::leases::{LEASES_MAX, Leases};
use super::tables::{
    KIND_DELETE, KIND_PUT, KV, LEASED, LEASES, LOG, LogRow, META, META_COMPACTED, META_LEASE, META_LOG_BYTES, META_REV,
    Row, storage_error, table_error,
};
use crate::store::{Guard, Key, LeaseId, Op, Outcome, Result, Rev, StoreError, Txn};
use ::redb::{ReadableTable, Table, WriteTransaction};
use std::time::Duration;

/// Revisions the log keeps; few in tests, which fill it.
pub(super) const LOG_REVS_MAX: u64 = if cfg!(test) { 500 } else { 8192 };
/// Bytes of values the log keeps.
pub(super) const LOG_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// One redb transaction that takes several requests.
pub(super) struct Batch<'t> {
    kv: Table<'t, &'static str, Row<'static>>,
    log: Table<'t, (u64, u32), LogRow<'static>>,
    meta: Table<'t, &'static str, u64>,
    leases: Table<'t, u64, u64>,
    leased: Table<'t, (u64, &'static str), ()>,
    living: &'t Leases,
    granted: usize,
    /// Bytes of values this batch added to the log.
    logged: u64,
    rev: Rev,
}

impl<'t> Batch<'t> {
    pub(super) fn new(write: &'t WriteTransaction, living: &'t Leases) -> Result<Batch<'t>> {
        let meta = write.open_table(META).map_err(table_error)?;
        let rev = meta.get(META_REV).map_err(storage_error)?.map_or(0, |rev| rev.value());
        Ok(Batch {
            kv: write.open_table(KV).map_err(table_error)?,
            log: write.open_table(LOG).map_err(table_error)?,
            meta,
            leases: write.open_table(LEASES).map_err(table_error)?,
            leased: write.open_table(LEASED).map_err(table_error)?,
            living,
            granted: 0,
            logged: 0,
            rev: Rev(rev),
        })
    }

    pub(super) fn apply(&mut self, request: &Request) -> Result<Reply> {
        match request {
            Request::Commit(txn) => self.commit(txn).map(Reply::Outcome),
            Request::Lease(ttl) => self.grant(*ttl).map(Reply::Lease),
            Request::Revoke(lease) if !self.living.contains(*lease) => Err(StoreError::NoLease(*lease)),
            Request::Revoke(lease) => self.end(&[*lease]),
            Request::Expire(leases) => self.end(leases),
            Request::Compact(upto) => self.cut(upto.0.min(self.rev.0)).map(|()| Reply::Done),
        }
    }

    fn commit(&mut self, txn: &Txn) -> Result<Outcome> {
        for guard in &txn.guards {
            if !self.holds(guard)? {
                return Ok(Outcome::Conflict { rev: self.rev });
            }
        }
        for op in &txn.ops {
            if let Op::Put { lease: Some(lease), .. } = op
                && !self.living.contains(*lease)
            {
                return Err(StoreError::NoLease(*lease));
            }
        }
        let next = self.rev.0 + 1;
        let mut position = 0;
        for op in &txn.ops {
            match op {
                Op::Put { key, value, lease } => {
                    self.put(next, position, key, value, lease.map_or(0, |lease| lease.0))?
                }
                Op::Delete(key) if !self.delete(next, position, key)? => continue,
                Op::Delete(_) => {}
            }
            position += 1;
        }
        if position > 0 {
            self.rev = Rev(next);
        }
        Ok(Outcome::Committed(self.rev))
    }

    fn holds(&self, guard: &Guard) -> Result<bool> {
        let modified = |key: &Key| -> Result<Option<u64>> {
            Ok(self.kv.get(key.as_str()).map_err(storage_error)?.map(|row| row.value().1))
        };
        Ok(match guard {
            Guard::Absent(key) => modified(key)?.is_none(),
            Guard::Exists(key) => modified(key)?.is_some(),
            Guard::AtRev(key, rev) => modified(key)? == Some(rev.0),
        })
    }

    fn put(&mut self, rev: u64, position: u32, key: &Key, value: &[u8], lease: u64) -> Result<()> {
        let before = self.kv.get(key.as_str()).map_err(storage_error)?.map(|row| (row.value().0, row.value().2));
        if let Some((_, old)) = before
            && old != 0
        {
            self.leased.remove((old, key.as_str())).map_err(storage_error)?;
        }
        if lease != 0 {
            self.leased.insert((lease, key.as_str()), ()).map_err(storage_error)?;
        }
        let create = before.map_or(rev, |(create, _)| create);
        self.kv.insert(key.as_str(), (create, rev, lease, value)).map_err(storage_error)?;
        self.logged += value.len() as u64;
        let row = (key.as_str(), KIND_PUT, create, lease, value);
        self.log.insert((rev, position), row).map_err(storage_error)?;
        Ok(())
    }

    fn delete(&mut self, rev: u64, position: u32, key: &Key) -> Result<bool> {
        let gone = self.kv.remove(key.as_str()).map_err(storage_error)?.map(|row| row.value().2);
        let Some(lease) = gone else { return Ok(false) };
        if lease != 0 {
            self.leased.remove((lease, key.as_str())).map_err(storage_error)?;
        }
        let row = (key.as_str(), KIND_DELETE, 0, 0, [].as_slice());
        self.log.insert((rev, position), row).map_err(storage_error)?;
        Ok(true)
    }

    fn grant(&mut self, ttl: Duration) -> Result<LeaseId> {
        self.granted += 1;
        if self.living.count() + self.granted > LEASES_MAX {
            return Err(StoreError::Limit(format!("at most {LEASES_MAX} leases are allowed")));
        }
        let id = self.meta_value(META_LEASE)? + 1;
        self.meta.insert(META_LEASE, id).map_err(storage_error)?;
        let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        self.leases.insert(id, millis).map_err(storage_error)?;
        Ok(LeaseId(id))
    }

    /// Ends leases, and deletes their keys as one revision.
    fn end(&mut self, leases: &[LeaseId]) -> Result<Reply> {
        let next = self.rev.0 + 1;
        let mut position = 0;
        for lease in leases {
            self.leases.remove(lease.0).map_err(storage_error)?;
            let mut keys = Vec::new();
            for row in self.leased.range((lease.0, "")..(lease.0 + 1, "")).map_err(storage_error)? {
                keys.push(Key::new(row.map_err(storage_error)?.0.value().1));
            }
            for key in keys {
                if self.delete(next, position, &key)? {
                    position += 1;
                }
            }
        }
        if position > 0 {
            self.rev = Rev(next);
        }
        Ok(Reply::Done)
    }

    /// Forgets the log up to a revision.
    fn cut(&mut self, upto: u64) -> Result<()> {
        self.trim(|rev, _| rev <= upto)?;
        if upto > self.meta_value(META_COMPACTED)? {
            self.meta.insert(META_COMPACTED, upto).map_err(storage_error)?;
        }
        Ok(())
    }

    /// Takes whole revisions from the front of the log while `surplus(revision, bytes of the log)`.
    fn trim(&mut self, surplus: impl Fn(u64, u64) -> bool) -> Result<()> {
        let mut bytes = self.meta_value(META_LOG_BYTES)? + std::mem::take(&mut self.logged);
        let mut compacted = self.meta_value(META_COMPACTED)?;
        loop {
            let first = self.log.first().map_err(storage_error)?.map(|(at, row)| (at.value(), row.value().4.len()));
            let Some(((rev, position), length)) = first else { break };
            if rev > compacted && !surplus(rev, bytes) {
                break;
            }
            self.log.remove((rev, position)).map_err(storage_error)?;
            bytes = bytes.saturating_sub(length as u64);
            compacted = compacted.max(rev);
        }
        self.meta.insert(META_LOG_BYTES, bytes).map_err(storage_error)?;
        self.meta.insert(META_COMPACTED, compacted).map_err(storage_error)?;
        Ok(())
    }

    fn meta_value(&self, name: &str) -> Result<u64> {
        Ok(self.meta.get(name).map_err(storage_error)?.map_or(0, |value| value.value()))
    }

    pub(super) fn finish(mut self) -> Result<Rev> {
        let oldest = self.rev.0.saturating_sub(LOG_REVS_MAX);
        self.trim(|rev, bytes| rev <= oldest || bytes > LOG_BYTES_MAX)?;
        self.meta.insert(META_REV, self.rev.0).map_err(storage_error)?;
        Ok(self.rev)
    }
}
