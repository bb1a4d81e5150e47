//! The wall clock, read in one place.
//!
//! Everything that decides takes `now` as an argument; the process reads it here, once per decision, and hands it in. A
//! clock trait was rejected: its second implementation would exist for tests only, and an argument does the same.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch; 0 if the clock of the machine stands before it.
///
/// The wall clock may jump. Measure durations with `tokio::time::Instant`.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub fn now() -> u64 {
    let Ok(since) = SystemTime::now().duration_since(UNIX_EPOCH) else {
        return 0;
    };
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #[test]
    fn reads_milliseconds_and_not_seconds() {
        let year_2020 = 1_577_836_800_000;
        let year_2200 = 7_258_118_400_000;
        assert!((year_2020..year_2200).contains(&super::now()));
    }
}
