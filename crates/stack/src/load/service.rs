//! What is resolved against the outside while a service is loaded: environment and bind sources.

use super::Context;
use super::normal::entry;
use crate::read::At;
use crate::scalar::{env_file, path};
use crate::yaml::{Entry, Node, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// Key in a mount for our own use: its source was written relative, or with `~`.
pub(crate) const RELATIVE: &str = "x-relative";

impl Context<'_> {
    /// Resolves in the long form of a service. `at` is that form.
    pub(super) fn resolve(&self, at: &At<'_>) -> Node {
        let Value::Map(entries) = &at.node.value else { return at.node.clone() };
        let mut resolved: Vec<Entry> = entries.iter().filter(|entry| entry.key != "environment").cloned().collect();
        let environment = self.environment(at);
        resolved.push(entry("environment", at.put(Value::Map(environment))));
        for found in resolved.iter_mut().filter(|entry| entry.key == "volumes") {
            let volumes = found.value.clone();
            let mounts = at.child(&Entry { value: volumes.clone(), ..found.clone() }).place.key;
            let Value::Seq(items) = &mut found.value.value else { continue };
            for (index, mount) in items.iter_mut().enumerate() {
                let mut place = At::new(&volumes, self.report).place;
                place.key = format!("{mounts}[{index}]");
                place.span = mount.span;
                self.resolve_bind(mount, &At { node: &volumes, place, report: self.report });
            }
        }
        at.put(Value::Map(resolved))
    }

    /// `env_file` in order, then `environment`. A value that is missing or empty is taken from the outside if set there.
    fn environment(&self, at: &At<'_>) -> Vec<Entry> {
        let mut pairs: BTreeMap<String, Node> = BTreeMap::new();
        let mut set = |key: &str, value: Node| {
            let value = match self.input.env.get(key) {
                Some(outer) if super::is_empty(&value) => Node { value: Value::String(outer.clone()), ..value },
                _ => value,
            };
            pairs.insert(key.to_owned(), value);
        };
        let child = |key: &str| match &at.node.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| at.child(entry)),
            _ => None,
        };
        if let Some(files) = child("env_file").and_then(|files| files.items()) {
            for file in files {
                let Value::String(name) = &file.node.value else { continue };
                match self.read_env_file(name) {
                    Ok(more) => more.iter().for_each(|(key, value)| set(key, file.put(Value::String(value.clone())))),
                    Err(why) => file.error(format!("env file {name}: {why}")),
                }
            }
        }
        if let Some(Value::Map(own)) = at.node.get("environment").map(|node| &node.value) {
            own.iter().for_each(|pair| set(&pair.key, pair.value.clone()));
        }
        pairs.into_iter().map(|(key, value)| entry(&key, value)).collect()
    }

    fn read_env_file(&self, name: &str) -> Result<Vec<(String, String)>, String> {
        let file = path::absolute(self.input.workdir, name);
        let bytes = (self.input.read)(Path::new(&file))?;
        env_file::parse(&bytes, self.input.env)
    }

    /// The source of a bind becomes absolute, unless it is absolute on Windows.
    fn resolve_bind(&self, mount: &mut Node, at: &At<'_>) {
        if mount.get("type").map(|kind| &kind.value) != Some(&Value::String("bind".into())) {
            return;
        }
        let Value::Map(entries) = &mut mount.value else { return };
        let source = entries.iter_mut().find(|entry| entry.key == "source");
        let Some(Entry { value: Node { value: Value::String(source), .. }, .. }) = source else {
            return at.error("a bind needs a source");
        };
        if source.is_empty() {
            return at.error("a bind needs a source");
        }
        let written = source.clone();
        if written.starts_with('~') {
            match self.input.env.get("HOME") {
                Some(home) => *source = written.replacen('~', home, 1),
                None => at.report.warn(&at.place, "~ stays as it is: the environment has no HOME"),
            }
        }
        if !source.starts_with('/') && !path::is_absolute_on_windows(source) {
            *source = path::absolute(self.input.workdir, source);
        }
        if *source != written {
            let mark = Node { source: at.place.source, ..Node::new(Value::String(written), at.place.span) };
            entries.push(entry(RELATIVE, mark));
        }
    }
}
