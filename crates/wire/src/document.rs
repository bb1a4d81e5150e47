//! Whole documents on the wire and on disk.

use crate::proto::document::Document;
use serde::Serialize;
use serde::de::DeserializeOwned;
use waggle_model::Generation;

/// Largest document that is sent or accepted.
pub const DOCUMENT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest gRPC message: a document with its payloads (Swarm takes secrets of 500 KiB and configs of 1000 KiB).
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum InvalidDocument {
    #[error("the document has {0} bytes, at most {DOCUMENT_BYTES_MAX} are allowed")]
    TooLarge(usize),
    #[error("the document's digest does not match its bytes")]
    Digest,
    #[error("the document cannot be read")]
    Json(#[source] serde_json::Error),
    #[error("a document was announced but is missing")]
    Missing,
}

/// SHA-256 of `bytes`.
pub fn digest(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    out
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Canonical JSON: struct fields in order of declaration, maps sorted.
pub fn canonical(value: &impl Serialize) -> Result<Vec<u8>, InvalidDocument> {
    let json = serde_json::to_vec(value).map_err(InvalidDocument::Json)?;
    if json.len() > DOCUMENT_BYTES_MAX {
        return Err(InvalidDocument::TooLarge(json.len()));
    }
    Ok(json)
}

pub fn encode(generation: Generation, value: &impl Serialize) -> Result<Document, InvalidDocument> {
    Ok(from_json(generation, canonical(value)?, String::new()))
}

/// A document of bytes that are already canonical JSON.
pub fn from_json(generation: Generation, json: Vec<u8>, traceparent: String) -> Document {
    let sha256 = digest(&json).to_vec().into();
    Document { generation: generation.0, json: json.into(), sha256, traceparent }
}

/// Checks size and digest, then reads.
pub fn decode<T: DeserializeOwned>(document: &Document) -> Result<T, InvalidDocument> {
    if document.json.len() > DOCUMENT_BYTES_MAX {
        return Err(InvalidDocument::TooLarge(document.json.len()));
    }
    if document.sha256.as_ref() != digest(&document.json) {
        return Err(InvalidDocument::Digest);
    }
    serde_json::from_slice(&document.json).map_err(InvalidDocument::Json)
}

/// What a receiver does with a document, given what it has (invariant 3: nothing moves to a lower generation).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intake {
    /// Newer: take it.
    Take,
    /// The very same: nothing to do.
    Same,
    /// Older, or the same generation with other bytes.
    Refuse(&'static str),
}

/// The rule for every receiver of generational documents. `current` is generation and digest of what it has.
pub fn intake(current: Option<(Generation, &[u8])>, offered: &Document) -> Intake {
    let Some((generation, sha256)) = current else {
        return Intake::Take;
    };
    match offered.generation.cmp(&generation.0) {
        std::cmp::Ordering::Greater => Intake::Take,
        std::cmp::Ordering::Less => Intake::Refuse("its generation is older than the one in force"),
        std::cmp::Ordering::Equal if sha256 == offered.sha256.as_ref() => Intake::Same,
        std::cmp::Ordering::Equal => Intake::Refuse("it has the generation in force but other bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_tampering() {
        let document = encode(Generation(3), &vec![1, 2, 3]).unwrap();
        assert_eq!(decode::<Vec<u8>>(&document).unwrap(), [1, 2, 3]);
        let bent = Document { json: b"[1,2,4]".to_vec().into(), ..document };
        assert!(matches!(decode::<Vec<u8>>(&bent), Err(InvalidDocument::Digest)));
    }

    #[test]
    fn nothing_moves_to_a_lower_generation() {
        let old = encode(Generation(3), &"old").unwrap();
        let other = encode(Generation(3), &"other").unwrap();
        let new = encode(Generation(4), &"new").unwrap();
        let have = |d: &Document| Some((Generation(d.generation), d.sha256.to_vec()));
        let rule = |have: &Option<(Generation, Vec<u8>)>, d| intake(have.as_ref().map(|(g, s)| (*g, s.as_slice())), d);
        assert_eq!(rule(&None, &old), Intake::Take);
        assert_eq!(rule(&have(&old), &old), Intake::Same);
        assert_eq!(rule(&have(&old), &new), Intake::Take);
        assert!(matches!(rule(&have(&old), &other), Intake::Refuse(_)));
        assert!(matches!(rule(&have(&new), &old), Intake::Refuse(_)));
    }
}
