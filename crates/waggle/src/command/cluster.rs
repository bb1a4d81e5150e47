//! `waggle cluster`

mod table;

use crate::client::Client;
use crate::client::url::encode;
use crate::command::Global;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::terminal;
use http::Method;
pub use table::{details, table};
use waggle_control::api::types::{ClusterView, DrainRequest, NewToken, TokenKind, TokenView};
use waggle_model::{ClusterName, Timestamp};

/// Join, list, drain and readmit clusters
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waggle cluster join-token eu-1
  waggle cluster ls
  waggle cluster drain eu-1 --reason 'new switches'
  waggle cluster readmit eu-1")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make a token with which the agent of one cluster joins; it is shown once
    #[command(
        after_help = "Examples:\n  waggle cluster join-token eu-1\n  waggle cluster join-token eu-1 --format json | jq -r .token > eu-1.token"
    )]
    JoinToken {
        /// Bind the token to this cluster; without it, the agent says which cluster it is
        name: Option<ClusterName>,
    },
    /// List clusters
    #[command(after_help = "Example:\n  waggle cluster ls")]
    Ls,
    /// Show one cluster with its stacks
    #[command(after_help = "Example:\n  waggle cluster show eu-1")]
    Show { name: ClusterName },
    /// Take a cluster out of DNS answers, for every stack, until it is readmitted
    #[command(after_help = "Example:\n  waggle cluster drain eu-1 --reason 'new switches'")]
    Drain {
        name: ClusterName,
        /// Why, for those who wonder later
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Also if it is the last fit cluster of a route, or too much leaves the answers at once
        #[arg(long)]
        force: bool,
    },
    /// Bring a drained cluster back into DNS answers
    #[command(after_help = "Example:\n  waggle cluster readmit eu-1")]
    Readmit { name: ClusterName },
    /// Forget the agent of a cluster, which is stopped: another one can then join under its name
    #[command(after_help = "Example:\n  waggle cluster rm eu-1")]
    Rm {
        name: ClusterName,
        /// Also while it is connected: it is cut off
        #[arg(long)]
        force: bool,
    },
}

pub async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let client = global.client()?;
    let now = Timestamp(waggle_daemon::time::now());
    let path = |name: &ClusterName, rest: &str| format!("/v1/clusters/{}{rest}", encode(name.as_str()));
    match args.action {
        Action::JoinToken { name } => {
            let name = name.map(String::from);
            join_token(&client, global, TokenKind::Cluster, name, now).await?;
        }
        Action::Ls => {
            let clusters: Vec<ClusterView> = client.get("/v1/clusters").await?;
            output::show(global.format, &clusters, |colour| table(&clusters, now).render(colour))?;
        }
        Action::Show { name } => {
            let cluster: ClusterView = client.get(&path(&name, "")).await?;
            output::show(global.format, &cluster, |colour| details(&cluster, now, colour))?;
        }
        Action::Drain { name, reason, force } => {
            let path = path(&name, if force { "/drain?force=true" } else { "/drain" });
            client.tell(Method::POST, &path, Some(&DrainRequest { reason })).await?;
            terminal::note(&format!("{name} is leaving DNS answers; `waggle cluster readmit {name}` brings it back."));
        }
        Action::Readmit { name } => {
            client.tell(Method::POST, &path(&name, "/readmit"), None::<&()>).await?;
            terminal::note(&format!("{name} comes back into DNS answers."));
        }
        Action::Rm { name, force } => {
            let path = path(&name, if force { "?force=true" } else { "" });
            client.tell(Method::DELETE, &path, None::<&()>).await?;
            terminal::note(&format!("The agent of {name} is forgotten; the next one needs a join token."));
        }
    }
    Ok(Exit::Done)
}

/// Makes a join token and says what to do with it.
pub async fn join_token(
    client: &Client,
    global: &Global,
    kind: TokenKind,
    name: Option<String>,
    now: Timestamp,
) -> Result<(), Failure> {
    let role = match kind {
        TokenKind::Cluster => "agent --cluster",
        TokenKind::Nameserver => "nameserver --name",
    };
    let token: TokenView = client.post("/v1/tokens", &NewToken { kind, name: name.clone() }).await?;
    token.warnings.iter().for_each(|warning| terminal::warn(warning));
    output::show(global.format, &token, |_| {
        let name = name.as_deref().unwrap_or("NAME");
        format!(
            "{}\n\nIt can be used once and for {}. Put it into a file there, readable by its owner only, and run:\n\n    \
             waggle {role} {name} --control {} --token-file FILE\n",
            token.token,
            output::age::about(token.expires_at.until(now)).to_lowercase(),
            token.control,
        )
    })
}
