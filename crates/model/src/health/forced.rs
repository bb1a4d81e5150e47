//! A verdict that a person set, over whatever is observed, and until when at the latest.
//!
//! The expiry is mandatory: a forced verdict hides what is true, and the one who set it goes home. It is judged by the
//! nameserver's own clock, so it ends also when control is gone.

use super::Verdict;
use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Longest time a verdict may be forced for.
pub const FORCED_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forced {
    pub fit: bool,
    pub reason: String,
    pub by: String,
    pub until: Timestamp,
}

impl Forced {
    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.until
    }

    pub fn verdict(&self) -> Verdict {
        if self.fit { Verdict::Fit } else { Verdict::Unfit(self.to_string()) }
    }
}

impl fmt::Display for Forced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.fit { "fit" } else { "unfit" };
        write!(f, "forced {word} by {} until {} UTC: {}", self.by, self.until.utc(), self.reason)
    }
}
