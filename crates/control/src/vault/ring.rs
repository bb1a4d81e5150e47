//! The keys, as they lie in their file: usually one, two while a rotation is under way.

use super::VaultError;
use crate::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use waggle_daemon::file::write_atomic;
use zeroize::Zeroizing;

pub(super) const KEY_BYTES: usize = 32;
/// Keys at a time.
const KEYS_MAX: usize = 16;
const VERSION: u32 = 1;
const MODE: u32 = 0o600;
/// The one key of a file that is nothing but that key, as first versions wrote it.
pub(super) const BARE: u32 = 0;

pub(super) type Key = Zeroizing<Vec<u8>>;

#[derive(Clone)]
pub(super) struct Ring {
    /// What new values are sealed with.
    pub current: u32,
    pub keys: BTreeMap<u32, Key>,
}

#[derive(Serialize, Deserialize)]
struct File {
    v: u32,
    current: u32,
    /// Base64 by id.
    keys: BTreeMap<u32, Secret>,
}

impl Ring {
    /// With one new key.
    pub fn new() -> Result<Ring, VaultError> {
        Ok(Ring { current: BARE + 1, keys: [(BARE + 1, new_key()?)].into() })
    }

    /// `None` if there is no such file.
    pub fn read(path: &Path) -> Result<Option<Ring>, VaultError> {
        let at = || path.display().to_string();
        match std::fs::read(path).map(Zeroizing::new) {
            Ok(bytes) => Ring::parse(&bytes).map(Some).ok_or_else(|| VaultError::Damaged { path: at() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(VaultError::Read { path: at(), source }),
        }
    }

    fn parse(bytes: &[u8]) -> Option<Ring> {
        if bytes.len() == KEY_BYTES {
            return Some(Ring { current: BARE, keys: [(BARE, Zeroizing::new(bytes.to_vec()))].into() });
        }
        let file: File = serde_json::from_slice(bytes).ok().filter(|file: &File| file.v == VERSION)?;
        let key = |(id, text): (u32, Secret)| {
            let key = Zeroizing::new(STANDARD.decode(text.expose()).ok()?);
            (key.len() == KEY_BYTES).then_some((id, key))
        };
        let keys: BTreeMap<u32, Key> = file.keys.into_iter().map(key).collect::<Option<_>>()?;
        let whole = keys.contains_key(&file.current) && keys.len() <= KEYS_MAX;
        whole.then_some(Ring { current: file.current, keys })
    }

    /// Replaces the file, durably.
    pub fn write(&self, path: &Path) -> Result<(), VaultError> {
        let keys = self.keys.iter().map(|(id, key)| (*id, Secret::new(STANDARD.encode(key)))).collect();
        let file = File { v: VERSION, current: self.current, keys };
        // Numbers and texts only: there is nothing that could fail.
        let text = Zeroizing::new(serde_json::to_vec(&file).unwrap_or_default());
        Ok(write_atomic(path, &text, MODE)?)
    }

    /// Adds a key, with which everything new is sealed from now on.
    pub fn turn(&mut self) -> Result<(), VaultError> {
        let newest = self.keys.last_key_value().map_or(BARE, |(id, _)| *id);
        self.current = newest.checked_add(1).ok_or(VaultError::Random)?;
        self.keys.insert(self.current, new_key()?);
        Ok(())
    }
}

fn new_key() -> Result<Key, VaultError> {
    let mut key = Zeroizing::new(vec![0; KEY_BYTES]);
    SystemRandom::new().fill(key.as_mut_slice()).map_err(|_| VaultError::Random)?;
    Ok(key)
}
