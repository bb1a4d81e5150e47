//! What is settled while top-level networks, volumes, secrets and configs are loaded: names of external ones, files.

use super::Context;
use super::normal::entry;
use crate::read::At;
use crate::scalar::path;
use crate::schema::{Keys, top as schema};
use crate::yaml::{Entry, Node, Value};

/// Key in a secret or config for our own use: it has neither file nor driver.
pub(crate) const NO_FILE: &str = "x-no-file";

/// The four sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Networks,
    Volumes,
    Secrets,
    Configs,
}

impl Section {
    /// Keys of its entries; `named`: the entry has a proper name.
    pub fn keys(self, named: bool) -> &'static Keys {
        match self {
            Section::Networks if !named => &schema::MISNAMED_NETWORK,
            Section::Networks => &schema::NETWORK,
            Section::Volumes => &schema::VOLUME,
            Section::Secrets => &schema::SECRET,
            Section::Configs => &schema::CONFIG,
        }
    }
}

impl Context<'_> {
    /// Settles the long form `at` of the entry `name`.
    pub(super) fn settle(&self, section: Section, name: &str, at: &At<'_>) -> Node {
        let Value::Map(entries) = &at.node.value else { return at.node.clone() };
        let mut entries = entries.clone();
        let inner = take(&mut entries, "external");
        let external = inner.as_ref().and_then(|inner| inner.value.get("external")).is_some_and(is_true);
        let inner_name =
            inner.as_ref().and_then(|inner| inner.value.get("name").cloned()).filter(|name| !is_empty(name));
        if external {
            self.check_external(section, &entries, at);
            self.external_name(&mut entries, inner_name, name, at);
            let inner = inner.map_or(at.put(Value::Null), |inner| inner.value);
            entries.push(entry("external", Node { value: Value::Bool(true), ..inner }));
            return at.put(Value::Map(entries));
        }
        match section {
            // Docker keeps the extensions of external ones only.
            Section::Networks | Section::Volumes => {
                entries.retain(|entry| !entry.key.starts_with("x-") || entry.key == "x-cluster-spec");
            }
            Section::Secrets | Section::Configs => self.set_file(&mut entries, at),
        }
        at.put(Value::Map(entries))
    }

    fn check_external(&self, section: Section, entries: &[Entry], at: &At<'_>) {
        if section != Section::Volumes {
            return;
        }
        let set = |entry: &&Entry| ["driver", "driver_opts", "labels"].contains(&entry.key.as_str());
        for found in entries.iter().filter(set).filter(|entry| !is_empty(&entry.value)) {
            at.report.error(&at.key_of(found), format!("external and {} cannot be used together", found.key));
        }
    }

    fn external_name(&self, entries: &mut Vec<Entry>, inner: Option<Node>, key: &str, at: &At<'_>) {
        let outer = take(entries, "name").filter(|name| !is_empty(&name.value));
        let name = match (outer, inner) {
            (Some(outer), Some(_)) => {
                at.report.error(&at.key_of(&outer), "name and external.name conflict; keep name");
                outer.value
            }
            (Some(outer), None) => outer.value,
            (None, Some(inner)) => {
                at.report.warn(&at.place, "external.name is deprecated; write name beside external: true");
                inner
            }
            (None, None) => at.put(Value::String(key.to_owned())),
        };
        entries.push(entry("name", name));
    }

    /// The file becomes absolute; even none does, in Docker's way.
    fn set_file(&self, entries: &mut Vec<Entry>, at: &At<'_>) {
        let driver = entries.iter().any(|entry| entry.key == "driver" && !is_empty(&entry.value));
        let file = take(entries, "file");
        if driver {
            if let Some(file) = file.filter(|file| !is_empty(&file.value)) {
                at.report.error(&at.key_of(&file), "driver and file cannot be used together");
            }
            return;
        }
        let (node, written) = match file {
            Some(Entry { value: node @ Node { value: Value::String(_), .. }, .. }) => {
                let Value::String(text) = &node.value else { return };
                (node.clone(), text.clone())
            }
            _ => (at.put(Value::Null), String::new()),
        };
        if written.is_empty() {
            entries.push(entry(NO_FILE, at.put(Value::Bool(true))));
        }
        let absolute = path::absolute(self.input.workdir, &written);
        entries.push(entry("file", Node { value: Value::String(absolute), ..node }));
    }
}

fn take(entries: &mut Vec<Entry>, key: &str) -> Option<Entry> {
    let index = entries.iter().position(|entry| entry.key == key)?;
    Some(entries.remove(index))
}

fn is_true(node: &Node) -> bool {
    node.value == Value::Bool(true)
}

pub(crate) fn is_empty(node: &Node) -> bool {
    match &node.value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Int(int) => *int == 0,
        Value::Float(float) => *float == 0.0,
        Value::String(text) => text.is_empty(),
        Value::Time(_) => false,
        Value::Seq(items) => items.is_empty(),
        Value::Map(entries) => entries.is_empty(),
    }
}
