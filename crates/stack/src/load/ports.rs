//! `ports:` in the short form (`8080-8081:80-81/udp`) and the long form.

use crate::compose::Port;
use crate::read::{At, Spot};
use crate::yaml::Value;
use std::net::IpAddr;

const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];

/// Ports one short form may stand for.
pub const RANGE_MAX: usize = 1024;

pub(super) fn read(at: &At<'_>) -> Vec<Spot<Port>> {
    let mut ports = Vec::new();
    for item in at.items().unwrap_or_default() {
        match &item.node.value {
            Value::String(text) => short(&item, text, &mut ports),
            Value::Int(number) => short(&item, &number.to_string(), &mut ports),
            Value::Map(_) => ports.extend(long(&item)),
            _ => {
                item.wrong::<()>("a string, a number or a mapping");
            }
        }
    }
    ports
}

fn long(at: &At<'_>) -> Option<Spot<Port>> {
    let mut map = at.map()?;
    let mut number = |key: &str, min| map.take(key).and_then(|at| at.int(min, 65_535)).map(|port| port as u32);
    let (target, published) = (number("target", 1), number("published", 0));
    let port = Port {
        target: target.unwrap_or_default(),
        published: published.unwrap_or_default(),
        protocol: map.take("protocol").and_then(|at| one_of(&at, &PROTOCOLS)).unwrap_or_default(),
        mode: map.take("mode").and_then(|at| one_of(&at, &["ingress", "host"])).unwrap_or_default(),
    };
    for key in ["host_ip", "name", "app_protocol"] {
        map.refuse(key, &format!("{key} of a port belongs to the Compose specification; stacks do not have it"));
    }
    let given = map.key_place("target").is_some();
    map.finish(&["target", "published", "protocol", "mode"]);
    if !given {
        at.error("target is missing");
    }
    target.map(|_| at.spot(port))
}

fn one_of(at: &At<'_>, words: &[&str]) -> Option<String> {
    let text = at.string()?;
    if text.is_empty() || words.contains(&text.as_str()) {
        return Some(text);
    }
    at.error(format!("{text:?} is none of {}", words.join(", ")));
    None
}

fn short(at: &At<'_>, text: &str, ports: &mut Vec<Spot<Port>>) {
    match expand(text) {
        Ok((expanded, host)) => {
            if let Some(host) = host {
                at.report.warn(&at.place, format!("host address {host} is ignored: Swarm publishes on every node"));
            }
            ports.extend(expanded.into_iter().map(|port| at.spot(port)));
        }
        Err(why) => at.error(format!("port {text:?}: {why}")),
    }
}

/// Ports of `[host:][published:]target[/protocol]`, and the ignored host address.
fn expand(text: &str) -> Result<(Vec<Port>, Option<&str>), String> {
    let (ports, protocol) = text.rsplit_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !PROTOCOLS.contains(&protocol.as_str()) {
        return Err(format!("protocol {protocol:?} is none of {}", PROTOCOLS.join(", ")));
    }
    let (front, target) = ports.rsplit_once(':').unwrap_or(("", ports));
    let (host, published) = match front.rsplit_once(':') {
        Some((host, published)) => (Some(host).filter(|host| !host.is_empty()), published),
        None => (None, front),
    };
    let address = |host: &str| {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        bare.parse::<IpAddr>().is_ok()
    };
    if let Some(host) = host.filter(|host| !address(host)) {
        return Err(format!("{host:?} is not an IP address"));
    }
    let (first, last) = range(target)?;
    if first == 0 {
        return Err("the target must not be 0".into());
    }
    let count = usize::from(last - first) + 1;
    let published = if published.is_empty() { None } else { Some(range(published)?) };
    let published_count = published.map_or(count, |(first, last)| usize::from(last - first) + 1);
    if published_count != count && count != 1 {
        return Err(format!("{count} targets cannot be published on {published_count} ports"));
    }
    if count.max(published_count) > RANGE_MAX {
        return Err(format!("it stands for more than {RANGE_MAX} ports"));
    }
    let port = |index: usize| Port {
        target: u32::from(if count == 1 { first } else { first.saturating_add(index as u16) }),
        published: published.map_or(0, |(first, _)| u32::from(first.saturating_add(index as u16))),
        protocol: protocol.clone(),
        mode: "ingress".into(),
    };
    Ok(((0..count.max(published_count)).map(port).collect(), host))
}

fn range(text: &str) -> Result<(u16, u16), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u16>().ok().filter(|_| digits).ok_or_else(|| format!("{text:?} is not a port number"))
    };
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err(format!("the range {text} runs backwards"));
    }
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use super::expand;

    fn shown(text: &str) -> Result<Vec<String>, String> {
        let (ports, _) = expand(text)?;
        Ok(ports.iter().map(|p| format!("{}:{}/{}", p.published, p.target, p.protocol)).collect())
    }

    #[test]
    fn short_forms() {
        for (text, expected) in [
            ("80", vec!["0:80/tcp"]),
            ("8080:80", vec!["8080:80/tcp"]),
            ("53:53/UDP", vec!["53:53/udp"]),
            ("127.0.0.1:80:81", vec!["80:81/tcp"]),
            ("[::1]:80:81", vec!["80:81/tcp"]),
            ("127.0.0.1::81", vec!["0:81/tcp"]),
            ("80-81:90-91/sctp", vec!["80:90/sctp", "81:91/sctp"]),
            ("80-81:90", vec!["80:90/tcp", "81:90/tcp"]),
            ("90-91", vec!["0:90/tcp", "0:91/tcp"]),
        ] {
            assert_eq!(shown(text).unwrap(), expected, "{text}");
        }
        for text in [
            "",
            "a",
            "80:",
            "0",
            "80:81:",
            "65536",
            "80-70:1",
            "1-3:1-2",
            "1/icmp",
            "80:80:80:80",
            "h:1:2",
            "1-65535",
            "-1",
            "+1",
        ] {
            assert!(shown(text).is_err(), "{text}");
        }
    }
}
