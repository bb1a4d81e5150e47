//! Entries that are found by key without walking over all of them: files may have a hundred thousand keys in one mapping.

use crate::yaml::{Entry, Value};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Entries in their order, and where each key stands first.
pub(crate) struct Keyed {
    entries: Vec<Entry>,
    places: BTreeMap<Key, usize>,
}

#[derive(PartialEq, Eq)]
struct Key(String);

impl Ord for Key {
    fn cmp(&self, other: &Key) -> Ordering {
        #[cfg(test)]
        steps::count();
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Keyed {
    pub fn new(entries: Vec<Entry>) -> Keyed {
        let mut keyed = Keyed { entries: Vec::with_capacity(entries.len()), places: BTreeMap::new() };
        entries.into_iter().for_each(|entry| keyed.push(entry));
        keyed
    }

    pub fn find(&mut self, key: &str) -> Option<&mut Entry> {
        let place = self.places.get(&Key(key.to_owned()))?;
        self.entries.get_mut(*place)
    }

    pub fn push(&mut self, entry: Entry) {
        self.places.entry(Key(entry.key.clone())).or_insert(self.entries.len());
        self.entries.push(entry);
    }

    pub fn into_value(self) -> Value {
        Value::Map(self.entries)
    }

    pub fn into_entries(self) -> Vec<Entry> {
        self.entries
    }
}

/// Comparisons of keys in this thread.
#[cfg(test)]
mod steps {
    use std::cell::Cell;

    thread_local! {
        static STEPS: Cell<usize> = const { Cell::new(0) };
    }

    pub fn count() {
        STEPS.set(STEPS.get() + 1);
    }

    /// Since the last call.
    pub fn take() -> usize {
        STEPS.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::Merge;
    use crate::problem::Report;
    use crate::yaml::{Node, Span};
    use std::collections::BTreeSet;

    const KEYS: usize = 50_000;

    fn map(entries: Vec<(String, Node)>) -> Node {
        let entry = |(key, value): (String, Node)| Entry { key, key_span: Span::default(), value };
        Node::new(Value::Map(entries.into_iter().map(entry).collect()), Span::default())
    }

    fn under(key: &str, value: Node) -> Node {
        map(vec![(key.to_owned(), value)])
    }

    /// `KEYS` keys from `from` on.
    fn many(from: usize, value: &str) -> Node {
        let text = || Node::new(Value::String(value.to_owned()), Span::default());
        map((from..from + KEYS).map(|n| (format!("key-{n}"), text())).collect())
    }

    /// A search through all keys for each key would take a thousand million steps.
    #[test]
    fn many_keys_are_merged_in_few_steps() {
        let bits = KEYS.ilog2() as usize + 1;
        for key in ["environment", "labels", "x-own"] {
            let file = |keys: Node| under("services", under("web", under(key, keys)));
            let files = vec![file(many(0, "old")), file(many(KEYS / 2, "new"))];
            let report = Report::new(&[]);
            steps::take();
            let merged = Merge { compat: &BTreeSet::new(), report: &report }.files(files).unwrap();
            let steps = steps::take();
            assert!((KEYS..KEYS * 8 * bits).contains(&steps), "{key}: {steps} steps");
            let web = merged.get("services").and_then(|services| services.get("web")).unwrap();
            let Some(Value::Map(entries)) = web.get(key).map(|node| &node.value) else { panic!("{key}") };
            assert_eq!(entries.len(), KEYS + KEYS / 2, "{key}");
            let new = entries.iter().filter(|entry| entry.value.value == Value::String("new".into())).count();
            assert_eq!((new, entries[0].key.as_str()), (KEYS, "key-0"), "{key}");
        }
    }
}
