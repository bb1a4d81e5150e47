//! Reading records with their revision, and writing them on the condition that they are still as read.

use super::{Epoch, keys};
use crate::store::{Entry, Guard, Key, Op, Outcome, Result, Rev, Store, Txn, envelope};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A record as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Found<T> {
    pub value: T,
    pub rev: Rev,
}

pub async fn get<T: DeserializeOwned>(store: &dyn Store, key: &Key) -> Result<Option<Found<T>>> {
    let entry = store.get(key).await?;
    entry.map(|entry| Ok(Found { value: envelope::open(&entry.value)?, rev: entry.modified })).transpose()
}

/// Records below a prefix with the rest of their key, by key.
pub async fn list<T: DeserializeOwned>(store: &dyn Store, prefix: &str) -> Result<Vec<(String, Found<T>)>> {
    let (_, entries) = store.list(&Key::new(prefix), None).await?;
    let read = |entry: Entry| {
        let rest = entry.key.as_str().strip_prefix(prefix).unwrap_or_default().to_owned();
        Ok((rest, Found { value: envelope::open(&entry.value)?, rev: entry.modified }))
    };
    entries.into_iter().map(read).collect()
}

/// A transaction under construction.
#[derive(Debug, Default)]
pub struct Edit {
    txn: Txn,
}

impl Edit {
    pub fn new() -> Edit {
        Edit::default()
    }

    /// Only if the key is as it was read: at that revision, or absent.
    pub fn expect(&mut self, key: Key, rev: Option<Rev>) -> &mut Edit {
        self.txn.guards.push(match rev {
            Some(rev) => Guard::AtRev(key, rev),
            None => Guard::Absent(key),
        });
        self
    }

    pub fn put(&mut self, key: Key, value: &impl Serialize) -> Result<&mut Edit> {
        let value = envelope::seal(value)?;
        Ok(self.put_bytes(key, value))
    }

    pub fn put_bytes(&mut self, key: Key, value: Bytes) -> &mut Edit {
        self.txn.ops.push(Op::Put { key, value, lease: None });
        self
    }

    pub fn delete(&mut self, key: Key) -> &mut Edit {
        self.txn.ops.push(Op::Delete(key));
        self
    }

    /// The reconciler must look at it; it is nobody's in particular.
    pub fn touch(&mut self, traceparent: &str) -> Result<&mut Edit> {
        self.touch_for(&Epoch { traceparent: traceparent.to_owned(), ..Epoch::default() })
    }

    /// The reconciler must look at it, and say whose change it was.
    pub fn touch_for(&mut self, change: &Epoch) -> Result<&mut Edit> {
        self.put(keys::epoch(), change)
    }

    pub fn is_empty(&self) -> bool {
        self.txn.ops.is_empty()
    }

    pub fn len(&self) -> usize {
        self.txn.ops.len()
    }

    /// The revision, or `None` when something had changed and nothing was written.
    pub async fn commit(self, store: &dyn Store) -> Result<Option<Rev>> {
        match store.commit(self.txn).await? {
            Outcome::Committed(rev) => Ok(Some(rev)),
            Outcome::Conflict { .. } => Ok(None),
        }
    }
}
