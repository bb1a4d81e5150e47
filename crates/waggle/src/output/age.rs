//! Ages as the docker command line words them.

use std::time::Duration;
use waggle_model::Timestamp;

pub fn ago(now: Timestamp, then: Timestamp) -> String {
    format!("{} ago", about(now.since(then)))
}

/// `4 seconds`, `About a minute`, `3 weeks`.
pub fn about(age: Duration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match () {
        () if seconds < 1 => "Less than a second".into(),
        () if seconds == 1 => "1 second".into(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".into(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".into(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 14 => format!("{} days", hours / 24),
        () if hours < 24 * 60 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 730 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", hours / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let cases = [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (7199, "About an hour"),
        ];
        for (seconds, want) in cases {
            assert_eq!(about(Duration::from_secs(seconds)), want);
        }
        assert_eq!(about(Duration::from_secs(86_400 * 20)), "2 weeks");
        assert_eq!(ago(Timestamp(5000), Timestamp(9000)), "Less than a second ago");
    }
}
