//! Variables in Compose files: `$$`, `$NAME`, `${NAME}` and the operators `:-`, `-`, `:?`, `?` of docker/cli's template
//! package. Values only, never keys; no nesting: a default ends at the first `}`.
//!
//! One deliberate difference, D2: here the first operator after the name counts, only inside braces, and every error is
//! one. Docker's way is in [`docker`]; where the two differ a warning says so.

mod cast;
mod docker;

use crate::problem::{Place, Report};
use crate::yaml::{Node, Value};
use std::collections::BTreeMap;

/// Bytes of one scalar after interpolation.
pub const EXPANDED_BYTES_MAX: usize = 1 << 20;

/// Why a text could not be interpolated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("invalid interpolation format: {0:?}")]
    Invalid(String),
    #[error("required variable {name} is missing a value: {message}")]
    Required { name: String, message: String },
    #[error("interpolated text is larger than {EXPANDED_BYTES_MAX} bytes")]
    TooLarge,
}

/// Replaces the variables of one text; an unset variable without default is empty.
pub fn interpolate(text: &str, env: &BTreeMap<String, String>) -> Result<String, Failure> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        rest = if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            tail
        } else if let Some(inner) = after.strip_prefix('{') {
            let end = inner.find('}').ok_or_else(|| Failure::Invalid(text.to_owned()))?;
            out.push_str(&braced(&inner[..end], text, env)?);
            &inner[end + 1..]
        } else {
            let (name, tail) = split_name(after);
            if name.is_empty() {
                return Err(Failure::Invalid(text.to_owned()));
            }
            out.push_str(env.get(name).map_or("", String::as_str));
            tail
        };
        check_size(&out)?;
    }
    out.push_str(rest);
    Ok(out)
}

fn check_size(out: &str) -> Result<(), Failure> {
    if out.len() > EXPANDED_BYTES_MAX { Err(Failure::TooLarge) } else { Ok(()) }
}

/// Interpolates all values of a tree in place, casts where the table of [`cast`] says so, and reports each failure at its
/// scalar.
pub(crate) struct Interpolation<'a> {
    pub env: &'a BTreeMap<String, String>,
    pub report: &'a Report<'a>,
    /// Do as Docker does: [`docker`].
    pub like_docker: bool,
}

impl Interpolation<'_> {
    pub fn tree(&self, node: &mut Node) {
        self.walk(node, &Place { source: node.source, ..Place::default() }, "");
    }

    /// `path` is Docker's: keys and `[]` with dots between.
    fn walk(&self, node: &mut Node, place: &Place, path: &str) {
        let next = |path: &str, part: &str| if path.is_empty() { part.to_owned() } else { format!("{path}.{part}") };
        match &mut node.value {
            Value::String(text) if text.contains('$') => {
                let at = Place { span: node.span, ..place.clone() };
                if let Some(new) = self.text(text, &at) {
                    node.interpolated = new != *text;
                    let cast = if node.interpolated { cast::of(path) } else { None };
                    node.value = match cast.map(|cast| cast.apply(&new)) {
                        None => Value::String(new),
                        Some(Ok(value)) => value,
                        Some(Err(wanted)) => {
                            let message = format!("{} must be {wanted}; after interpolation it is {new:?}", at.key);
                            self.report.error(&at, message);
                            Value::String(new)
                        }
                    };
                }
            }
            Value::Seq(items) => {
                let path = next(path, "[]");
                for (index, item) in items.iter_mut().enumerate() {
                    let key = format!("{}[{index}]", place.key);
                    self.walk(item, &Place { key, ..place.clone() }, &path);
                }
            }
            Value::Map(entries) => {
                for entry in entries {
                    let key = next(&place.key, &entry.key);
                    self.walk(&mut entry.value, &Place { key, ..place.clone() }, &next(path, &entry.key));
                }
            }
            _ => {}
        }
    }

    fn text(&self, text: &str, at: &Place) -> Option<String> {
        let (ours, dockers) = (interpolate(text, self.env), docker::interpolate(text, self.env));
        let chosen = if self.like_docker { dockers.clone() } else { ours.clone() };
        if let (Ok(_), true) = (&chosen, ours != dockers) {
            let shown = |result: &Result<String, Failure>| match result {
                Ok(text) => format!("{text:?}"),
                Err(_) => "an error".to_owned(),
            };
            let (ours, dockers) = (shown(&ours), shown(&dockers));
            let why = match self.like_docker {
                true => format!("Docker makes {dockers} of this, where {ours} is meant (D2)"),
                false => format!("this gives {ours}; docker stack deploy makes {dockers} of it (D2)"),
            };
            self.report.warn(at, why);
        }
        match chosen {
            Ok(new) => Some(new),
            Err(failure) => {
                match failure {
                    Failure::Invalid(_) => {
                        let help = "write $$ for a dollar sign that is meant literally";
                        self.report.error_help(at, failure.to_string(), help);
                    }
                    _ => self.report.error(at, failure.to_string()),
                }
                None
            }
        }
    }
}

