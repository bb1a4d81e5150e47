//! Writing YAML as yaml.v3's emitter does with an indentation of two: block style everywhere, never folded; quotes only
//! where they are needed, double ones where the text would otherwise be another type, single ones where it would not
//! parse.

use crate::yaml::{Value, scalar};
use std::fmt::Write as _;

/// What is to be written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Out {
    Null,
    /// Not a string: written as it is.
    Plain(String),
    Text(String),
    Seq(Vec<Out>),
    Map(Vec<(String, Out)>),
}

/// Longest key in one line with its value; longer ones are written with `?`.
const SIMPLE_KEY_BYTES_MAX: usize = 128;

/// A whole document.
pub(super) fn document(root: &Out) -> String {
    let mut emitter = Emitter { out: String::new(), column: 0, whitespace: true, indention: true };
    emitter.node(root, 0);
    emitter.indent(0);
    emitter.out
}

struct Emitter {
    out: String,
    column: usize,
    /// The last thing written was white space.
    whitespace: bool,
    /// Only indentation and indicators such as `-` stand in the line so far.
    indention: bool,
}

impl Emitter {
    /// A node whose entries or items, if it has some, stand at column `indent`.
    fn node(&mut self, node: &Out, indent: usize) {
        match node {
            Out::Null => self.plain("null"),
            Out::Plain(text) => self.plain(text),
            Out::Text(text) => self.text(text, indent, false),
            Out::Seq(items) if items.is_empty() => self.indicator("[]", true),
            Out::Map(entries) if entries.is_empty() => self.indicator("{}", true),
            Out::Seq(items) => {
                for item in items {
                    self.indent(indent);
                    self.mark("-");
                    self.node(item, indent + 2);
                }
            }
            Out::Map(entries) => {
                for (key, value) in entries {
                    self.indent(indent);
                    self.entry(key, value, indent);
                }
            }
        }
    }

    fn entry(&mut self, key: &str, value: &Out, indent: usize) {
        if key.len() <= SIMPLE_KEY_BYTES_MAX && !key.contains(is_break) {
            self.text(key, indent, true);
            self.indicator(":", false);
        } else {
            self.mark("?");
            self.text(key, indent + 2, false);
            self.indent(indent);
            self.mark(":");
        }
        self.node(value, indent + 2);
    }

    fn indent(&mut self, indent: usize) {
        if !self.indention || self.column > indent || self.column == indent && !self.whitespace {
            self.newline();
        }
        while self.column < indent {
            self.put(' ');
        }
        self.whitespace = true;
    }

    fn newline(&mut self) {
        self.out.push('\n');
        self.column = 0;
        self.indention = true;
    }

    fn put(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }

    /// `-`, `?` or `:` before a node that may go on in the same line.
    fn mark(&mut self, mark: &str) {
        let indention = self.indention;
        self.indicator(mark, true);
        self.indention = indention;
    }

    fn indicator(&mut self, text: &str, blank_before: bool) {
        if blank_before && !self.whitespace {
            self.put(' ');
        }
        text.chars().for_each(|c| self.put(c));
        self.whitespace = false;
        self.indention = false;
    }

    fn plain(&mut self, text: &str) {
        self.indicator(text, !text.is_empty());
    }

    fn text(&mut self, text: &str, indent: usize, key: bool) {
        let found = Traits::of(text);
        let literal = text.contains('\n') && found.literal && !key;
        let plain = !text.contains('\n') && stays_text(text);
        if literal {
            self.literal(text, indent);
        } else if plain && found.plain && !(text.is_empty() && key) {
            self.plain(text);
        } else if plain && found.single_quoted {
            self.single_quoted(text, indent);
        } else {
            self.indicator(&double_quoted(text), true);
        }
    }

    /// After a line break, which can only be an exotic one here, comes the indentation.
    fn single_quoted(&mut self, text: &str, indent: usize) {
        self.indicator("'", true);
        let mut at_start = false;
        for c in text.chars() {
            if is_break(c) {
                self.out.push(c);
                self.column = 0;
                self.indention = true;
            } else {
                if at_start {
                    self.indent(indent);
                }
                if c == '\'' {
                    self.put('\'');
                }
                self.put(c);
                self.indention = false;
            }
            at_start = is_break(c);
        }
        self.indicator("'", false);
    }

