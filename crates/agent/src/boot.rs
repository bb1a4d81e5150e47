//! The number of this start of the agent, by which nameservers tell its beats from those of the process before it.
//!
//! It is the time of the start, for whoever reads it, but it must grow from start to start also where the clock was wrong
//! and is right now: nameservers would take every beat for an old one, hold the cluster's agent for silent, and go on
//! believing what the process before it said last. So the last one is kept on disk. Counting alone was rejected: it would
//! begin anew with an empty disk.

use std::path::Path;
use waggle_daemon::{file, tasks};
use waggle_model::Timestamp;

/// Greater than the one before. Blocks. A disk that fails is reported and costs only that certainty.
pub fn next(data_dir: &Path, now: Timestamp) -> u64 {
    let path = data_dir.join("boot");
    let last = file::read_document(&path).unwrap_or_else(|error| {
        tracing::warn!(error = tasks::chain(&error), "the number of the last start is lost");
        None
    });
    let last = last.and_then(|text| String::from_utf8(text).ok()?.trim().parse::<u64>().ok());
    let boot = last.map_or(now.0, |last| now.0.max(last.saturating_add(1)));
    if let Err(error) = file::write_document(&path, boot.to_string().as_bytes()) {
        tracing::warn!(error = tasks::chain(&error), "the number of this start cannot be kept");
    }
    boot
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_start_has_a_greater_number_whatever_the_clock_says() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(next(directory.path(), Timestamp(9000)), 9000);
        assert_eq!(next(directory.path(), Timestamp(9500)), 9500);
        assert_eq!(next(directory.path(), Timestamp(100)), 9501);
        assert_eq!(next(directory.path(), Timestamp(200)), 9502);
    }

    #[test]
    fn a_disk_that_takes_nothing_ends_no_start() {
        assert_eq!(next(Path::new("/proc/nowhere"), Timestamp(7)), 7);
    }
}
