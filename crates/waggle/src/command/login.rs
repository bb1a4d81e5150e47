//! `waggle login`

use crate::client::Client;
use crate::command::Global;
use crate::context::{Context, Contexts, api_token, path};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::terminal;
use serde_json::Value;
use std::path::PathBuf;
use waggle_control::api::types::StatusView;

/// Remember a control service and the token for it, and select it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The token pins the certificate authority of the control service: nothing else is trusted, and no certificate has to be
installed. It is asked for unless --token-file or WAGGLE_TOKEN gives it; it is never taken from the command line.

Examples:
  waggle login https://control.example:7440
  waggle login https://control.example:7440 --token-file admin.token --name production
  ssh control cat /var/lib/waggle/admin.token | waggle login https://control.example:7440 --token-file -")]
pub struct Args {
    /// Where control is: https://HOST[:PORT]
    url: String,
    /// File that holds the API token; - reads standard input
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Name of the context; the host's unless given
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

pub async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let token = read_token(&args)?;
    let token = api_token(token.trim())?;
    let client = Client::new(&args.url, &token)?;
    let status: StatusView = client.get("/v1/status").await?;

    let path = path()?;
    let mut contexts = Contexts::load(&path)?;
    let name = args.name.or(global.context.clone()).unwrap_or_else(|| client.address().host().replace(':', "-"));
    contexts.put(&name, Context { url: client.address().to_string(), token: token.expose() })?;
    contexts.save(&path)?;

    let json: Value =
        serde_json::json!({"context": name, "url": client.address().to_string(), "version": status.version});
    output::show(global.format, &json, |_| {
        format!("Logged in to {} (waggle {}), context {name}.\n", client.address(), status.version)
    })?;
    Ok(Exit::Done)
}

fn read_token(args: &Args) -> Result<String, Failure> {
    match &args.token_file {
        Some(file) if file.as_os_str() == "-" => terminal::read_stdin(),
        Some(file) => std::fs::read_to_string(file)
            .map_err(|error| Failure::refused(format!("cannot read {}: {error}", file.display()))),
        None => match std::env::var("WAGGLE_TOKEN").ok().filter(|token| !token.is_empty()) {
            Some(token) => Ok(token),
            None => terminal::ask_hidden("API token: ")?.ok_or_else(|| {
                Failure::new(Exit::Denied, "no token, and no terminal to ask for one at")
                    .with_help("give it with --token-file FILE, --token-file - or in WAGGLE_TOKEN")
            }),
        },
    }
}
