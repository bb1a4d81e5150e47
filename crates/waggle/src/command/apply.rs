//! `waggle apply`

use crate::command::Global;
use crate::exit::{Exit, Failure};
use crate::federation_file::{self, FILE_BYTES_MAX};
use crate::output;
use crate::terminal;
use http::Method;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;
use waggle_control::api::types::Applied;
use waggle_model::fleet::Federation;

const TIMEOUT: Duration = Duration::from_secs(60);

/// Make the federation what a file says: clusters, zones, client map, health rules
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The file is the whole federation: what it does not list is removed. Applying the same file again changes nothing. What
would leave a route without any cluster, or take several clusters out at once that are more than safety.max_loss_percent
of the capacity in service, needs --force.

Examples:
  waggle apply -f federation.yaml
  waggle apply -f federation.yaml --check
  waggle apply -f federation.yaml --force")]
pub struct Args {
    /// Federation file; - reads standard input
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Only check the file; control is not asked
    #[arg(long)]
    check: bool,
    /// Also if it takes much out of the answers at once: the last cluster of a route, or several clusters
    #[arg(long, conflicts_with = "check")]
    force: bool,
}

pub async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let (name, federation) = read(&args.file)?;
    let what = format!("{}, {}", count(federation.clusters.len(), "cluster"), count(federation.zones.len(), "zone"));
    if args.check {
        output::show(global.format, &federation, |_| format!("{name}: {what}, no problem.\n"))?;
        return Ok(Exit::Done);
    }
    let path = if args.force { "/v1/federation?force=true" } else { "/v1/federation" };
    let applied: Applied = global.client()?.send(Method::PUT, path, &federation, TIMEOUT).await?;
    output::show(global.format, &applied, |_| match applied.changed {
        true => format!("Applied: {what}; route plan {}.\n", applied.plan_generation),
        false => format!("Nothing changed; route plan {}.\n", applied.plan_generation),
    })?;
    Ok(Exit::Done)
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Reads a federation file and the zone files it names; with what to call it.
fn read(path: &Path) -> Result<(String, Federation), Failure> {
    let unreadable = |error: io::Error| Failure::refused(format!("cannot read {}: {error}", path.display()));
    let (name, text) = match path.to_str() {
        Some("-") => ("standard input".to_owned(), terminal::read_stdin()?),
        _ => (path.display().to_string(), read_bounded(path).map_err(unreadable)?),
    };
    let base = path.parent().unwrap_or(Path::new(""));
    let read_beside = |file: &str| read_bounded(&base.join(file));
    match federation_file::parse(&name, &text, &read_beside) {
        Ok(federation) => Ok((name, federation)),
        Err(problems) => {
            let message = format!("{name} has {}", count(problems.len(), "problem"));
            Err(Failure::refused(message).with_problems(problems))
        }
    }
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
