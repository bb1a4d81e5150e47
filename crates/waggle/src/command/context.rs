//! `waggle context`

use crate::command::Global;
use crate::context::{Contexts, path};
use crate::exit::{Exit, Failure};
use crate::output::{self, Cell, Style, Table};
use crate::terminal;
use serde::Serialize;

/// List, select, show and remove the control services this command line knows
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waggle context ls
  waggle context use production
  waggle --context staging stack ls")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List all contexts; the selected one is marked with *
    #[command(after_help = "Example:\n  waggle context ls --format json")]
    Ls,
    /// Select the context that later commands use
    #[command(after_help = "Example:\n  waggle context use production")]
    Use { name: String },
    /// Remove a context and its token from this machine
    #[command(after_help = "Example:\n  waggle context rm staging")]
    Rm { name: String },
    /// Show one context, or the selected one; the token is not shown
    #[command(after_help = "Example:\n  waggle context show")]
    Show { name: Option<String> },
}

/// A context without its token.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    url: &'a str,
    selected: bool,
}

pub fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let path = path()?;
    let mut contexts = Contexts::load(&path)?;
    match args.action {
        Action::Ls => list(&contexts, global)?,
        Action::Show { name } => {
            let name = name.or(global.context.clone()).or(contexts.current.clone());
            let name = name
                .ok_or_else(|| Failure::refused("no context is selected").with_help("run `waggle context use NAME`"))?;
            let url = &contexts.find(&name)?.url;
            let shown = Shown { name: &name, url, selected: contexts.current.as_ref() == Some(&name) };
            output::show(global.format, &shown, |_| {
                format!("Name:  {name}\nURL:   {url}\nFile:  {}\n", path.display())
            })?;
        }
        Action::Use { name } => {
            let url = contexts.find(&name)?.url.clone();
            contexts.current = Some(name.clone());
            contexts.save(&path)?;
            terminal::note(&format!("Selected {name} ({url})."));
        }
        Action::Rm { name } => {
            contexts.remove(&name)?;
            contexts.save(&path)?;
            terminal::note(&format!("Removed {name} and its token."));
            if contexts.current.is_none() && !contexts.contexts.is_empty() {
                terminal::note("No context is selected now; select one with `waggle context use NAME`.");
            }
        }
    }
    Ok(Exit::Done)
}

fn list(contexts: &Contexts, global: &Global) -> Result<(), Failure> {
    let current = contexts.current.as_ref();
    let shown = contexts.contexts.iter().map(|(name, context)| Shown {
        name,
        url: &context.url,
        selected: current == Some(name),
    });
    let shown: Vec<Shown> = shown.collect();
    output::show(global.format, &shown, |colour| {
        let mut table = Table::new(&["", "NAME", "URL"]);
        for one in &shown {
            table.row([Cell::new(if one.selected { "*" } else { "" }, Style::Good), one.name.into(), one.url.into()]);
        }
        table.render(colour)
    })
}
