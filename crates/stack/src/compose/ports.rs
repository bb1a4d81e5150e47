//! Ports of a service.

use super::Port;
use crate::read::{At, Map, Spot};

const PORT_MAX: u32 = 65_535;

pub(super) fn read(at: &At<'_>) -> Vec<Spot<Port>> {
    at.items().unwrap_or_default().iter().filter_map(port).collect()
}

fn port(at: &At<'_>) -> Option<Spot<Port>> {
    let mut map = at.map()?;
    let number = |map: &mut Map<'_>, key: &str| map.count(key).map_or(0, |port| port as u32);
    let port = Port {
        target: number(&mut map, "target"),
        published: number(&mut map, "published"),
        protocol: map.string("protocol").unwrap_or_default(),
        mode: map.string("mode").unwrap_or_default(),
    };
    if !(1..=PORT_MAX).contains(&port.target) {
        at.error(format!("target is {}; it must be between 1 and {PORT_MAX}", port.target));
    }
    if port.published > PORT_MAX {
        at.error(format!("published is {}; it must be between 0 and {PORT_MAX}", port.published));
    }
    for (what, word, words) in
        [("protocol", &port.protocol, &["tcp", "udp", "sctp"][..]), ("mode", &port.mode, &["ingress", "host"])]
    {
        if !word.is_empty() && !words.contains(&word.as_str()) {
            at.error(format!("{what} {word:?} is none of {}", words.join(", ")));
        }
    }
    Some(at.spot(port))
}
