//! What a command prints: tables in the look of the docker command line, or JSON.

pub mod age;
pub mod table;

use crate::exit::Failure;
use crate::terminal;
use serde::Serialize;
pub use table::{Cell, Style, Table, cut};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// The API's own answers.
    Json,
    /// Bodies of the Engine API; only where a command says so.
    #[value(skip)]
    EngineJson,
}

/// Prints `value` as JSON, or as the text that `people` makes of it.
pub fn show<T: Serialize>(format: Format, value: &T, people: impl FnOnce(bool) -> String) -> Result<(), Failure> {
    match format {
        Format::Json | Format::EngineJson => terminal::print(&(serde_json::to_string_pretty(value)? + "\n")),
        Format::Table => terminal::print(&people(terminal::has_colour(&std::io::stdout()))),
    }
}
