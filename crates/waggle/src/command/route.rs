//! `waggle route`

mod history;
mod table;

use crate::client::url::encode;
use crate::command::Global;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::terminal;
use http::Method;
use std::time::Duration;
pub use table::{details, table, traffic};
use waggle_control::api::types::{ForceRequest, RouteSummary, RouteView, UnforceRequest};
use waggle_model::{ClusterName, DomainName, Timestamp};

/// See how users are steered and why, what changed when, and go back to an earlier route plan
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waggle route ls
  waggle route show www.shop.example
  waggle route force www.shop.example eu-1 unfit --for 1h --reason 'disk is dying'
  waggle route unforce www.shop.example eu-1
  waggle route history www.shop.example
  waggle route revert 41 --reason 'users in Asia are sent to Europe'
  waggle route resume")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List routes: each cluster's state, and how often it is answered
    #[command(after_help = "\
STATE is answered, limited to a part of its clients, drained (by the route plan), unfit (in the eyes of nameservers), or not
taken back yet: fit, but without the release that is current for it.
ANSWERS/S counts all nameservers together; it is empty where none of them told of the route.

Examples:
  waggle route ls
  waggle route ls --format json | jq -r '.[] | select(.all_down) | .name'")]
    Ls,
    /// Show one route: its terms, addresses, what each nameserver says of it, and who asks
    #[command(after_help = "Example:\n  waggle route show www.shop.example")]
    Show { name: DomainName },
    /// Show the last route plans: when, by whom, and what each changed
    #[command(after_help = "\
Control keeps the last 64 plans. Each has a number, its generation, which only grows.

Examples:
  waggle route history
  waggle route history www.shop.example --last 3")]
    History {
        /// Only plans that changed something for this route
        name: Option<DomainName>,
        /// At most so many, newest first
        #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
        last: usize,
    },
    /// Put an earlier route plan back in force, for a time, as a new generation
    #[command(after_help = "\
Zones, client map, weights, policies, TTLs, checks, pools and operators' drains become what they were. What clusters run,
which of them are being updated, and routes that came since stay as they are. Until it ends no rollout takes a further
cluster out of service; `waggle status` says so.

Examples:
  waggle route revert 41 --reason 'users in Asia are sent to Europe' --dry-run
  waggle route revert 41 --reason 'users in Asia are sent to Europe' --for 2h")]
    Revert {
        generation: u64,
        /// Why, for those who wonder later
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// When it ends by itself
        #[arg(long = "for", value_name = "DURATION", value_parser = crate::duration::parse, default_value = "1h")]
        time: Duration,
        /// Only show what would change
        #[arg(long)]
        dry_run: bool,
        /// Also if it takes out of answers what would be refused
        #[arg(long)]
        force: bool,
    },
    /// End a revert: route plans follow clusters and releases again
    #[command(after_help = "Example:\n  waggle route resume")]
    Resume {
        /// Also if it takes out of answers what would be refused
        #[arg(long)]
        force: bool,
    },
    /// Set a cluster's verdict for one route over what is observed, for a time
    #[command(after_help = "\
Nameservers go by it, also while control is away, until the time is over; then what they observe counts again at once.
A drained cluster stays out, however fit. If all clusters of a route are unfit, its all_down rule decides as always.

Examples:
  waggle route force www.shop.example eu-1 unfit --for 1h --reason 'disk is dying'
  waggle route force www.shop.example eu-1 fit --for 20m --reason 'the check is wrong, fix is on its way'")]
    Force {
        name: DomainName,
        cluster: ClusterName,
        verdict: Word,
        /// Over by itself after that; up to 7d
        #[arg(long = "for", value_name = "TIME", value_parser = crate::duration::parse)]
        duration: Duration,
        /// Why, for those who wonder later
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Let what is observed of a cluster count again
    #[command(after_help = "Example:\n  waggle route unforce www.shop.example eu-1")]
    Unforce { name: DomainName, cluster: ClusterName },
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Word {
    Fit,
    Unfit,
}

pub async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let client = global.client()?;
    let now = Timestamp(waggle_daemon::time::now());
    let path = |name: &DomainName, rest: &str| format!("/v1/routes/{}{rest}", encode(name.as_str()));
    match args.action {
        Action::Force { name, cluster, verdict, duration, reason } => {
            let fit = matches!(verdict, Word::Fit);
            let body = ForceRequest { cluster: cluster.clone(), fit, duration, reason };
            client.tell(Method::POST, &path(&name, "/force"), Some(&body)).await?;
            let until = now.after(duration).utc();
            let word = if fit { "fit" } else { "unfit" };
            terminal::note(&format!(
                "{cluster} counts as {word} for {name} until {until} UTC; `waggle route unforce {name} {cluster}` ends it."
            ));
        }
        Action::Unforce { name, cluster } => {
            let body = UnforceRequest { cluster: cluster.clone() };
            client.tell(Method::POST, &path(&name, "/unforce"), Some(&body)).await?;
            terminal::note(&format!("What is observed of {cluster} counts again for {name}."));
        }
        Action::Ls => {
            let routes: Vec<RouteSummary> = client.get("/v1/routes").await?;
            output::show(global.format, &routes, |colour| table(&routes).render(colour))?;
        }
        Action::Show { name } => {
            let route: RouteView = client.get(&format!("/v1/routes/{}", encode(name.as_str()))).await?;
            output::show(global.format, &route, |colour| details(&route, now, colour))?;
        }
        Action::History { name, last } => history::show(&client, global, name.as_ref(), last, now).await?,
        Action::Revert { generation, reason, time, dry_run, force } => {
            history::revert(&client, global, generation, reason, time, dry_run, force).await?;
        }
        Action::Resume { force } => history::resume(&client, global, force).await?,
    }
    Ok(Exit::Done)
}
