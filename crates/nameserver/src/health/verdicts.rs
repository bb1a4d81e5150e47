//! The file of verdicts: what a restart begins with.

use std::path::PathBuf;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use waggle_daemon::file::{self, Corrupt};
use waggle_model::Timestamp;
use waggle_model::health::judge::{Judge, Persisted};

/// Verdicts that change are written at most this often.
const SAVE: Duration = Duration::from_secs(1);
/// Verdicts that do not change are written this often, so that their age says when they last held.
const REFRESH: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub struct VerdictFile(pub PathBuf);

#[derive(Debug, thiserror::Error)]
pub enum VerdictError {
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    #[error("{} cannot be understood", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
}

impl VerdictFile {
    /// Blocks.
    pub fn read(&self) -> Result<Option<Persisted>, VerdictError> {
        let Some(json) = file::read_document(&self.0)? else { return Ok(None) };
        let kept = serde_json::from_slice(&json);
        kept.map(Some).map_err(|source| VerdictError::Json { path: self.0.clone(), source })
    }

    /// Blocks. A failure is logged: the next change tries again.
    fn write(&self, kept: &Persisted) {
        let written = serde_json::to_vec(kept).map_err(|error| error.to_string());
        let written = written.and_then(|json| file::write_document(&self.0, &json).map_err(|error| error.to_string()));
        if let Err(error) = written {
            tracing::warn!(error, "verdicts are not kept on disk");
        }
    }
}

/// Writes beside the judge's loop, one write at a time.
pub struct Saver {
    file: VerdictFile,
    saved: Option<Persisted>,
    last: Option<Instant>,
    writing: Option<JoinHandle<()>>,
}

impl Saver {
    pub fn new(file: VerdictFile) -> Saver {
        Saver { file, saved: None, last: None, writing: None }
    }

    /// Begins a write if something changed and the last one is a while ago.
    pub fn turn(&mut self, judge: &Judge, now: Timestamp) {
        let instant = Instant::now();
        let busy = self.writing.as_ref().is_some_and(|writing| !writing.is_finished());
        if busy || self.last.is_some_and(|last| instant.duration_since(last) < SAVE) {
            return;
        }
        self.last = Some(instant);
        if let Some(kept) = self.changed(judge, now) {
            let file = self.file.clone();
            self.writing = Some(tokio::task::spawn_blocking(move || file.write(&kept)));
        }
    }

    /// Waits for a write under way and writes what changed since.
    pub async fn finish(mut self, judge: &Judge, now: Timestamp) {
        if let Some(writing) = self.writing.take() {
            let _ = writing.await;
        }
        if let Some(kept) = self.changed(judge, now) {
            let _ = tokio::task::spawn_blocking(move || self.file.write(&kept)).await;
        }
    }

    fn changed(&mut self, judge: &Judge, now: Timestamp) -> Option<Persisted> {
        let kept = judge.persisted(now);
        let same = |saved: &Persisted| {
            saved.verdicts == kept.verdicts && saved.last_good == kept.last_good && now.since(saved.at) < REFRESH
        };
        if kept.verdicts.is_empty() || self.saved.as_ref().is_some_and(same) {
            return None;
        }
        self.saved = Some(kept.clone());
        Some(kept)
    }
}
