//! Mappings whose keys are the user's: environment, labels, options, extra hosts, ulimits.

use super::{Normal, entry};
use crate::merge::Keyed;
use crate::read::At;
use crate::schema::service;
use crate::yaml::scalar::{go_float, go_text};
use crate::yaml::{Entry, Node, Value};
use std::collections::BTreeMap;

impl Normal {
    /// A key without value keeps [`Value::Null`] if `null`, else it is empty.
    pub(super) fn pairs(&self, at: &At<'_>, null: bool) -> Option<Node> {
        let mut pairs = Vec::new();
        match &at.node.value {
            Value::Map(entries) => {
                for found in entries {
                    if found.key.chars().all(|c| c == '\n') && !self.unchecked {
                        at.report.error(&at.key_of(found), "a key must not be empty");
                    }
                    let child = at.child(found);
                    let text = match &child.node.value {
                        value if self.unchecked => Some((*value != Value::Null).then(|| go_text(value))),
                        _ => child.scalar(),
                    };
                    pairs.extend(text.map(|text| Entry { value: put(&child, text, null), ..found.clone() }));
                }
            }
            Value::Seq(_) => {
                let items = self.items(at)?;
                let mut found = Keyed::new(Vec::new());
                for item in if self.unchecked { items } else { self.unique(items) } {
                    let Some(text) = item.string() else { continue };
                    let (key, value) = match text.split_once('=') {
                        Some((key, value)) => (key, Some(value.to_owned())),
                        None => (text.as_str(), None),
                    };
                    let value = put(&item, value, null);
                    match found.find(key) {
                        Some(pair) => pair.value = value,
                        None => found.push(entry(key, value)),
                    }
                }
                pairs = found.into_entries();
            }
            _ => return at.wrong("a mapping or a list"),
        }
        Some(at.put(Value::Map(pairs)))
    }

    /// `host:address` texts; Docker drops what has neither `=` nor `:`.
    pub(super) fn hosts(&self, at: &At<'_>) -> Option<Node> {
        let mut hosts = Vec::new();
        match &at.node.value {
            Value::Map(_) => {
                let pairs = self.pairs(at, true)?;
                let all: BTreeMap<&str, &Value> = pairs_of(at.node).iter().map(|e| (&*e.key, &e.value.value)).collect();
                for found in pairs_of(&pairs) {
                    let written = all.get(found.key.as_str()).copied().unwrap_or(&Value::Null);
                    hosts.extend(
                        address(at, found, written).map(|text| (format!("{}:{text}", found.key), &found.value)),
                    );
                }
                hosts.sort_by(|(a, _), (b, _)| a.cmp(b));
                let put = |(host, node): (String, &Node)| Node { value: Value::String(bare(&host)), ..node.clone() };
                Some(at.put(Value::Seq(hosts.into_iter().map(put).collect())))
            }
            Value::Seq(_) => {
                let mut kept = Vec::new();
                for item in self.unique(self.items(at)?) {
                    let Some(text) = item.string() else { continue };
                    match text.split_once('=').or_else(|| text.split_once(':')) {
                        Some((host, address)) => {
                            kept.push(item.put(Value::String(bare(&format!("{host}:{address}")))));
                        }
                        None => item.report.warn(&item.place, format!("{text:?} is ignored: write host:address")),
                    }
                }
                Some(at.put(Value::Seq(kept)))
            }
            _ => at.wrong("a mapping or a list"),
        }
    }

    pub(super) fn ulimits(&self, at: &At<'_>) -> Option<Node> {
        let Value::Map(entries) = &at.node.value else {
            return at.wrong("a mapping");
        };
        let mut limits = Vec::new();
        for found in entries {
            let child = at.child(found);
            let checked = !found.key.is_empty() && found.key.bytes().all(|b| b.is_ascii_lowercase());
            let value = match &child.node.value {
                Value::Int(int) if i64::try_from(*int).is_ok() => Some(child.node.clone()),
                Value::Map(_) => self.soft_and_hard(&child, checked),
                Value::Null if !checked => Some(child.node.clone()),
                _ => child.wrong("an integer, or a mapping with soft and hard"),
            };
            limits.extend(value.map(|value| Entry { value, ..found.clone() }));
        }
        Some(at.put(Value::Map(limits)))
    }

    fn soft_and_hard(&self, at: &At<'_>, checked: bool) -> Option<Node> {
        let Value::Map(entries) = &at.node.value else { return None };
        let limits = ["soft", "hard"].map(|key| entries.iter().find(|entry| entry.key == key).cloned());
        let whole = |entry: &Entry| matches!(entry.value.value, Value::Int(int) if i64::try_from(int).is_ok());
        if !limits.iter().flatten().all(whole) || limits.iter().flatten().count() < 2 {
            at.error(format!("{} needs soft and hard, both integers", at.place.key));
            return None;
        }
        if checked {
            self.keys(&service::ULIMIT, at)?;
        }
        Some(at.put(Value::Map(limits.into_iter().flatten().collect())))
    }
}

fn put(at: &At<'_>, text: Option<String>, null: bool) -> Node {
    at.put(match text {
        Some(text) => Value::String(text),
        None if null => Value::Null,
        None => Value::String(String::new()),
    })
}

fn pairs_of(node: &Node) -> &[Entry] {
    match &node.value {
        Value::Map(entries) => entries,
        _ => &[],
    }
}

/// The text that Docker makes of the address of a host; its format string spoils numbers.
fn address(at: &At<'_>, pair: &Entry, written: &Value) -> Option<String> {
    let spoiled = match written {
        Value::Null => {
            at.report.warn(&at.key_of(pair), format!("{} is ignored: it has no address", pair.key));
            return None;
        }
        Value::Int(int) if i64::try_from(*int).is_err() => format!("%!s(uint64={int})"),
        Value::Int(int) => format!("%!s(int={int})"),
        Value::Float(float) => format!("%!s(float64={})", go_float(*float)),
        _ => match &pair.value.value {
            Value::String(text) => return Some(text.clone()),
            _ => return None,
        },
    };
    at.report.warn(&at.key_of(pair), format!("the address of {} is a number: Docker makes {spoiled} of it", pair.key));
    Some(spoiled)
}

/// Without brackets around the address.
fn bare(host: &str) -> String {
    let (name, address) = host.split_once(':').unwrap_or((host, ""));
    let inner = address.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    format!("{name}:{}", inner.filter(|inner| !inner.is_empty()).unwrap_or(address))
}

/// Text values of options; what is not under a proper key is not checked by Docker.
pub(super) fn options(at: &At<'_>, null: bool) -> Option<Node> {
    let Value::Map(entries) = &at.node.value else {
        return at.wrong("a mapping");
    };
    let mut options = Vec::new();
    for found in entries {
        let child = at.child(found);
        let checked = !found.key.is_empty() && !found.key.contains('\n');
        let text = match &child.node.value {
            Value::Bool(value) if !checked => Some(value.to_string()),
            Value::Null if checked && !null => child.wrong("a string or a number"),
            _ => child.scalar().map(Option::unwrap_or_default),
        };
        options.extend(text.map(|text| Entry { value: child.put(Value::String(text)), ..found.clone() }));
    }
    Some(at.put(Value::Map(options)))
}
