//! `waggle release`

use crate::client::url::encode;
use crate::command::Global;
use crate::exit::{Exit, Failure};
use crate::output::{self, Table, age};
use waggle_control::api::types::ReleaseView;
use waggle_model::{StackName, Timestamp};

/// List and show releases: what was deployed, byte for byte
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waggle release ls shop
  waggle release show 3f9a1c2b44de
  waggle release show 3f9a --format json | jq .objects")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List releases, of one stack or of all
    #[command(after_help = "Example:\n  waggle release ls shop")]
    Ls { stack: Option<StackName> },
    /// Show one release; the first digits of its id are enough
    #[command(after_help = "Example:\n  waggle release show 3f9a1c2b44de")]
    Show {
        #[arg(value_name = "RELEASE")]
        id: String,
    },
}

pub async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let client = global.client()?;
    let now = Timestamp(waggle_daemon::time::now());
    match args.action {
        Action::Ls { stack } => {
            let query = stack.map(|stack| format!("?stack={}", encode(stack.as_str()))).unwrap_or_default();
            let releases: Vec<ReleaseView> = client.get(&format!("/v1/releases{query}")).await?;
            output::show(global.format, &releases, |colour| table(&releases, now).render(colour))?;
        }
        Action::Show { id } => {
            let release: ReleaseView = client.get(&format!("/v1/releases/{}", encode(&id))).await?;
            output::show(global.format, &release, |colour| details(&release, now, colour))?;
        }
    }
    Ok(Exit::Done)
}

fn table(releases: &[ReleaseView], now: Timestamp) -> Table {
    let mut table = Table::new(&["RELEASE", "STACK", "CREATED", "BY", "IMAGES", "RUNNING IN"]);
    for release in releases {
        table.row([
            release.id.short().into(),
            release.stack.as_str().into(),
            age::ago(now, release.created_at).into(),
            release.author.as_str().into(),
            release.images.len().to_string().into(),
            names(release).into(),
        ]);
    }
    table
}

fn details(release: &ReleaseView, now: Timestamp, colour: bool) -> String {
    let mut head = Table::plain();
    head.row(["Release:".into(), release.id.to_string().into()]);
    head.row(["Stack:".into(), release.stack.as_str().into()]);
    head.row(["Created:".into(), format!("{} by {}", age::ago(now, release.created_at), release.author).into()]);
    let running = if release.clusters.is_empty() { "no cluster".to_owned() } else { names(release) };
    head.row(["Running in:".into(), running.into()]);
    for route in &release.routes {
        head.row(["Route:".into(), format!("{} → {}", route.name, route.service).into()]);
    }
    let mut text = head.render(colour);
    if !release.images.is_empty() {
        text += &format!("\n{}", images(&release.images).render(colour));
    }
    text
}

/// What each image of the file was pinned to.
pub fn images(images: &std::collections::BTreeMap<String, String>) -> Table {
    let mut table = Table::new(&["IMAGE", "PINNED TO"]);
    for (image, pinned) in images {
        table.row([image.as_str().into(), pinned.as_str().into()]);
    }
    table
}

fn names(release: &ReleaseView) -> String {
    release.clusters.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ")
}
