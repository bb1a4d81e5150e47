//! Configuration of a role: a TOML file, overridden by the environment, overridden by flags.
//!
//! The three layers become one tree whose every value knows where it was written, and the role's own type is read from
//! that tree. So an error names file, line and column, or the variable, or the flag; and a value from the environment,
//! which is only text, is parsed as what the type asks for. Keys that the type does not know are refused: a misspelt key
//! must not be a silent default.
//!
//! Rejected: merging `toml::Value`s and deserializing the result (positions are lost, and `"8080"` from the environment
//! is no number), and a layering crate (a second TOML parser in the graph for the same few lines).

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

mod error;
mod layer;
mod node;
mod read;

/// The largest configuration file, in bytes.
pub const MAX_FILE: u64 = 1 << 20;

/// `WAGGLE_<ROLE>_CONFIG` names the file itself and is no key of it.
const RESERVED: &str = "config";

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration file {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}", lines(.0))]
    Problems(Vec<Problem>),
}

/// One thing that is wrong, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `None` if the trouble is that nothing was said.
    pub origin: Option<Origin>,
    pub what: String,
    pub way_out: String,
}

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Line and column count from 1; the column counts characters.
    File { path: PathBuf, line: usize, column: usize },
    /// The name of the variable.
    Environment(String),
    /// The dotted key.
    Flag(String),
}

/// Reads the configuration of `role` from its layers; the later one wins, key by key.
///
/// * `file`: TOML. A file that is named and absent is an error.
/// * `env`: the environment. `WAGGLE_<ROLE>_<KEY>__<SUBKEY>`, in capitals, sets `key.subkey`. Empty variables count as
///   unset, those of other names are passed over. Lists are written `a,b` or as in TOML, tables as in TOML.
/// * `flags`: pairs of dotted key and text.
///
/// Keys of a struct are checked whether it denies unknown fields or not; those of a flattened one only if it does.
/// Texts from environment and flags are cut from errors: they may be secrets.
pub fn load<T: DeserializeOwned>(
    role: &str,
    file: Option<&Path>,
    env: &BTreeMap<String, String>,
    flags: &[(String, String)],
) -> Result<T, ConfigError> {
    let text = file.map(read_file).transpose()?;
    let source = file.zip(text.as_deref());
    parse(role, source, env, flags).map_err(ConfigError::Problems)
}

/// As [`load`], from a text that was read already.
pub fn parse<T: DeserializeOwned>(
    role: &str,
    file: Option<(&Path, &str)>,
    env: &BTreeMap<String, String>,
    flags: &[(String, String)],
) -> Result<T, Vec<Problem>> {
    let help = Help { role, file: file.map(|(path, _)| path) };
    let mut tree = match file {
        Some((path, text)) => layer::from_file(path, text).map_err(|problem| vec![problem])?,
        None => node::Table::default(),
    };
    tree.overlay(layer::from_env(role, env)?);
    tree.overlay(layer::from_flags(flags)?);
    read::read(tree, &help)
}

/// The environment of this process, as [`load`] takes it. Variables that are not UTF-8 are passed over.
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn read_file(path: &Path) -> Result<String, ConfigError> {
    let fail = |source| ConfigError::File { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(fail)?;
    let mut text = String::new();
    file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(fail)?;
    if text.len() as u64 > MAX_FILE {
        let why = format!("larger than the {MAX_FILE} bytes allowed");
        return Err(fail(io::Error::new(io::ErrorKind::FileTooLarge, why)));
    }
    Ok(text)
}

/// What an error needs to know to tell the way out.
struct Help<'a> {
    role: &'a str,
    file: Option<&'a Path>,
}

impl Help<'_> {
    /// Everywhere a key can be set.
    fn places(&self, key: &str) -> String {
        let file = match self.file {
            Some(path) => format!("in {}", path.display()),
            None => "in the configuration file".to_owned(),
        };
        format!("{file}, in the environment as {}, or by a flag", variable(self.role, key))
    }
}

/// The variable that sets a dotted key.
fn variable(role: &str, key: &str) -> String {
    format!("{}{}", prefix(role), key.replace('.', "__").to_uppercase())
}

fn prefix(role: &str) -> String {
    format!("WAGGLE_{}_", role.to_uppercase().replace('-', "_"))
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        write!(f, "{}; {}", self.what, self.way_out)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Origin::Environment(name) => write!(f, "environment variable {name}"),
            Origin::Flag(key) => write!(f, "flag {key}"),
        }
    }
}

#[cfg(test)]
mod tests;
