//! `waggle stack config`: the merged file, without any service.

use super::files::{self, Files};
use crate::exit::{Exit, Failure};
use crate::terminal;

/// Print the merged Compose file as `docker stack config` does; asks no service
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Variables come from the environment. What is printed is one file that means the same; warnings go to standard error.

Examples:
  waggle stack config -c compose.yml -c prod.yml
  waggle stack config -c compose.yml,prod.yml --skip-interpolation
  generate-compose | waggle stack config -c - --compat all")]
pub struct Args {
    #[command(flatten)]
    files: Files,
    /// Leave variables as they are written
    #[arg(long)]
    skip_interpolation: bool,
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    // Printing needs no name of a stack.
    let stack = "config".parse()?;
    let printed = args.files.with(&stack, |input| waggle_stack::config(input, !args.skip_interpolation))?;
    files::warn(&printed.warnings);
    terminal::print(&printed.text)?;
    Ok(Exit::Done)
}
