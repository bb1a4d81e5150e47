//! Logins for registries: those that control sends, and those of a `config.json` of the docker CLI on this machine.
//!
//! They are kept in memory only. What is sent to the Engine rests there, in the swarm's own encrypted store. A login of
//! control has a version, which goes to services as a label: by it the agent sees that Swarm still has an older one.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use bytes::Bytes;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use waggle_stack::registry;
use waggle_wire::proto::agent::RegistryLogin;

/// Logins of one desired state.
pub const LOGINS_MAX: usize = 256;
/// Bytes of one login.
pub const LOGIN_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a `config.json`.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

#[derive(Debug, thiserror::Error)]
#[error("cannot read registry logins from {}: {why}", path.display())]
pub struct InvalidLogins {
    path: PathBuf,
    why: String,
}

#[derive(Debug, thiserror::Error)]
#[error("registry logins are over a limit: {LOGINS_MAX} in number, {LOGIN_BYTES_MAX} bytes each")]
pub struct TooManyLogins;

/// Logins by registry. `Debug` shows registries and versions only.
#[derive(Clone, Default, PartialEq)]
pub struct Logins(BTreeMap<String, Login>);

/// `Debug` shows the version only.
#[derive(Clone, PartialEq)]
pub struct Login {
    /// Grows with every change; 0 for one from a file.
    pub version: u64,
    /// JSON of the Engine's AuthConfig.
    auth: Bytes,
}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.0).finish()
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {}", self.version)
    }
}

impl Login {
    /// `X-Registry-Auth`: base64url of the JSON, with padding (moby/moby: api/types/registry/authconfig.go).
    pub fn header(&self) -> String {
        URL_SAFE.encode(&self.auth)
    }
}

impl Logins {
    /// Those that control sent.
    pub fn checked(offered: impl IntoIterator<Item = RegistryLogin>) -> Result<Logins, TooManyLogins> {
        let mut taken = BTreeMap::new();
        for RegistryLogin { registry, version, auth } in offered {
            if taken.len() >= LOGINS_MAX || auth.len() > LOGIN_BYTES_MAX {
                return Err(TooManyLogins);
            }
            match registry::normal(&registry) {
                Ok(registry) => {
                    taken.insert(registry, Login { version, auth });
                }
                Err(error) => tracing::warn!(%error, "a registry login is left out"),
            }
        }
        Ok(Logins(taken))
    }

    pub fn read(path: &Path) -> Result<Logins, InvalidLogins> {
        let fail = |why: String| InvalidLogins { path: path.to_owned(), why };
        let size = std::fs::metadata(path).map_err(|error| fail(error.to_string()))?.len();
        if size > FILE_BYTES_MAX {
            return Err(fail(format!("it has {size} bytes, at most {FILE_BYTES_MAX} are allowed")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
        Logins::parse(&text).map_err(fail)
    }

    fn parse(text: &str) -> Result<Logins, String> {
        // The parser's own words could quote the file.
        let place =
            |error: serde_json::Error| format!("not valid JSON at line {} column {}", error.line(), error.column());
        let file: File = serde_json::from_str(text).map_err(place)?;
        let login = |(key, entry): (String, Entry)| {
            if entry.auth.is_empty() && entry.identitytoken.is_empty() {
                return None;
            }
            let registry = registry::normal(&key).ok()?;
            let pair = STANDARD.decode(&entry.auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let pair = pair.unwrap_or_default();
            let (username, password) = pair.split_once(':').unwrap_or_default();
            let auth = serde_json::json!({
                "username": username,
                "password": password.trim_end_matches('\0'),
                "identitytoken": entry.identitytoken,
                "serveraddress": registry::docker_key(&registry),
            });
            Some((registry, Login { version: 0, auth: auth.to_string().into() }))
        };
        Ok(Logins(file.auths.into_iter().filter_map(login).collect()))
    }

    /// Login of the image's registry.
    pub fn of(&self, image: &str) -> Option<&Login> {
        self.0.get(&registry::of(image)?)
    }

    pub fn registries(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_go_to_their_registry_only() {
        let auth = STANDARD.encode("ann:s+/cret??>>");
        let text = format!(
            r#"{{"auths": {{"registry.example:5000": {{"auth": "{auth}"}}, "none.example": {{}},
                "https://index.docker.io/v1/": {{"identitytoken": "t"}}}}}}"#
        );
        let logins = Logins::parse(&text).unwrap();
        assert!(logins.of("none.example/a").is_none());
        let login = logins.of("registry.example:5000/shop/web@sha256:00");
        assert!(login.is_none(), "a reference that cannot be read has no registry");
        let image = format!("registry.example:5000/shop/web@sha256:{}", "0".repeat(64));
        let header = logins.of(&image).unwrap().header();
        assert!(!header.contains(['+', '/']) && header.len().is_multiple_of(4));
        let json: serde_json::Value = serde_json::from_slice(&URL_SAFE.decode(header).unwrap()).unwrap();
        assert_eq!(
            (&json["password"], &json["serveraddress"]),
            (&"s+/cret??>>".into(), &"registry.example:5000".into())
        );
        let hub = URL_SAFE.decode(logins.of("alpine:3").unwrap().header()).unwrap();
        assert!(String::from_utf8(hub).unwrap().contains(registry::DEFAULT_KEY));
        assert!(!format!("{logins:?}").contains("cret"));
    }

    #[test]
    fn what_control_sends_is_bounded() {
        let login = |registry: String| RegistryLogin { registry, version: 7, auth: Bytes::from_static(b"{}") };
        let sent = Logins::checked([login("registry.example".into()), login("a b".into())]).unwrap();
        assert_eq!(sent.registries().collect::<Vec<_>>(), ["registry.example"]);
        assert_eq!(sent.of("registry.example/a").unwrap().version, 7);
        assert!(Logins::checked((0..=LOGINS_MAX).map(|n| login(format!("r{n}.example")))).is_err());
        let large = RegistryLogin { auth: vec![b' '; LOGIN_BYTES_MAX + 1].into(), ..login("r.example".into()) };
        assert!(Logins::checked([large]).is_err());
    }

    #[test]
    fn a_broken_file_is_not_quoted() {
        let error = Logins::parse(r#"{"auths": {"r.example": {"auth": hunter2}}}"#).unwrap_err();
        assert!(error.contains("column") && !error.contains("hunter2"), "{error}");
        let error = Logins::parse(r#"{"auths": {"r.example": {"auth": ["hunter2"]}}}"#).unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
