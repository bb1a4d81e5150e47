//! Documents for other processes as they are kept: a line that describes them, then the bytes that are sent.
//!
//! Not in the JSON envelope: it would escape them, and what is sent must be what was committed, byte for byte.

use crate::store::{Entry, Result, Rev, StoreError};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use waggle_model::Generation;
use waggle_wire::document::{digest, hex};

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Head {
    v: u32,
    generation: Generation,
    content: String,
    traceparent: String,
}

/// A stored document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub generation: Generation,
    /// SHA-256 (hex) of its JSON before it got a generation: what decides whether a new one is needed.
    pub content: String,
    /// W3C trace context of the change that led to it; may be empty.
    pub traceparent: String,
    /// Canonical JSON as it is sent.
    pub json: Bytes,
    pub rev: Rev,
}

/// Digest of content without its generation.
pub fn content_of(json: &[u8]) -> String {
    hex(&digest(json))
}

impl Stored {
    pub fn seal(&self) -> Result<Bytes> {
        let (generation, content, traceparent) = (self.generation, self.content.clone(), self.traceparent.clone());
        let head = Head { v: VERSION, generation, content, traceparent };
        let mut bytes = serde_json::to_vec(&head).map_err(|error| StoreError::Io(Box::new(error)))?;
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.json);
        Ok(bytes.into())
    }

    pub fn open(entry: &Entry) -> Result<Stored> {
        let damaged = || StoreError::Corrupt(format!("{} has no head", entry.key));
        let end = entry.value.iter().position(|byte| *byte == b'\n').ok_or_else(damaged)?;
        let head: Head = serde_json::from_slice(&entry.value[..end]).map_err(|_| damaged())?;
        if head.v > VERSION {
            return Err(StoreError::Newer { found: head.v, known: VERSION });
        }
        Ok(Stored {
            generation: head.generation,
            content: head.content,
            traceparent: head.traceparent,
            json: entry.value.slice(end + 1..),
            rev: entry.modified,
        })
    }

    /// As it goes over the wire.
    pub fn to_wire(&self) -> waggle_wire::proto::document::Document {
        waggle_wire::document::from_json(self.generation, self.json.to_vec(), self.traceparent.clone())
    }
}
