//! The roles of `waggle up`, each built as its own command builds it, from the same configuration type.

use super::{Args, NAME};
use crate::client::Client;
use crate::exit::Failure;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use waggle_control::api::types::{NewToken, TokenKind, TokenView};
use waggle_control::tokens::ADMIN_FILE;
use waggle_daemon::Tasks;
use waggle_daemon::config;

/// The one nameserver.
const NAMESERVER: &str = "ns1";

pub struct Parts<'a> {
    pub args: &'a Args,
    pub data_dir: &'a Path,
    pub tasks: &'a Tasks,
}

impl Parts<'_> {
    /// Starts control; returns the token of its administrator.
    pub async fn control(&self) -> Result<String, Failure> {
        let dir = self.dir("control");
        let config = configured(
            "control",
            &[
                ("data_dir", dir.display().to_string()),
                ("api_listen", self.args.api.to_string()),
                ("grpc_listen", self.args.grpc.to_string()),
                ("advertise", self.args.grpc.to_string()),
            ],
        )?;
        waggle_control::build(config).await?.spawn(self.tasks)?;
        let path = dir.join(ADMIN_FILE);
        let token = std::fs::read_to_string(&path);
        let token = token.map_err(|error| Failure::from(error).context(format!("cannot read {}", path.display())))?;
        Ok(token.trim().to_owned())
    }

    pub async fn nameserver(&self, client: &Client) -> Result<(), Failure> {
        let token = join_token(client, TokenKind::Nameserver, NAMESERVER).await?;
        let config = configured(
            "nameserver",
            &[
                ("name", NAMESERVER.to_owned()),
                ("control", token.control),
                ("token", token.token),
                ("data_dir", self.dir("nameserver").display().to_string()),
                ("listen", self.args.dns.to_string()),
                ("peer_listen", self.args.beats.to_string()),
                // One machine's queries need no more.
                ("workers", "1".to_owned()),
            ],
        )?;
        Ok(waggle_nameserver::build(config)?.spawn(self.tasks)?)
    }

    pub async fn agent(&self, client: &Client) -> Result<(), Failure> {
        let token = join_token(client, TokenKind::Cluster, NAME).await?;
        let allowed = self.args.allow.iter().map(|(key, value)| (format!("allow.{key}"), value.clone()));
        let keys = [
            ("cluster", NAME.to_owned()),
            ("control", token.control),
            ("token", token.token),
            ("data_dir", self.dir("agent").display().to_string()),
            ("docker_socket", self.args.docker_socket.display().to_string()),
        ];
        let keys: Vec<(String, String)> =
            keys.into_iter().map(|(key, value)| (key.to_owned(), value)).chain(allowed).collect();
        let config = configured("agent", &keys)?;
        waggle_agent::build(config).await?.spawn(self.tasks);
        Ok(())
    }

    fn dir(&self, role: &str) -> PathBuf {
        self.data_dir.join(role)
    }
}

/// A configuration as if it came from flags alone: the environment is not asked, so that a `WAGGLE_AGENT_…` meant for
/// another process does not lead this one astray.
fn configured<C: DeserializeOwned>(role: &str, keys: &[(impl AsRef<str>, String)]) -> Result<C, Failure> {
    let keys: Vec<(String, String)> =
        keys.iter().map(|(key, value)| (key.as_ref().to_owned(), value.clone())).collect();
    let refused = |problems: Vec<config::Problem>| {
        Failure::refused(format!("{role} cannot be configured")).with_problems(problems)
    };
    config::parse(role, None, &BTreeMap::new(), &keys).map_err(refused)
}

/// A new token at each start: certificates live a day, and after a longer pause the roles join again.
async fn join_token(client: &Client, kind: TokenKind, name: &str) -> Result<TokenView, Failure> {
    client.post("/v1/tokens", &NewToken { kind, name: Some(name.to_owned()) }).await
}
