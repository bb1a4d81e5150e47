//! Ports of a service.

use super::Port;
use crate::read::{At, Map, Spot};

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
    Some(at.spot(port))
}
