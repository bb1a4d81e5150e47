//! One source → [`compose::File`]: parse, refuse forbidden keys, interpolate, read with types.
//!
//! Rules are those of the Compose 3.13 schema that `docker stack deploy` applies, not of the newer Compose
//! specification. A generic JSON-schema validator was rejected: it names no place, and reading has to know every key
//! anyway.

mod attach;
mod deploy;
mod ports;
mod service;
mod top;
mod volumes;
mod waggle;

use crate::compose::File;
use crate::interpolate::interpolate_tree;
use crate::problem::{Place, Report};
use crate::read::{At, Map, Spot};
use crate::yaml::{self, Node, Value};
use crate::{Input, Source};
use std::collections::BTreeMap;

/// Sources of one rendering.
pub const SOURCES_MAX: usize = 32;

/// What reading one source needs.
pub(crate) struct Context<'a> {
    pub input: &'a Input<'a>,
    pub report: &'a Report<'a>,
}

/// Reads all sources, each for itself; problems go to the report.
pub(crate) fn load(input: &Input<'_>, report: &Report<'_>) -> Vec<File> {
    let mut trees = Vec::new();
    for (index, source) in input.sources.iter().enumerate().take(SOURCES_MAX) {
        match yaml::parse(&source.name, &source.text) {
            Ok(tree) => trees.push((index, tree)),
            Err(problem) => report.add_error(index, problem),
        }
    }
    for (index, tree) in &mut trees {
        interpolate_tree(tree, *index, input.env, report);
    }
    let context = Context { input, report };
    let mut versions = Vec::new();
    let files = trees.iter().filter_map(|(index, tree)| file(&context, *index, tree, &mut versions)).collect();
    check_versions(&versions, input.sources, report);
    files
}

fn file(context: &Context<'_>, index: usize, tree: &Node, versions: &mut Vec<Spot<String>>) -> Option<File> {
    let at = At::new(tree, index, context.report);
    if tree.value == Value::Null {
        at.error("the file is empty");
        return None;
    }
    let mut map = at.map()?;
    let version = match map.take("version") {
        Some(at) => at.spot(version(&at)?),
        None => at.spot(LATEST.to_owned()),
    };
    versions.push(version);
    let mut file = File { compat: context.input.compat.clone(), ..File::default() };
    for (name, place, at) in section(&mut map, "services") {
        if let Some(service) = service::read(context, place, &at) {
            file.services.insert(name.to_owned(), service);
        }
    }
    file.networks = entries(&mut map, "networks", top::network);
    file.volumes = entries(&mut map, "volumes", top::volume);
    file.secrets = entries(&mut map, "secrets", |at| top::file_object(at, top::SECRET));
    file.configs = entries(&mut map, "configs", |at| top::file_object(at, top::CONFIG));
    if let Some(block) = map.take("x-waggle") {
        waggle::read(&block, &mut file);
    }
    for key in ["name", "include"] {
        map.refuse(key, &format!("top-level {key:?} belongs to the Compose specification; stacks do not have it"));
    }
    map.finish(&["version", "services", "networks", "volumes", "secrets", "configs", "x-waggle"]);
    Some(file)
}

const LATEST: &str = "3.13";

fn version(at: &At<'_>) -> Option<String> {
    let text = at.string()?;
    let minor = text.strip_prefix("3.").and_then(|minor| minor.parse::<u8>().ok());
    match (text.as_str(), minor) {
        ("" | "3", _) => Some(LATEST.to_owned()),
        (_, Some(0..=13)) => Some(text),
        _ => {
            at.report.error_help(
                &at.place,
                format!("unsupported Compose file version: {text}"),
                "leave it out, or write one of 3.0 to 3.13",
            );
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

/// Entries of a top-level section; an absent or empty section has none.
fn section<'a>(map: &mut Map<'a>, key: &str) -> Vec<(&'a str, Place, At<'a>)> {
    let Some(at) = map.take(key) else { return Vec::new() };
    let Some(mut section) = at.map() else { return Vec::new() };
    let entries = section.rest();
    let valid = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    for (name, place, _) in entries.iter().filter(|(name, ..)| !valid(name)) {
        let what = key.strip_suffix('s').unwrap_or(key);
        at.report.error(place, format!("{what} name {name:?}: only letters, digits, '.', '_' and '-' are allowed"));
    }
    entries.into_iter().filter(|(name, ..)| valid(name)).collect()
}

fn entries<'a, T>(map: &mut Map<'a>, key: &str, read: impl Fn(&At<'a>) -> Option<T>) -> BTreeMap<String, Spot<T>> {
    let read =
        |(name, place, at): (&str, Place, At<'a>)| Some((name.to_owned(), Spot { value: read(&at)?, at: place }));
    section(map, key).into_iter().filter_map(read).collect()
}
