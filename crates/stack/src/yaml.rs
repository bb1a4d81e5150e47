//! YAML with the rules of the Go library that Docker uses (yaml.v3), as a tree in which every node knows its place.
//!
//! The tree is built from parser events rather than through serde: an error about a Compose file must name line and
//! column of the very key, also long after reading (an undefined network, a port published twice). Wrapping every field
//! in serde-saphyr's `Spanned` was considered; it gives no places for keys nor for unknown fields. [`from_str`] offers
//! plain typed reading for other files, through serde-saphyr, after the same limits were checked.

#![allow(clippy::result_large_err, reason = "a problem ends the reading: it is moved once")]

mod base64;
mod build;
pub mod scalar;
#[cfg(test)]
mod tests;
pub mod time;

use crate::problem::Problem;
use serde::de::DeserializeOwned;
use time::Time;

/// Bytes of one file.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// Nested mappings and sequences, aliases expanded.
pub const DEPTH_MAX: usize = 64;
/// Nodes of one file, aliases and merge keys expanded.
pub const NODES_MAX: usize = 100_000;

/// Where a node stands: line and column from 1, in characters; width of its first line, at least 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub line: u32,
    pub column: u32,
    pub width: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub value: Value,
    pub span: Span,
    /// Index of the file among several; 0 until somebody sets it.
    pub source: usize,
    /// Interpolation changed this scalar: it may stand for a number or boolean although it is a string.
    pub interpolated: bool,
}

/// A resolved value. Merge keys and aliases are already applied.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    /// Any of Go's `int64` and `uint64`.
    Int(i128),
    Float(f64),
    String(String),
    /// A timestamp that was not quoted.
    Time(Time),
    Seq(Vec<Node>),
    /// In file order, keys unique.
    Map(Vec<Entry>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: String,
    pub key_span: Span,
    pub value: Node,
}

impl Node {
    pub fn new(value: Value, span: Span) -> Node {
        Node { value, span, source: 0, interpolated: false }
    }

    /// Value of `key` if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
            _ => None,
        }
    }

    /// What kind of value this is, for messages: `a mapping`, `a number`, …
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "empty",
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::String(_) => "a string",
            Value::Time(_) => "a timestamp",
            Value::Seq(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// Reads one YAML document. Duplicate keys, keys that are not strings, a second document, and anything beyond the limits
/// of this module are errors. An empty document is [`Value::Null`].
pub fn parse(name: &str, text: &str) -> Result<Node, Problem> {
    match first_document(name, text)? {
        (root, None) => Ok(root),
        (_, Some(span)) => Err(Problem::at(name, text, span, "", "a second document in one file; only one is read")),
    }
}

/// Like [`parse`]; what follows the first document is not read, and its place is returned.
pub fn first_document(name: &str, text: &str) -> Result<(Node, Option<Span>), Problem> {
    check_size(name, text)?;
    build::build(name, text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Reads one YAML document into a serde type; errors carry the place that serde-saphyr reports.
pub fn from_str<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, Problem> {
    parse(name, text)?;
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let place = error.location().map_or((0, 0), |at| (at.line() as u32, at.column() as u32));
        let span = Span { line: place.0, column: place.1, width: 1 };
        let message = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
        Problem::at(name, text, span, "", strip_place(&message))
    })
}

fn check_size(name: &str, text: &str) -> Result<(), Problem> {
    if text.len() <= FILE_BYTES_MAX {
        return Ok(());
    }
    let message = format!("file is larger than {FILE_BYTES_MAX} bytes");
    Err(Problem::at(name, "", Span::default(), "", message))
}

/// The place stands in front already.
fn strip_place(message: &str) -> &str {
    message.rsplit_once(" at line ").map_or(message, |(head, _)| head)
}
