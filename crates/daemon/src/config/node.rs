//! The tree that all layers become.

use std::collections::BTreeMap;

use super::Origin;

/// A value, and where it was written.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    /// From the environment or a flag: what it is, its reader decides.
    Text(String),
    String(String),
    Integer(i128),
    Float(f64),
    Boolean(bool),
    Array(Vec<Node>),
    Table(Table),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Table(pub(super) BTreeMap<String, Entry>);

/// A key with its own position, and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: Origin,
    pub(super) node: Node,
}

impl Table {
    /// Lays `over` on top, key by key. Anything but a table upon a table replaces what was there.
    pub(super) fn overlay(&mut self, over: Table) {
        for (name, entry) in over.0 {
            let Entry { key, node } = entry;
            let replacement = match (self.0.remove(&name), node.value) {
                (Some(Entry { key, node: Node { value: Value::Table(mut below), origin } }), Value::Table(above)) => {
                    below.overlay(above);
                    Entry { key, node: Node { value: Value::Table(below), origin } }
                }
                (_, value) => Entry { key, node: Node { value, origin: node.origin } },
            };
            self.0.insert(name, replacement);
        }
    }

    /// Sets the value at a path, making the tables on the way. Fails if something on the way is no table, or if there is
    /// a value already; then the origin of that one is returned.
    pub(super) fn set(&mut self, path: &[&str], text: String, origin: &Origin) -> Result<(), Origin> {
        let Some((name, rest)) = path.split_first() else {
            return Ok(());
        };
        let fresh = |value| Entry { key: origin.clone(), node: Node { value, origin: origin.clone() } };
        if rest.is_empty() {
            return match self.0.get(*name) {
                Some(taken) => Err(taken.node.origin.clone()),
                None => {
                    self.0.insert((*name).to_owned(), fresh(Value::Text(text)));
                    Ok(())
                }
            };
        }
        let below = self.0.entry((*name).to_owned()).or_insert_with(|| fresh(Value::Table(Table::default())));
        match &mut below.node.value {
            Value::Table(table) => table.set(rest, text, origin),
            _ => Err(below.node.origin.clone()),
        }
    }
}
