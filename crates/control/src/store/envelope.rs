//! The form of a value: `{"v":1,"is":…}`. The version is read first, so that an older process refuses what it would
//! misread, and a newer one can migrate what it knows.

use super::{Result, StoreError};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The newest version this code writes and reads.
pub const VERSION: u32 = 1;

#[derive(Serialize)]
struct Sealed<'a, T> {
    v: u32,
    is: &'a T,
}

#[derive(Deserialize)]
struct Opened<T> {
    is: T,
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

pub fn seal(value: &impl Serialize) -> Result<Bytes> {
    let sealed = serde_json::to_vec(&Sealed { v: VERSION, is: value });
    sealed.map(Bytes::from).map_err(|error| StoreError::Io(Box::new(error)))
}

pub fn open<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let corrupt = |error: serde_json::Error| StoreError::Corrupt(error.to_string());
    match serde_json::from_slice::<Opened<T>>(bytes) {
        Ok(opened) if version(bytes)? == VERSION => Ok(opened.is),
        Ok(_) => Err(StoreError::Newer { found: version(bytes)?, known: VERSION }),
        Err(error) => match version(bytes) {
            Ok(found) if found > VERSION => Err(StoreError::Newer { found, known: VERSION }),
            _ => Err(corrupt(error)),
        },
    }
}

fn version(bytes: &[u8]) -> Result<u32> {
    let version = serde_json::from_slice::<Version>(bytes);
    version.map(|version| version.v).map_err(|error| StoreError::Corrupt(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_values_are_refused_and_damaged_ones_told_apart() {
        assert_eq!(open::<Vec<u8>>(&seal(&vec![1, 2]).unwrap()).unwrap(), [1, 2]);
        assert!(matches!(open::<u8>(br#"{"v":2,"is":{"other":1}}"#), Err(StoreError::Newer { found: 2, known: 1 })));
        assert!(matches!(open::<u8>(br#"{"v":2,"is":7}"#), Err(StoreError::Newer { .. })));
        assert!(matches!(open::<u8>(br#"{"v":1,"is":"x"}"#), Err(StoreError::Corrupt(_))));
    }
}
