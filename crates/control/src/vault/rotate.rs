//! Replacing the key: a new one is made, everything is sealed anew with it, then the old one goes.
//!
//! A command beside the process (`waggle control rotate-key`), which control must be stopped for, and no request to it.
//! The store's lock then sees to it that nobody seals with the old key while it is being retired; a control that runs would
//! need a lock around every seal and its commit for that, for an operation of a few seconds, once in a while, during which
//! answers, failover and agents go on without control. It also needs nobody to trust the network with it.
//!
//! Every step is one durable write, and between any two of them all values can be read: the file holds both keys as long
//! as a value may need the old one. So a rotation that was cut off is gone on with by the next one, and control may run in
//! between.

use super::ring::Ring;
use super::{Vault, VaultError, name_of};
use crate::records::keys;
use crate::store::{Entry, Guard, Key, Op, Outcome, Store, StoreError, Txn};
use std::path::Path;

/// Values sealed anew in one transaction, and their bytes.
const CHUNK_OPS: usize = if cfg!(test) { 2 } else { 64 };
const CHUNK_BYTES: usize = 8 * 1024 * 1024;

/// What a rotation did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Id of the key that is in force now.
    pub key: u32,
    /// Values that were sealed anew.
    pub values: usize,
    /// An earlier rotation had been cut off; this one ended it.
    pub resumed: bool,
}

/// Runs to the end.
pub async fn rotate(store: &dyn Store, path: &Path) -> Result<Rotated, VaultError> {
    let mut rotation = Rotation::open(store, path).await?;
    while rotation.step().await? {}
    Ok(rotation.done)
}

pub(super) struct Rotation<'a> {
    store: &'a dyn Store,
    path: &'a Path,
    ring: Ring,
    vault: Vault,
    prefixes: Vec<Key>,
    /// The prefix that is worked on.
    at: usize,
    /// Since the first prefix was begun, something was still sealed with another key.
    found: bool,
    done: Rotated,
}

impl<'a> Rotation<'a> {
    pub(super) async fn open(store: &'a dyn Store, path: &'a Path) -> Result<Rotation<'a>, VaultError> {
        let vault = Vault::open(store, path).await?;
        let ring = Ring::read(path)?.ok_or_else(|| VaultError::Missing { path: path.display().to_string() })?;
        let done = Rotated { key: ring.current, values: 0, resumed: ring.keys.len() > 1 };
        Ok(Rotation { store, path, ring, vault, prefixes: prefixes(), at: 0, found: false, done })
    }

    /// The next write; `false`: it was the last, which took the old key away.
    pub(super) async fn step(&mut self) -> Result<bool, VaultError> {
        if self.ring.keys.len() == 1 {
            self.ring.turn()?;
            self.ring.write(self.path)?;
            self.vault = Vault::of(&self.ring)?;
            self.done.key = self.ring.current;
            return Ok(true);
        }
        while let Some(prefix) = self.prefixes.get(self.at) {
            let (_, entries) = self.store.list(prefix, None).await?;
            if self.seal_anew(entries).await? {
                self.found = true;
                return Ok(true);
            }
            self.at += 1;
            if self.at == self.prefixes.len() && std::mem::take(&mut self.found) {
                // Once more from the start: the old key goes only after a whole look that found nothing.
                self.at = 0;
            }
        }
        let current = self.ring.current;
        self.ring.keys.retain(|id, _| *id == current);
        self.ring.write(self.path)?;
        Ok(false)
    }

    /// A chunk of those that another key sealed; `false` if there are none.
    async fn seal_anew(&mut self, entries: Vec<Entry>) -> Result<bool, VaultError> {
        let (mut txn, mut bytes) = (Txn::default(), 0);
        for entry in entries.into_iter().filter(|entry| !self.vault.is_current(&entry.value)) {
            if txn.ops.len() >= CHUNK_OPS || bytes > CHUNK_BYTES {
                break;
            }
            let name = name_of(&entry.key);
            let clear = zeroize::Zeroizing::new(self.vault.unseal(name, &entry.value)?.to_vec());
            let value = self.vault.seal_as(name, &clear)?;
            bytes += value.len();
            txn.guards.push(Guard::AtRev(entry.key.clone(), entry.modified));
            txn.ops.push(Op::Put { key: entry.key, value, lease: None });
        }
        if txn.ops.is_empty() {
            return Ok(false);
        }
        let count = txn.ops.len();
        match self.store.commit(txn).await? {
            Outcome::Committed(_) => self.done.values += count,
            Outcome::Conflict { .. } => return Err(StoreError::Locked.into()),
        }
        Ok(true)
    }
}

/// Everything that is sealed; payloads in 256 parts, since all of them may be more than fits into memory.
pub(super) fn prefixes() -> Vec<Key> {
    let payloads = (0..=u8::MAX).map(|first| Key::new(format!("{}{first:02x}", keys::PAYLOADS)));
    [keys::vault(), Key::new(keys::LOGINS)].into_iter().chain(payloads).collect()
}
