//! Logins for registries, sealed by the [`vault`](crate::vault): one record per registry, with a version that grows with
//! every change, also over a removal, so that agents and swarms can tell the newer one.
//!
//! A login reaches only agents whose desired state has images of its registry, and the one that is asked for their
//! digests. The password leaves this module towards agents alone.

use crate::records::{Counter, Edit, get, keys};
use crate::secret::Secret;
use crate::store::{Entry, Key, Result, Store, StoreError};
use crate::vault::{Vault, VaultError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use waggle_model::Timestamp;
use waggle_stack::registry;
use waggle_wire::proto::agent::RegistryLogin;
use zeroize::Zeroizing;

/// Registries with a login; as many as an agent takes.
pub const LOGINS_MAX: usize = 256;
/// Bytes of a user's name, and of a password or token.
pub const NAME_BYTES_MAX: usize = 1024;
pub const SECRET_BYTES_MAX: usize = 16 * 1024;
const ATTEMPTS_MAX: usize = 16;

#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error("{LOGINS_MAX} registries have a login, no more are allowed; `waggle registry logout` removes one")]
    TooMany,
    #[error("a login needs a user and a password, or an identity token")]
    Incomplete,
    #[error("a user has at most {NAME_BYTES_MAX} bytes, a password or token at most {SECRET_BYTES_MAX}")]
    TooLong,
    #[error("others changed logins at the same time")]
    Contended,
}

/// What somebody logs in with; the same in the body of a request and in the sealed record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    #[serde(default)]
    pub username: String,
    #[serde(default)]
    pub password: Secret,
    /// Instead of a password, where a registry gave one.
    #[serde(default)]
    pub identity_token: Secret,
}

/// A login as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Login {
    pub version: u64,
    pub credentials: Credentials,
    pub updated: Timestamp,
    pub by: String,
}

impl Credentials {
    pub fn check(&self) -> std::result::Result<(), LoginError> {
        let Credentials { username, password, identity_token } = self;
        let (password, token) = (password.expose(), identity_token.expose());
        if username.len() > NAME_BYTES_MAX || password.len().max(token.len()) > SECRET_BYTES_MAX {
            return Err(LoginError::TooLong);
        }
        let complete = !token.is_empty() || !(username.is_empty() || password.is_empty());
        if complete { Ok(()) } else { Err(LoginError::Incomplete) }
    }
}

/// Keeps a login; `false` if it was there already, to the letter.
pub async fn put(
    store: &dyn Store,
    vault: &Vault,
    registry: &str,
    credentials: &Credentials,
    (by, now): (&str, Timestamp),
) -> std::result::Result<(Login, bool), LoginError> {
    credentials.check()?;
    let key = keys::login(registry);
    for _ in 0..ATTEMPTS_MAX {
        let found = store.get(&key).await?;
        if let Some(entry) = &found {
            let login = open(vault, entry)?;
            if login.credentials == *credentials {
                return Ok((login, false));
            }
        } else if store.list(&Key::new(keys::LOGINS), None).await?.1.len() >= LOGINS_MAX {
            return Err(LoginError::TooMany);
        }
        let counter = get::<Counter>(store, &keys::login_counter()).await?;
        // The time makes it grow also if the store was set up anew.
        let version = now.0.max(counter.as_ref().map_or(0, |counter| counter.value.last) + 1);
        let login = Login { version, credentials: credentials.clone(), updated: now, by: by.to_owned() };
        let text = serde_json::to_vec(&login).map(Zeroizing::new);
        let text = text.map_err(|error| StoreError::Io(Box::new(error)))?;
        let mut edit = Edit::new();
        edit.expect(key.clone(), found.map(|entry| entry.modified));
        edit.expect(keys::login_counter(), counter.map(|counter| counter.rev));
        edit.put(keys::login_counter(), &Counter { last: version })?;
        edit.put_bytes(key.clone(), vault.seal_as(key.as_str(), &text)?);
        if edit.commit(store).await?.is_some() {
            return Ok((login, true));
        }
    }
    Err(LoginError::Contended)
}

/// All logins by registry.
pub async fn list(store: &dyn Store, vault: &Vault) -> Result<Vec<(String, Login)>> {
    let (_, entries) = store.list(&Key::new(keys::LOGINS), None).await?;
    entries.iter().map(|entry| Ok((registry_of(&entry.key).to_owned(), open(vault, entry)?))).collect()
}

/// Forgets a login; `false` if there was none. Swarms keep what was handed to them until a service is updated.
pub async fn remove(store: &dyn Store, registry: &str) -> Result<bool> {
    let key = keys::login(registry);
    if store.get(&key).await?.is_none() {
        return Ok(false);
    }
    let mut edit = Edit::new();
    edit.delete(key);
    edit.commit(store).await.map(|_| true)
}

