//! How a command ends: the exit code, and what is told about a failure.
//!
//! Codes are part of the interface, so that a pipeline can tell "the rollout was held" from "nobody answered". They are
//! documented in `waggle --help`.

use std::error::Error;
use std::process::ExitCode;

/// For `--help`; the one list people see.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed
  2    wrong usage
  3    the rollout was held, aborted or replaced
  4    control or a cluster cannot be reached, or cannot do it just now
  5    refused: the input is not valid, or names something that does not exist
  6    not logged in, or the token is not accepted
  7    waited as long as --timeout allows; the rollout goes on
  10   something would change (stack plan --exit-code)
  130  interrupted; what was started goes on";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    Held = 3,
    Unreachable = 4,
    Refused = 5,
    Denied = 6,
    TimedOut = 7,
    Changes = 10,
    Interrupted = 130,
}

impl Exit {
    /// Of several things that were done, what is told.
    pub fn worse(self, other: Exit) -> Exit {
        match (self, other) {
            (Exit::Done, other) => other,
            (_, Exit::Unreachable) => other,
            (this, _) => this,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// What went wrong, for people. Not an [`Error`] itself, so that any error can become one with `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
    /// The way out, when there is one.
    pub help: Option<String>,
    /// Every problem, when there are several.
    pub problems: Vec<String>,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit, message: message.into(), help: None, problems: Vec::new() }
    }

    pub fn refused(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Refused, message)
    }

    pub fn with_help(mut self, help: impl Into<String>) -> Failure {
        self.help = Some(help.into());
        self
    }

    pub fn with_problems(mut self, problems: impl IntoIterator<Item = impl ToString>) -> Failure {
        self.problems = problems.into_iter().map(|problem| problem.to_string()).collect();
        self
    }

    /// Puts what was being done in front.
    pub fn context(mut self, doing: impl std::fmt::Display) -> Failure {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    /// The text for standard error: `error: …`, the problems, `help: …`.
    pub fn render(&self, colour: bool) -> String {
        let (red, cyan, end) = if colour { ("\x1b[1;31m", "\x1b[36m", "\x1b[0m") } else { ("", "", "") };
        let mut text = format!("{red}error:{end} {}\n", self.message);
        for problem in &self.problems {
            text += &format!("  {}\n", problem.replace('\n', "\n  "));
        }
        if let Some(help) = &self.help {
            text += &format!("{cyan}help:{end} {help}\n");
        }
        text
    }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::new(Exit::Failed, chain(&error))
    }
}

/// An error with its sources, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_print_problems_and_help() {
        let failure = Failure::refused("2 problems").with_problems(["a.yml:1:2: bad\n1 | x", "b"]).with_help("fix it");
        let want = "error: 2 problems\n  a.yml:1:2: bad\n  1 | x\n  b\nhelp: fix it\n";
        assert_eq!(failure.render(false), want);
        assert!(failure.render(true).contains("\x1b["));
    }

    #[test]
    fn errors_bring_their_sources() {
        let error = waggle_daemon::file::WriteError::Io {
            path: "/x".into(),
            source: std::io::Error::other("the disk is gone"),
        };
        let failure = Failure::from(error);
        assert_eq!(failure.message, "cannot write /x: the disk is gone");
        assert_eq!(failure.exit, Exit::Failed);
    }

    #[test]
    fn every_code_is_documented() {
        for exit in
            [Exit::Done, Exit::Failed, Exit::Held, Exit::Unreachable, Exit::Refused, Exit::Denied, Exit::TimedOut]
        {
            assert!(EXIT_CODES.contains(&format!("\n  {}    ", exit as u8)), "{exit:?}");
        }
        assert!(EXIT_CODES.contains("\n  130  ") && EXIT_CODES.contains("\n  10   "));
    }
}
