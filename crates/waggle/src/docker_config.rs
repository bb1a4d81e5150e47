//! Logins that the docker command line keeps on this machine: in its `config.json`, or with a credential helper.
//!
//! A helper is a program `docker-credential-NAME`; it gets the registry on its standard input and answers in JSON. It is run
//! with limits on time and output, and what it answers is never shown, not even when it cannot be read.

use crate::exit::{Exit, Failure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use waggle_control::api::types::NewLogin;
use waggle_control::secret::Secret;
use waggle_stack::registry;

/// Bytes of `config.json`.
pub const FILE_BYTES_MAX: u64 = 1 << 20;
/// Bytes of a helper's answer.
pub const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// A helper may ask a keyring, or a service far away.
pub const HELPER_TIMEOUT: Duration = Duration::from_secs(30);
/// User name by which a helper says that the secret is an identity token (docker/docker-credential-helpers: client).
const TOKEN_USER: &str = "<token>";
/// What helpers say, with a failure, of a registry they know nothing of (docker/docker-credential-helpers: credentials).
const NOT_FOUND: [&str; 2] = ["credentials not found", "no credentials"];

/// What `config.json` says of logins. No `Debug`: it holds passwords.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DockerConfig {
    auths: BTreeMap<String, Entry>,
    creds_store: String,
    cred_helpers: BTreeMap<String, String>,
    #[serde(skip)]
    path: PathBuf,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    identitytoken: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`.
pub fn path() -> Result<PathBuf, Failure> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let dir = set("DOCKER_CONFIG").or_else(|| set("HOME").map(|home| home.join(".docker")));
    let dir = dir.ok_or_else(|| Failure::new(Exit::Failed, "neither HOME nor DOCKER_CONFIG is set"))?;
    Ok(dir.join("config.json"))
}

impl DockerConfig {
    /// Empty if there is no such file.
    pub fn load(path: &Path) -> Result<DockerConfig, Failure> {
        let shown = path.display();
        let size = match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(DockerConfig::default()),
            found => found.map_err(|error| Failure::from(error).context(format!("cannot read {shown}")))?.len(),
        };
        if size > FILE_BYTES_MAX {
            return Err(Failure::refused(format!("{shown} has more than {FILE_BYTES_MAX} bytes")));
        }
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| Failure::from(error).context(format!("cannot read {shown}")))?;
        // The parser's own words could quote a password.
        let config: Result<DockerConfig, _> = serde_json::from_str(&text);
        let mut config = config.map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Failure::refused(format!("{shown}:{line}:{column}: this is not a configuration of docker"))
        })?;
        path.clone_into(&mut config.path);
        Ok(config)
    }

    /// The login for a registry in the form of image names; `None` if docker has none.
    pub async fn login(&self, registry: &str) -> Result<Option<NewLogin>, Failure> {
        let key = registry::docker_key(registry);
        let helper = find(&self.cred_helpers, registry).map(|(_, name)| name).unwrap_or(&self.creds_store);
        let from_helper = match helper.as_str() {
            "" => None,
            name => ask(name, key, HELPER_TIMEOUT).await?,
        };
        if from_helper.is_some() {
            return Ok(from_helper);
        }
        let Some((key, entry)) = find(&self.auths, registry) else { return Ok(None) };
        self.read(key, entry)
    }

    fn read(&self, key: &str, entry: &Entry) -> Result<Option<NewLogin>, Failure> {
        let bad =
            || Failure::refused(format!("{}: auths.{key}.auth is not base64 of USER:PASSWORD", self.path.display()));
        let pair = STANDARD.decode(&entry.auth).map_err(|_| bad())?;
        let pair = String::from_utf8(pair).map_err(|_| bad())?;
        if pair.is_empty() && entry.identitytoken.is_empty() {
            return Ok(None);
        }
        let (username, password) = match pair.is_empty() {
            true => ("", ""),
            false => pair.split_once(':').ok_or_else(bad)?,
        };
        let password = Secret::new(password.trim_end_matches('\0'));
        let identity_token = Secret::new(&entry.identitytoken);
        Ok(Some(NewLogin { username: username.to_owned(), password, identity_token }))
    }
}

/// The entry for a registry: by docker's own key, else by any other spelling of it.
fn find<'a, T>(map: &'a BTreeMap<String, T>, name: &str) -> Option<(&'a String, &'a T)> {
    let same = |key: &&String| registry::normal(key).is_ok_and(|key| key == name);
    map.get_key_value(registry::docker_key(name)).or_else(|| map.iter().find(|(key, _)| same(key)))
}

/// `docker-credential-NAME get`; `None` if it knows nothing of the registry.
async fn ask(name: &str, key: &str, limit: Duration) -> Result<Option<NewLogin>, Failure> {
    if name.contains(['/', '\0']) {
        return Err(Failure::refused(format!("docker's configuration names {name:?}, which is no name of a helper")));
    }
    get(&format!("docker-credential-{name}"), key, limit).await
}

async fn get(program: &str, key: &str, limit: Duration) -> Result<Option<NewLogin>, Failure> {
    let fail = |why: String| Failure::new(Exit::Failed, format!("{program} get, for {key}: {why}"));
    let run = async {
        let mut command = Command::new(program);
        command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| {
            fail(error.to_string()).with_help("install the helper, or log in with `waggle registry login`")
        })?;
        if let Some(mut stdin) = child.stdin.take() {
            // A helper that does not read is told by what it answers.
            let _ = stdin.write_all(format!("{key}\n").as_bytes()).await;
        }
        let mut said = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            stdout.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut said).await.map_err(|error| fail(error.to_string()))?;
        }
        if said.len() as u64 > ANSWER_BYTES_MAX {
            return Err(fail(format!("it answers more than {ANSWER_BYTES_MAX} bytes")));
        }
        let status = child.wait().await.map_err(|error| fail(error.to_string()))?;
        Ok((status, said))
    };
    let ended = tokio::time::timeout(limit, run).await;
    let (status, said) = ended.map_err(|_| fail(format!("no answer within {} s", limit.as_secs())))??;
    if !status.success() {
        let said = String::from_utf8_lossy(&said).to_lowercase();
        if NOT_FOUND.iter().any(|words| said.contains(words)) {
            return Ok(None);
        }
        return Err(fail(format!("it failed with {status}")).with_help(format!("try `echo {key} | {program} get`")));
    }
    let answer: Answer =
        serde_json::from_slice(&said).map_err(|_| fail("its answer is not that of a credential helper".into()))?;
    let (username, secret) = (answer.username, Secret::new(answer.secret));
    Ok(Some(match username.as_str() {
        TOKEN_USER => NewLogin { username: String::new(), password: Secret::default(), identity_token: secret },
        _ => NewLogin { username, password: secret, identity_token: Secret::default() },
    }))
}

#[cfg(test)]
mod tests;
