//! The agent's key and certificate: got with a token at the first start, kept on disk, renewed every day.
//!
//! Joining waits a while for control, because both are often started together; a refusal ends the start at once.

use crate::config::Config;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use waggle_daemon::{CancellationToken, file};
use waggle_model::Timestamp;
use waggle_wire::credentials::{Credentials, Current, InvalidCredentials};
use waggle_wire::enroll::{self, EnrollError, Newcomer, RENEW_RETRY, Saved};
use waggle_wire::identity::Identity;
use waggle_wire::token::{InvalidToken, Kind, Token};

/// How long a newcomer waits for control to be there.
pub const JOIN_PATIENCE: Duration = Duration::from_secs(60);
const JOIN_PAUSE: Duration = Duration::from_secs(1);
/// Between looks at the age of the certificate.
const RENEW_CHECK: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error(
        "this agent has not joined yet and has no token; `waggle cluster join-token NAME` makes one: give it as token_file or in WAGGLE_AGENT_TOKEN"
    )]
    NoToken,
    #[error("cannot read the token from {}", path.display())]
    TokenFile { path: PathBuf, source: std::io::Error },
    #[error("the token cannot be used")]
    Token(#[from] InvalidToken),
    #[error("the token is not one for clusters")]
    TokenKind,
    #[error("cannot join the federation")]
    Join(#[from] EnrollError),
    #[error("{} belongs to the {found}, but this is the {wanted}; use another data_dir or correct the name", path.display())]
    Other { path: PathBuf, found: Identity, wanted: Identity },
    #[error("the identity on disk cannot be read")]
    Corrupt(#[from] file::Corrupt),
    #[error("{} cannot be read as an identity; remove it and join again", path.display())]
    Form { path: PathBuf, source: serde_json::Error },
    #[error("{} holds a key or certificate that cannot be used; remove it and join again", path.display())]
    Credentials { path: PathBuf, source: InvalidCredentials },
    #[error("the identity cannot be kept")]
    Write(#[from] file::WriteError),
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("identity")
}

/// The identity on disk, or a new one from control.
pub async fn load_or_join(config: &Config, swarm_id: &str, now: Timestamp) -> Result<Arc<Current>, IdentityError> {
    let path = path(&config.data_dir);
    let wanted = Identity::Agent(config.cluster.clone());
    if let Some(credentials) = load(&path)? {
        if credentials.identity != wanted {
            return Err(IdentityError::Other { path, found: credentials.identity, wanted });
        }
        if !credentials.is_expired(now) {
            return Ok(Current::new(credentials));
        }
        tracing::warn!("the certificate has expired; joining again");
    }
    let token = token(config)?;
    let newcomer = Newcomer { swarm_id: swarm_id.to_owned(), ..Newcomer::default() };
    let credentials = join(config, &token, &wanted, &newcomer).await?;
    save(&path, &credentials)?;
    tracing::info!(identity = %wanted, "joined the federation");
    Ok(Current::new(credentials))
}

fn load(path: &Path) -> Result<Option<Credentials>, IdentityError> {
    let Some(content) = file::read_document(path)? else {
        return Ok(None);
    };
    let saved: Saved =
        serde_json::from_slice(&content).map_err(|source| IdentityError::Form { path: path.to_owned(), source })?;
    let credentials =
        Credentials::try_from(saved).map_err(|source| IdentityError::Credentials { path: path.to_owned(), source })?;
    Ok(Some(credentials))
}

fn save(path: &Path, credentials: &Credentials) -> Result<(), IdentityError> {
    let content = serde_json::to_vec(&Saved::from(credentials))
        .map_err(|source| IdentityError::Form { path: path.to_owned(), source })?;
    Ok(file::write_document(path, &content)?)
}

fn token(config: &Config) -> Result<Token, IdentityError> {
    let text = match (&config.token, &config.token_file) {
        (Some(token), _) => token.expose().to_owned(),
        (None, Some(path)) => {
            std::fs::read_to_string(path).map_err(|source| IdentityError::TokenFile { path: path.clone(), source })?
        }
        (None, None) => return Err(IdentityError::NoToken),
    };
    let token: Token = text.parse()?;
    if token.kind == Kind::Cluster { Ok(token) } else { Err(IdentityError::TokenKind) }
}

async fn join(
    config: &Config,
    token: &Token,
    wanted: &Identity,
    newcomer: &Newcomer,
) -> Result<Credentials, EnrollError> {
    let deadline = tokio::time::Instant::now() + JOIN_PATIENCE;
    loop {
        let answer = in_turn(&config.control, |address| enroll::join(address, token, wanted, newcomer)).await;
        match answer {
            Err(error @ EnrollError::Connect { .. }) if tokio::time::Instant::now() < deadline => {
                tracing::warn!(error = waggle_daemon::tasks::chain(&error), "cannot join yet, trying again");
                tokio::time::sleep(JOIN_PAUSE).await;
            }
            answer => return answer,
        }
    }
}

/// The first address that can be reached decides.
async fn in_turn<'a, F>(addresses: &'a [String], attempt: impl Fn(&'a str) -> F) -> Result<Credentials, EnrollError>
where
    F: Future<Output = Result<Credentials, EnrollError>> + 'a,
{
    let mut last = None;
    for address in addresses {
        match attempt(address).await {
            Err(error @ EnrollError::Connect { .. }) => last = Some(error),
            answer => return answer,
        }
    }
    Err(last.unwrap_or_else(|| {
        let status = tonic::Status::failed_precondition("no address of control is configured");
        EnrollError::Refused(Box::new(status))
    }))
}

/// Renews the certificate when it is due until `token` is cancelled. New handshakes use the new one at once.
pub async fn renew(current: Arc<Current>, control: Vec<String>, data_dir: PathBuf, token: CancellationToken) {
    let path = path(&data_dir);
    loop {
        let due = current.get().is_due(Timestamp(waggle_daemon::time::now()));
        let pause = match due {
            false => RENEW_CHECK,
            true => match token.run_until_cancelled(renew_once(&current, &control, &path)).await {
                Some(pause) => pause,
                None => return,
            },
        };
        tokio::select! {
            () = token.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn renew_once(current: &Arc<Current>, control: &[String], path: &Path) -> Duration {
    let renewed = match in_turn(control, |address| enroll::renew(address, current)).await {
        Ok(renewed) => renewed,
        Err(error) => {
            tracing::warn!(error = waggle_daemon::tasks::chain(&error), "the certificate could not be renewed yet");
            return RENEW_RETRY;
        }
    };
    let (kept, target) = (renewed.clone(), path.to_owned());
    let saved = tokio::task::spawn_blocking(move || save(&target, &kept)).await;
    // The new certificate is good even when it cannot be kept; the old one on disk stays valid until its end.
    current.replace(renewed);
    match saved {
        Ok(Ok(())) => tracing::info!("the certificate was renewed"),
        Ok(Err(error)) => {
            tracing::error!(error = waggle_daemon::tasks::chain(&error), "the renewed certificate is not on disk")
        }
        Err(error) => tracing::error!(%error, "the renewed certificate is not on disk"),
    }
    RENEW_CHECK
}
