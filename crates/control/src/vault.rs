//! Secrets, configs and registry logins at rest: ChaCha20-Poly1305 under a key that lies beside the store, not in it, so
//! that a copy of the store alone (a backup, a snapshot) gives nothing away.
//!
//! A value's name is authenticated with it (a payload's is its SHA-256, a login's its key in the store): a value cannot be
//! passed off under another name. Each value says which key it was sealed with, so that there can be several; [`rotate`]
//! replaces the key.
//!
//! Not sealed are the key of the certificate authority and the administrator's token, which lie in files of their own
//! beside the key (mode 0600): whoever can read one can read the other.

mod ring;
pub mod rotate;

#[cfg(test)]
mod tests;

use self::ring::{BARE, Ring};
use crate::records::keys;
use crate::store::{Guard, Key, Op, Store, StoreError, Txn};
use ::ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ::ring::rand::{SecureRandom, SystemRandom};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::Path;
use waggle_daemon::file::WriteError;
use waggle_wire::document::{digest, hex};

/// First byte of a value: sealed with the key [`BARE`], or with the one whose id follows (4 bytes, big-endian).
const FORM_BARE: u8 = 1;
const FORM: u8 = 2;
const ID_LEN: usize = 4;
/// What is sealed to tell the right key from a wrong one.
const PROBE: &[u8] = b"waggle";

#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error("the key of the store at {path} cannot be read")]
    Read { path: String, source: std::io::Error },
    #[error("the key of the store cannot be written")]
    Write(#[from] WriteError),
    #[error("the key of the store at {path} is damaged; restore it from a backup, secrets cannot be read without it")]
    Damaged { path: String },
    #[error(
        "the key of the store at {path} is missing; restore it from a backup, the secrets and logins in the store cannot be \
         read without it"
    )]
    Missing { path: String },
    #[error("the key at {path} is not the one that the store was sealed with; restore the right one from a backup")]
    Wrong { path: String },
    #[error("the system's random source failed")]
    Random,
    #[error("the store failed")]
    Store(#[from] StoreError),
}

/// Seals and opens values.
pub struct Vault {
    current: u32,
    keys: BTreeMap<u32, LessSafeKey>,
    random: SystemRandom,
}

impl Vault {
    /// Reads the keys from `path` and holds them against the store. Makes the first one if neither has any.
    pub async fn open(store: &dyn Store, path: &Path) -> Result<Vault, VaultError> {
        let at = || path.display().to_string();
        let sample = sample(store).await?;
        let ring = match (Ring::read(path)?, &sample) {
            (Some(ring), _) => ring,
            (None, Some(_)) => return Err(VaultError::Missing { path: at() }),
            (None, None) => {
                let ring = Ring::new()?;
                ring.write(path)?;
                ring
            }
        };
        let vault = Vault::of(&ring)?;
        if let Some((name, value)) = &sample
            && vault.unseal(name, value).is_err()
        {
            return Err(VaultError::Wrong { path: at() });
        }
        let probe = keys::vault();
        if store.get(&probe).await?.is_none() {
            let value = vault.seal_as(probe.as_str(), PROBE)?;
            let ops = vec![Op::Put { key: probe.clone(), value, lease: None }];
            let _ = store.commit(Txn { guards: vec![Guard::Absent(probe)], ops }).await?;
        }
        Ok(vault)
    }

    /// A key that is forgotten with the process.
    pub fn in_memory() -> Result<Vault, VaultError> {
        Vault::of(&Ring::new()?)
    }

    fn of(ring: &Ring) -> Result<Vault, VaultError> {
        let key = |bytes: &ring::Key| UnboundKey::new(&CHACHA20_POLY1305, bytes).map(LessSafeKey::new);
        let keys = ring.keys.iter().map(|(id, bytes)| Ok((*id, key(bytes)?)));
        let keys = keys.collect::<Result<_, ::ring::error::Unspecified>>().map_err(|_| VaultError::Random)?;
        Ok(Vault { current: ring.current, keys, random: SystemRandom::new() })
    }

    /// Name (SHA-256, hex) and sealed bytes of a payload.
    pub fn seal(&self, clear: &[u8]) -> Result<(String, Bytes), VaultError> {
        let name = hex(&digest(clear));
        let value = self.seal_as(&name, clear)?;
        Ok((name, value))
    }

    /// Seals under a name that is given.
    pub fn seal_as(&self, name: &str, clear: &[u8]) -> Result<Bytes, VaultError> {
        let key = self.keys.get(&self.current).ok_or(VaultError::Random)?;
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| VaultError::Random)?;
        let mut sealed = clear.to_vec();
        let (aad, unique) = (Aad::from(name.as_bytes()), Nonce::assume_unique_for_key(nonce));
        key.seal_in_place_append_tag(unique, aad, &mut sealed).map_err(|_| VaultError::Random)?;
        let mut value = Vec::with_capacity(1 + ID_LEN + NONCE_LEN + sealed.len());
        value.push(FORM);
        value.extend_from_slice(&self.current.to_be_bytes());
        value.extend_from_slice(&nonce);
        value.extend_from_slice(&sealed);
        Ok(value.into())
    }

    pub fn unseal(&self, name: &str, value: &[u8]) -> Result<Bytes, StoreError> {
        let damaged = |why: &str| StoreError::Corrupt(format!("{name} cannot be decrypted: {why}"));
        let (id, rest) = split(value).ok_or_else(|| damaged("it has no form that is known here"))?;
        let key = self.keys.get(&id);
        let key = key.ok_or_else(|| damaged(&format!("store.key does not hold key {id}; is it the right one?")))?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN).ok_or_else(|| damaged("it is cut off"))?;
        let other = || damaged("is store.key the right one?");
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| other())?;
        let mut sealed = sealed.to_vec();
        let clear = key.open_in_place(nonce, Aad::from(name.as_bytes()), &mut sealed).map_err(|_| other())?;
        Ok(Bytes::copy_from_slice(clear))
    }

    fn is_current(&self, value: &[u8]) -> bool {
        value.first() == Some(&FORM) && split(value).is_some_and(|(id, _)| id == self.current)
    }
}

/// Id of the key and what follows it.
fn split(value: &[u8]) -> Option<(u32, &[u8])> {
    match value.split_first()? {
        (&FORM_BARE, rest) => Some((BARE, rest)),
        (&FORM, rest) => {
            let (id, rest) = rest.split_first_chunk::<ID_LEN>()?;
            Some((u32::from_be_bytes(*id), rest))
        }
        _ => None,
    }
}

/// The name under which the value of a key is sealed.
fn name_of(key: &Key) -> &str {
    key.as_str().strip_prefix(keys::PAYLOADS).unwrap_or(key.as_str())
}

/// Some sealed value of the store.
async fn sample(store: &dyn Store) -> Result<Option<(String, Bytes)>, StoreError> {
    if let Some(entry) = store.get(&keys::vault()).await? {
        return Ok(Some((name_of(&entry.key).to_owned(), entry.value)));
    }
    for prefix in rotate::prefixes() {
        if let Some(entry) = store.list(&prefix, None).await?.1.into_iter().next() {
            return Ok(Some((name_of(&entry.key).to_owned(), entry.value)));
        }
    }
    Ok(None)
}
