//! The merged file as `docker stack config` prints it, byte for byte: keys in the order of Docker's structs, which is that
//! of [`schema`](crate::schema), empty values left out, everything in its long form.

mod emit;
mod order;

use crate::load::load;
use crate::merge::Merge;
use crate::problem::{Problem, Report};
use crate::scalar::duration;
use crate::schema::{Keys, Number, Shape, service, top};
use crate::yaml::{Entry, Node, Value, scalar};
use crate::{Input, check_sources};
use emit::Out;

/// A printed file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    pub text: String,
    pub warnings: Vec<Problem>,
}

/// Loads, merges and prints. Without `interpolate` variables stay as they are written.
pub fn config(input: &Input<'_>, interpolate: bool) -> Result<Printed, Vec<Problem>> {
    let report = Report::new(input.sources);
    check_sources(input, &report);
    let loaded = load(input, &report, interpolate);
    let merged = Merge { compat: &loaded.compat, report: &report }.files(loaded.files);
    if let Some(file) = &merged {
        check_cluster_specs(file, &report);
    }
    let warnings = report.finish()?;
    let text = merged.map(|file| emit::document(&document(&file))).unwrap_or_default();
    Ok(Printed { text, warnings })
}

/// Docker fails to print the extension `x-cluster-spec` beside the field of that name.
fn check_cluster_specs(file: &Node, report: &Report<'_>) {
    for volume in entries(file.get("volumes")) {
        let external = volume.value.get("external").is_some();
        if let Some(spec) = volume.value.get("x-cluster-spec").filter(|_| external) {
            let place = crate::problem::Place { source: spec.source, span: spec.span, key: volume.key.clone() };
            report.error(&place, "an external volume has no x-cluster-spec");
        }
    }
}

fn entries(node: Option<&Node>) -> &[Entry] {
    match node.map(|node| &node.value) {
        Some(Value::Map(entries)) => entries,
        _ => &[],
    }
}

fn document(file: &Node) -> Out {
    let mut out = Vec::new();
    let version = match file.get("version").map(|version| &version.value) {
        Some(Value::String(version)) => version.clone(),
        _ => String::new(),
    };
    out.push(("version".to_owned(), Out::Text(version)));
    for (section, keys) in [
        ("services", &service::SERVICE),
        ("networks", &top::NETWORK),
        ("volumes", &top::VOLUME),
        ("secrets", &top::SECRET),
        ("configs", &top::CONFIG),
    ] {
        let found = entries(file.get(section));
        if section == "services" || !found.is_empty() {
            let mut printed: Vec<_> =
                found.iter().map(|entry| (entry.key.clone(), keyed(keys, &entry.value))).collect();
            order::sort(&mut printed);
            out.push((section.to_owned(), Out::Map(printed)));
        }
    }
    out.extend(extensions(&top::NETWORK, entries(Some(file))));
    Out::Map(out)
}

/// All keys of a mapping; possibly none.
fn keyed(keys: &Keys, node: &Node) -> Out {
    let mut out: Vec<(String, Out)> = Vec::new();
    for key in keys.keys {
        let value = node.get(key.name).and_then(|value| printed(key.shape, value));
        let zero = || match key.shape {
            Shape::Text => Out::Text(String::new()),
            _ => Out::Plain("0".to_owned()),
        };
        out.extend(value.or_else(|| keys.zeros.then(zero)).map(|value| (key.name.to_owned(), value)));
    }
    out.extend(extensions(keys, entries(Some(node))));
    Out::Map(out)
}

/// `x-` keys that are no fields, in order; marks of our own are none.
fn extensions(keys: &Keys, entries: &[Entry]) -> Vec<(String, Out)> {
    let mut found: Vec<(String, Out)> = entries
        .iter()
        .filter(|_| keys.extensions_since <= crate::schema::LATEST)
        .filter(|entry| entry.key.starts_with("x-") && keys.find(&entry.key).is_none())
        .filter(|entry| entry.key != crate::load::NO_FILE)
        .map(|entry| (entry.key.clone(), anything(&entry.value)))
        .collect();
    order::sort(&mut found);
    found
}

/// `None`: empty, so not printed.
fn printed(shape: Shape, node: &Node) -> Option<Out> {
    let optional = match shape {
        Shape::OptionalSwitch | Shape::Duration { optional: true } => true,
        Shape::Number(number) => matches!(number, Number::U64 { optional: true, .. } | Number::Mode),
        _ => false,
    };
    let keys = match shape {
        Shape::Keys(keys) => Some(keys),
        Shape::Logging => Some(&service::LOGGING),
        Shape::Healthcheck => Some(&service::HEALTHCHECK),
        Shape::Build => Some(&service::BUILD),
        _ => None,
    };
    if let Some(keys) = keys {
        let out = keyed(keys, node);
        let empty = matches!(&out, Out::Map(entries) if entries.is_empty());
        return (keys.optional || !empty).then_some(out);
    }
    if !optional && crate::load::is_empty(node) {
        return None;
    }
    Some(match (shape, &node.value) {
        (Shape::Duration { .. }, Value::Int(nanos)) => Out::Text(duration::show(*nanos as i64)),
        (Shape::Bytes, Value::Int(bytes)) => Out::Text(bytes.to_string()),
        (Shape::Number(Number::F32), Value::Float(float)) => Out::Plain(scalar::go_float32(*float as f32)),
        (Shape::List(keys), Value::Seq(items)) => list(keys, items),
        (Shape::Ports, Value::Seq(items)) => list(&service::PORT, items),
        (Shape::Mounts, Value::Seq(items)) => list(&service::MOUNT, items),
        (Shape::References, Value::Seq(items)) => list(&service::REFERENCE, items),
        (Shape::Attachments, Value::Map(entries)) => map(entries, |node| keyed(&service::ATTACHMENT, node)),
        (Shape::Ulimits, Value::Map(entries)) => map(entries, ulimit),
        _ => anything(node),
    })
}

fn list(keys: &Keys, items: &[Node]) -> Out {
    Out::Seq(items.iter().map(|item| keyed(keys, item)).collect())
}

fn map(entries: &[Entry], value: impl Fn(&Node) -> Out) -> Out {
    let one = |entry: &Entry| match entry.value.value {
        Value::Null => (entry.key.clone(), Out::Null),
        _ => (entry.key.clone(), value(&entry.value)),
    };
    let mut out: Vec<_> = entries.iter().map(one).collect();
    order::sort(&mut out);
    Out::Map(out)
}

fn ulimit(node: &Node) -> Out {
    match &node.value {
        Value::Int(0) => Out::Map(Vec::new()),
        Value::Int(_) => anything(node),
        _ => keyed(&service::ULIMIT, node),
    }
}

fn anything(node: &Node) -> Out {
    match &node.value {
        Value::Null => Out::Null,
        Value::Bool(value) => Out::Plain(value.to_string()),
        Value::Int(int) => Out::Plain(int.to_string()),
        Value::Float(float) => Out::Plain(scalar::go_float(*float)),
        Value::String(text) => Out::Text(text.clone()),
        Value::Time(time) => Out::Plain(time.rfc3339()),
        Value::Seq(items) => Out::Seq(items.iter().map(anything).collect()),
        Value::Map(entries) => map(entries, anything),
    }
}