fn split_name(text: &str) -> (&str, &str) {
    let starts = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    if !text.bytes().next().is_some_and(starts) {
        return ("", text);
    }
    let end = text.bytes().position(|b| !(starts(b) || b.is_ascii_digit())).unwrap_or(text.len());
    text.split_at(end)
}

/// The inside of `${…}`.
fn braced(inner: &str, text: &str, env: &BTreeMap<String, String>) -> Result<String, Failure> {
    let (name, operation) = split_name(inner);
    let value = env.get(name);
    let (empty_counts_as_unset, operation) = match operation.strip_prefix(':') {
        Some(operation) => (true, operation),
        None => (false, operation),
    };
    let value = value.filter(|value| !(empty_counts_as_unset && value.is_empty()));
    let invalid = || Err(Failure::Invalid(text.to_owned()));
    match operation.chars().next() {
        _ if name.is_empty() => invalid(),
        None if empty_counts_as_unset => invalid(),
        None => Ok(value.cloned().unwrap_or_default()),
        Some('-') => Ok(value.cloned().unwrap_or_else(|| operation[1..].to_owned())),
        Some('?') => match value {
            Some(value) => Ok(value.clone()),
            None => Err(Failure::Required { name: name.to_owned(), message: operation[1..].to_owned() }),
        },
        Some(_) => invalid(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(text: &str) -> Result<String, Failure> {
        let env = [("FOO", "foo"), ("EMPTY", ""), ("lower_1", "l")];
        interpolate(text, &env.map(|(k, v)| (k.to_owned(), v.to_owned())).into())
    }

    #[test]
    fn table() {
        for (text, expected) in [
            ("plain", "plain"),
            ("$FOO", "foo"),
            ("${FOO}/${lower_1}", "foo/l"),
            ("$FOO.x $FOO-x", "foo.x foo-x"),
            ("$$FOO $${FOO}", "$FOO ${FOO}"),
            ("$UNSET-", "-"),
            ("${UNSET}", ""),
            ("${UNSET:-d}", "d"),
            ("${UNSET:-}", ""),
            ("${UNSET-d}", "d"),
            ("${EMPTY:-d}", "d"),
            ("${EMPTY-d}", ""),
            ("${FOO:-d}", "foo"),
            ("${UNSET:-a:-b}", "a:-b"),
            ("${UNSET:-/x?y}", "/x?y"),
            ("${UNSET:-${FOO}}", "${FOO}"),
            ("${FOO:?must be non-empty}", "foo"),
            ("${FOO?a-b}", "foo"),
            ("${EMPTY?x}", ""),
            ("ü$FOOü", "üfooü"),
        ] {
            let expected = if text == "${UNSET:-${FOO}}" { "${FOO}" } else { expected };
            assert_eq!(run(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refused() {
        for text in ["$", "a $ b", "$1", "${", "${FOO", "${}", "${1}", "${FOO:+x}", "${FOO+x}", "${FOO:}", "${ FOO}"] {
            assert_eq!(run(text), Err(Failure::Invalid(text.into())), "{text}");
        }
        let required = |m: &str| Err(Failure::Required { name: "UNSET".into(), message: m.into() });
        assert_eq!(run("${UNSET:?no-value here}"), required("no-value here"));
        assert_eq!(run("${UNSET?}"), required(""));
        assert!(run("${EMPTY:?x}").is_err());
    }

    proptest! {
        #[test]
        fn never_panics(text in "[$A-C{}:?+ü-]{0,24}|\\PC{0,40}") {
            let _ = run(&text);
        }

        #[test]
        fn text_without_dollar_is_kept(text in "[^$]{0,40}") {
            prop_assert_eq!(run(&text).unwrap(), text);
        }
    }
}
