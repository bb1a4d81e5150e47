//! Errors, where they leave the program.
//!
//! No error of ours repeats its source in its own text, so whoever logs or prints one writes the chain, once.

use std::error::Error;

/// An error and its sources in one line, outermost first.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
