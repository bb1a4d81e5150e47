//! Lists: texts, ports, volumes, references, attachments.

use super::{Normal, entry, is_name};
use crate::load::{ports, volumes};
use crate::read::At;
use crate::schema::service;
use crate::yaml::{Entry, Node, Value, scalar::go_float};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// First minor version with the long forms of ports and volumes.
const LONG_FORMS_SINCE: u8 = 2;

impl Normal {
    pub(super) fn texts(&self, at: &At<'_>, unique: bool) -> Option<Node> {
        let items = self.items(at)?;
        let items = if unique { self.unique(items) } else { items };
        let text = |item: &At<'_>| match item.node.value {
            Value::Null if self.unchecked => Some(String::new()),
            _ => item.string(),
        };
        let texts = items.iter().filter_map(|item| Some(item.put(Value::String(text(item)?)))).collect();
        Some(at.put(Value::Seq(texts)))
    }

    /// The items; one that is there twice is reported.
    pub(super) fn unique<'a>(&self, items: Vec<At<'a>>) -> Vec<At<'a>> {
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        for item in &items {
            if let Some(line) = seen.insert(json(item.node), item.place.span.line) {
                item.report.error(&item.place, format!("{} is there already, in line {line}", item.place.key));
            }
        }
        items
    }

    pub(super) fn texts_or_numbers(&self, at: &At<'_>) -> Option<Node> {
        let mut texts = Vec::new();
        for item in self.unique(self.items(at)?) {
            let text = match &item.node.value {
                Value::Null => item.wrong("a string or a number"),
                _ => item.scalar().flatten(),
            };
            texts.extend(text.map(|text| item.put(Value::String(text))));
        }
        Some(at.put(Value::Seq(texts)))
    }

    pub(super) fn ports(&self, at: &At<'_>) -> Option<Node> {
        let mut normal = Vec::new();
        for item in self.unique(self.items(at)?) {
            match &item.node.value {
                Value::String(text) => normal.extend(ports::short(&item, text).into_iter().flatten()),
                Value::Int(number) => {
                    normal.extend(ports::short(&item, &number.to_string()).into_iter().flatten());
                }
                Value::Map(_) if self.minor >= LONG_FORMS_SINCE => normal.extend(self.keys(&service::PORT, &item)),
                Value::Map(_) => self.too_new(&item, "ports"),
                _ => normal.extend(item.wrong("a string, an integer or a mapping")),
            }
        }
        Some(at.put(Value::Seq(normal)))
    }

    pub(super) fn mounts(&self, at: &At<'_>) -> Option<Node> {
        let items = self.items(at)?;
        let items = if self.minor < LONG_FORMS_SINCE { self.unique(items) } else { items };
        let mut normal = Vec::new();
        for item in items {
            match &item.node.value {
                Value::String(text) => normal.extend(volumes::short(&item, text)),
                Value::Map(_) if self.minor < LONG_FORMS_SINCE => self.too_new(&item, "volumes"),
                Value::Map(_) => {
                    if item.node.get("type").is_none() {
                        item.error("type is missing: volume, bind, tmpfs, npipe, image or cluster");
                    }
                    normal.extend(self.keys(&service::MOUNT, &item));
                }
                _ => normal.extend(item.wrong("a string or a mapping")),
            }
        }
        Some(at.put(Value::Seq(normal)))
    }

    fn too_new(&self, at: &At<'_>, what: &str) {
        let message = format!("the long form of {what} needs file format 3.{LONG_FORMS_SINCE} or newer");
        at.report.error_help(&at.place, message, "raise version, or leave it out for the newest");
    }

    pub(super) fn references(&self, at: &At<'_>) -> Option<Node> {
        let mut normal = Vec::new();
        for item in self.items(at)? {
            normal.extend(match &item.node.value {
                Value::String(_) => Some(item.put(Value::Map(vec![entry("source", item.node.clone())]))),
                Value::Map(_) => self.keys(&service::REFERENCE, &item),
                _ => item.wrong("a string or a mapping"),
            });
        }
        Some(at.put(Value::Seq(normal)))
    }

    pub(super) fn attachments(&self, at: &At<'_>) -> Option<Node> {
        let mut normal = Vec::new();
        match &at.node.value {
            Value::Seq(_) => {
                for item in self.unique(self.items(at)?) {
                    normal.extend(item.string().map(|name| entry(&name, item.put(Value::Null))));
                }
            }
            Value::Map(entries) => {
                for found in entries {
                    if !is_name(&found.key) {
                        let message = format!("{:?} is not the name of a network", found.key);
                        at.report.error(&at.key_of(found), message);
                    }
                    let child = at.child(found);
                    let value = match child.node.value {
                        Value::Null => Some(child.node.clone()),
                        _ => self.keys(&service::ATTACHMENT, &child),
                    };
                    normal.extend(value.map(|value| Entry { value, ..found.clone() }));
                }
            }
            _ => return at.wrong("a mapping or a list"),
        }
        Some(at.put(Value::Map(normal)))
    }
}

/// One text per value, the same for values that are the same in JSON.
fn json(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(int) => go_float(*int as f64),
        Value::Float(float) => go_float(*float),
        Value::String(text) => format!("{text:?}"),
        Value::Time(time) => format!("{:?}", time.rfc3339()),
        Value::Seq(items) => {
            let mut out = String::from("[");
            for item in items {
                let _ = write!(out, "{},", json(item));
            }
            out + "]"
        }
        Value::Map(entries) => {
            let sorted: BTreeMap<&str, &Node> = entries.iter().map(|e| (e.key.as_str(), &e.value)).collect();
            let mut out = String::from("{");
            for (key, value) in sorted {
                let _ = write!(out, "{key:?}:{},", json(value));
            }
            out + "}"
        }
    }
}
