//! Where control keeps everything that must outlive it: keys with revisions, written by compare-and-commit.
//!
//! A port, because it has two kinds of implementation: embedded (one control process, nothing to run beside it) and
//! distributed (several control processes). Its shape is the smaller of the two: what etcd can do in one transaction.
//! One suite, [`conformance`], decides whether an implementation is one.
//!
//! Every commit has one revision, which grows. A commit names what it was decided from (its guards); if that has
//! changed since, nothing is written and the caller decides again. Rejected: locks held across decisions (a dead holder
//! stops the world), and last-writer-wins (two controls would undo each other).

pub mod conformance;
pub mod envelope;
pub mod redb;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Operations, and guards, of one transaction (etcd's default limit).
pub const OPS_MAX: usize = 128;
/// Bytes of a key.
pub const KEY_BYTES_MAX: usize = 512;
/// Bytes of one value: a whole document with its envelope.
pub const VALUE_BYTES_MAX: usize = 24 * 1024 * 1024;
/// Bytes of all values of one transaction.
pub const TXN_BYTES_MAX: usize = 48 * 1024 * 1024;
/// Shortest and longest life of a lease without keep-alive.
pub const LEASE_TTL_MIN: Duration = Duration::from_millis(50);
pub const LEASE_TTL_MAX: Duration = Duration::from_secs(3600);

/// Revision of the store; 0 is the empty store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rev(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u64);

/// Text such as `rollout/00000000000000000007`; also used as a prefix.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    pub fn new(text: impl AsRef<str>) -> Key {
        Key(Arc::from(text.as_ref()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: Key,
    pub value: Bytes,
    /// Revision that created the key, since it was last absent.
    pub create: Rev,
    /// Revision of the newest write.
    pub modified: Rev,
    pub lease: Option<LeaseId>,
}

/// What must still be true for a transaction to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    Absent(Key),
    /// The key exists and was last written by this revision.
    AtRev(Key, Rev),
    Exists(Key),
}

#[derive(Clone, PartialEq, Eq)]
pub enum Op {
    Put {
        key: Key,
        value: Bytes,
        lease: Option<LeaseId>,
    },
    /// Deleting an absent key changes nothing.
    Delete(Key),
}

impl fmt::Debug for Op {
    /// Values may be secret: only their length is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Put { key, value, .. } => write!(f, "put {key} ({} bytes)", value.len()),
            Op::Delete(key) => write!(f, "delete {key}"),
        }
    }
}

impl Op {
    pub fn key(&self) -> &Key {
        match self {
            Op::Put { key, .. } | Op::Delete(key) => key,
        }
    }
}

/// All operations or none, provided that all guards hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    pub guards: Vec<Guard>,
    pub ops: Vec<Op>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a conflict means that nothing was written"]
pub enum Outcome {
    Committed(Rev),
    /// A guard did not hold; `rev` is the store's revision at that time.
    Conflict {
        rev: Rev,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Put(Entry),
    Delete { key: Key, at: Rev },
}

impl Change {
    pub fn key(&self) -> &Key {
        match self {
            Change::Put(entry) => &entry.key,
            Change::Delete { key, .. } => key,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchItem {
    /// Everything one commit changed below the prefix.
    Batch { rev: Rev, changes: Vec<Change> },
    /// Nothing was missed up to here.
    Progress(Rev),
    /// Changes after the wanted revision are no longer kept: list again. The stream ends.
    Compacted(Rev),
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the disk of the store is full; nothing was written")]
    DiskFull(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the store cannot be read or written")]
    Io(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    #[error("the store does not answer; the change may have been written, read again")]
    Unknown,
    #[error("too many writes are waiting")]
    Busy,
    #[error("{0}")]
    Limit(String),
    #[error("lease {} does not exist or has run out", .0.0)]
    NoLease(LeaseId),
    #[error("revision {} is not kept", .0.0)]
    NotKept(Rev),
    #[error("another process uses the store")]
    Locked,
    #[error("a value of the store was written by a newer version ({found}, this one reads up to {known})")]
    Newer { found: u32, known: u32 },
}

pub type Result<T> = std::result::Result<T, StoreError>;

#[async_trait]
pub trait Store: Send + Sync {
    async fn get(&self, key: &Key) -> Result<Option<Entry>>;
    /// Entries below a prefix, by key, and the revision they are of. `at`: as they were then; an implementation that
    /// keeps only the newest state answers an older revision with [`StoreError::NotKept`].
    async fn list(&self, prefix: &Key, at: Option<Rev>) -> Result<(Rev, Vec<Entry>)>;
    /// Durable when it returns. [`StoreError::Unknown`] may have been written.
    async fn commit(&self, txn: Txn) -> Result<Outcome>;
    /// Every change below the prefix after a revision, in order and without gaps.
    fn watch(&self, prefix: Key, after: Rev) -> BoxStream<'static, Result<WatchItem>>;
    /// Keys written with the lease vanish when it runs out.
    async fn lease(&self, ttl: Duration) -> Result<LeaseId>;
    /// Life that is left from now on.
    async fn keep_alive(&self, lease: LeaseId) -> Result<Duration>;
    async fn revoke(&self, lease: LeaseId) -> Result<()>;
    /// Forgets changes up to a revision; watches that want older ones must list again.
    async fn compact(&self, upto: Rev) -> Result<()>;
}

impl Txn {
    /// The limits that every implementation holds to.
    pub fn check(&self) -> Result<()> {
        let refuse = |text: String| Err(StoreError::Limit(text));
        if self.ops.len() > OPS_MAX || self.guards.len() > OPS_MAX {
            let count = self.ops.len().max(self.guards.len());
            return refuse(format!("a transaction of {count} parts, at most {OPS_MAX} are allowed"));
        }
        let mut seen = BTreeSet::new();
        let mut bytes = 0usize;
        for op in &self.ops {
            let key = op.key();
            if key.as_str().is_empty() || key.as_str().len() > KEY_BYTES_MAX {
                return refuse(format!("a key of {} bytes, 1 to {KEY_BYTES_MAX} are allowed", key.as_str().len()));
            }
            if !seen.insert(key) {
                return refuse(format!("key {key} occurs twice in a transaction"));
            }
            if let Op::Put { value, .. } = op {
                bytes = bytes.saturating_add(value.len());
                if value.len() > VALUE_BYTES_MAX {
                    let length = value.len();
                    return refuse(format!("{key} would have {length} bytes, at most {VALUE_BYTES_MAX} are allowed"));
                }
            }
        }
        if bytes > TXN_BYTES_MAX {
            return refuse(format!("a transaction of {bytes} bytes, at most {TXN_BYTES_MAX} are allowed"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
