//! `waggle stack convert`: what a stack becomes, without any service.

use super::files::{self, Files};
use crate::exit::{Exit, Failure};
use crate::output::Format;
use crate::terminal;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use waggle_model::StackName;
use waggle_stack::objects::service::Platform;
use waggle_stack::{ApiVersion, EngineJsonOptions, Pin, engine_json, image};

/// Convert Compose files to the Engine API objects that they become; asks no service and changes nothing
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints the bodies that `docker stack deploy` sends to create the stack in an empty swarm, with names where it sends ids of
secrets and configs. Secrets are printed as they are sent, readable for everybody.

FILE of --digests is what a registry would answer, by image as written; images that are not in it stay as they are:
  {\"nginx:1.27\": {\"digest\": \"sha256:…\", \"platforms\": [{\"os\": \"linux\", \"architecture\": \"amd64\"}]}}

Examples:
  waggle stack convert -c compose.yml shop
  waggle stack convert -c compose.yml -c prod.yml shop --format engine-json --api-version 1.50
  waggle stack convert -c compose.yml shop --digests digests.json --compat D3,D5
  generate-compose | waggle stack convert -c - shop")]
pub struct Args {
    #[command(flatten)]
    files: Files,
    /// What to print
    // The same id and type as the global option, which it replaces here.
    #[arg(long, value_name = "engine-json", value_parser = engine_json_only, default_value = "engine-json")]
    format: Format,
    /// Version of the Engine API that the objects are for, from 1.41
    #[arg(long, value_name = "VERSION", value_parser = api_version, default_value = "1.41")]
    api_version: ApiVersion,
    /// JSON file with the digests of images
    #[arg(long, value_name = "FILE")]
    digests: Option<PathBuf>,
    /// Name of the stack
    stack: StackName,
}

/// What a registry answered for one image.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Digest {
    digest: String,
    #[serde(default)]
    platforms: Vec<DigestPlatform>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DigestPlatform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let pins = args.digests.as_deref().map(read_pins).transpose()?;
    let rendered = args.files.with(&args.stack, waggle_stack::render)?;
    files::warn(&rendered.warnings);
    let options = EngineJsonOptions { api_version: args.api_version, pins: pins.as_ref() };
    terminal::print(&(serde_json::to_string_pretty(&engine_json(&rendered, options))? + "\n"))?;
    Ok(Exit::Done)
}

fn engine_json_only(text: &str) -> Result<Format, String> {
    match text {
        "engine-json" => Ok(Format::EngineJson),
        _ => Err("engine-json is the only format".into()),
    }
}

fn api_version(text: &str) -> Result<ApiVersion, String> {
    let parsed = text.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    match parsed {
        Some((1, minor)) if ApiVersion(1, minor) >= ApiVersion::default() => Ok(ApiVersion(1, minor)),
        _ => Err("write a version from 1.41, such as 1.50".into()),
    }
}

fn read_pins(file: &Path) -> Result<BTreeMap<String, Pin>, Failure> {
    let name = file.display();
    let digests: BTreeMap<String, Digest> = serde_json::from_str(&files::read_text(file)?)
        .map_err(|error| Failure::refused(format!("{name}: {error}")).with_help("see --help for what it holds"))?;
    let pin = |(raw, answered): (String, Digest)| {
        let mut image = image::parse(&raw).map_err(|error| Failure::refused(format!("{name}: {error}")))?;
        image.digest = Some(answered.digest);
        let reference = image.familiar();
        // A digest that is none would make the image another one.
        image::parse(&reference).map_err(|error| Failure::refused(format!("{name}: {error}")))?;
        let platform = |platform: DigestPlatform| Platform { os: platform.os, architecture: platform.architecture };
        Ok((raw, Pin { reference, platforms: answered.platforms.into_iter().map(platform).collect() }))
    };
    digests.into_iter().map(pin).collect()
}