/// Logins for the registries of `images`, as agents take them.
pub async fn for_images<'a>(
    store: &dyn Store,
    vault: &Vault,
    images: impl IntoIterator<Item = &'a String>,
) -> Result<Vec<RegistryLogin>> {
    let registries: BTreeSet<String> = images.into_iter().filter_map(|image| registry::of(image)).collect();
    let mut found = Vec::new();
    for name in registries {
        let Some(entry) = store.get(&keys::login(&name)).await? else { continue };
        let login = open(vault, &entry)?;
        let auth = serde_json::json!({
            "username": login.credentials.username,
            "password": login.credentials.password,
            "identitytoken": login.credentials.identity_token,
            "serveraddress": registry::docker_key(&name),
        });
        found.push(RegistryLogin { version: login.version, auth: auth.to_string().into(), registry: name });
    }
    Ok(found)
}

fn open(vault: &Vault, entry: &Entry) -> Result<Login> {
    let clear = vault.unseal(entry.key.as_str(), &entry.value)?;
    serde_json::from_slice(&clear).map_err(|_| StoreError::Corrupt(format!("{} has no form known here", entry.key)))
}

fn registry_of(key: &Key) -> &str {
    key.as_str().strip_prefix(keys::LOGINS).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::redb::Redb;

    fn credentials(password: &str) -> Credentials {
        Credentials { username: "ann".into(), password: Secret::new(password), ..Credentials::default() }
    }

    async fn keep(store: &Redb, vault: &Vault, password: &str, now: u64) -> (u64, bool) {
        let kept = put(store, vault, "registry.example", &credentials(password), ("admin", Timestamp(now))).await;
        let (login, changed) = kept.unwrap();
        (login.version, changed)
    }

    #[tokio::test]
    async fn versions_grow_with_every_change_also_over_a_removal() {
        let (store, vault) = (Redb::in_memory().unwrap(), Vault::in_memory().unwrap());
        let (first, changed) = keep(&store, &vault, "one", 1000).await;
        assert_eq!((first, changed), (1000, true));
        assert_eq!(keep(&store, &vault, "one", 2000).await, (first, false), "the same is no change");
        let (second, _) = keep(&store, &vault, "two", 500).await;
        assert!(second > first, "also if the clock went back");
        assert!(remove(&store, "registry.example").await.unwrap());
        assert!(!remove(&store, "registry.example").await.unwrap());
        assert!(keep(&store, &vault, "one", 400).await.0 > second);
    }

    #[tokio::test]
    async fn only_the_logins_of_the_images_go_out() {
        let (store, vault) = (Redb::in_memory().unwrap(), Vault::in_memory().unwrap());
        keep(&store, &vault, "s+/cret", 1).await;
        let images = ["nginx:1".to_owned(), "other.example/a:1".to_owned()];
        assert_eq!(for_images(&store, &vault, &images).await.unwrap(), []);
        let images = ["registry.example/a:1".to_owned(), "registry.example/b:2".to_owned()];
        let logins = for_images(&store, &vault, &images).await.unwrap();
        assert_eq!(logins.len(), 1);
        let auth: serde_json::Value = serde_json::from_slice(&logins[0].auth).unwrap();
        assert_eq!((&auth["username"], &auth["password"]), (&"ann".into(), &"s+/cret".into()));
        let entry = store.get(&keys::login("registry.example")).await.unwrap().unwrap();
        assert!(!String::from_utf8_lossy(&entry.value).contains("cret"), "sealed at rest");
    }

    #[tokio::test]
    async fn what_is_no_login_is_refused() {
        let (store, vault) = (Redb::in_memory().unwrap(), Vault::in_memory().unwrap());
        let long = "x".repeat(SECRET_BYTES_MAX + 1);
        for (password, token, fine) in [("", "", false), ("", "t", true), ("p", "", true), (&long, "", false)] {
            let credentials = Credentials { identity_token: Secret::new(token), ..credentials(password) };
            let kept = put(&store, &vault, "r.example", &credentials, ("admin", Timestamp(1))).await;
            assert_eq!(kept.is_ok(), fine, "{} {token}", password.len());
        }
    }

    #[test]
    fn secrets_do_not_show() {
        let shown = format!("{:?}", credentials("hunter2"));
        assert!(!shown.contains("hunter2"), "{shown}");
        for wrong in ["{\"username\":\"a\",\"password\":1234567}", "{\"username\":\"a\",\"password\":[\"hunter2\"]}"] {
            let error = serde_json::from_str::<Credentials>(wrong).unwrap_err().to_string();
            assert!(!error.contains("hunter2") && !error.contains("1234567"), "{error}");
        }
    }
}
