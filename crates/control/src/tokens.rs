//! Join tokens (one use, a quarter of an hour) and bearer tokens of the API. Only hashes are kept.

use crate::ca::Authority;
use crate::records::{ApiToken, Edit, TOKENS_MAX, TokenKind, TokenRecord, get, keys, list};
use crate::store::{Store, StoreError};
use std::path::Path;
use std::time::Duration;
use waggle_daemon::file::{WriteError, write_atomic};
use waggle_model::Timestamp;
use waggle_wire::token::{Kind, NoRandom, Token};

/// Life of a join token.
pub const JOIN_LIFETIME: Duration = Duration::from_secs(15 * 60);
/// How long used and expired tokens are remembered, to tell a second use what happened.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);
/// Where the first API token is put.
pub const ADMIN_FILE: &str = "admin.token";
/// Whom the holder of the first API token is called.
pub const ADMIN: &str = "admin";

#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Random(#[from] NoRandom),
    #[error("{TOKENS_MAX} join tokens are waiting to be used; use them or wait until they run out")]
    TooMany,
    #[error("the token cannot be written to its file")]
    Write(#[from] WriteError),
}

/// A new join token and when it runs out.
pub async fn create(
    store: &dyn Store,
    ca: &Authority,
    kind: TokenKind,
    name: Option<String>,
    now: Timestamp,
) -> Result<(Token, Timestamp), TokenError> {
    let known = list::<TokenRecord>(store, keys::TOKENS).await?;
    if known.iter().filter(|(_, token)| token.value.used.is_none() && token.value.expires > now).count() >= TOKENS_MAX {
        return Err(TokenError::TooMany);
    }
    let token = Token::generate(Kind::from(kind), ca.digest())?;
    let expires = now.after(JOIN_LIFETIME);
    let mut edit = Edit::new();
    edit.put(keys::token(&token.hash()), &TokenRecord { kind, name, expires, used: None })?;
    for (hash, _) in known.iter().filter(|(_, token)| token.value.expires.after(REMEMBERED) < now).take(100) {
        edit.delete(keys::token(hash));
    }
    edit.commit(store).await?;
    Ok((token, expires))
}

/// Makes the first API token when there is none; it is written to `dir`, and nowhere else in clear.
pub async fn ensure_admin(store: &dyn Store, ca: &Authority, dir: &Path, now: Timestamp) -> Result<(), TokenError> {
    if !list::<ApiToken>(store, keys::API_TOKENS).await?.is_empty() {
        return Ok(());
    }
    let token = Token::generate(Kind::Api, ca.digest())?;
    let path = dir.join(ADMIN_FILE);
    write_atomic(&path, format!("{}\n", token.expose()).as_bytes(), 0o600)?;
    register(store, &token, ADMIN, now).await?;
    tracing::info!(file = %path.display(), "the API token of the administrator is in this file");
    Ok(())
}

/// Accepts an API token from now on.
pub async fn register(store: &dyn Store, token: &Token, name: &str, now: Timestamp) -> Result<(), StoreError> {
    let mut edit = Edit::new();
    edit.put(keys::api_token(&token.hash()), &ApiToken { name: name.to_owned(), created: now })?;
    edit.commit(store).await.map(|_| ())
}

/// Whose token this is. The look-up is by a SHA-256 of the whole token, so the time it takes says nothing about the
/// token; the hash that was found is compared in constant time nevertheless.
pub async fn holder(store: &dyn Store, text: &str) -> Result<Option<String>, StoreError> {
    let Ok(token) = text.parse::<Token>() else { return Ok(None) };
    if token.kind != Kind::Api {
        return Ok(None);
    }
    let hash = token.hash();
    let entry = store.get(&keys::api_token(&hash)).await?;
    let Some(entry) = entry else { return Ok(None) };
    let found = entry.key.as_str().strip_prefix(keys::API_TOKENS).unwrap_or_default();
    if !same(found.as_bytes(), hash.as_bytes()) {
        return Ok(None);
    }
    Ok(get::<ApiToken>(store, &entry.key).await?.map(|token| token.value.name))
}

/// Whether two texts of equal length are the same, in a time that depends on the length alone.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}
