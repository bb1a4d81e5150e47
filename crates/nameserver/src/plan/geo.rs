//! The GeoIP database: read whole when a plan is compiled, noticed when it changes.
//!
//! It is not mapped into memory: a mapped file that is overwritten in place changes under its reader, and it is needed
//! only while a plan is compiled.

use maxminddb::{MaxMindDbError, Reader};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// The largest database that is read, octets.
pub const DATABASE_MAX: u64 = 1 << 30;

pub type Database = Reader<Vec<u8>>;

#[derive(Debug, thiserror::Error)]
pub enum GeoError {
    #[error("{} has more than {DATABASE_MAX} octets", .0.display())]
    TooLarge(PathBuf),
    #[error("cannot read the GeoIP database {}", path.display())]
    Read { path: PathBuf, source: MaxMindDbError },
}

#[derive(Clone, Debug)]
pub struct GeoFile {
    path: PathBuf,
    /// Of the file as it was read last.
    read: Option<Stamp>,
}

/// Inode, length and times: any way to replace a file changes one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp(u64, u64, i64, i64);

impl GeoFile {
    pub fn new(path: PathBuf) -> GeoFile {
        GeoFile { path, read: None }
    }

    pub fn load(&mut self) -> Result<Database, GeoError> {
        self.read = self.stamp();
        if self.read.is_some_and(|Stamp(_, length, ..)| length > DATABASE_MAX) {
            return Err(GeoError::TooLarge(self.path.clone()));
        }
        Reader::open_readfile(&self.path).map_err(|source| GeoError::Read { path: self.path.clone(), source })
    }

    /// The file is another one than was read last, and it is there.
    pub fn has_changed(&self) -> bool {
        let now = self.stamp();
        now.is_some() && now != self.read
    }

    fn stamp(&self) -> Option<Stamp> {
        let data = fs::metadata(&self.path).ok()?;
        Some(Stamp(data.ino(), data.len(), data.mtime(), data.mtime_nsec()))
    }
}
