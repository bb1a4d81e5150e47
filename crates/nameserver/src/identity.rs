//! This nameserver's certificate: from disk, or by joining with a token; renewed every day.
//!
//! Queries are answered meanwhile: without a certificate only beats, views and plans are missing.

use crate::backoff::Backoff;
use crate::config::{Config, Secret};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use waggle_daemon::file::{self, Corrupt};
use waggle_model::Timestamp;
use waggle_wire::credentials::{Credentials, Current, InvalidCredentials};
use waggle_wire::enroll::{self, Newcomer, RENEW_RETRY, Saved};
use waggle_wire::identity::Identity;
use waggle_wire::token::{InvalidToken, Token};

/// How often the age of the certificate is looked at.
const AGE_CHECK: Duration = Duration::from_secs(30);
/// Longest pause between attempts to join.
const JOIN_PAUSE_MAX: Duration = Duration::from_secs(3);

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    #[error("{} cannot be understood; remove it and give a new token", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("the certificate in {} cannot be used; remove it and give a new token", path.display())]
    Credentials { path: PathBuf, source: InvalidCredentials },
    #[error("{} belongs to the {found}, but this is {wanted}; was data_dir copied, or the name changed?", path.display())]
    Other { path: PathBuf, found: Identity, wanted: Identity },
    #[error("cannot read the token file {}", path.display())]
    TokenFile { path: PathBuf, source: std::io::Error },
    #[error("the token cannot be used")]
    Token(#[from] InvalidToken),
    #[error("there is no certificate in {} and no token to get one with; set token_file or token", path.display())]
    NoToken { path: PathBuf },
}

/// What is known at start.
pub enum Start {
    /// A certificate. It may have expired when there is no token: answers go on, nobody else listens.
    Known(Credentials),
    /// None yet, or it has expired; this gets a new one.
    Newcomer(Token),
    /// No control is configured: answers from disk, without peers.
    Alone,
}

/// Reads certificate and token. Blocks; to be called before privileges are dropped, since the token may be root's.
pub fn start(config: &Config, now: Timestamp) -> Result<Start, IdentityError> {
    let path = path(config);
    let me = Identity::Nameserver(config.name.clone());
    let saved = read(&path)?;
    if let Some(found) = saved.as_ref().map(|saved| &saved.identity).filter(|found| **found != me) {
        return Err(IdentityError::Other { path, found: found.clone(), wanted: me });
    }
    match saved {
        Some(saved) if !saved.is_expired(now) => Ok(Start::Known(saved)),
        saved => match (token(config)?, saved) {
            (Some(token), _) => Ok(Start::Newcomer(token)),
            (None, _) if config.control.is_empty() => Ok(Start::Alone),
            (None, Some(saved)) => {
                tracing::error!(
                    path = %path.display(),
                    "the certificate has expired and there is no token to get another one with: queries are answered from \
                     the last plan, without control, agents and other nameservers; make a token with `waggle nameserver \
                     join-token`, set token_file or token, and start again"
                );
                Ok(Start::Known(saved))
            }
            (None, None) => Err(IdentityError::NoToken { path }),
        },
    }
}

fn path(config: &Config) -> PathBuf {
    config.data_dir.join("identity.json")
}

fn read(path: &Path) -> Result<Option<Credentials>, IdentityError> {
    let Some(json) = file::read_document(path)? else { return Ok(None) };
    let json_error = |source| IdentityError::Json { path: path.to_owned(), source };
    let saved: Saved = serde_json::from_slice(&json).map_err(json_error)?;
    let credentials = Credentials::try_from(saved);
    credentials.map(Some).map_err(|source| IdentityError::Credentials { path: path.to_owned(), source })
}

fn token(config: &Config) -> Result<Option<Token>, IdentityError> {
    let text = match (&config.token, &config.token_file) {
        (Some(token), _) => token.clone(),
        (None, Some(path)) => {
            let fail = |source| IdentityError::TokenFile { path: path.clone(), source };
            Secret::new(std::fs::read_to_string(path).map_err(fail)?)
        }
        (None, None) => return Ok(None),
    };
    Ok(Some(text.expose().parse()?))
}

/// Joins at one control after the other until one takes the token; `None` when stopped.
pub async fn join(config: &Config, token: &Token, stop: &CancellationToken) -> Option<Credentials> {
    let me = Identity::Nameserver(config.name.clone());
    let newcomer = Newcomer { advertise: config.advertised().to_string(), swarm_id: String::new() };
    let mut backoff = Backoff::new(JOIN_PAUSE_MAX);
    let mut last = String::new();
    for address in config.control.iter().cycle() {
        let joined = tokio::select! {
            () = stop.cancelled() => return None,
            joined = enroll::join(address, token, &me, &newcomer) => joined,
        };
        match joined {
            Ok(credentials) => {
                tracing::info!(control = address, "joined");
                save(path(config), &credentials).await;
                return Some(credentials);
            }
            Err(error) => {
                let error = waggle_daemon::tasks::chain(&error);
                if error != last {
                    tracing::error!(control = address, error, "cannot join; trying on");
                }
                last = error;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(backoff.next()) => {}
        }
    }
    None
}

/// Renews whenever it is due, for ever.
pub async fn renew(config: Arc<Config>, current: Arc<Current>, stop: CancellationToken) {
    let mut pause = Duration::ZERO;
    for address in config.control.iter().cycle() {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = AGE_CHECK;
            if current.get().is_due(Timestamp(waggle_daemon::time::now())) {
                break;
            }
        }
        let renewed = tokio::select! {
            () = stop.cancelled() => return,
            renewed = enroll::renew(address, &current) => renewed,
        };
        match renewed {
            Ok(credentials) => {
                save(path(&config), &credentials).await;
                current.replace(credentials);
                tracing::info!("the certificate was renewed");
            }
            Err(error) => {
                let error = waggle_daemon::tasks::chain(&error);
                tracing::warn!(control = address, error, "the certificate cannot be renewed yet");
                pause = RENEW_RETRY;
            }
        }
    }
}

/// A failure is logged: the certificate works until the next start, which would need another token.
async fn save(path: PathBuf, credentials: &Credentials) {
    let saved = Saved::from(credentials);
    let write = move || {
        let json = serde_json::to_vec(&saved).map_err(|error| error.to_string())?;
        file::write_document(&path, &json).map_err(|error| error.to_string())
    };
    match tokio::task::spawn_blocking(write).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::error!(error, "the certificate is not kept on disk; the next start would need a token")
        }
        Err(error) => tracing::error!(%error, "the certificate is not kept on disk; the next start would need a token"),
    }
}
