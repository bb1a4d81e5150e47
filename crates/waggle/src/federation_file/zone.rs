//! One zone of the federation file.

use super::decode::Decoder;
use std::io;
use waggle_model::DomainName;
use waggle_model::fleet::{Record, Zone};
use waggle_stack::yaml::Node;

const KEYS: &[&str] = &["nameservers", "contact", "ttl", "negative_ttl", "records", "file"];
/// Seconds; those of the model.
const TTL: u32 = 300;
const NEGATIVE_TTL: u32 = 5;

pub fn zone(d: &Decoder, node: &Node, at: &str, name: &DomainName, read: &dyn Fn(&str) -> io::Result<String>) -> Zone {
    d.keys(node, at, KEYS);
    let nameservers = d.get(node, at, "nameservers", |one, at| Some(d.list(one, at, |name, at| d.parse(name, at))));
    Zone {
        nameservers: nameservers.unwrap_or_default(),
        contact: d.get(node, at, "contact", |one, at| contact(d, one, at)).unwrap_or_else(|| hostmaster(name)),
        ttl: d.get(node, at, "ttl", |one, at| d.ttl(one, at)).unwrap_or(TTL),
        negative_ttl: d.get(node, at, "negative_ttl", |one, at| d.ttl(one, at)).unwrap_or(NEGATIVE_TTL),
        records: d
            .get(node, at, "records", |one, at| Some(d.list(one, at, |one, at| record(d, one, at, name))))
            .unwrap_or_default(),
        master: d.get(node, at, "file", |one, at| master(d, one, at, read)),
    }
}

fn record(d: &Decoder, node: &Node, at: &str, zone: &DomainName) -> Option<Record> {
    d.keys(node, at, &["name", "type", "ttl", "values"]);
    let name = d.get(node, at, "name", |one, at| absolute(d, one, at, zone));
    let kind = d.get(node, at, "type", |one, at| d.text(one, at));
    let missing = [("name", node.get("name").is_none()), ("type", kind.is_none())];
    for (key, _) in missing.into_iter().filter(|(_, missing)| *missing) {
        d.problem(node, at, format!("the record has no {key}"));
    }
    Some(Record {
        name: name?,
        kind: kind?.to_ascii_uppercase(),
        ttl: d.get(node, at, "ttl", |one, at| d.ttl(one, at)),
        values: d
            .get(node, at, "values", |one, at| Some(d.list(one, at, |one, at| d.text(one, at))))
            .unwrap_or_default(),
    })
}

/// Names are relative to the zone unless they end in a dot; `@` is the zone itself.
fn absolute(d: &Decoder, node: &Node, at: &str, zone: &DomainName) -> Option<DomainName> {
    let text = d.text(node, at)?;
    if text == "@" {
        return Some(zone.clone());
    }
    if text.ends_with('.') {
        return d.parse(node, at);
    }
    let relative: DomainName = d.parse(node, at)?;
    if relative.is_within(zone) {
        let help = format!("write {relative}. with a final dot, or only the part before {zone}");
        d.problem_at(
            node.span,
            at,
            format!("{text:?} is relative to the zone, and would be {relative}.{zone}"),
            Some(help),
        );
        return None;
    }
    match format!("{relative}.{zone}").parse() {
        Ok(name) => Some(name),
        Err(error) => {
            d.problem(node, at, error.to_string());
            None
        }
    }
}

/// A mailbox in domain form; `hostmaster@shop.example` is taken, too.
fn contact(d: &Decoder, node: &Node, at: &str) -> Option<DomainName> {
    let text = d.text(node, at)?;
    match text.split_once('@') {
        Some((local, _)) if local.contains('.') => {
            d.problem(node, at, "a mailbox with a dot before the @ has no plain domain form; use another one");
            None
        }
        Some((local, domain)) => {
            format!("{local}.{domain}").parse().map_err(|error| d.problem(node, at, format!("{error}"))).ok()
        }
        None => d.parse(node, at),
    }
}

fn hostmaster(zone: &DomainName) -> DomainName {
    // Too long a zone for this is too long for any record, too.
    format!("hostmaster.{zone}").parse().unwrap_or_else(|_| zone.clone())
}

fn master(d: &Decoder, node: &Node, at: &str, read: &dyn Fn(&str) -> io::Result<String>) -> Option<String> {
    let file = d.text(node, at)?;
    read(&file).map_err(|error| d.problem(node, at, format!("cannot read {file}: {error}"))).ok()
}
