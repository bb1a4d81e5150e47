//! What is wrong with a file, and where: one form for every error and warning of this crate.
//!
//! Loading reports several problems at once, so they are collected as values instead of returned at the first `?`.

use crate::Source;
use crate::yaml::Span;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::fmt;

/// Problems of one kind reported for one rendering; the rest is cut off.
pub const PROBLEMS_MAX: usize = 100;

/// Characters of a source line shown in a snippet.
pub const SNIPPET_CHARS_MAX: usize = 160;

/// One error or warning with its place. `Display` prints `file:line:column: message`, the line with a caret, the help.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// As the user named it.
    pub file: String,
    /// From 1; 0 when the problem has no place inside the file.
    pub line: u32,
    /// In characters, from 1; 0 when the problem has no place inside the file.
    pub column: u32,
    /// Path of keys, e.g. `services.web.ports[0]`; empty at the top.
    pub key: String,
    pub message: String,
    pub help: Option<String>,
    /// The source line and a caret line below it, if there is a place.
    pub snippet: Option<String>,
}

impl Problem {
    /// A problem at `span` of `text`.
    pub fn at(file: &str, text: &str, span: Span, key: &str, message: impl Into<String>) -> Problem {
        Problem {
            file: file.to_owned(),
            line: span.line,
            column: span.column,
            key: key.to_owned(),
            message: message.into(),
            help: None,
            snippet: snippet(text, span),
        }
    }

    pub fn with_help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.file.as_str(), self.line) {
            ("", _) => write!(f, "{}", self.message)?,
            (file, 0) => write!(f, "{file}: {}", self.message)?,
            (file, line) => write!(f, "{file}:{line}:{}: {}", self.column, self.message)?,
        }
        if let Some(snippet) = &self.snippet {
            write!(f, "\n{snippet}")?;
        }
        match &self.help {
            Some(help) => write!(f, "\nhelp: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

fn snippet(text: &str, span: Span) -> Option<String> {
    let line = text.lines().nth((span.line as usize).checked_sub(1)?)?;
    let shown: String = line.chars().take(SNIPPET_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let width = shown.chars().count();
    let start = (span.column as usize).saturating_sub(1).min(width);
    let carets = (span.width as usize).clamp(1, (width - start).max(1));
    let number = span.line.to_string();
    let margin = " ".repeat(number.len());
    Some(format!("{number} | {shown}\n{margin} | {}{}", " ".repeat(start), "^".repeat(carets)))
}

/// A place in one of the sources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Index into the sources.
    pub source: usize,
    pub span: Span,
    /// Path of keys.
    pub key: String,
}

/// Collects problems while files are read; shared by reference, hence the cells.
pub(crate) struct Report<'a> {
    sources: &'a [Source],
    errors: RefCell<List>,
    warnings: RefCell<List>,
}

/// Each with the index of its source.
type List = Vec<(usize, Problem)>;

impl<'a> Report<'a> {
    pub fn new(sources: &'a [Source]) -> Report<'a> {
        Report { sources, errors: RefCell::default(), warnings: RefCell::default() }
    }

    pub fn error(&self, at: &Place, message: impl Into<String>) {
        self.push(&self.errors, at.source, self.problem(at, message));
    }

    pub fn error_help(&self, at: &Place, message: impl Into<String>, help: impl Into<String>) {
        self.push(&self.errors, at.source, self.problem(at, message).with_help(help));
    }

    pub fn warn(&self, at: &Place, message: impl Into<String>) {
        self.push(&self.warnings, at.source, self.problem(at, message));
    }

    /// Of a source that could not even be parsed.
    pub fn add_error(&self, source: usize, problem: Problem) {
        self.push(&self.errors, source, problem);
    }

    /// Whether any error was reported.
    pub fn failed(&self) -> bool {
        !self.errors.borrow().is_empty()
    }

    /// Warnings if there was no error, else the errors; in the order of the files.
    pub fn finish(self) -> Result<Vec<Problem>, Vec<Problem>> {
        let sorted = |list: RefCell<List>| {
            let mut list = list.into_inner();
            list.sort_by_key(|(source, problem)| (*source, problem.line, problem.column));
            list.into_iter().map(|(_, problem)| problem).collect::<Vec<_>>()
        };
        let errors = sorted(self.errors);
        if errors.is_empty() { Ok(sorted(self.warnings)) } else { Err(errors) }
    }

    fn push(&self, list: &RefCell<List>, source: usize, problem: Problem) {
        let mut list = list.borrow_mut();
        let entry = (source, problem);
        if list.len() < PROBLEMS_MAX && !list.contains(&entry) {
            list.push(entry);
        }
    }

    fn problem(&self, at: &Place, message: impl Into<String>) -> Problem {
        let nowhere = Source { name: String::new(), text: String::new() };
        let source = self.sources.get(at.source).unwrap_or(&nowhere);
        Problem::at(&source.name, &source.text, at.span, &at.key, message)
    }
}
