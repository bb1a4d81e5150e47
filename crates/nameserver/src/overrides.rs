//! Break-glass overrides at this nameserver: how they arrive, and how they are kept.
//!
//! They come as `POST /v1/override` on the status listener, from whoever can reach it: the signature is the authority, not
//! the sender. What comes is bounded in size, time and number before a signature is looked at; the judge's loop then
//! decides, keeps it on disk and answers what it changes. Peers pass on what they took in their views; it goes the same way.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use waggle_daemon::file::{self, Corrupt};
use waggle_model::health::overrides::{Overrides, Refused, Signed};

/// Bytes of one document.
pub const DOCUMENT_MAX: usize = 8 * 1024;
/// Documents that wait for the judge.
pub const GIVEN_MAX: usize = 4;
/// Shortest time between two documents that are looked at.
pub const PAUSE: Duration = Duration::from_millis(100);
/// Longest time for a body to arrive, and for the answer.
const TIME_MAX: Duration = Duration::from_secs(5);
/// Routes that an answer names.
pub const ROUTES_SHOWN: usize = 20;

/// A document, and where the outcome goes.
pub struct Given {
    pub signed: Signed,
    pub reply: oneshot::Sender<Result<Taken, NotTaken>>,
}

/// What a document changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Taken {
    pub nameserver: String,
    /// `false`: it was here already.
    pub changed: bool,
    /// In words.
    pub says: String,
    /// Some of the routes it concerns, and how many there are.
    pub routes: Vec<String>,
    pub route_count: usize,
    /// What else is worth knowing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("this nameserver has no route plan yet")]
    NoPlan,
    #[error("overrides come too fast; try again in a moment")]
    TooFast,
}

/// The path, for the server of the status listener.
pub fn router(given: mpsc::Sender<Given>) -> Router {
    Router::new().route("/v1/override", post(take)).with_state(given)
}

async fn take(State(given): State<mpsc::Sender<Given>>, request: Request<Body>) -> Response {
    let bytes = match timeout(TIME_MAX, to_bytes(request.into_body(), DOCUMENT_MAX)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => {
            return refuse(StatusCode::PAYLOAD_TOO_LARGE, format!("an override has at most {DOCUMENT_MAX} bytes"));
        }
        Err(_) => return refuse(StatusCode::REQUEST_TIMEOUT, "the document did not arrive in time"),
    };
    let signed = match serde_json::from_slice(&bytes) {
        Ok(signed) => signed,
        Err(error) => return refuse(StatusCode::UNPROCESSABLE_ENTITY, format!("this is no signed override: {error}")),
    };
    let (reply, outcome) = oneshot::channel();
    if given.try_send(Given { signed, reply }).is_err() {
        return refuse(StatusCode::TOO_MANY_REQUESTS, NotTaken::TooFast);
    }
    match timeout(TIME_MAX, outcome).await {
        Ok(Ok(Ok(taken))) => Json(taken).into_response(),
        Ok(Ok(Err(why))) => refuse(status(&why), why),
        _ => refuse(StatusCode::SERVICE_UNAVAILABLE, "this nameserver is busy or stopping; look whether it was taken"),
    }
}

fn status(why: &NotTaken) -> StatusCode {
    match why {
        NotTaken::Refused(Refused::UnknownKey(_) | Refused::Signature(_)) => StatusCode::FORBIDDEN,
        NotTaken::Refused(Refused::NotNewer { .. } | Refused::TooMany) => StatusCode::CONFLICT,
        NotTaken::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
        NotTaken::NoPlan => StatusCode::SERVICE_UNAVAILABLE,
        NotTaken::TooFast => StatusCode::TOO_MANY_REQUESTS,
    }
}

fn refuse(status: StatusCode, message: impl ToString) -> Response {
    let body = serde_json::json!({ "error": { "message": message.to_string() } });
    (status, Json(body)).into_response()
}

/// Where overrides outlive a restart.
#[derive(Clone, Debug)]
pub struct OverrideFile(pub PathBuf);

#[derive(Debug, thiserror::Error)]
pub enum OverrideError {
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    #[error("{} cannot be understood", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
}

impl OverrideFile {
    /// Blocks.
    pub fn read(&self) -> Result<Overrides, OverrideError> {
        let Some(json) = file::read_document(&self.0)? else { return Ok(Overrides::default()) };
        serde_json::from_slice(&json).map_err(|source| OverrideError::Json { path: self.0.clone(), source })
    }

    /// Blocks until it is durable.
    pub fn write(&self, overrides: &Overrides) -> Result<(), String> {
        let json = serde_json::to_vec(overrides).map_err(|error| error.to_string())?;
        file::write_document(&self.0, &json).map_err(|error| waggle_daemon::tasks::chain(&error))
    }
}
