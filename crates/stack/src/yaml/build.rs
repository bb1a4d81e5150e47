//! Parser events → tree, with the limits. An explicit stack instead of recursion: depth is the file's choice.

use super::{DEPTH_MAX, Entry, NODES_MAX, Node, Span, Value, base64, scalar};
use crate::problem::Problem;
use granit_parser::{Event, Parser, ScalarStyle, Tag};
use std::collections::{BTreeMap, BTreeSet};

/// The first document and where a second one starts.
pub(super) fn build(name: &str, text: &str) -> Result<(Node, Option<Span>), Problem> {
    let mut builder = Builder { name, text, stack: Vec::new(), anchors: BTreeMap::new(), root: None, nodes: 0 };
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    let mut ended = false;
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = match next {
            Ok((event, span)) => (event, convert(&span)),
            Err(error) => {
                let at = error.marker();
                let span = Span { line: at.line() as u32, column: at.col() as u32 + 1, width: 1 };
                if ended {
                    return Ok((builder.root(), Some(span)));
                }
                return Err(Problem::at(name, text, span, "", error.kind().to_string()));
            }
        };
        match event {
            Event::DocumentStart(..) if ended => return Ok((builder.root(), Some(span))),
            Event::DocumentEnd => ended = true,
            event => builder.event(event, span)?,
        }
    }
    Ok((builder.root(), None))
}

fn convert(span: &granit_parser::Span) -> Span {
    let width = if span.start.line() == span.end.line() { span.len().max(1) } else { 1 };
    Span { line: span.start.line() as u32, column: span.start.col() as u32 + 1, width: width as u32 }
}

enum Frame {
    Seq { items: Vec<Node>, span: Span, anchor: usize, first_node: usize },
    Map { map: Map, span: Span, anchor: usize, first_node: usize },
}

#[derive(Default)]
struct Map {
    entries: Vec<Entry>,
    keys: BTreeSet<String>,
    /// Key read, value to come.
    pending: Option<(Key, Span)>,
    /// Value of `<<` and its line; at most one.
    merges: Vec<(Node, u32)>,
}

enum Key {
    Text(String),
    Merge,
}

/// A finished anchored node with its size and height, so that an alias is checked before it is copied.
struct Anchored {
    node: Node,
    nodes: usize,
    height: usize,
}

struct Builder<'a> {
    name: &'a str,
    text: &'a str,
    stack: Vec<Frame>,
    anchors: BTreeMap<usize, Anchored>,
    root: Option<Node>,
    nodes: usize,
}

