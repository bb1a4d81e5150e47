//! `federation.yaml`: the form people write, turned into the model's [`Federation`].
//!
//! The file is decoded from the tree of nodes, not through serde, so that every problem is found in one go and each names
//! file, line and column; what the model finds ([`Federation::problems`]) is given its place afterwards.

mod decode;
mod place;
#[cfg(test)]
mod tests;
mod zone;

use decode::Decoder;
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use waggle_model::fleet::{Cluster, Federation, Location};
use waggle_model::health::HealthPolicy;
use waggle_model::health::overrides::PublicKey;
use waggle_model::plan::intake::Safety;
use waggle_model::{ClusterName, DomainName};
use waggle_stack::Problem;
use waggle_stack::yaml::{self, Node};

/// Bytes of the file, and of each zone file it names.
pub const FILE_BYTES_MAX: u64 = 16 << 20;

/// Reads `text`, which people know as `file`. `read` fetches zone files by the path written in the file.
pub fn parse(file: &str, text: &str, read: &dyn Fn(&str) -> io::Result<String>) -> Result<Federation, Vec<Problem>> {
    let root = yaml::parse(file, text).map_err(|problem| vec![problem])?;
    let decoder = Decoder::new(file, text);
    let federation = federation(&decoder, &root, read);
    let mut problems = decoder.finish();
    if problems.is_empty() {
        let found = federation.problems();
        problems =
            found.into_iter().map(|p| Problem::at(file, text, place::find(&root, &p.at), &p.at, p.why)).collect();
    }
    if problems.is_empty() { Ok(federation) } else { Err(problems) }
}

fn federation(d: &Decoder, root: &Node, read: &dyn Fn(&str) -> io::Result<String>) -> Federation {
    d.keys(root, "", &["clusters", "zones", "client_map", "health", "safety", "override_keys"]);
    Federation {
        clusters: d.names(root, "clusters", |node, at, _: &ClusterName| cluster(d, node, at)),
        zones: d.names(root, "zones", |node, at, name: &DomainName| zone::zone(d, node, at, name, read)),
        client_map: d.names(root, "client_map", |node, at, _: &IpNet| d.list(node, at, |one, at| d.parse(one, at))),
        health: root.get("health").map(|node| health(d, node)).unwrap_or_default(),
        override_keys: d
            .get(root, "", "override_keys", |one, at| Some(d.list(one, at, |key, at| d.parse::<PublicKey>(key, at))))
            .unwrap_or_default(),
        safety: root.get("safety").map(|node| safety(d, node)).unwrap_or_default(),
    }
}

fn cluster(d: &Decoder, node: &Node, at: &str) -> Cluster {
    d.keys(node, at, &["region", "location", "labels", "addresses", "weight", "capacity"]);
    Cluster {
        region: d.get(node, at, "region", |one, at| d.text(one, at)),
        location: d.get(node, at, "location", |one, at| location(d, one, at)),
        labels: d.get(node, at, "labels", |one, at| Some(labels(d, one, at))).unwrap_or_default(),
        addresses: d
            .get(node, at, "addresses", |one, at| Some(d.list(one, at, |ip, at| d.parse::<IpAddr>(ip, at))))
            .unwrap_or_default(),
        weight: d.get(node, at, "weight", |one, at| d.whole(one, at)).unwrap_or(1),
        capacity: d.get(node, at, "capacity", |one, at| d.whole(one, at)),
    }
}

fn labels(d: &Decoder, node: &Node, at: &str) -> BTreeMap<String, String> {
    let entries = d.entries(node, at).iter();
    entries
        .filter_map(|entry| Some((entry.key.clone(), d.text(&entry.value, &format!("{at}.{}", entry.key))?)))
        .collect()
}

/// `[north, east]` in degrees.
fn location(d: &Decoder, node: &Node, at: &str) -> Option<Location> {
    let numbers = d.list(node, at, |one, at| d.number(one, at));
    match numbers.as_slice() {
        &[latitude, longitude] => Some(Location { latitude, longitude }),
        _ => {
            d.problem(node, at, "a location is [latitude, longitude] in degrees north and east");
            None
        }
    }
}

fn health(d: &Decoder, node: &Node) -> HealthPolicy {
    let default = HealthPolicy::default();
    d.keys(
        node,
        "health",
        &["fall", "rise", "window", "beat_deadline", "view_deadline", "hold_down", "hold_down_max", "ramp"],
    );
    let count = |key, or| d.get(node, "health", key, |one, at| d.whole(one, at)).unwrap_or(or);
    let time = |key, or| d.get(node, "health", key, |one, at| d.duration(one, at)).unwrap_or(or);
    HealthPolicy {
        fall: count("fall", default.fall),
        window: count("window", default.window),
        rise: count("rise", default.rise),
        beat_deadline: time("beat_deadline", default.beat_deadline),
        view_deadline: time("view_deadline", default.view_deadline),
        hold_down: time("hold_down", default.hold_down),
        hold_down_max: time("hold_down_max", default.hold_down_max),
        ramp: time("ramp", default.ramp),
    }
}

fn safety(d: &Decoder, node: &Node) -> Safety {
    d.keys(node, "safety", &["max_loss_percent"]);
    let percent = d.get(node, "safety", "max_loss_percent", |one, at| d.whole(one, at));
    Safety { max_loss_percent: percent.unwrap_or(Safety::default().max_loss_percent) }
}
