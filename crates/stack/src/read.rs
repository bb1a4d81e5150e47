//! Reading typed values from the tree. Every mapping is opened, its keys are taken one by one, and `finish` reports what
//! was not taken: a key that nobody reads cannot be dropped silently.

use crate::problem::{Place, Report};
use crate::scalar::duration;
use crate::yaml::{Entry, Node, Value, scalar::go_float};
use std::collections::BTreeMap;

/// A value and where it stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spot<T> {
    pub value: T,
    pub at: Place,
}

/// A node under reading.
#[derive(Clone)]
pub(crate) struct At<'a> {
    pub node: &'a Node,
    pub place: Place,
    pub report: &'a Report<'a>,
}

impl<'a> At<'a> {
    pub fn new(node: &'a Node, report: &'a Report<'a>) -> At<'a> {
        At { node, place: Place { source: node.source, span: node.span, key: String::new() }, report }
    }

    pub fn error(&self, message: impl Into<String>) {
        self.report.error(&self.place, message);
    }

    /// Reports `must be <wanted>`; always `None`.
    pub fn wrong<T>(&self, wanted: &str) -> Option<T> {
        let message = format!("{} must be {wanted}, not {}", self.name(), self.node.kind());
        let quotable = matches!(self.node.value, Value::Int(_) | Value::Float(_) | Value::Bool(_));
        if wanted.starts_with("a string") && quotable {
            self.report.error_help(&self.place, message, "put it into quotes");
        } else {
            self.error(message);
        }
        None
    }

    fn name(&self) -> &str {
        if self.place.key.is_empty() { "the file" } else { &self.place.key }
    }

    pub fn spot<T>(&self, value: T) -> Spot<T> {
        Spot { value, at: self.place.clone() }
    }

    pub fn string(&self) -> Option<String> {
        match &self.node.value {
            Value::String(text) => Some(text.clone()),
            _ => self.wrong("a string"),
        }
    }

    pub fn bool(&self) -> Option<bool> {
        match &self.node.value {
            Value::Bool(value) => Some(*value),
            Value::String(text) if self.node.interpolated => match text.to_ascii_lowercase().as_str() {
                "1" | "y" | "yes" | "true" | "on" => Some(true),
                "0" | "n" | "no" | "false" | "off" => Some(false),
                _ => self.wrong("true or false"),
            },
            _ => self.wrong("true or false"),
        }
    }

    /// An integer within `min..=max`.
    pub fn int(&self, min: i64, max: i64) -> Option<i64> {
        let value = match &self.node.value {
            Value::Int(value) => *value,
            Value::String(text) if self.node.interpolated => match text.parse::<i64>() {
                Ok(value) => i128::from(value),
                Err(_) => return self.wrong("an integer"),
            },
            _ => return self.wrong("an integer"),
        };
        let fits = i64::try_from(value).ok().filter(|value| (min..=max).contains(value));
        if fits.is_none() {
            self.error(format!("{} is {value}; it must be between {min} and {max}", self.name()));
        }
        fits
    }

    /// An integer of at least 0, in all of Go's `uint64`.
    pub fn count(&self) -> Option<u64> {
        match &self.node.value {
            Value::Int(value) if u64::try_from(*value).is_ok() => u64::try_from(*value).ok(),
            _ => self.int(0, i64::MAX).map(i64::unsigned_abs),
        }
    }

    pub fn float(&self) -> Option<f64> {
        match &self.node.value {
            Value::Int(value) => Some(*value as f64),
            Value::Float(value) if value.is_finite() => Some(*value),
            Value::String(text) if self.node.interpolated => {
                text.parse::<f64>().ok().filter(|v| v.is_finite()).or_else(|| self.wrong("a number"))
            }
            _ => self.wrong("a number"),
        }
    }

    /// Go duration text → nanoseconds.
    pub fn nanos(&self) -> Option<i64> {
        let Value::String(text) = &self.node.value else {
            return self.wrong("a duration such as 500ms, 5s or 1m30s");
        };
        match duration::nanos(text) {
            Ok(nanos) => Some(nanos),
            Err(why) => {
                self.report.error_help(
                    &self.place,
                    format!("{} is not a duration: {why}", self.name()),
                    "write a number with unit, e.g. 500ms, 5s or 1m30s",
                );
                None
            }
        }
    }

    /// Items of a list.
    pub fn items(&self) -> Option<Vec<At<'a>>> {
        let Value::Seq(items) = &self.node.value else {
            return self.wrong("a list");
        };
        let item = |(index, node): (usize, &'a Node)| At {
            node,
            place: Place { source: node.source, span: node.span, key: format!("{}[{index}]", self.place.key) },
            report: self.report,
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    pub fn strings(&self) -> Option<Vec<String>> {
        Some(self.items()?.iter().filter_map(At::string).collect())
    }

    /// Text of a string, number or null (empty), as Go prints it.
    pub fn scalar(&self) -> Option<Option<String>> {
        match &self.node.value {
            Value::String(text) => Some(Some(text.clone())),
            Value::Int(value) => Some(Some(value.to_string())),
            Value::Float(value) => Some(Some(go_float(*value))),
            Value::Time(value) => Some(Some(value.go_string())),
            Value::Null => Some(None),
            _ => self.wrong("a string, a number or empty"),
        }
    }

    /// Text of a mapping with scalar values; `None` = a key without value.
    pub fn pairs(&self) -> Option<BTreeMap<String, Option<String>>> {
        let Value::Map(entries) = &self.node.value else {
            return self.wrong("a mapping");
        };
        let pair = |entry: &'a Entry| Some((entry.key.clone(), self.child(entry).scalar()?));
        Some(entries.iter().filter_map(pair).collect())
    }

    /// Labels and options: like [`pairs`](At::pairs), a missing value is empty.
    pub fn labels(&self) -> Option<BTreeMap<String, String>> {
        let pairs = self.pairs()?;
        Some(pairs.into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect())
    }

    pub fn child(&self, entry: &'a Entry) -> At<'a> {
        let dot = if self.place.key.is_empty() { "" } else { "." };
        let key = format!("{}{dot}{}", self.place.key, entry.key);
        let place = Place { source: entry.value.source, span: entry.value.span, key };
        At { node: &entry.value, place, report: self.report }
    }

    /// Where the key of `entry` stands.
    pub fn key_of(&self, entry: &'a Entry) -> Place {
        Place { span: entry.key_span, ..self.child(entry).place }
    }

    /// A node in the place of this one.
    pub fn put(&self, value: Value) -> Node {
        Node { source: self.node.source, ..Node::new(value, self.node.span) }
    }

    /// Opens a mapping.
    pub fn map(&self) -> Option<Map<'a>> {
        let Value::Map(entries) = &self.node.value else {
            return self.wrong("a mapping");
        };
        let entries = entries.iter().map(|entry| (entry, false)).collect();
        Some(Map { at: self.clone(), entries })
    }
}

/// An open mapping.
pub(crate) struct Map<'a> {
    pub at: At<'a>,
    entries: Vec<(&'a Entry, bool)>,
}

impl<'a> Map<'a> {
    pub fn take(&mut self, key: &str) -> Option<At<'a>> {
        let (entry, taken) = self.entries.iter_mut().find(|(entry, _)| entry.key == key)?;
        *taken = true;
        Some(self.at.child(entry))
    }

    /// All entries not yet taken, as `(key, place of the key, value)`.
    pub fn rest(&mut self) -> Vec<(&'a str, Place, At<'a>)> {
        let mut rest = Vec::new();
        for (entry, taken) in &mut self.entries {
            if !std::mem::replace(taken, true) {
                let value = self.at.child(entry);
                rest.push((entry.key.as_str(), Place { span: entry.key_span, ..value.place.clone() }, value));
            }
        }
        rest
    }

    pub fn key_place(&self, key: &str) -> Option<Place> {
        let (entry, _) = self.entries.iter().find(|(entry, _)| entry.key == key)?;
        Some(Place { span: entry.key_span, ..self.at.child(entry).place })
    }

    pub fn string(&mut self, key: &str) -> Option<String> {
        self.take(key)?.string()
    }

    /// A string that is not empty.
    pub fn text(&mut self, key: &str) -> Option<String> {
        self.string(key).filter(|text| !text.is_empty())
    }

    pub fn strings(&mut self, key: &str) -> Vec<String> {
        self.take(key).and_then(|at| at.strings()).unwrap_or_default()
    }

    /// Any integer that fits.
    pub fn integer(&mut self, key: &str) -> Option<i64> {
        self.take(key)?.int(i64::MIN, i64::MAX)
    }

    /// An integer of at least 0.
    pub fn count(&mut self, key: &str) -> Option<u64> {
        self.take(key)?.count()
    }

    pub fn bool(&mut self, key: &str) -> Option<bool> {
        self.take(key)?.bool()
    }

    pub fn labels(&mut self, key: &str) -> BTreeMap<String, String> {
        self.take(key).and_then(|at| at.labels()).unwrap_or_default()
    }

    /// Warns if `key` is there, and takes it.
    pub fn warn(&mut self, key: &str, why: &str) {
        if let (Some(place), Some(_)) = (self.key_place(key), self.take(key)) {
            self.at.report.warn(&place, why);
        }
    }
}

/// At most two single-character edits, and not most of the word.
pub(crate) fn similar(a: &str, b: &str) -> bool {
    const LONGEST: usize = 40;
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len() > LONGEST || b.len() > LONGEST || a.len().abs_diff(b.len()) > 2 {
        return false;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()] <= 2.min(a.len() / 3)
}
