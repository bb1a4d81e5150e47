//! Ports of a service in the short form: `8080-8081:80-81/udp` (docker/go-connections `nat`).

use super::normal::entry;
use crate::read::At;
use crate::yaml::{Node, Value};
use std::collections::BTreeMap;
use std::net::IpAddr;

const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];

/// The ports that one short form stands for, in the long form.
pub(super) fn short(at: &At<'_>, text: &str) -> Option<Vec<Node>> {
    let (ports, host) = match expand(text) {
        Ok(expanded) => expanded,
        Err(why) => {
            at.error(format!("port {text:?}: {why}"));
            return None;
        }
    };
    if let Some(host) = host.filter(|host| !host.is_unspecified()) {
        at.report.warn(&at.place, format!("host address {host} is ignored: Swarm publishes on every node"));
    }
    let word = |word: &str| at.put(Value::String(word.to_owned()));
    let number = |number: u16| at.put(Value::Int(number.into()));
    let port = |port: Port| {
        at.put(Value::Map(vec![
            entry("mode", word("ingress")),
            entry("target", number(port.target)),
            entry("published", number(port.published)),
            entry("protocol", word(&port.protocol)),
        ]))
    };
    Some(ports.into_iter().map(port).collect())
}

struct Port {
    target: u16,
    /// 0: Swarm chooses.
    published: u16,
    protocol: String,
}

/// Ports of `[host:][published:]target[/protocol]` in Docker's order, and the ignored host address.
fn expand(text: &str) -> Result<(Vec<Port>, Option<IpAddr>), String> {
    let (front, last) = text.rsplit_once(':').unwrap_or(("", text));
    let (host, published) = front.rsplit_once(':').unwrap_or(("", front));
    let mut parts = last.split('/');
    let target = parts.next().unwrap_or_default();
    let protocol = parts.next().filter(|protocol| !protocol.is_empty()).unwrap_or("tcp").to_lowercase();
    let host = address(host)?;
    if target.is_empty() {
        return Err("it has no target port".into());
    }
    let (first, last) = range(target)?;
    let published = if published.is_empty() { None } else { Some(range(published)?) };
    let (count, width) = (last - first, published.map(|(first, last)| last - first));
    if count != 0 && width.is_some_and(|width| width != count) {
        return Err(format!(
            "{} targets cannot be published on {} ports",
            u32::from(count) + 1,
            width.map_or(0, u32::from) + 1
        ));
    }
    if !PROTOCOLS.contains(&protocol.as_str()) {
        return Err(format!("protocol {protocol:?} is none of {}", PROTOCOLS.join(", ")));
    }
    // Docker sorts by the text of target and protocol: 100/tcp comes before 80/tcp.
    let mut sorted: BTreeMap<String, Vec<Port>> = BTreeMap::new();
    for step in 0..=count.max(width.unwrap_or(0)) {
        let target = if count == 0 { first } else { first + step };
        let published = published.map_or(0, |(first, _)| first + step);
        let port = Port { target, published, protocol: protocol.clone() };
        sorted.entry(target.to_string()).or_default().push(port);
    }
    Ok((sorted.into_values().flatten().collect(), host))
}

/// Of a host, with or without brackets.
fn address(host: &str) -> Result<Option<IpAddr>, String> {
    if host.is_empty() {
        return Ok(None);
    }
    let bare = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').unwrap_or_default(),
        None => host,
    };
    bare.parse().map(Some).map_err(|_| format!("{host:?} is not an IP address"))
}

fn range(text: &str) -> Result<(u16, u16), String> {
    let mut parts = text.split('-');
    let mut number = || {
        let part = parts.next()?;
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        part.parse::<u16>().ok().filter(|_| digits)
    };
    let first = number().ok_or_else(|| format!("{text:?} is not a port number"))?;
    let last = match text.contains('-') {
        true => number().ok_or_else(|| format!("{text:?} is not a range of port numbers"))?,
        false => first,
    };
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
            ("99-100", vec!["0:100/tcp", "0:99/tcp"]),
            ("0", vec!["0:0/tcp"]),
            ("::1:80:81", vec!["80:81/tcp"]),
            ("80/udp/x", vec!["0:80/udp"]),
            ("1-2-3", vec!["0:1/tcp", "0:2/tcp"]),
        ] {
            assert_eq!(shown(text).unwrap(), expected, "{text}");
        }
        for text in [
            "",
            "a",
            "80:",
            "80:81:",
            "65536",
            "80-70:1",
            "1-3:1-2",
            "1/icmp",
            "80:80:80:80",
            "h:1:2",
            "[::1:80:80",
            "-1",
            "+1",
        ] {
            assert!(shown(text).is_err(), "{text}");
        }
    }
}
