//! Configuration of an agent.

use serde::Deserialize;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use waggle_daemon::TelemetryConfig;
use waggle_model::ClusterName;
use waggle_stack::policy::Policy;

/// Addresses of control that may be listed.
pub const CONTROL_MAX: usize = 16;

/// What `config/agent.toml`, `WAGGLE_AGENT_…` and flags say.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name of this cluster in the federation file.
    pub cluster: ClusterName,
    /// `HOST:PORT` of control, one or several; they are tried in turn.
    pub control: Vec<String>,
    /// Joins the federation at the first start. Comes from the environment; never from an argument, which every user of
    /// the machine can read.
    #[serde(default)]
    pub token: Option<TokenText>,
    /// File that holds the token. Read at the first start only.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Key, certificate, last desired state and what was tried; mode 0700.
    #[serde(default = "data_dir")]
    pub data_dir: PathBuf,
    #[serde(default = "docker_socket")]
    pub docker_socket: PathBuf,
    /// A `config.json` of the docker CLI, for registries that want a login and for which control has none. Its `auths` are
    /// read; credential helpers are programs and are not run.
    #[serde(default)]
    pub docker_config: Option<PathBuf>,
    /// What stacks may have of this cluster's machines.
    #[serde(default)]
    pub allow: Policy,
    /// Where metrics and readiness are served; nowhere if absent.
    #[serde(default)]
    pub status_listen: Option<SocketAddr>,
    #[serde(default)]
    pub telemetry: TelemetryConfig,
}

fn data_dir() -> PathBuf {
    PathBuf::from("/var/lib/waggle/agent")
}

fn docker_socket() -> PathBuf {
    PathBuf::from("/var/run/docker.sock")
}

/// A token as text; `Debug` shows nothing of it.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct TokenText(String);

impl TokenText {
    pub fn new(text: impl Into<String>) -> TokenText {
        TokenText(text.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(…)")
    }
}

impl Config {
    /// What a type cannot say; `None` when all is well.
    pub fn problem(&self) -> Option<String> {
        if self.control.is_empty() {
            return Some("control lists no address; give at least one as HOST:PORT".into());
        }
        if self.control.len() > CONTROL_MAX {
            return Some(format!("control lists {} addresses, at most {CONTROL_MAX} are allowed", self.control.len()));
        }
        if let Some(bad) = self.control.iter().find(|address| !is_host_port(address)) {
            return Some(format!("control address {bad:?} is not of the form HOST:PORT"));
        }
        self.allow.problem()
    }
}

fn is_host_port(address: &str) -> bool {
    let Some((host, port)) = address.rsplit_once(':') else {
        return false;
    };
    !host.is_empty() && !host.contains("://") && port.parse::<u16>().is_ok_and(|port| port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(control: &[&str]) -> Config {
        let list: Vec<String> = control.iter().map(|a| format!("{a:?}")).collect();
        serde_json::from_str(&format!(r#"{{"cluster": "eu-1", "control": [{}]}}"#, list.join(","))).unwrap()
    }

    #[test]
    fn control_addresses_are_checked() {
        assert_eq!(config(&["control.example:7900", "[2001:db8::1]:7900"]).problem(), None);
        for bad in ["control.example", "http://control.example:7900", "control.example:x", ":7900", "a:0"] {
            assert!(config(&[bad]).problem().is_some(), "{bad}");
        }
        assert!(config(&[]).problem().is_some());
    }

    #[test]
    fn tokens_do_not_show() {
        let text: TokenText = serde_json::from_str("\"waggle1.cluster.x.y\"").unwrap();
        assert!(!format!("{text:?}").contains("waggle1"));
    }
}