    fn literal(&mut self, text: &str, indent: usize) {
        let mut hint = String::from("|");
        if text.starts_with(|c| c == ' ' || is_break(c)) {
            hint.push('2');
        }
        let mut end = text.chars().rev();
        match (end.next().is_some_and(is_break), end.next()) {
            (false, _) => hint.push('-'),
            (true, None) => hint.push('+'),
            (true, Some(before)) if is_break(before) => hint.push('+'),
            _ => {}
        }
        self.indicator(&hint, true);
        self.whitespace = true;
        let mut at_start = true;
        for c in text.chars() {
            if c == '\n' {
                self.newline();
            } else if is_break(c) {
                self.out.push(c);
                self.column = 0;
                self.indention = true;
            } else {
                if at_start {
                    self.indent(indent);
                }
                self.put(c);
                self.indention = false;
            }
            at_start = is_break(c);
        }
    }
}

/// Whether an unquoted text is read back as a string, also by readers of YAML 1.1.
fn stays_text(text: &str) -> bool {
    let old_boolean = matches!(
        text,
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF"
    );
    matches!(scalar::resolve(text), Value::String(_)) && !old_boolean && !is_sexagesimal(text)
}

/// `[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?`
fn is_sexagesimal(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let mut parts = whole.split(':');
    let first = parts.next().unwrap_or_default();
    let minutes = |part: &str| match part.as_bytes() {
        [one] => one.is_ascii_digit(),
        [ten, one] => (b'0'..=b'5').contains(ten) && one.is_ascii_digit(),
        _ => false,
    };
    let rest: Vec<&str> = parts.collect();
    first.starts_with(|c: char| c.is_ascii_digit())
        && digits(first)
        && !rest.is_empty()
        && rest.into_iter().all(minutes)
        && digits(fraction)
}

/// In which styles a text can be written.
struct Traits {
    plain: bool,
    single_quoted: bool,
    literal: bool,
}

impl Traits {
    fn of(text: &str) -> Traits {
        let mut found = Traits { plain: true, single_quoted: true, literal: !text.is_empty() };
        found.plain &= !has_indicator(text);
        let edge = |c: Option<char>| c.is_some_and(|c| c == ' ' || is_break(c));
        found.plain &= !edge(text.chars().next()) && !edge(text.chars().next_back());
        found.literal &= !text.ends_with(' ');
        let special = text.chars().any(|c| c != '\t' && !is_printable(c));
        let breaks = text.contains(is_break);
        let pair = |wanted: fn(char, char) -> bool| text.chars().zip(text.chars().skip(1)).any(|(a, b)| wanted(a, b));
        let break_space = pair(|a, b| is_break(a) && b == ' ');
        let space_break = pair(|a, b| a == ' ' && is_break(b));
        if break_space || space_break || special || text.contains('\t') {
            found.plain = false;
            found.single_quoted = false;
        }
        found.literal &= !space_break && !special;
        found.plain &= !breaks;
        found
    }
}

/// Whether a character of the text would mean something in a block.
fn has_indicator(text: &str) -> bool {
    if text.starts_with("---") || text.starts_with("...") {
        return true;
    }
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    let mut first = true;
    while let Some(c) = chars.next() {
        let blank_after = chars.peek().is_none_or(|next| matches!(next, ' ' | '\t'));
        let found = match c {
            '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' if first => {
                true
            }
            '?' | ':' | '-' if first => blank_after,
            ':' => blank_after,
            '#' => matches!(before, ' ' | '\t' | '\0') || is_break(before),
            _ => false,
        };
        if found {
            return true;
        }
        first = false;
        before = c;
    }
    false
}

fn is_break(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Characters beyond the basic plane are not, for this emitter.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && c != '\u{feff}'
}

fn double_quoted(text: &str) -> String {
    let mut out = String::from("\"");
    // The emitter looks for the byte order mark at the start of the text, whichever character it is at.
    let all = text.starts_with('\u{feff}');
    for c in text.chars() {
        let short = match c {
            '\0' => '0',
            '\u{7}' => 'a',
            '\u{8}' => 'b',
            '\t' => 't',
            '\n' => 'n',
            '\u{b}' => 'v',
            '\u{c}' => 'f',
            '\r' => 'r',
            '\u{1b}' => 'e',
            '"' => '"',
            '\\' => '\\',
            '\u{85}' => 'N',
            '\u{2028}' => 'L',
            '\u{2029}' => 'P',
            c if is_printable(c) && !all => {
                out.push(c);
                continue;
            }
            c => {
                let _ = match u32::from(c) {
                    code @ 0..=0xff => write!(out, "\\x{code:02X}"),
                    code @ 0x100..=0xffff => write!(out, "\\u{code:04X}"),
                    code => write!(out, "\\U{code:08X}"),
                };
                continue;
            }
        };
        out.push('\\');
        out.push(short);
    }
    out.push('"');
    out
}
