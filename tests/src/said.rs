//! What a command of the command line printed, and its exit code: for tests of the words and codes themselves.

use crate::bed::federation::Federation;
use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Characters of what was printed in a message about it.
const SHOWN_CHARS_MAX: usize = 4000;

#[derive(Debug)]
pub struct Said {
    command: String,
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs a command, whatever comes of it.
pub fn say(federation: &Federation, arguments: &[&str]) -> Result<Said> {
    let result = federation.cli(arguments).output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let command = format!("waggle {}", arguments.join(" "));
    let code = result.status.code().with_context(|| format!("{command} was killed"))?;
    Ok(Said { command, code, out: text(&result.stdout), err: text(&result.stderr) })
}

impl Said {
    pub fn code(self, wanted: i32) -> Result<Said> {
        let said: String = self.out.chars().chain(self.err.chars()).take(SHOWN_CHARS_MAX).collect();
        ensure!(self.code == wanted, "{} ended with {}, not {wanted}:\n{said}", self.command, self.code);
        Ok(self)
    }

    /// Standard output has all the words.
    pub fn out(self, words: &[&str]) -> Result<Said> {
        has(&self.command, &self.out, words)?;
        Ok(self)
    }

    /// Standard error has all the words.
    pub fn err(self, words: &[&str]) -> Result<Said> {
        has(&self.command, &self.err, words)?;
        Ok(self)
    }

    /// Standard output has none of the words.
    pub fn without(self, words: &[&str]) -> Result<Said> {
        let found = words.iter().find(|word| self.out.contains(**word));
        ensure!(found.is_none(), "{}: {found:?} is in:\n{}", self.command, self.out);
        Ok(self)
    }

    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.out).with_context(|| format!("{} printed no JSON: {}", self.command, self.out))
    }
}

fn has(command: &str, text: &str, words: &[&str]) -> Result<()> {
    // Columns are as wide as their widest cell.
    let plain = |text: &str| text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let (text, lacking) = (plain(text), words.iter().find(|word| !plain(text).contains(&plain(word))));
    ensure!(lacking.is_none(), "{command}: {lacking:?} is not in:\n{text}");
    Ok(())
}
