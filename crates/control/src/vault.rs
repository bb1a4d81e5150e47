//! Secrets and configs at rest: ChaCha20-Poly1305 under a key that lies beside the store, not in it, so that a copy of
//! the store alone (a backup, a snapshot) gives nothing away.
//!
//! A payload's SHA-256 is its name and is authenticated with it: a value cannot be passed off under another name.

use crate::store::StoreError;
use bytes::Bytes;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use std::path::Path;
use waggle_daemon::file::{WriteError, write_atomic};
use waggle_wire::document::{digest, hex};
use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;
const FORM: u8 = 1;
const KEY_MODE: u32 = 0o600;

#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error("the key of the store at {path} cannot be read")]
    Read { path: String, source: std::io::Error },
    #[error("the key of the store cannot be written")]
    Write(#[from] WriteError),
    #[error("the key of the store at {path} is damaged; restore it from a backup, secrets cannot be read without it")]
    Damaged { path: String },
    #[error("the system's random source failed")]
    Random,
}

/// Seals and opens payloads.
pub struct Vault {
    key: LessSafeKey,
    random: SystemRandom,
}

impl Vault {
    /// Reads the key from `path`, or makes one there (mode 0600).
    pub fn open(path: &Path) -> Result<Vault, VaultError> {
        let at = || path.display().to_string();
        match std::fs::read(path).map(Zeroizing::new) {
            Ok(key) => Vault::with_key(&key).ok_or_else(|| VaultError::Damaged { path: at() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key = new_key()?;
                write_atomic(path, key.as_slice(), KEY_MODE)?;
                Vault::with_key(key.as_slice()).ok_or(VaultError::Random)
            }
            Err(source) => Err(VaultError::Read { path: at(), source }),
        }
    }

    /// A key that is forgotten with the process.
    pub fn in_memory() -> Result<Vault, VaultError> {
        Vault::with_key(new_key()?.as_slice()).ok_or(VaultError::Random)
    }

    fn with_key(key: &[u8]) -> Option<Vault> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key).ok()?;
        Some(Vault { key: LessSafeKey::new(key), random: SystemRandom::new() })
    }

    /// Name (SHA-256, hex) and sealed bytes.
    pub fn seal(&self, clear: &[u8]) -> Result<(String, Bytes), VaultError> {
        let name = hex(&digest(clear));
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| VaultError::Random)?;
        let mut sealed = clear.to_vec();
        let (aad, unique) = (Aad::from(name.as_bytes()), Nonce::assume_unique_for_key(nonce));
        self.key.seal_in_place_append_tag(unique, aad, &mut sealed).map_err(|_| VaultError::Random)?;
        let mut value = Vec::with_capacity(1 + NONCE_LEN + sealed.len());
        value.push(FORM);
        value.extend_from_slice(&nonce);
        value.extend_from_slice(&sealed);
        Ok((name, value.into()))
    }

    pub fn unseal(&self, name: &str, value: &[u8]) -> Result<Bytes, StoreError> {
        let damaged =
            || StoreError::Corrupt(format!("payload {name} cannot be decrypted; is store.key the right one?"));
        let rest = value.strip_prefix(&[FORM]).ok_or_else(damaged)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN).ok_or_else(damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| damaged())?;
        let mut sealed = sealed.to_vec();
        let clear = self.key.open_in_place(nonce, Aad::from(name.as_bytes()), &mut sealed).map_err(|_| damaged())?;
        Ok(Bytes::copy_from_slice(clear))
    }
}

fn new_key() -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let mut key = Zeroizing::new(vec![0; KEY_BYTES]);
    SystemRandom::new().fill(key.as_mut_slice()).map_err(|_| VaultError::Random)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_key_is_kept_apart_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.key");
        let (name, value) = Vault::open(&path).unwrap().seal(b"hunter2").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!value.windows(7).any(|window| window == b"hunter2"));
        assert_eq!(Vault::open(&path).unwrap().unseal(&name, &value).unwrap(), "hunter2");
        assert!(Vault::in_memory().unwrap().unseal(&name, &value).is_err());
        let (other, _) = Vault::open(&path).unwrap().seal(b"other").unwrap();
        assert!(Vault::open(&path).unwrap().unseal(&other, &value).is_err());
    }
}
