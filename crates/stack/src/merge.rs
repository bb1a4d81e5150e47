//! The long forms of several files → one, with docker/cli's rules (`cli/compose/loader/merge.go`, on top of the library
//! mergo): services are merged by name, other top-level entries replaced; scalars replaced unless empty, maps merged per
//! key, lists appended.
//!
//! Two deliberate differences. D3: ports are keyed by published port *and* protocol, so `53/tcp` and `53/udp` both stay;
//! ports without a published number are all kept. D13: `healthcheck.test` is replaced, where Docker appends the second
//! command to the first one; it and `disable` replace each other, where Docker refuses both together. And warnings of our
//! own: what an override says without effect.

mod extensions;
mod keyed;
mod lists;

pub(crate) use keyed::Keyed;

use crate::Deviation;
use crate::load::is_empty;
use crate::problem::{Place, Report};
use crate::schema::{Keys, Number, Shape, service};
use crate::yaml::{Entry, Node, Value};
use std::collections::BTreeSet;

pub(crate) struct Merge<'a> {
    pub compat: &'a BTreeSet<Deviation>,
    pub report: &'a Report<'a>,
}

impl Merge<'_> {
    /// Merges later files over earlier ones; `None` without files.
    pub fn files(&self, files: Vec<Node>) -> Option<Node> {
        files.into_iter().reduce(|base, over| self.file(base, over))
    }

    /// Extensions at the top are those of the first file.
    fn file(&self, mut base: Node, over: Node) -> Node {
        for section in entries(over).into_iter().filter(|section| !section.key.starts_with("x-")) {
            let Value::Map(into) = &mut base.value else { return base };
            let Some(own) = into.iter_mut().find(|own| own.key == section.key) else {
                into.push(section);
                continue;
            };
            let Value::Map(own_entries) = &mut own.value.value else { continue };
            let mut into = Keyed::new(std::mem::take(own_entries));
            for more in entries(section.value) {
                match into.find(&more.key) {
                    Some(own) if section.key == "services" => {
                        let merged = self.keys(&service::SERVICE, own.value.clone(), more.value);
                        own.value = self.extensions(merged, &more.key);
                    }
                    Some(own) => *own = more,
                    None => into.push(more),
                }
            }
            own.value.value = into.into_value();
        }
        base
    }

    fn keys(&self, keys: &'static Keys, base: Node, over: Node) -> Node {
        let mut over_entries = entries(over);
        let mut take = |key: &str| {
            let index = over_entries.iter().position(|entry| entry.key == key)?;
            Some(over_entries.remove(index))
        };
        let mut merged = Vec::new();
        let node = Node { value: Value::Null, ..base.clone() };
        for own in entries(base) {
            let Some(key) = keys.find(&own.key) else {
                merged.push(own);
                continue;
            };
            let over = take(&own.key);
            merged.push(self.entry(key.shape, own, over));
        }
        // Nothing appended to nothing is nothing, not an empty list.
        let appends = |entry: &Entry| keys.find(&entry.key).is_some_and(|key| is_appended(key.shape));
        over_entries.retain(|entry| !(appends(entry) && is_empty(&entry.value)));
        merged.extend(over_entries);
        Node { value: Value::Map(merged), ..node }
    }

    /// The base has a value here; the other may have.
    fn entry(&self, shape: Shape, base: Entry, over: Option<Entry>) -> Entry {
        let Some(over) = over else {
            return Entry { value: self.alone(shape, base.value), ..base };
        };
        let (key, key_span) = (base.key.clone(), base.key_span);
        let value = match shape {
            Shape::Number(Number::U64 { optional: true, .. }) => over.value,
            shape if is_appended(shape) => append(base.value, over.value),
            Shape::Test if self.compat.contains(&Deviation::D13) => append(base.value, over.value),
            Shape::Pairs { null: true } => self.environment(base.value, over.value),
            Shape::Pairs { null: false } | Shape::Options { .. } => overlay(base.value, over.value),
            Shape::Ports => self.ports(base.value, over.value),
            Shape::Mounts => lists::keyed(base.value, over.value, "target"),
            Shape::References => lists::keyed(base.value, over.value, "source"),
            Shape::Attachments => self.attachments(base.value, over.value),
            Shape::Ulimits => ulimits(base.value, over.value),
            Shape::Build => self.keys(&service::BUILD, base.value, over.value),
            Shape::Logging => self.logging(base.value, over.value),
            Shape::Healthcheck => self.healthcheck(base.value, over.value),
            Shape::Keys(keys) => self.keys(keys, base.value, over.value),
            _ => return self.scalar(base, over),
        };
        Entry { key, key_span, value }
    }

    /// Docker puts these lists in order as soon as a second file names the service, even without a list of its own.
    fn alone(&self, shape: Shape, base: Node) -> Node {
        let none = Node { value: Value::Seq(Vec::new()), ..base.clone() };
        match shape {
            Shape::Ports => self.ports(base, none),
            Shape::Mounts => lists::keyed(base, none, "target"),
            Shape::References => lists::keyed(base, none, "source"),
            Shape::Keys(keys) => {
                let none = Node { value: Value::Map(Vec::new()), ..base.clone() };
                self.keys(keys, base, none)
            }
            _ => base,
        }
    }

    /// Empty does not override.
    fn scalar(&self, base: Entry, over: Entry) -> Entry {
        if !is_empty(&over.value) {
            return over;
        }
        if !is_empty(&base.value) {
            self.lost(&over.value, &over.key);
        }
        base
    }

    fn lost(&self, over: &Node, key: &str) {
        let place = Place { source: over.source, span: over.span, key: key.to_owned() };
        self.report.warn(&place, format!("{key} stays as it was: an override cannot empty or reset it"));
    }

    fn environment(&self, base: Node, over: Node) -> Node {
        let Some((node, mut into)) = opened(base) else { return over };
        for more in entries(over) {
            match into.find(&more.key) {
                Some(own) if is_empty(&own.value) || !is_empty(&more.value) => own.value = more.value,
                Some(_) => self.lost(&more.value, &format!("environment {}", more.key)),
                None => into.push(more),
            }
        }
        Node { value: into.into_value(), ..node }
    }

    /// Options are merged for the same driver. Docker loses them if the first file has none.
    fn logging(&self, base: Node, over: Node) -> Node {
        let driver = |node: &Node| node.get("driver").filter(|driver| !is_empty(driver)).cloned();
        let (old, new) = (driver(&base), driver(&over));
        if let (Some(old), Some(new)) = (&old, &new)
            && old.value != new.value
        {
            return over;
        }
        let mut kept = entries(base.clone());
        for more in entries(over) {
            match kept.iter_mut().find(|own| own.key == more.key) {
                Some(own) if more.key == "options" => own.value = overlay(own.value.clone(), more.value),
                Some(own) if is_empty(&own.value) => own.value = more.value,
                Some(_) => {}
                None if more.key == "options" && !is_empty(&more.value) => {
                    let place =
                        Place { source: more.value.source, span: more.value.span, key: "logging.options".into() };
                    let message = "logging.options are lost: Docker merges them only if the first file has some";
                    self.report.warn(&place, message);
                }
                None => kept.push(more),
            }
        }
        Node { value: Value::Map(kept), ..base }
    }

    fn healthcheck(&self, mut base: Node, over: Node) -> Node {
        let has = |key: &str| over.get(key).is_some_and(|value| !is_empty(value));
        let replaced = match (has("test"), has("disable")) {
            (true, false) => Some("disable"),
            (false, true) => Some("test"),
            _ => None,
        };
        if let (Value::Map(entries), Some(key), false) =
            (&mut base.value, replaced, self.compat.contains(&Deviation::D13))
        {
            entries.retain(|entry| entry.key != key);
        }
        self.keys(&service::HEALTHCHECK, base, over)
    }

    fn attachments(&self, base: Node, over: Node) -> Node {
        let Some((node, mut into)) = opened(base) else { return over };
        for more in entries(over) {
            match into.find(&more.key) {
                Some(own) if own.value.value == Value::Null => own.value = more.value,
                Some(own) if more.value.value != Value::Null => {
                    own.value = self.attachment(own.value.clone(), more.value)
                }
                Some(_) => {}
                None => into.push(more),
            }
        }
        Node { value: into.into_value(), ..node }
    }

    /// Aliases are replaced, even by none; addresses if there are any; options stay.
    fn attachment(&self, base: Node, over: Node) -> Node {
        let mut kept: Vec<Entry> = entries(base.clone()).into_iter().filter(|entry| entry.key != "aliases").collect();
        for more in entries(over) {
            match more.key.as_str() {
                "aliases" => kept.push(more),
                "driver_opts" => self.lost(&more.value, "driver_opts of a network"),
                _ if is_empty(&more.value) => {}
                _ => {
                    kept.retain(|own| own.key != more.key);
                    kept.push(more);
                }
            }
        }
        Node { value: Value::Map(kept), ..base }
    }
}

