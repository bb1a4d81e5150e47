//! One file's tree → its long form: every value checked and typed as the table in [`schema`](crate::schema) says, short
//! forms expanded, what Docker drops dropped with a warning. What is empty is left out where Docker cannot tell the
//! difference.

mod lists;
mod numbers;
mod pairs;
mod unknown;

use crate::read::At;
use crate::scalar::{bytes, duration, shell};
use crate::schema::{self, Keys, Shape, service};
use crate::yaml::{Entry, Node, Value};

/// Rules of one file.
#[derive(Clone, Copy)]
pub(crate) struct Normal {
    /// Minor version of the file.
    pub minor: u8,
    /// An empty list counts as nothing at all: Docker's way without interpolation.
    pub empty_is_nothing: bool,
    /// Inside of what the format does not know yet and Docker reads all the same: what its typed reading takes is taken.
    pub unchecked: bool,
}

/// First minor version that checks `x-cluster-spec`.
const CLUSTER_SPEC_SINCE: u8 = 10;

impl Normal {
    /// `None`: nothing to keep, or reported as wrong.
    pub fn value(&self, shape: Shape, at: &At<'_>) -> Option<Node> {
        match shape {
            Shape::Text => Some(at.put(Value::String(at.string()?))),
            Shape::TextOrNull if at.node.value == Value::Null => None,
            Shape::TextOrNull => self.value(Shape::Text, at),
            Shape::TextOrInteger => match at.node.value {
                Value::Int(_) | Value::String(_) => Some(at.put(Value::String(at.scalar()??))),
                Value::Float(float) if float.fract() == 0.0 => Some(at.put(Value::String(at.scalar()??))),
                Value::Time(_) => Some(at.put(Value::String(at.scalar()??))),
                _ => at.wrong("a string or an integer"),
            },
            Shape::Word(words) => word(at, words),
            Shape::Switch | Shape::OptionalSwitch => match at.node.value {
                Value::Bool(_) => Some(at.node.clone()),
                _ => at.wrong("true or false"),
            },
            Shape::Number(number) => numbers::number(number, at),
            Shape::Duration { .. } => Some(at.put(Value::Int(nanos(at)?.into()))),
            Shape::Bytes if self.unchecked && is_int64(at) => Some(at.node.clone()),
            Shape::Bytes => Some(at.put(Value::Int(size(at)?.into()))),
            Shape::Texts { unique } => self.texts(at, unique),
            Shape::TextOrTexts => match &at.node.value {
                Value::String(_) => Some(at.put(Value::Seq(vec![at.node.clone()]))),
                Value::Seq(_) => self.texts(at, true),
                _ => at.wrong("a string or a list of strings"),
            },
            Shape::TextsOrNumbers => self.texts_or_numbers(at),
            Shape::Command => self.command(at),
            Shape::Test => self.test(at),
            Shape::Pairs { null } => self.pairs(at, null),
            Shape::Options { null } => pairs::options(at, null),
            Shape::Hosts => self.hosts(at),
            Shape::Ports => self.ports(at),
            Shape::Mounts => self.mounts(at),
            Shape::References => self.references(at),
            Shape::Attachments => self.attachments(at),
            Shape::Ulimits => self.ulimits(at),
            Shape::External { open } => external(at, open),
            Shape::Build => match &at.node.value {
                Value::String(_) => Some(at.put(Value::Map(vec![entry("context", at.node.clone())]))),
                Value::Map(_) => self.keys(&service::BUILD, at),
                _ => at.wrong("a string or a mapping"),
            },
            Shape::Logging => self.keys(&service::LOGGING, at),
            Shape::Healthcheck => self.keys(&service::HEALTHCHECK, at),
            Shape::Keys(keys) => self.keys(keys, at),
            Shape::List(keys) => {
                let items = self.items(at)?;
                Some(at.put(Value::Seq(items.iter().filter_map(|item| self.keys(keys, item)).collect())))
            }
            Shape::Anything => Some(at.node.clone()),
            Shape::Dropped(shape) => {
                self.value(*shape, at);
                at.report.warn(&at.place, format!("{} is ignored, as docker stack deploy ignores it", at.place.key));
                None
            }
        }
    }

    /// A mapping with known keys.
    pub fn keys(&self, keys: &'static Keys, at: &At<'_>) -> Option<Node> {
        let entries = match &at.node.value {
            Value::Map(entries) => entries,
            Value::Null if keys.null || self.unchecked => return Some(at.put(Value::Map(Vec::new()))),
            // A struct without fields that anybody sees.
            Value::Time(_) if self.unchecked => return Some(at.put(Value::Map(Vec::new()))),
            _ => return at.wrong(if keys.null { "a mapping or empty" } else { "a mapping" }),
        };
        let mut normal = Vec::new();
        for found in entries {
            let child = at.child(found);
            let Some(key) = self.known(keys, entries, &found.key) else {
                // In a service; read by `compose::waggle`.
                if found.key == "x-waggle" && keys.find("image").is_some() && keys.extensions_since <= self.minor {
                    normal.push(found.clone());
                } else if found.key.starts_with("x-") && keys.extensions_since <= self.minor {
                    at.report.warn(&at.key_of(found), format!("{} is ignored", found.key));
                    normal.push(found.clone());
                } else if keys.open_since <= self.minor {
                    at.report.warn(&at.key_of(found), format!("{} is ignored: Docker does not know it", found.key));
                } else {
                    self.unknown(keys, at, found);
                }
                continue;
            };
            let unchecked = self.unchecked || found.key == "x-cluster-spec" && self.minor < CLUSTER_SPEC_SINCE;
            if unchecked && child.node.value == Value::Null {
                continue;
            }
            let inside = Normal { unchecked, ..*self };
            if let Some(value) = inside.value(key.shape, &child) {
                normal.push(Entry { key: key.name.to_owned(), key_span: found.key_span, value });
            }
        }
        Some(at.put(Value::Map(normal)))
    }

