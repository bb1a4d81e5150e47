//! Files that are whole after a crash: the old content or the new, never a part.
//!
//! [`write_atomic`] is the plain form. A *document* ([`write_document`], [`read_document`]) also carries the checksum of
//! its content and leaves the version before it beside it, as `.prev`: a process that must start from its last state finds
//! one even if the disk has spoiled the newest.
//!
//! All functions block. A file has one writer at a time; the caller sees to that.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process;

mod envelope;

/// The largest document, in bytes of content.
pub const MAX_DOCUMENT: usize = 64 << 20;

/// Documents may hold what only their process is to read.
const DOCUMENT_MODE: u32 = 0o600;

/// Why a file could not be written. The content before is still there.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("no space left for {}; free some or raise the quota, the content before is untouched", path.display())]
    Full { path: PathBuf, source: io::Error },
    #[error("cannot write {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} would hold {size} bytes, more than the {MAX_DOCUMENT} allowed", path.display())]
    TooLarge { path: PathBuf, size: usize },
}

/// A document exists, and neither it nor the version before can be read.
#[derive(Debug, thiserror::Error)]
pub enum Corrupt {
    #[error("{} is damaged ({why}), and there is no good version before it; restore or remove it", path.display())]
    Damaged { path: PathBuf, why: &'static str },
    #[error("cannot read {}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Replaces the content of `path`, durably: when this returns, the new content survives a crash and a loss of power.
/// The file has exactly `mode`, whatever the umask.
pub fn write_atomic(path: &Path, content: &[u8], mode: u32) -> Result<(), WriteError> {
    let fail = |source| write_error(path, source);
    let temporary = write_temporary(path, content, mode).map_err(fail)?;
    put_in_place(&temporary, path).map_err(fail)?;
    sync_directory(path).map_err(fail)
}

/// Replaces a document, mode 0600, and keeps the one it replaces as `.prev` if that was good.
pub fn write_document(path: &Path, content: &[u8]) -> Result<(), WriteError> {
    if content.len() > MAX_DOCUMENT {
        return Err(WriteError::TooLarge { path: path.to_owned(), size: content.len() });
    }
    let fail = |source| write_error(path, source);
    let temporary = write_temporary(path, &envelope::seal(content), DOCUMENT_MODE).map_err(fail)?;
    if matches!(read_one(path), Ok(Some(_))) {
        // Between the two renames only `.prev` exists, which a reader takes.
        let kept = fs::rename(path, previous(path));
        if kept.is_err() {
            let _ = remove(&temporary);
        }
        kept.map_err(fail)?;
    }
    put_in_place(&temporary, path).map_err(fail)?;
    sync_directory(path).map_err(fail)
}

/// The content of a document: the newest good version, `None` if there never was one.
pub fn read_document(path: &Path) -> Result<Option<Vec<u8>>, Corrupt> {
    let newest = read_one(path);
    if let Ok(Some(content)) = newest {
        return Ok(Some(content));
    }
    let before = read_one(&previous(path));
    match (newest, before) {
        (Err(error), Ok(Some(content))) => {
            tracing::warn!(%error, "a damaged document is passed over for the version before it");
            Ok(Some(content))
        }
        (Ok(_), Ok(before)) => Ok(before),
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

/// Removes a document and the version before it. It is no error if there is none.
pub fn remove_document(path: &Path) -> Result<(), WriteError> {
    let fail = |source| write_error(path, source);
    // The older one first, or a crash in between would bring it back.
    remove(&previous(path)).map_err(fail)?;
    remove(path).map_err(fail)?;
    sync_directory(path).map_err(fail)
}

/// Creates a directory and its parents with mode 0700, if it does not exist.
pub fn create_private_dir(path: &Path) -> Result<(), WriteError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| write_error(path, source))
}

fn write_error(path: &Path, source: io::Error) -> WriteError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => WriteError::Full { path, source },
        _ => WriteError::Io { path, source },
    }
}

fn read_one(path: &Path) -> Result<Option<Vec<u8>>, Corrupt> {
    let fail = |source| Corrupt::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(error)),
    };
    let limit = MAX_DOCUMENT + envelope::MAX_HEADER;
    let mut sealed = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut sealed).map_err(fail)?;
    let content = envelope::open(&sealed).map_err(|why| Corrupt::Damaged { path: path.to_owned(), why })?;
    Ok(Some(content.to_owned()))
}

/// Writes and syncs a file beside `path`; nothing is left of it on failure.
fn write_temporary(path: &Path, content: &[u8], mode: u32) -> io::Result<PathBuf> {
    let temporary = beside(path, &format!(".{}.tmp", process::id()));
    // Left over from a crash, at most.
    remove(&temporary)?;
    let written = write_and_sync(&temporary, content, mode);
    if written.is_err() {
        let _ = remove(&temporary);
    }
    written.map(|()| temporary)
}

fn write_and_sync(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(content)?;
    file.sync_all()
}

fn put_in_place(from: &Path, to: &Path) -> io::Result<()> {
    let renamed = fs::rename(from, to);
    if renamed.is_err() {
        let _ = remove(from);
    }
    renamed
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn previous(path: &Path) -> PathBuf {
    beside(path, ".prev")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests;