fn entries(node: Node) -> Vec<Entry> {
    match node.value {
        Value::Map(entries) => entries,
        _ => Vec::new(),
    }
}

fn is_appended(shape: Shape) -> bool {
    matches!(shape, Shape::Texts { .. } | Shape::TextOrTexts | Shape::TextsOrNumbers | Shape::Hosts | Shape::List(_))
}

/// A mapping and its place; `None` of anything else.
fn opened(mut node: Node) -> Option<(Node, Keyed)> {
    match std::mem::replace(&mut node.value, Value::Null) {
        Value::Map(entries) => Some((node, Keyed::new(entries))),
        _ => None,
    }
}

/// Every value of `over` wins.
fn overlay(base: Node, over: Node) -> Node {
    let Some((node, mut into)) = opened(base) else { return over };
    for more in entries(over) {
        match into.find(&more.key) {
            Some(own) => *own = more,
            None => into.push(more),
        }
    }
    Node { value: into.into_value(), ..node }
}

/// One that is there already is replaced, unless by nothing.
fn ulimits(base: Node, over: Node) -> Node {
    let Some((node, mut into)) = opened(base) else { return over };
    for more in entries(over) {
        match into.find(&more.key) {
            Some(own) if more.value.value != Value::Null || own.value.value == Value::Null => *own = more,
            Some(_) => {}
            None => into.push(more),
        }
    }
    Node { value: into.into_value(), ..node }
}

fn append(mut base: Node, over: Node) -> Node {
    if let (Value::Seq(into), Value::Seq(more)) = (&mut base.value, over.value) {
        into.extend(more);
    }
    base
}
