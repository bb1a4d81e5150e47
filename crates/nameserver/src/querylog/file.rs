//! The file of the query log: bounded, turned over, and harmless when the disk is not.
//!
//! `queries.jsonl` is written; when it is full it becomes `queries.jsonl.1`, that one `.2`, and the oldest goes. What a disk
//! does not take is counted and dropped, and a line that was written in part is cut off again, so that every line of
//! every file can be read. It is synced never: a log is not worth the wait.

use super::entry::Entry;
use super::{Entries, tap};
use crate::config::{FileFormat, QueryLog};
use crate::metrics::Traffic;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;
use waggle_model::NameserverName;

/// Clients' addresses are nobody else's business.
const MODE: u32 = 0o600;

/// Writes entries to numbered files. Blocks.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    identity: String,
    settings: QueryLog,
    open: Option<Open>,
    failing: bool,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Octets that are whole entries.
    length: u64,
}

impl LogFile {
    /// `None`: no file is wanted. Opened with the first entry.
    pub fn new(name: &NameserverName, settings: &QueryLog) -> Option<LogFile> {
        let path = settings.file.clone()?;
        Some(LogFile { path, identity: name.to_string(), settings: settings.clone(), open: None, failing: false })
    }

    /// Writes a batch, and counts what became of it.
    pub fn take(&mut self, batch: Vec<Entry>, counts: &Entries) {
        let count = batch.len() as u64;
        let (mut done, mut error) = (0, None);
        for entry in batch {
            match self.write(entry) {
                Ok(()) => done += 1,
                Err(failed) => error = Some(failed),
            }
            if error.is_some() {
                break;
            }
        }
        counts.written.fetch_add(done, Ordering::Relaxed);
        counts.lost.fetch_add(count - done, Ordering::Relaxed);
        match error {
            Some(error) if !self.failing => {
                tracing::warn!(path = %self.path.display(), %error, "the query log cannot be written; answers do not need it");
                self.failing = true;
            }
            Some(_) => {}
            None if self.failing => {
                tracing::info!(path = %self.path.display(), "the query log is written again");
                self.failing = false;
            }
            None => {}
        }
    }

    /// Ends the file as its format wants it.
    pub fn close(&mut self) {
        if let Some(mut open) = self.open.take()
            && self.settings.file_format == FileFormat::Dnstap
        {
            let _ = open.append(&tap::stop());
        }
    }

    fn write(&mut self, entry: Entry) -> io::Result<()> {
        let bytes = self.bytes(entry)?;
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.begin()?,
        };
        // Also one that was found full, or a file that cannot be turned over would grow by an entry each time.
        if open.length > 0 && open.length + bytes.len() as u64 > self.settings.file_bytes {
            self.open = Some(open);
            self.close();
            self.turn_over()?;
            open = self.begin()?;
        }
        let written = open.append(&bytes);
        // After an error the file is opened anew: whatever was wrong with it may be gone.
        self.open = written.is_ok().then_some(open);
        written
    }

    fn bytes(&self, entry: Entry) -> io::Result<Vec<u8>> {
        let entry = if self.settings.whole_addresses { entry } else { entry.cut() };
        match self.settings.file_format {
            FileFormat::Dnstap => Ok(tap::frame(&self.identity, &entry)),
            FileFormat::Json => {
                let mut line = serde_json::to_vec(&entry)?;
                line.push(b'\n');
                Ok(line)
            }
        }
    }

    fn begin(&mut self) -> io::Result<Open> {
        // A frame stream ends with its process; lines go on.
        if self.settings.file_format == FileFormat::Dnstap && fs::metadata(&self.path).is_ok_and(|file| file.len() > 0)
        {
            self.turn_over()?;
        }
        let file = OpenOptions::new().append(true).create(true).mode(MODE).open(&self.path)?;
        let length = file.metadata()?.len();
        let mut open = Open { file, length };
        if self.settings.file_format == FileFormat::Dnstap {
            open.append(&tap::start())?;
        }
        Ok(open)
    }

    fn turn_over(&mut self) -> io::Result<()> {
        let last = self.settings.files.saturating_sub(1);
        if last == 0 {
            return ignore_missing(fs::remove_file(&self.path));
        }
        for number in (1..last).rev() {
            ignore_missing(fs::rename(numbered(&self.path, number), numbered(&self.path, number + 1)))?;
        }
        ignore_missing(fs::rename(&self.path, numbered(&self.path, 1)))
    }
}

impl Open {
    /// All of `bytes` or nothing.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(bytes) {
            let _ = self.file.set_len(self.length);
            return Err(error);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name: OsString = path.into();
    name.push(format!(".{number}"));
    name.into()
}

fn ignore_missing(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Writes what comes until the other side is gone.
pub async fn run(
    mut file: LogFile,
    mut batches: mpsc::Receiver<Vec<Entry>>,
    traffic: Arc<Traffic>,
) -> Result<(), tokio::task::JoinError> {
    while let Some(batch) = batches.recv().await {
        let traffic = traffic.clone();
        let work = move || {
            file.take(batch, &traffic.samples.entries);
            file
        };
        file = tokio::task::spawn_blocking(work).await?;
    }
    tokio::task::spawn_blocking(move || file.close()).await
}

#[cfg(test)]
mod tests;