impl Builder<'_> {
    fn root(&mut self) -> Node {
        self.root.take().unwrap_or(Node::new(Value::Null, Span { line: 1, column: 1, width: 1 }))
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Problem> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.count(1, span)?;
                if self.wants_key() {
                    self.key(&text, style, tag.as_deref(), anchor, span)
                } else {
                    let node = self.scalar(&text, style, tag.as_deref(), span)?;
                    self.add(node, anchor, 1)
                }
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open(span)?;
                let first_node = self.nodes;
                self.stack.push(Frame::Seq { items: Vec::new(), span, anchor, first_node });
                Ok(())
            }
            Event::MappingStart(_, anchor, _) => {
                self.open(span)?;
                let first_node = self.nodes;
                self.stack.push(Frame::Map { map: Map::default(), span, anchor, first_node });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(id) => self.alias(id, span),
            _ => Ok(()),
        }
    }

    /// Tags of lists and mappings mean nothing to yaml.v3.
    fn open(&mut self, span: Span) -> Result<(), Problem> {
        if self.wants_key() {
            return Err(self.problem(span, "a key must be a string, not a list or mapping"));
        }
        self.count(1, span)?;
        if self.stack.len() >= DEPTH_MAX {
            return Err(self.problem(span, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Problem> {
        match self.stack.pop() {
            Some(Frame::Seq { items, span, anchor, first_node }) => {
                let nodes = self.nodes - first_node + 1;
                self.add(Node::new(Value::Seq(items), span), anchor, nodes)
            }
            Some(Frame::Map { map, span, anchor, first_node }) => {
                let nodes = self.nodes - first_node + 1;
                let entries = self.merged(map)?;
                self.add(Node::new(Value::Map(entries), span), anchor, nodes)
            }
            None => Ok(()),
        }
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<(), Problem> {
        let Some(found) = self.anchors.get(&id) else {
            return Err(self.problem(span, "an alias inside of what it refers to"));
        };
        let (nodes, height) = (found.nodes, found.height);
        if self.wants_key() {
            let Value::String(text) = &found.node.value else {
                return Err(self.problem(span, "a key must be a string"));
            };
            let text = text.clone();
            return self.key(&text, ScalarStyle::DoubleQuoted, None, 0, span);
        }
        self.count(nodes, span)?;
        if self.stack.len() + height > DEPTH_MAX {
            return Err(self.problem(span, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        let Some(found) = self.anchors.get(&id) else { return Ok(()) };
        let node = found.node.clone();
        self.add(node, 0, nodes)
    }

    fn wants_key(&self) -> bool {
        matches!(self.stack.last(), Some(Frame::Map { map, .. }) if map.pending.is_none())
    }

    fn key(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        anchor: usize,
        span: Span,
    ) -> Result<(), Problem> {
        let key = if style == ScalarStyle::Plain && text == "<<" && tag.is_none() {
            Key::Merge
        } else {
            match self.scalar(text, style, tag, span)?.value {
                Value::String(text) => Key::Text(text),
                _ => {
                    let problem = self.problem(span, format!("key {text} is not a string"));
                    return Err(problem.with_help(format!("quote it: \"{text}\"")));
                }
            }
        };
        if anchor != 0
            && let Key::Text(text) = &key
        {
            let node = Node::new(Value::String(text.clone()), span);
            self.anchors.insert(anchor, Anchored { node, nodes: 1, height: 0 });
        }
        if let Some(Frame::Map { map, .. }) = self.stack.last_mut() {
            map.pending = Some((key, span));
        }
        Ok(())
    }

    fn add(&mut self, node: Node, anchor: usize, nodes: usize) -> Result<(), Problem> {
        if anchor != 0 {
            let height = height(&node);
            self.anchors.insert(anchor, Anchored { node: node.clone(), nodes, height });
        }
        let duplicate = match self.stack.last_mut() {
            None => {
                self.root = Some(node);
                None
            }
            Some(Frame::Seq { items, .. }) => {
                items.push(node);
                None
            }
            Some(Frame::Map { map, .. }) => match map.pending.take() {
                Some((Key::Merge, span)) if map.merges.is_empty() => {
                    map.merges.push((node, span.line));
                    None
                }
                Some((Key::Merge, span)) => Some(("<<".to_owned(), span, map.merges[0].1)),
                Some((Key::Text(key), key_span)) if map.keys.insert(key.clone()) => {
                    map.entries.push(Entry { key, key_span, value: node });
                    None
                }
                Some((Key::Text(key), key_span)) => {
                    let first = map.entries.iter().find(|e| e.key == key).map_or(0, |e| e.key_span.line);
                    Some((key, key_span, first))
                }
                None => None,
            },
        };
        match duplicate {
            None => Ok(()),
            Some((key, span, first)) => {
                let problem = self.problem(span, format!("key {key:?} is defined twice"));
                Err(problem.with_help(format!("it was first defined in line {first}")))
            }
        }
    }

    /// Own keys win over merged ones, earlier merged mappings over later ones.
    fn merged(&self, map: Map) -> Result<Vec<Entry>, Problem> {
        let Map { mut entries, mut keys, merges, .. } = map;
        for (merge, _) in merges {
            let list = match merge.value {
                Value::Seq(list) => list,
                value => vec![Node::new(value, merge.span)],
            };
            for node in list {
                let Value::Map(more) = node.value else {
                    return Err(self.problem(node.span, "<< takes a mapping or a list of mappings"));
                };
                entries.extend(more.into_iter().filter(|entry| keys.insert(entry.key.clone())));
            }
        }
        Ok(entries)
    }

    /// yaml.v3 knows the core types, `!!binary` and `!!timestamp`; a scalar with any other tag is a string.
    fn scalar(&self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Result<Node, Problem> {
        let string = || Value::String(text.to_owned());
        let tag = tag.map(Tag::to_string);
        let suffix = tag.as_deref().map(|tag| tag.strip_prefix("tag:yaml.org,2002:").unwrap_or_default());
        let value = match suffix {
            None if style == ScalarStyle::Plain => scalar::resolve(text),
            None => string(),
            Some("binary") => return self.binary(text, span),
            Some(kind @ ("int" | "float" | "bool" | "null" | "timestamp")) => {
                let value = scalar::resolve(text);
                match (kind, &value) {
                    ("int", Value::Int(_)) | ("float", Value::Float(_)) | ("timestamp", Value::Time(_)) => value,
                    ("float", Value::Int(int)) => Value::Float(*int as f64),
                    ("bool", Value::Bool(_)) | ("null", Value::Null) => value,
                    _ => return Err(self.problem(span, format!("{text:?} is not of type {kind}"))),
                }
            }
            Some(_) => string(),
        };
        Ok(Node::new(value, span))
    }

    fn binary(&self, text: &str, span: Span) -> Result<Node, Problem> {
        let decoded = base64::decode(text).and_then(|bytes| String::from_utf8(bytes).ok());
        match decoded {
            Some(text) => Ok(Node::new(Value::String(text), span)),
            None => Err(self.problem(span, "a binary value must be base64 of UTF-8 text")),
        }
    }

    fn count(&mut self, nodes: usize, span: Span) -> Result<(), Problem> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes <= NODES_MAX {
            return Ok(());
        }
        Err(self.problem(span, format!("more than {NODES_MAX} values, aliases expanded")))
    }

    fn problem(&self, span: Span, message: impl Into<String>) -> Problem {
        Problem::at(self.name, self.text, span, "", message)
    }
}

fn height(node: &Node) -> usize {
    match &node.value {
        Value::Seq(items) => 1 + items.iter().map(height).max().unwrap_or(0),
        Value::Map(entries) => 1 + entries.iter().map(|e| height(&e.value)).max().unwrap_or(0),
        _ => 0,
    }
}
