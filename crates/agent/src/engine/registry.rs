//! Logins of registries, from a `config.json` of the docker CLI.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Key of Docker Hub in the file (docker/cli: cli/config/configfile, registry.IndexServer).
const HUB: &str = "https://index.docker.io/v1/";

#[derive(Debug, thiserror::Error)]
#[error("cannot read registry logins from {}: {why}", path.display())]
pub struct InvalidLogins {
    path: PathBuf,
    why: String,
}

/// Logins by registry. `Debug` shows the registries only.
#[derive(Clone, Default)]
pub struct Logins(BTreeMap<String, Login>);

/// No `Debug`: it is a password.
#[derive(Clone)]
pub(super) struct Login {
    pub registry: String,
    pub username: String,
    pub password: String,
    pub identity_token: String,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    identitytoken: String,
}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Logins {
    pub fn read(path: &Path) -> Result<Logins, InvalidLogins> {
        let fail = |why: String| InvalidLogins { path: path.to_owned(), why };
        let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
        Logins::parse(&text).map_err(fail)
    }

    fn parse(text: &str) -> Result<Logins, String> {
        let file: File = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let login = |(registry, entry): (String, Entry)| {
            if entry.auth.is_empty() && entry.identitytoken.is_empty() {
                return None;
            }
            let pair = STANDARD.decode(&entry.auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let pair = pair.unwrap_or_default();
            let (username, password) = pair.split_once(':').unwrap_or_default();
            let (username, password) = (username.to_owned(), password.trim_end_matches('\0').to_owned());
            let login = Login { registry: registry.clone(), username, password, identity_token: entry.identitytoken };
            Some((bare(&registry), login))
        };
        Ok(Logins(file.auths.into_iter().filter_map(login).collect()))
    }

    /// Login of the image's registry.
    pub(super) fn login(&self, image: &str) -> Option<Login> {
        let registry = registry_of(image);
        let login = self.0.get(&bare(registry))?;
        Some(Login { registry: registry.to_owned(), ..login.clone() })
    }

    /// `X-Registry-Auth` for `image`: base64url of JSON, with padding (moby/moby: api/types/registry/authconfig.go).
    pub fn header(&self, image: &str) -> Option<String> {
        let login = self.login(image)?;
        let json = serde_json::json!({
            "username": login.username,
            "password": login.password,
            "identitytoken": login.identity_token,
            "serveraddress": login.registry,
        });
        Some(URL_SAFE.encode(json.to_string()))
    }
}

/// Registry of a reference: its first part if that looks like a host (distribution/reference: normalize.go).
fn registry_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => match host {
            "docker.io" | "index.docker.io" => HUB,
            _ => host,
        },
        _ => HUB,
    }
}

fn bare(registry: &str) -> String {
    let rest = registry.strip_prefix("https://").or_else(|| registry.strip_prefix("http://")).unwrap_or(registry);
    rest.split('/').next().unwrap_or(rest).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_go_to_their_registry_only() {
        let auth = STANDARD.encode("ann:s+/cret??>>");
        let text = format!(r#"{{"auths": {{"registry.example:5000": {{"auth": "{auth}"}}, "none.example": {{}}}}}}"#);
        let logins = Logins::parse(&text).unwrap();
        assert_eq!(logins.header("alpine:3"), None);
        assert_eq!(logins.header("none.example/a"), None);
        let header = logins.header("registry.example:5000/shop/web@sha256:00").unwrap();
        assert!(!header.contains(['+', '/']));
        let json: serde_json::Value = serde_json::from_slice(&URL_SAFE.decode(header).unwrap()).unwrap();
        assert_eq!(json["password"], "s+/cret??>>");
        assert!(!format!("{logins:?}").contains("cret"));
    }
}
