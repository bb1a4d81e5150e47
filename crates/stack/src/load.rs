//! Sources → the long form of each: parse, interpolate, check and expand. Every file must be right for itself before the
//! files are merged.
//!
//! Rules are those of the Compose 3 formats that `docker stack deploy` takes, not of the newer Compose specification; they
//! stand in [`schema`](crate::schema). The long form is a tree like the one that was read, not a struct: merging and
//! printing follow the same table, and every value still knows its place.

mod ignored;
mod normal;
mod ports;
mod service;
mod top;
mod volumes;

pub(crate) use normal::is_name;
pub(crate) use service::RELATIVE;
pub(crate) use top::{NO_FILE, is_empty};

use crate::interpolate::Interpolation;
use crate::problem::{Place, Report};
use crate::read::{At, Spot};
use crate::schema::{self, Keys, LATEST};
use crate::yaml::{self, Entry, Node, Span, Value, scalar::go_float};
use crate::{Deviation, Input, Source};
use normal::{Normal, entry};
use std::collections::BTreeSet;
use top::Section;

/// Sources of one rendering.
pub const SOURCES_MAX: usize = 32;

/// Entries of one section of one file: services, networks, volumes, secrets, configs.
pub const SECTION_MAX: usize = 2_000;

/// Ports of one service, ranges expanded.
pub const PORTS_MAX: usize = 65_536;

/// What reading one source needs.
pub(crate) struct Context<'a> {
    pub input: &'a Input<'a>,
    pub report: &'a Report<'a>,
    pub interpolate: bool,
}

/// The long form of every source that could be read, and what is switched back to Docker's ways.
pub(crate) struct Loaded {
    pub files: Vec<Node>,
    pub compat: BTreeSet<Deviation>,
}

/// Reads all sources, each for itself; problems go to the report.
pub(crate) fn load(input: &Input<'_>, report: &Report<'_>, interpolate: bool) -> Loaded {
    let mut trees = Vec::new();
    for (index, source) in input.sources.iter().enumerate().take(SOURCES_MAX) {
        match yaml::first_document(&source.name, &source.text) {
            Ok((mut tree, rest)) => {
                set_source(&mut tree, index);
                if let Some(span) = rest {
                    warn_rest(report, index, span);
                }
                trees.push(tree);
            }
            Err(problem) => report.add_error(index, problem),
        }
    }
    let mut compat = input.compat.clone();
    compat.extend(trees.iter().flat_map(switched));
    let context = Context { input, report, interpolate };
    let mut versions = Vec::new();
    let mut files = Vec::new();
    for mut tree in trees {
        if interpolate {
            let like_docker = compat.contains(&Deviation::D2);
            Interpolation { env: input.env, report, like_docker }.tree(&mut tree);
        }
        files.extend(context.file(&tree, &mut versions));
    }
    check_versions(&versions, input.sources, report);
    Loaded { files, compat }
}

fn set_source(node: &mut Node, source: usize) {
    node.source = source;
    match &mut node.value {
        Value::Seq(items) => items.iter_mut().for_each(|item| set_source(item, source)),
        Value::Map(entries) => entries.iter_mut().for_each(|entry| set_source(&mut entry.value, source)),
        _ => {}
    }
}

fn warn_rest(report: &Report<'_>, source: usize, span: Span) {
    let place = Place { source, span, key: String::new() };
    report.warn(&place, "what follows is ignored: only the first document of a file is read");
}

/// `x-waggle: compat:`, needed before anything else is read; what is wrong there is reported later.
fn switched(tree: &Node) -> BTreeSet<Deviation> {
    let words = tree.get("x-waggle").and_then(|block| block.get("compat"));
    let Some(Value::Seq(words)) = words.map(|words| &words.value) else { return BTreeSet::new() };
    let switched = |word: &Node| match &word.value {
        Value::String(word) => Deviation::switched_by(word).ok(),
        _ => None,
    };
    words.iter().filter_map(switched).flatten().collect()
}

