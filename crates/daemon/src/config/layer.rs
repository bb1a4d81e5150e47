//! Each layer, made a tree.

use std::collections::BTreeMap;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::node::{Entry, Node, Table, Value};
use super::{Origin, Problem, RESERVED, prefix};

/// The problem is the first error of syntax.
pub(super) fn from_file(path: &Path, text: &str) -> Result<Table, Problem> {
    let position = |offset: usize| {
        let (line, column) = line_and_column(text, offset);
        Origin::File { path: path.to_owned(), line, column }
    };
    match DeTable::parse(text) {
        Ok(table) => Ok(table_of(table.into_inner(), &position)),
        Err(error) => Err(Problem {
            origin: Some(position(error.span().map_or(0, |span| span.start))),
            what: format!("not valid TOML: {}", error.message().replace('\n', ", ")),
            way_out: "correct the syntax there".to_owned(),
        }),
    }
}

pub(super) fn from_env(role: &str, env: &BTreeMap<String, String>) -> Result<Table, Vec<Problem>> {
    let prefix = prefix(role);
    let named = env.iter().filter_map(|(name, text)| Some((name, name.strip_prefix(&prefix)?, text)));
    let keys = named
        .filter(|(_, _, text)| !text.is_empty())
        .map(|(name, rest, text)| (rest.to_lowercase().replace("__", "."), text, Origin::Environment(name.clone())))
        .filter(|(key, _, _)| key != RESERVED);
    assemble(keys)
}

pub(super) fn from_flags(flags: &[(String, String)]) -> Result<Table, Vec<Problem>> {
    assemble(flags.iter().map(|(key, text)| (key.clone(), text, Origin::Flag(key.clone()))))
}

/// The value that a text stands for, read as TOML.
pub(super) fn from_text(text: &str, origin: &Origin) -> Option<Node> {
    let position = |_| origin.clone();
    DeValue::parse(text)
        .ok()
        .map(|value| Node { value: value_of(value.into_inner(), &position), origin: origin.clone() })
}

fn assemble<'a>(keys: impl Iterator<Item = (String, &'a String, Origin)>) -> Result<Table, Vec<Problem>> {
    let mut table = Table::default();
    let mut problems = Vec::new();
    for (key, text, origin) in keys {
        let path: Vec<&str> = key.split('.').collect();
        if path.iter().any(|name| name.is_empty()) {
            problems.push(Problem {
                origin: Some(origin),
                what: format!("`{key}` is not a key"),
                way_out: "write names with one dot between them, in a variable with two underscores".to_owned(),
            });
            continue;
        }
        if let Err(other) = table.set(&path, text.clone(), &origin) {
            problems.push(Problem {
                origin: Some(origin),
                what: format!("`{key}` is set twice, also by {other}"),
                way_out: "leave one of the two out".to_owned(),
            });
        }
    }
    if problems.is_empty() { Ok(table) } else { Err(problems) }
}

fn table_of(table: DeTable<'_>, position: &impl Fn(usize) -> Origin) -> Table {
    let entry = |(key, value): (toml::Spanned<_>, toml::Spanned<DeValue<'_>>)| {
        let origin = position(value.span().start);
        let at = position(key.span().start);
        let name: std::borrow::Cow<'_, str> = key.into_inner();
        let node = Node { value: value_of(value.into_inner(), position), origin };
        (name.into_owned(), Entry { key: at, node })
    };
    Table(table.into_iter().map(entry).collect())
}

fn value_of(value: DeValue<'_>, position: &impl Fn(usize) -> Origin) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.into_owned()),
        // A number that fits no type stays a text, which no reader of numbers accepts.
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::String(number.to_string()),
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Value::Float(number),
            Err(_) => Value::String(number.to_string()),
        },
        DeValue::Boolean(value) => Value::Boolean(value),
        DeValue::Datetime(value) => Value::String(value.to_string()),
        DeValue::Array(items) => {
            let item = |item: toml::Spanned<DeValue<'_>>| {
                let origin = position(item.span().start);
                Node { value: value_of(item.into_inner(), position), origin }
            };
            Value::Array(items.into_iter().map(item).collect())
        }
        DeValue::Table(table) => Value::Table(table_of(table, position)),
    }
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}
