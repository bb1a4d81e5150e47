//! `waggle stack deploy`: files are read and rendered here, once; clusters get what was rendered.

use crate::client::Client;
use crate::client::url::encode;
use crate::command::rollout::watch;
use crate::command::{Global, release};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::terminal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;
use waggle_control::api::types::{DeployRequest, Deployed};
use waggle_model::StackName;
use waggle_stack::{Input, Problem, Rendered, Source};

/// Bytes of one file that a stack names: larger than the 1000 KiB that Swarm allows a config.
const FILE_BYTES_MAX: u64 = 2 << 20;
/// Control asks registries for the digest of every image before it answers.
const DEPLOY_TIMEOUT: Duration = Duration::from_secs(300);

/// Deploy a stack: render it once, pin its images, and promote it through the clusters
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The files are those that `docker stack deploy` takes; an optional x-waggle block holds routes and promotion. Waits until
the rollout ends, and ends with code 3 if it is held, aborted or replaced. Ctrl-C stops the waiting, not the rollout.

Examples:
  waggle stack deploy -c compose.yml shop
  waggle stack deploy -c compose.yml -c prod.yml --timeout 20m shop
  TAG=1.4.2 waggle stack deploy -c compose.yml --detach shop
  generate-compose | waggle stack deploy -c - shop")]
pub struct Args {
    /// Compose file; later ones are merged over earlier ones; - reads standard input
    #[arg(short, long, value_name = "FILE", required = true)]
    compose_file: Vec<PathBuf>,
    /// Do not wait for the rollout
    #[arg(short, long)]
    detach: bool,
    /// Longest time to wait
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse, default_value = watch::TIMEOUT)]
    timeout: Duration,
    /// Name of the stack
    stack: StackName,
}

pub async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let request = prepare(&args.stack, &args.compose_file)?;
    let client = global.client()?;
    let deployed = submit(&client, &args.stack, &request).await?;
    output::show(global.format, &deployed, |colour| text(&deployed, colour))?;

    let id = deployed.rollout;
    if deployed.unchanged {
        return Ok(Exit::Done);
    }
    if args.detach {
        terminal::note(&format!("Watch it with `waggle rollout watch {id}`."));
        return Ok(Exit::Done);
    }
    watch::watch(&client, id, args.timeout, output::Format::Table).await
}

/// Reads and renders the files; warnings are printed.
pub fn prepare(stack: &StackName, files: &[PathBuf]) -> Result<DeployRequest, Failure> {
    let rendered = render(stack, files)?;
    rendered.warnings.iter().for_each(|warning| terminal::warn(&warning.to_string()));
    Ok(request(rendered))
}

/// Hands a rendered stack to control; warnings are printed.
pub async fn submit(client: &Client, stack: &StackName, request: &DeployRequest) -> Result<Deployed, Failure> {
    let path = format!("/v1/stacks/{}/deploy", encode(stack.as_str()));
    let deployed: Deployed = client.send(Method::POST, &path, request, DEPLOY_TIMEOUT).await?;
    deployed.warnings.iter().for_each(|warning| terminal::warn(warning));
    Ok(deployed)
}

fn text(deployed: &Deployed, colour: bool) -> String {
    if deployed.unchanged {
        return format!("Release {} runs everywhere already; nothing to do.\n", deployed.release.short());
    }
    let images = release::images(&deployed.images).render(colour);
    format!("{images}\nRelease {}, rollout {}.\n", deployed.release.short(), deployed.rollout)
}

fn render(stack: &StackName, files: &[PathBuf]) -> Result<Rendered, Failure> {
    let sources = files.iter().map(|file| read_source(file)).collect::<Result<Vec<Source>, Failure>>()?;
    let workdir = match files.first().filter(|file| file.as_os_str() != "-").and_then(|file| file.parent()) {
        Some(parent) => std::path::absolute(Path::new(".").join(parent))?,
        None => std::env::current_dir()?,
    };
    let env: BTreeMap<String, String> = waggle_daemon::config::environment();
    let input = Input {
        stack: stack.clone(),
        sources: &sources,
        workdir: &workdir,
        env: &env,
        read: &read_file,
        compat: BTreeSet::new(),
    };
    waggle_stack::render(&input).map_err(|problems| refusal(&problems))
}

fn refusal(problems: &[Problem]) -> Failure {
    let message = match problems.len() {
        1 => "1 problem in the compose files; nothing was deployed".to_owned(),
        count => format!("{count} problems in the compose files; nothing was deployed"),
    };
    Failure::refused(message).with_problems(problems)
}

fn read_source(file: &Path) -> Result<Source, Failure> {
    if file.as_os_str() == "-" {
        return Ok(Source { name: "standard input".into(), text: terminal::read_stdin()? });
    }
    let name = file.display().to_string();
    let bytes = read_file(file).map_err(|why| Failure::refused(format!("cannot read {name}: {why}")))?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::refused(format!("{name} is not UTF-8")))?;
    Ok(Source { name, text })
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("it has more than {FILE_BYTES_MAX} bytes"));
    }
    Ok(bytes)
}

fn request(rendered: Rendered) -> DeployRequest {
    let payloads = rendered.payloads.into_iter().map(|(hash, bytes)| (hash, STANDARD.encode(bytes)));
    DeployRequest {
        objects: rendered.objects.canonical_json(),
        routes: rendered.routes,
        promotion: rendered.promotion,
        upkeep: rendered.upkeep,
        payloads: payloads.collect(),
    }
}

#[cfg(test)]
mod tests;