impl Context<'_> {
    fn file(&self, tree: &Node, versions: &mut Vec<Spot<String>>) -> Option<Node> {
        let at = At::new(tree, self.report);
        if tree.value == Value::Null {
            at.error("the file is empty");
            return None;
        }
        let Value::Map(entries) = &tree.value else {
            return at.wrong("a mapping");
        };
        check_finite(&at);
        let version = match entries.iter().find(|entry| entry.key == "version") {
            Some(entry) => version(&at.child(entry))?,
            None => at.spot(format!("3.{LATEST}")),
        };
        let minor = version.value.strip_prefix("3.").and_then(|minor| minor.parse().ok()).unwrap_or(LATEST);
        let normal = Normal { minor, empty_is_nothing: !self.interpolate, unchecked: false };
        let mut sections = vec![entry("version", at.put(Value::String(version.value.clone())))];
        versions.push(version);
        for found in entries.iter().filter(|entry| entry.key != "version") {
            sections.extend(self.section(&normal, &at, found));
        }
        Some(at.put(Value::Map(sections)))
    }

    fn section(&self, normal: &Normal, at: &At<'_>, found: &Entry) -> Option<Entry> {
        let child = at.child(found);
        let (since, section) = match found.key.as_str() {
            "services" => (0, None),
            "networks" => (0, Some(Section::Networks)),
            "volumes" => (0, Some(Section::Volumes)),
            "secrets" => (1, Some(Section::Secrets)),
            "configs" => (3, Some(Section::Configs)),
            _ => {
                normal.keys(&TOP, &At { node: &at.put(Value::Map(vec![found.clone()])), ..at.clone() });
                return Some(found.clone());
            }
        };
        if normal.minor < since {
            normal.keys(&TOP, &At { node: &at.put(Value::Map(vec![found.clone()])), ..at.clone() });
            return None;
        }
        let Value::Map(entries) = &child.node.value else {
            return child.wrong("a mapping");
        };
        if entries.len() > SECTION_MAX {
            child.error(format!("{} has more than {SECTION_MAX} entries", found.key));
            return None;
        }
        let one = |found: &Entry| {
            let at = child.child(found);
            let value = match section {
                None => self.service(normal, &at)?,
                Some(section) => {
                    let value = normal.keys(section.keys(is_name(&found.key)), &at)?;
                    self.settle(section, &found.key, &At { node: &value, ..at.clone() })
                }
            };
            let named = is_name(&found.key) || section == Some(Section::Networks);
            if !named {
                let message = format!("the name {:?}: only letters, digits, '.', '_' and '-' are allowed", found.key);
                self.report.error(&child.key_of(found), message);
            }
            Some(Entry { value, ..found.clone() })
        };
        Some(Entry { value: child.put(Value::Map(entries.iter().filter_map(one).collect())), ..found.clone() })
    }

    fn service(&self, normal: &Normal, at: &At<'_>) -> Option<Node> {
        ignored::warn(at);
        let value = normal.keys(&schema::service::SERVICE, at)?;
        let ports = value.get("ports").map_or(0, |ports| match &ports.value {
            Value::Seq(ports) => ports.len(),
            _ => 0,
        });
        if ports > PORTS_MAX {
            at.error(format!("{} has more than {PORTS_MAX} ports", at.place.key));
        }
        Some(self.resolve(&At { node: &value, ..at.clone() }))
    }
}

/// The sections, for messages about others.
const TOP: Keys = Keys {
    keys: &[
        schema::key("version", 0, schema::Shape::Anything),
        schema::key("services", 0, schema::Shape::Anything),
        schema::key("networks", 0, schema::Shape::Anything),
        schema::key("volumes", 0, schema::Shape::Anything),
        schema::key("secrets", 1, schema::Shape::Anything),
        schema::key("configs", 3, schema::Shape::Anything),
        schema::key("x-waggle", 4, schema::Shape::Anything),
    ],
    open_since: schema::NEVER,
    extensions_since: 4,
    null: false,
    optional: false,
    zeros: false,
};

/// Docker passes everything through JSON, which has no infinite numbers.
fn check_finite(at: &At<'_>) {
    match &at.node.value {
        Value::Float(float) if !float.is_finite() => {
            at.error(format!("{} is not possible: quote it", go_float(*float)));
        }
        Value::Seq(_) => at.items().unwrap_or_default().iter().for_each(check_finite),
        Value::Map(entries) => entries.iter().for_each(|entry| check_finite(&at.child(entry))),
        _ => {}
    }
}

fn version(at: &At<'_>) -> Option<Spot<String>> {
    let text = at.string()?;
    let known = (0..=LATEST).map(|minor| format!("3.{minor}")).any(|known| known == text);
    match text.as_str() {
        "" | "3" => Some(at.spot(format!("3.{LATEST}"))),
        _ if known => Some(at.spot(text)),
        _ => {
            let message = format!("unsupported Compose file version: {text}");
            at.report.error_help(&at.place, message, format!("leave it out, or write one of 3.0 to 3.{LATEST}"));
            None
        }
    }
}

fn check_versions(versions: &[Spot<String>], sources: &[Source], report: &Report<'_>) {
    let Some(first) = versions.first() else { return };
    for other in versions.iter().filter(|other| other.value != first.value) {
        let name = sources.get(first.at.source).map_or("", |source| source.name.as_str());
        let message = format!("version {} differs from version {} of {name}", other.value, first.value);
        report.error(&other.at, message);
    }
}
