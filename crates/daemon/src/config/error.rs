//! What can be wrong with a value, and what to do about it.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use super::{Help, Origin, Problem};

/// Texts shorter than this are not cut from messages: no secret is so short, and they occur in other words.
const SHORTEST_SECRET: usize = 4;

#[derive(Debug)]
pub(super) struct Error {
    what: String,
    /// The field that is not there.
    missing: Option<&'static str>,
    /// Of the innermost value that failed.
    place: Option<(String, Origin)>,
}

pub(super) fn unknown_key(path: &str, name: &str, origin: Origin, known: &[&str]) -> Problem {
    Problem { origin: Some(origin), what: format!("unknown key `{path}`"), way_out: way_out_of_unknown(name, known) }
}

impl Error {
    /// Gives the error its place, unless it has one, and cuts `text` from it.
    pub(super) fn at(mut self, path: String, origin: Origin, text: Option<&str>) -> Error {
        if let Some(text) = text.filter(|text| text.len() >= SHORTEST_SECRET) {
            self.what = self.what.replace(text, "…");
        }
        self.place.get_or_insert((path, origin));
        self
    }

    pub(super) fn into_problem(self, help: &Help<'_>) -> Problem {
        let (path, origin) = self.place.unzip();
        let path = path.unwrap_or_default();
        if let Some(field) = self.missing {
            let key = if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") };
            let way_out = format!("set it {}", help.places(&key));
            return Problem {
                origin: origin.filter(|_| !path.is_empty()),
                what: format!("`{key}` is missing"),
                way_out,
            };
        }
        if path.is_empty() {
            return Problem { origin: None, what: self.what, way_out: "correct the configuration".to_owned() };
        }
        let way_out = match &origin {
            Some(Origin::File { .. }) => {
                format!("correct it there, or override it with {}", super::variable(help.role, &path))
            }
            _ => "correct it there".to_owned(),
        };
        Problem { origin, what: format!("`{path}`: {}", self.what), way_out }
    }

    fn new(what: String) -> Error {
        Error { what, missing: None, place: None }
    }
}

fn way_out_of_unknown(name: &str, known: &[&str]) -> String {
    let close = known.iter().map(|known| (distance(name, known), known)).min();
    match close {
        Some((distance, known)) if distance <= 2 && distance < name.len() => format!("did you mean `{known}`?"),
        Some(_) => format!("remove it, or use one of: {}", known.join(", ")),
        None => "remove it".to_owned(),
    }
}

/// Levenshtein's, in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (above, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let cell = (diagonal + usize::from(x != y)).min(left + 1).min(*above + 1);
            diagonal = std::mem::replace(above, cell);
            left = cell;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Error {
        Error::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Error {
        Error::new(format!("expected {expected}, found {}", kind(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Error {
        Error::new(format!("expected {expected}, found {}", kind(found)))
    }

    fn missing_field(field: &'static str) -> Error {
        Error { missing: Some(field), ..Error::new(String::new()) }
    }
}

/// Without the content of texts.
fn kind(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Str(_) | Unexpected::Bytes(_) => "another text".to_owned(),
        Unexpected::Map => "a table".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        other => other.to_string(),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Error {}
