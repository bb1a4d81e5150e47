//! Differences that are known and not mended yet.

/// Beginnings of causes.
const KNOWN: &[&str] = &[
    "deploy: only docker refuses: ",
    "deploy: only we refuse: ",
    "network.",
    "secret.Data: ",
    "config.Data: ",
    "service.",
];

pub fn is(cause: &str) -> bool {
    KNOWN.iter().any(|known| cause.starts_with(known))
}
