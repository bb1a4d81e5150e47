//! Values out of a tree of nodes. A value that is not what it should be becomes a problem with its place, and decoding
//! goes on with the next one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;
use waggle_stack::yaml::{Entry, Node, Span, Value};
use waggle_stack::{PROBLEMS_MAX, Problem};

pub struct Decoder<'a> {
    file: &'a str,
    text: &'a str,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Decoder<'a> {
    pub fn new(file: &'a str, text: &'a str) -> Decoder<'a> {
        Decoder { file, text, problems: RefCell::default() }
    }

    /// What was found, in the order of the file.
    pub fn finish(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| (problem.line, problem.column));
        problems
    }

    pub fn problem(&self, node: &Node, at: &str, message: impl Into<String>) {
        self.problem_at(node.span, at, message, None);
    }

    pub fn problem_at(&self, span: Span, at: &str, message: impl Into<String>, help: Option<String>) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() < PROBLEMS_MAX {
            let problem = Problem::at(self.file, self.text, span, at, message);
            problems.push(match help {
                Some(help) => problem.with_help(help),
                None => problem,
            });
        }
    }

    /// Refuses keys other than `known`.
    pub fn keys(&self, node: &Node, at: &str, known: &[&str]) {
        for entry in self.entries(node, at) {
            if !known.contains(&entry.key.as_str()) {
                let message = format!("unknown key {:?}", entry.key);
                self.problem_at(
                    entry.key_span,
                    &join(at, &entry.key),
                    message,
                    Some(format!("known here: {}", known.join(", "))),
                );
            }
        }
    }

    /// Entries of a mapping; an empty value is a mapping without entries.
    pub fn entries<'n>(&self, node: &'n Node, at: &str) -> &'n [Entry] {
        match &node.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            _ => {
                self.problem(node, at, format!("expected a mapping, found {}", node.kind()));
                &[]
            }
        }
    }

    /// The mapping below `key`, whose keys are names of the kind `K`.
    pub fn names<K, V>(&self, node: &Node, key: &str, value: impl Fn(&Node, &str, &K) -> V) -> BTreeMap<K, V>
    where
        K: FromStr<Err: Display> + Ord,
    {
        let Some(node) = node.get(key) else { return BTreeMap::new() };
        let mut map = BTreeMap::new();
        for entry in self.entries(node, key) {
            let at = join(key, &entry.key);
            match entry.key.parse::<K>() {
                Ok(name) if map.contains_key(&name) => {
                    self.problem_at(entry.key_span, &at, format!("{:?} is listed twice", entry.key), None);
                }
                Ok(name) => {
                    let value = value(&entry.value, &at, &name);
                    map.insert(name, value);
                }
                Err(error) => self.problem_at(entry.key_span, &at, error.to_string(), None),
            }
        }
        map
    }

    /// The value of a key; an empty one counts as absent.
    pub fn get<T>(&self, node: &Node, at: &str, key: &str, value: impl FnOnce(&Node, &str) -> Option<T>) -> Option<T> {
        let found = node.get(key).filter(|found| found.value != Value::Null)?;
        value(found, &join(at, key))
    }

    pub fn list<T>(&self, node: &Node, at: &str, value: impl Fn(&Node, &str) -> Option<T>) -> Vec<T> {
        match &node.value {
            Value::Seq(items) => {
                items.iter().enumerate().filter_map(|(n, item)| value(item, &format!("{at}[{n}]"))).collect()
            }
            Value::Null => Vec::new(),
            _ => {
                self.problem(node, at, format!("expected a list, found {}", node.kind()));
                Vec::new()
            }
        }
    }

    /// A string; numbers and booleans stand for themselves.
    pub fn text(&self, node: &Node, at: &str) -> Option<String> {
        match &node.value {
            Value::String(text) => Some(text.clone()),
            Value::Int(number) => Some(number.to_string()),
            Value::Float(number) => Some(number.to_string()),
            Value::Bool(value) => Some(value.to_string()),
            _ => {
                self.problem(node, at, format!("expected a string, found {}", node.kind()));
                None
            }
        }
    }

    pub fn parse<T: FromStr<Err: Display>>(&self, node: &Node, at: &str) -> Option<T> {
        let text = self.text(node, at)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                let error = error.to_string();
                let quoted = format!("{text:?}");
                let message = if error.contains(&quoted) { error } else { format!("{quoted}: {error}") };
                self.problem(node, at, message);
                None
            }
        }
    }

    pub fn number(&self, node: &Node, at: &str) -> Option<f64> {
        match node.value {
            Value::Int(number) => Some(number as f64),
            Value::Float(number) if number.is_finite() => Some(number),
            _ => {
                self.problem(node, at, format!("expected a number, found {}", node.kind()));
                None
            }
        }
    }

    pub fn whole<T: TryFrom<i128>>(&self, node: &Node, at: &str) -> Option<T> {
        let number = match node.value {
            Value::Int(number) => T::try_from(number).ok(),
            _ => None,
        };
        if number.is_none() {
            let largest = (1u64 << (8 * size_of::<T>().min(4))) - 1;
            self.problem(node, at, format!("expected a whole number from 0 to {largest}"));
        }
        number
    }

    pub fn duration(&self, node: &Node, at: &str) -> Option<Duration> {
        let text = self.text(node, at)?;
        crate::duration::parse(&text).map_err(|why| self.problem(node, at, why)).ok()
    }

    /// A time to live: a duration of whole seconds, or just their number. RFC 2181 §8 bounds it.
    pub fn ttl(&self, node: &Node, at: &str) -> Option<u32> {
        if let Value::Int(_) = node.value {
            return self.whole(node, at);
        }
        let time = self.duration(node, at)?;
        if time.subsec_millis() != 0 {
            self.problem(node, at, "a time to live has whole seconds");
            return None;
        }
        u32::try_from(time.as_secs()).ok()
    }
}

fn join(at: &str, key: &str) -> String {
    if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") }
}
