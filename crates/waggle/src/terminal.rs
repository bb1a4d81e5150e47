//! The terminal: what is printed there, and questions asked at it.

use crate::exit::{Exit, Failure};
use nix::sys::termios::{self, LocalFlags, SetArg};
use std::io::{self, BufRead, IsTerminal, Write};

/// Bytes read from standard input, e.g. a Compose file or a token.
pub const STDIN_BYTES_MAX: u64 = 4 << 20;

/// Whether colours suit a stream (see <https://no-color.org>).
pub fn has_colour(stream: &impl IsTerminal) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Writes to standard output. That the reader went away (`waggle … | head`) is no failure.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::from(error).context("cannot write to standard output")),
        Ok(()) => Ok(()),
    }
}

/// A line on standard error that is no failure.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A warning on standard error.
pub fn warn(text: &str) {
    let mut err = io::stderr().lock();
    let (yellow, end) = if has_colour(&io::stderr()) { ("\x1b[33m", "\x1b[0m") } else { ("", "") };
    let _ = writeln!(err, "{yellow}warning:{end} {text}");
}

/// Reads standard input whole, up to [`STDIN_BYTES_MAX`].
pub fn read_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(io::stdin().lock(), STDIN_BYTES_MAX + 1), &mut text)?;
    if text.len() as u64 > STDIN_BYTES_MAX {
        return Err(Failure::refused(format!("standard input has more than {STDIN_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// Asks a yes/no question; no is the default. Without a terminal the answer is an error that names `flag`.
pub fn confirm(question: &str, flag: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        let failure = Failure::new(Exit::Failed, format!("{question} This cannot be asked without a terminal."));
        return Err(failure.with_help(format!("give {flag} to agree")));
    }
    let answer = ask(&format!("{question} [y/N] "))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Reads a line; `None` without a terminal.
pub fn ask_shown(prompt: &str) -> Result<Option<String>, Failure> {
    if io::stdin().is_terminal() { ask(prompt).map(Some) } else { Ok(None) }
}

/// Reads a line without showing what is typed; `None` without a terminal.
pub fn ask_hidden(prompt: &str) -> Result<Option<String>, Failure> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Ok(None);
    }
    let shown = termios::tcgetattr(&stdin).map_err(io::Error::from)?;
    let mut hidden = shown.clone();
    hidden.local_flags.remove(LocalFlags::ECHO);
    hidden.local_flags.insert(LocalFlags::ECHONL);
    termios::tcsetattr(&stdin, SetArg::TCSAFLUSH, &hidden).map_err(io::Error::from)?;
    let answer = ask(prompt);
    termios::tcsetattr(&stdin, SetArg::TCSAFLUSH, &shown).map_err(io::Error::from)?;
    answer.map(Some)
}

fn ask(prompt: &str) -> Result<String, Failure> {
    let mut err = io::stderr().lock();
    write!(err, "{prompt}").and_then(|()| err.flush())?;
    let mut line = String::new();
    io::Read::take(io::stdin().lock(), STDIN_BYTES_MAX).read_line(&mut line)?;
    Ok(line)
}
