//! `waggle stack deploy`: files are read and rendered here, once; clusters get what was rendered.

use crate::client::Client;
use crate::client::url::encode;
use crate::command::rollout::watch::Wait;
use crate::command::stack::files::{self, Files};
use crate::command::{Global, registry, release};
use crate::docker_config::{self, DockerConfig};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::terminal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use std::collections::BTreeSet;
use std::time::Duration;
use waggle_control::api::types::{DeployRequest, Deployed};
use waggle_model::StackName;
use waggle_stack::{Objects, Rendered};

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
  waggle stack deploy -c compose.yml --with-registry-auth shop
  generate-compose | waggle stack deploy -c - shop")]
pub struct Args {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    wait: Wait,
    /// Keep the logins that docker has on this machine for the registries of the stack's images with control, which
    /// hands them to the clusters
    #[arg(long)]
    with_registry_auth: bool,
    /// Name of the stack
    stack: StackName,
}

pub async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let request = prepare(&args.stack, &args.files)?;
    let client = global.client()?;
    if args.with_registry_auth {
        keep_logins(&client, &request, &DockerConfig::load(&docker_config::path()?)?).await?;
    }
    let deployed = submit(&client, &args.stack, &request).await?;
    output::show(global.format, &deployed, |colour| text(&deployed, colour))?;
    args.wait.until_done(&client, &deployed).await
}

/// Reads and renders the files; warnings are printed.
pub fn prepare(stack: &StackName, files: &Files) -> Result<DeployRequest, Failure> {
    let rendered = files.with(stack, waggle_stack::render)?;
    files::warn(&rendered.warnings);
    Ok(request(rendered))
}

/// Hands control the logins for exactly the registries that the stack's images come from.
async fn keep_logins(client: &Client, request: &DeployRequest, config: &DockerConfig) -> Result<(), Failure> {
    let objects = Objects::from_json(&request.objects)?;
    let registries: BTreeSet<String> =
        objects.images().iter().filter_map(|image| waggle_stack::registry::of(image)).collect();
    for name in registries {
        match config.login(&name).await? {
            Some(login) => {
                let kept = registry::keep(client, &name, &login).await?;
                if kept.changed {
                    terminal::note(&format!("The login for {name} is kept."));
                }
            }
            None => terminal::note(&format!("docker has no login for {name} on this machine.")),
        }
    }
    Ok(())
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
