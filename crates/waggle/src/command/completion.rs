//! `waggle completion`

use crate::command::Cli;
use crate::exit::{Exit, Failure};
use crate::terminal;
use clap::CommandFactory;
use clap_complete::Shell;

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waggle completion bash > ~/.local/share/bash-completion/completions/waggle
  waggle completion zsh > ~/.zfunc/_waggle
  waggle completion fish > ~/.config/fish/completions/waggle.fish")]
pub struct Args {
    #[arg(value_enum)]
    shell: Shell,
}

pub fn run(args: Args) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "waggle", &mut script);
    terminal::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
