//! The last plans on disk, one document each, named by generation.
//!
//! Each carries a checksum, so a torn or spoiled one is passed over for the one before it. Beside them stands which plan
//! was refused last: a restart must not make a plan that was refused look like one that was missed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use waggle_daemon::file::{self, Corrupt, WriteError};
use waggle_model::Generation;

/// Plans that are kept.
pub const KEPT: usize = 5;

#[derive(Clone, Debug)]
pub struct Shelf {
    directory: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    #[error("cannot list the plans in {}", directory.display())]
    List { directory: PathBuf, source: io::Error },
    #[error("a plan cannot be written")]
    Write(#[from] WriteError),
}

impl Shelf {
    /// Creates the directory if needed.
    pub fn open(directory: &Path) -> Result<Shelf, WriteError> {
        file::create_private_dir(directory)?;
        Ok(Shelf { directory: directory.to_owned() })
    }

    /// Generations on disk, newest first; whether they can be read is not known yet.
    pub fn generations(&self) -> Result<Vec<Generation>, ShelfError> {
        let fail = |source| ShelfError::List { directory: self.directory.clone(), source };
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(fail)? {
            let name = entry.map_err(fail)?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".json")?.parse().ok());
            found.extend(number.map(Generation));
        }
        found.sort_unstable();
        found.dedup();
        found.reverse();
        Ok(found)
    }

    /// The bytes of one plan; `None` if there is no such file.
    pub fn read(&self, generation: Generation) -> Result<Option<Vec<u8>>, Corrupt> {
        file::read_document(&self.path(generation))
    }

    /// Keeps a plan durably, then removes what is older, but for the newest [`KEPT`]. Files of higher generations cannot be
    /// read or used, or they would be in force; they are not what is counted, or they would push out the plan in force.
    pub fn keep(&self, generation: Generation, json: &[u8]) -> Result<(), ShelfError> {
        file::write_document(&self.path(generation), json)?;
        let (newer, kept): (Vec<_>, Vec<_>) = self.generations()?.into_iter().partition(|other| *other > generation);
        for old in kept.into_iter().skip(KEPT).chain(newer.into_iter().skip(KEPT)) {
            file::remove_document(&self.path(old))?;
        }
        Ok(())
    }

    /// The newest plan that was refused for a loss; 0 if none was, or if it cannot be read.
    pub fn refused(&self) -> Generation {
        let read = file::read_document(&self.refused_path());
        let json = read.inspect_err(|error| tracing::warn!(%error, "which plan was refused last is not known"));
        let number = json.ok().flatten().and_then(|json| serde_json::from_slice(&json).ok());
        Generation(number.unwrap_or(0))
    }

    pub fn keep_refused(&self, generation: Generation) -> Result<(), ShelfError> {
        Ok(file::write_document(&self.refused_path(), generation.0.to_string().as_bytes())?)
    }

    fn refused_path(&self) -> PathBuf {
        self.directory.join("refused.json")
    }

    fn path(&self, generation: Generation) -> PathBuf {
        // Twenty digits, so that names sort as the numbers do.
        self.directory.join(format!("{:020}.json", generation.0))
    }
}
