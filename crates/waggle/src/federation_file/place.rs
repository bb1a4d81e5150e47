//! From a path like `zones.shop.example.records[2].values` back to its place in the file.

use waggle_stack::yaml::{Node, Span, Value};

/// Where `path` stands, or the deepest part of it that the file has. Keys may hold dots, so at each mapping the longest
/// key that fits is taken.
pub fn find(root: &Node, path: &str) -> Span {
    let (mut node, mut span, mut rest) = (root, root.span, path);
    while !rest.is_empty() {
        let next = match &node.value {
            Value::Map(entries) => {
                let fitting = entries.iter().filter_map(|entry| Some((entry, after(rest, &entry.key)?)));
                fitting
                    .max_by_key(|(entry, _)| entry.key.len())
                    .map(|(entry, rest)| (&entry.value, entry.key_span, rest))
            }
            Value::Seq(items) => index(rest).and_then(|(at, rest)| items.get(at).map(|item| (item, item.span, rest))),
            _ => None,
        };
        let Some((found, place, tail)) = next else { break };
        (node, span, rest) = (found, place, tail);
    }
    span
}

/// What follows `key` in a path; the key may differ in case and by a final dot, as domain names do.
fn after<'p>(path: &'p str, key: &str) -> Option<&'p str> {
    let key = key.strip_suffix('.').unwrap_or(key);
    let head = path.get(..key.len()).filter(|head| head.eq_ignore_ascii_case(key))?;
    let rest = &path[head.len()..];
    match rest.chars().next() {
        None | Some('[') => Some(rest),
        Some('.') => Some(&rest[1..]),
        Some(_) => None,
    }
}

fn index(path: &str) -> Option<(usize, &str)> {
    let (at, rest) = path.strip_prefix('[')?.split_once(']')?;
    Some((at.parse().ok()?, rest.strip_prefix('.').unwrap_or(rest)))
}
