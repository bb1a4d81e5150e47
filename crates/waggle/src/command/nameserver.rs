//! `waggle nameserver`: the role, and the nameservers of the federation.

use crate::client::url::encode;
use crate::command::role::{self, Flags, Role};
use crate::command::{Global, cluster};
use crate::exit::{Exit, Failure};
use crate::output::{self, Cell, Style, Table, age, cut};
use crate::terminal;
use http::Method;
use std::net::SocketAddr;
use std::path::PathBuf;
use waggle_control::api::types::{NameserverView, TokenKind};
use waggle_model::health::Verdict;
use waggle_model::{NameserverName, Timestamp};

/// Run a nameserver; or join and list nameservers
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Without a subcommand it runs the role: it answers queries, probes the clusters' public addresses and agrees with its
peers. With a last plan on disk it serves at once, also without control. Every key of config/nameserver.toml can be set
as WAGGLE_NAMESERVER_<KEY> and by --set.

Examples:
  waggle nameserver --config /etc/waggle/nameserver.toml
  waggle nameserver --name ns1 --control control.example:7441 --token-file ns1.token --listen 192.0.2.10:53
  waggle nameserver join-token ns1
  waggle nameserver ls"
)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    role: RoleArgs,
}

#[derive(Debug, clap::Args)]
pub struct RoleArgs {
    #[command(flatten)]
    flags: Flags,
    /// Name of this nameserver, unique in the federation
    #[arg(long, value_name = "NAME")]
    name: Option<NameserverName>,
    /// HOST:PORT of control (gRPC); several may be given
    #[arg(long, value_name = "HOST:PORT")]
    control: Vec<String>,
    /// File with the join token; needed at the first start only
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Where certificate, plans and verdicts are kept
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where queries are answered, UDP and TCP; several may be given
    #[arg(long, value_name = "IP:PORT")]
    listen: Vec<SocketAddr>,
    /// Where beats of agents and views of other nameservers arrive
    #[arg(long, value_name = "IP:PORT")]
    peer_listen: Option<SocketAddr>,
    /// What others dial to reach --peer-listen, if that differs
    #[arg(long, value_name = "IP:PORT")]
    advertise: Option<SocketAddr>,
}

#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Make a token with which one nameserver joins; it is shown once
    #[command(after_help = "Example:\n  waggle nameserver join-token ns1")]
    JoinToken {
        /// Bind the token to this nameserver; without it, the nameserver says who it is
        name: Option<NameserverName>,
    },
    /// List nameservers, and the endpoints each holds for unfit
    #[command(after_help = "Example:\n  waggle nameserver ls")]
    Ls,
    /// Forget a nameserver that is stopped for good: rollouts no longer wait for it
    #[command(after_help = "Example:\n  waggle nameserver rm ns1")]
    Rm {
        name: NameserverName,
        /// Also while it is connected: it is cut off
        #[arg(long)]
        force: bool,
    },
}

impl Args {
    /// The subcommand if there was one; else the role is meant.
    pub fn split(self) -> (Option<Action>, RoleArgs) {
        (self.action, self.role)
    }
}

/// Runs the role.
pub fn serve(args: RoleArgs) -> Result<Exit, Failure> {
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let named = [
        ("name", args.name.as_ref().map(ToString::to_string)),
        ("control", role::list(&args.control)),
        ("token_file", path(&args.token_file)),
        ("data_dir", path(&args.data_dir)),
        ("listen", role::list(&args.listen)),
        ("peer_listen", args.peer_listen.map(|address| address.to_string())),
        ("advertise", args.advertise.map(|address| address.to_string())),
    ];
    let config: waggle_nameserver::Config = args.flags.load("nameserver", &named)?;
    let (instance, telemetry) = (config.name.to_string(), config.telemetry.clone());
    let role = Role { name: "nameserver", instance: &instance, telemetry: &telemetry };
    role::run(role, async |tasks| Ok(waggle_nameserver::build(config)?.spawn(tasks)?))
}

pub async fn run(action: Action, global: &Global) -> Result<Exit, Failure> {
    let client = global.client()?;
    let now = Timestamp(waggle_daemon::time::now());
    match action {
        Action::JoinToken { name } => {
            let name = name.map(String::from);
            cluster::join_token(&client, global, TokenKind::Nameserver, name, now).await?;
        }
        Action::Ls => {
            let nameservers: Vec<NameserverView> = client.get("/v1/nameservers").await?;
            output::show(global.format, &nameservers, |colour| table(&nameservers, now).render(colour))?;
        }
        Action::Rm { name, force } => {
            let query = if force { "?force=true" } else { "" };
            let path = format!("/v1/nameservers/{}{query}", encode(name.as_str()));
            client.tell(Method::DELETE, &path, None::<&()>).await?;
            terminal::note(&format!("{name} is forgotten; it needs a new join token."));
        }
    }
    Ok(Exit::Done)
}

pub fn table(nameservers: &[NameserverView], now: Timestamp) -> Table {
    let mut table = Table::new(&["NAMESERVER", "ADDRESS", "STATE", "PLAN", "QUERIES", "UNFIT"]);
    for one in nameservers {
        let state = match (one.connected, one.last_seen_at) {
            (true, _) => Cell::new("connected", Style::Good),
            (false, Some(seen)) => Cell::new(format!("lost {}", age::ago(now, seen).to_lowercase()), Style::Bad),
            (false, None) => Cell::new("never seen", Style::Warning),
        };
        let unfit = one.verdicts.iter().filter(|verdict| matches!(verdict.verdict, Verdict::Unfit(_)));
        let unfit: Vec<String> = unfit.map(|verdict| format!("{} in {}", verdict.route, verdict.cluster)).collect();
        table.row([
            one.name.as_str().into(),
            one.peer.address.to_string().into(),
            state,
            one.plan_generation.map(|generation| generation.to_string()).unwrap_or_default().into(),
            one.queries.map(|queries| queries.to_string()).unwrap_or_default().into(),
            Cell::new(cut(&unfit.join(", ")), Style::Bad),
        ]);
    }
    table
}
