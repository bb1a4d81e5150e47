//! `waggle route`

mod table;

use crate::client::url::encode;
use crate::command::Global;
use crate::exit::{Exit, Failure};
use crate::output;
pub use table::{details, table, traffic};
use waggle_control::api::types::{RouteSummary, RouteView};
use waggle_model::{DomainName, Timestamp};

/// See how users are steered: which clusters each name is answered with, and why
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waggle route ls
  waggle route show www.shop.example")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List routes: each cluster's state, and how often it is answered
    #[command(after_help = "\
STATE is answered, limited to a part of its clients, drained (by the route plan) or unfit (in the eyes of nameservers).
ANSWERS/S counts all nameservers together; it is empty where none of them told of the route.

Examples:
  waggle route ls
  waggle route ls --format json | jq -r '.[] | select(.all_down) | .name'")]
    Ls,
    /// Show one route: its terms, addresses, what each nameserver says of it, and who asks
    #[command(after_help = "Example:\n  waggle route show www.shop.example")]
    Show { name: DomainName },
}

pub async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let client = global.client()?;
    let now = Timestamp(waggle_daemon::time::now());
    match args.action {
        Action::Ls => {
            let routes: Vec<RouteSummary> = client.get("/v1/routes").await?;
            output::show(global.format, &routes, |colour| table(&routes).render(colour))?;
        }
        Action::Show { name } => {
            let route: RouteView = client.get(&format!("/v1/routes/{}", encode(name.as_str()))).await?;
            output::show(global.format, &route, |colour| details(&route, now, colour))?;
        }
    }
    Ok(Exit::Done)
}
