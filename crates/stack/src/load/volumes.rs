//! Volumes of a service in the short form: `data:/path:ro` (docker/cli `cli/compose/loader/volume.go`).

use super::normal::entry;
use crate::read::At;
use crate::yaml::{Entry, Node, Value};

const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

/// The long form.
pub(super) fn short(at: &At<'_>, text: &str) -> Option<Node> {
    let refuse = |why: &str| {
        at.error(format!("volume {text:?}: {why}"));
        None
    };
    if text.is_empty() {
        return refuse("it is empty");
    }
    if text.contains('\0') {
        return refuse("it holds a NUL character");
    }
    let word = |key: &str, text: &str| entry(key, at.put(Value::String(text.to_owned())));
    let parts = if text.len() <= 2 { vec![text] } else { parts(text) };
    if parts.iter().any(|part| part.is_empty()) {
        return refuse("an empty part");
    }
    let (source, target, options) = match parts[..] {
        [target] => ("", target, ""),
        [source, target] => (source, target, ""),
        [source, target, options] => (source, target, options),
        _ => return refuse("too many colons"),
    };
    let kind = if is_path(source) { "bind" } else { "volume" };
    if source.is_empty() && text.len() > 2 && is_drive(text) {
        at.report.warn(&at.place, format!("{text:?} is taken as a Windows path, not as a volume of one letter"));
    }
    let mut mount = vec![word("type", kind), word("source", source), word("target", target)];
    let mut set = |key: &str, value: Node| {
        mount.retain(|entry| entry.key != key);
        mount.push(entry(key, value));
    };
    for option in options.split(',').filter(|_| !options.is_empty()) {
        let map = |entry: Entry| at.put(Value::Map(vec![entry]));
        match option {
            "ro" | "rw" => set("read_only", at.put(Value::Bool(option == "ro"))),
            "nocopy" => set("volume", map(entry("nocopy", at.put(Value::Bool(true))))),
            option if PROPAGATIONS.contains(&option) => set("bind", map(word("propagation", option))),
            option => at.report.warn(&at.place, format!("volume option {option:?} is ignored: Swarm does not know it")),
        }
    }
    Some(at.put(Value::Map(mount)))
}

/// Split at colons, but not after a letter that stands alone: a Windows drive.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, _) in text.match_indices(':') {
        let part = &text[start..at];
        let mut chars = part.chars();
        let drive = chars.next().is_some_and(char::is_alphabetic) && chars.next().is_none();
        if !drive {
            parts.push(part);
            start = at + 1;
        }
    }
    parts.push(&text[start..]);
    parts
}

fn is_drive(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(char::is_alphabetic) && chars.next() == Some(':')
}

fn is_path(source: &str) -> bool {
    source.starts_with(['.', '/', '~']) || source.chars().count() > 1 && (source.starts_with(r"\\") || is_drive(source))
}

#[cfg(test)]
mod tests {
    use super::{is_path, parts};

    #[test]
    fn drives_are_not_split() {
        for (text, expected) in [
            ("a1:/b:ro", vec!["a1", "/b", "ro"]),
            ("v:/c", vec!["v:/c"]),
            (r"C:\foo:D:\bar:ro", vec![r"C:\foo", r"D:\bar", "ro"]),
            ("/a:/b:c:d", vec!["/a", "/b", "c:d"]),
            ("/a::b", vec!["/a", "", "b"]),
        ] {
            assert_eq!(parts(text), expected, "{text}");
        }
        assert!(is_path("./x") && is_path(r"\\.\pipe\x") && is_path(r"c:\x") && !is_path("data") && !is_path("d"));
    }
}
