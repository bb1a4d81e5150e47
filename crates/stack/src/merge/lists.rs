//! Lists whose items have a key: ports, volumes, secrets and configs of a service.

use super::Merge;
use crate::Deviation;
use crate::yaml::{Node, Value};
use std::collections::BTreeMap;

impl Merge<'_> {
    /// Sorted by published port. With D3 one port per published number is left.
    pub(super) fn ports(&self, base: Node, over: Node) -> Node {
        let mut kept: BTreeMap<(i128, String, usize), Node> = BTreeMap::new();
        let node = Node { value: Value::Null, ..base.clone() };
        for (index, port) in items(base).into_iter().chain(items(over)).enumerate() {
            let published = match port.get("published").map(|published| &published.value) {
                Some(Value::Int(published)) => *published,
                _ => 0,
            };
            let key = match self.compat.contains(&Deviation::D3) {
                true => (published, String::new(), 0),
                false if published == 0 => (0, String::new(), index),
                false => (published, protocol(&port), 0),
            };
            kept.insert(key, port);
        }
        Node { value: Value::Seq(kept.into_values().collect()), ..node }
    }
}

fn protocol(port: &Node) -> String {
    match text(port, "protocol") {
        "" => "tcp".to_owned(),
        protocol => protocol.to_owned(),
    }
}

/// One item per value of `key`, the last one, sorted by it.
pub(super) fn keyed(base: Node, over: Node, key: &str) -> Node {
    let node = Node { value: Value::Null, ..base.clone() };
    let mut kept: BTreeMap<String, Node> = BTreeMap::new();
    for item in items(base).into_iter().chain(items(over)) {
        kept.insert(text(&item, key).to_owned(), item);
    }
    Node { value: Value::Seq(kept.into_values().collect()), ..node }
}

fn text<'a>(node: &'a Node, key: &str) -> &'a str {
    match node.get(key).map(|node| &node.value) {
        Some(Value::String(text)) => text,
        _ => "",
    }
}

fn items(node: Node) -> Vec<Node> {
    match node.value {
        Value::Seq(items) => items,
        _ => Vec::new(),
    }
}
