//! Compose files → Engine API objects → differences, as pure functions.
//!
//! ```text
//! sources ─ load (yaml, interpolate, schema) ─► long forms ─ merge ─► one ─ compose ─ convert ─► Objects ─ pin ─► release
//!                                                                     └─ config ─► text
//!                                                         Objects + Current ─ diff ─► actions
//! ```
//!
//! The rules are those of `docker stack deploy` (docker/cli `cli/compose`); the places that differ on purpose say so in
//! their module. Nothing here does I/O: files named by the sources are read through [`Input::read`]. No key is dropped
//! silently: what Docker ignores is a warning, what this version cannot carry is an error, both with their place.

pub mod compare;
#[allow(dead_code, reason = "read here first; conversion takes the fields one by one")]
mod compose;
mod config;
mod convert;
mod deviation;
pub mod diff;
mod engine_json;
pub mod image;
mod interpolate;
mod load;
mod merge;
pub mod needs;
pub mod objects;
pub mod policy;
mod problem;
mod read;
pub mod registry;
pub mod release;
mod rotate;
mod scalar;
mod schema;
pub mod yaml;

#[cfg(test)]
mod tests;

pub use config::{Printed, config};
pub use deviation::{Deviation, UnknownDeviation};
pub use engine_json::{ApiVersion, EngineJsonOptions, engine_json};
pub use load::SOURCES_MAX;
pub use objects::{Objects, Pin};
pub use problem::{PROBLEMS_MAX, Problem};
pub use release::{release_body, release_id};
pub use rotate::Bound;

use problem::{Place, Report};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use waggle_model::StackName;
use waggle_model::release::{Promotion, Route, Upkeep};

/// Keys of labels on Engine objects.
pub mod labels {
    /// Stack of a service, container, network, secret, config or volume; Docker's own.
    pub const NAMESPACE: &str = "com.docker.stack.namespace";
    /// On services: the image as written in the file; Docker's own.
    pub const IMAGE: &str = "com.docker.stack.image";
    /// On services: the release whose application last wrote the service.
    pub const RELEASE: &str = "io.waggle.release";
    /// `"true"` on services, networks, secrets and configs that are ours to change and remove.
    pub const MANAGED: &str = "io.waggle.managed";
    /// On services: version of the registry login that was last written with the service.
    pub const LOGIN: &str = "io.waggle.login";
    /// On secrets and configs: SHA-256 (hex) of their bytes, which the Engine does not give back.
    pub const SHA256: &str = "io.waggle.sha256";
    /// On secrets and configs: the name that docker would give, which is another than their own once they were rotated.
    pub const NAME: &str = "io.waggle.name";
    /// On services: how often a restart of all tasks was asked for.
    pub const FORCE: &str = "io.waggle.force";

    /// Waggle's own labels. A rendered stack has none: [`crate::diff`] adds them to what it writes, and no difference in
    /// them counts, so that a stack that docker deployed is as wanted.
    pub fn is_own(key: &str) -> bool {
        key.starts_with("io.waggle.")
    }
}

/// One Compose file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// As the user named it.
    pub name: String,
    pub text: String,
}

/// What a stack is rendered from.
pub struct Input<'a> {
    pub stack: StackName,
    /// Later ones are merged over earlier ones.
    pub sources: &'a [Source],
    /// Directory of the first file; relative paths of all files start here.
    pub workdir: &'a Path,
    /// The only source of variables.
    pub env: &'a BTreeMap<String, String>,
    /// Reads an env file, or the file of a secret or config. `Err` says why not, for people.
    pub read: &'a dyn Fn(&Path) -> Result<Vec<u8>, String>,
    /// Where Docker's behaviour is wanted instead of ours; `x-waggle: compat:` adds to it.
    pub compat: BTreeSet<Deviation>,
}

/// A rendered stack; its images are not pinned yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    pub objects: Objects,
    /// Bytes of secrets and configs by SHA-256 (hex).
    pub payloads: BTreeMap<String, Vec<u8>>,
    pub routes: Vec<Route>,
    pub promotion: Promotion,
    pub upkeep: Upkeep,
    pub warnings: Vec<Problem>,
}

/// Loads, merges and converts. Reports as many errors as can be found in one go: first those of each file for itself,
/// then those of the whole.
pub fn render(input: &Input<'_>) -> Result<Rendered, Vec<Problem>> {
    let report = Report::new(input.sources);
    check_sources(input, &report);
    let loaded = load::load(input, &report, true);
    let waggle = compose::read_waggle(&loaded.files, &report);
    let merged = merge::Merge { compat: &loaded.compat, report: &report }.files(loaded.files);
    let file = merged.map(|merged| compose::read(&merged, waggle, loaded.compat, &report));
    let rendered = match file {
        Some(file) if !report.failed() => convert::convert(input, file, &report),
        _ => None,
    };
    match (report.finish(), rendered) {
        (Ok(warnings), Some(rendered)) => Ok(Rendered { warnings, ..rendered }),
        (Ok(_), None) => Err(Vec::new()),
        (Err(errors), _) => Err(errors),
    }
}

fn check_sources(input: &Input<'_>, report: &Report<'_>) {
    if input.sources.is_empty() || input.sources.len() > SOURCES_MAX {
        report.error(&Place::default(), format!("a stack takes one to {SOURCES_MAX} compose files"));
    }
}