    /// Where other keys are taken, a known one may be written in capitals, unless it is there in its own form.
    fn known(&self, keys: &'static Keys, entries: &[Entry], name: &str) -> Option<&'static schema::Key> {
        let available = |key: &&schema::Key| key.since <= self.minor;
        if let Some(key) = keys.find(name).filter(available) {
            return Some(key);
        }
        let open = keys.open_since <= self.minor;
        let key = keys.keys.iter().find(|key| open && key.name.eq_ignore_ascii_case(name)).filter(available)?;
        (!entries.iter().any(|entry| entry.key == key.name)).then_some(key)
    }

    /// Items of a list.
    pub fn items<'a>(&self, at: &At<'a>) -> Option<Vec<At<'a>>> {
        if self.empty_is_nothing && matches!(&at.node.value, Value::Seq(items) if items.is_empty()) {
            at.error("an empty list is refused when variables are not replaced, as docker stack config refuses it");
            return None;
        }
        at.items()
    }

    fn command(&self, at: &At<'_>) -> Option<Node> {
        let Value::String(text) = &at.node.value else {
            return match at.node.value {
                Value::Seq(_) => self.texts(at, false),
                _ => at.wrong("a string or a list of strings"),
            };
        };
        match shell::split(text) {
            Ok(words) => Some(at.put(texts(at, words))),
            Err(why) => {
                at.error(format!("cannot split into words: {why}"));
                None
            }
        }
    }

    fn test(&self, at: &At<'_>) -> Option<Node> {
        match &at.node.value {
            Value::String(text) => Some(at.put(texts(at, vec!["CMD-SHELL".to_owned(), text.clone()]))),
            Value::Seq(_) => self.texts(at, false),
            _ => at.wrong("a string or a list of strings"),
        }
    }
}

/// A list of texts that all stand where `at` stands.
fn texts(at: &At<'_>, words: Vec<String>) -> Value {
    Value::Seq(words.into_iter().map(|word| at.put(Value::String(word))).collect())
}

/// An entry whose key has no place of its own.
pub(super) fn entry(key: &str, value: Node) -> Entry {
    Entry { key: key.to_owned(), key_span: value.span, value }
}

/// Names of services, networks and the like: `[a-zA-Z0-9._-]+`.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn word(at: &At<'_>, words: &[&str]) -> Option<Node> {
    let text = at.string()?;
    if words.contains(&text.as_str()) {
        return Some(at.put(Value::String(text)));
    }
    at.error(format!("{text:?} is none of {}", words.join(", ")));
    None
}

fn nanos(at: &At<'_>) -> Option<i64> {
    let Value::String(text) = &at.node.value else {
        return at.wrong("a duration such as 500ms, 5s or 1m30s");
    };
    match duration::nanos(text) {
        Ok(nanos) => Some(nanos),
        Err(why) => {
            let message = format!("{} is not a duration: {why}", at.place.key);
            at.report.error_help(&at.place, message, "write a number with unit, e.g. 500ms, 5s or 1m30s");
            None
        }
    }
}

fn is_int64(at: &At<'_>) -> bool {
    matches!(at.node.value, Value::Int(int) if i64::try_from(int).is_ok())
}

fn size(at: &At<'_>) -> Option<i64> {
    let text = at.string()?;
    let parsed = bytes::ram(&text);
    if parsed.is_none() {
        at.error(format!("{} is {text:?}, not a size such as 64M or 1.5g", at.place.key));
    }
    parsed
}

/// `external` → whether, and the name inside.
fn external(at: &At<'_>, open: bool) -> Option<Node> {
    let external = |value: bool| entry("external", at.put(Value::Bool(value)));
    let entries = match &at.node.value {
        Value::Bool(value) => return Some(at.put(Value::Map(vec![external(*value)]))),
        Value::Map(entries) => entries,
        _ => return at.wrong("true, false or a mapping with a name"),
    };
    let mut normal = vec![external(true)];
    for found in entries {
        match found.key.as_str() {
            "name" => {
                at.child(found).string()?;
                normal.push(found.clone());
            }
            other if open => at.report.warn(&at.key_of(found), format!("{other} is ignored: Docker does not know it")),
            other => at.report.error(&at.key_of(found), format!("unknown key {other:?}: external takes name only")),
        }
    }
    Some(at.put(Value::Map(normal)))
}
