//! What a process tells about itself over plain HTTP: metrics, readiness, life.
//!
//! `GET /metrics` is OpenMetrics text, `GET /livez` says that the process answers, `GET /readyz` that it can do its work,
//! or what keeps it from that. Meant for a loopback or an internal address: nothing here is secret or authenticated.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

mod listener;

/// Connections at a time; more wait in the backlog of the socket.
const MAX_CONNECTIONS: usize = 64;

/// How long open connections may take to end after the token was cancelled.
const CLOSE_GRACE: Duration = Duration::from_millis(500);

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Metrics and readiness of this process. Clones share them.
#[derive(Clone)]
pub struct Status(Arc<Shared>);

struct Shared {
    registry: Mutex<Registry>,
    conditions: Mutex<BTreeMap<&'static str, Result<(), String>>>,
}

/// The body of `GET /readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    pub ready: bool,
    /// Condition → what is wrong with it. Not empty unless ready.
    pub reasons: BTreeMap<&'static str, String>,
}

impl Default for Status {
    fn default() -> Status {
        Status::new()
    }
}

impl Status {
    /// No metrics but the version, and not ready until a condition is reported.
    pub fn new() -> Status {
        let mut registry = Registry::with_prefix("waggle");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version of this process", build);
        Status(Arc::new(Shared { registry: Mutex::new(registry), conditions: Mutex::default() }))
    }

    /// Sets one condition of readiness. A process is ready when it has reported at least one and all are `Ok`; so it
    /// reports at start, as `Err`, whatever it must wait for.
    pub fn ready(&self, condition: &'static str, state: Result<(), String>) {
        let mut conditions = self.conditions();
        let before = conditions.insert(condition, state.clone());
        drop(conditions);
        if before.as_ref() == Some(&state) {
            return;
        }
        match state {
            Ok(()) => tracing::info!(condition, "ready"),
            Err(reason) => tracing::info!(condition, reason, "not ready"),
        }
    }

    /// Adds metrics. Every name gets the prefix `waggle_`, and counters the suffix `_total`.
    pub fn register<T>(&self, add: impl FnOnce(&mut Registry) -> T) -> T {
        add(&mut self.registry())
    }

    /// What `GET /readyz` answers now.
    pub fn readiness(&self) -> Readiness {
        let conditions = self.conditions();
        if conditions.is_empty() {
            let reasons = BTreeMap::from([("start", "no condition has been reported yet".to_owned())]);
            return Readiness { ready: false, reasons };
        }
        let wrong = |(name, state): (&&'static str, &Result<(), String>)| Some((*name, state.as_ref().err()?.clone()));
        let reasons: BTreeMap<_, _> = conditions.iter().filter_map(wrong).collect();
        Readiness { ready: reasons.is_empty(), reasons }
    }

    /// What `GET /metrics` answers now, in OpenMetrics text.
    pub fn metrics(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry())?;
        Ok(text)
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.0.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn conditions(&self) -> MutexGuard<'_, BTreeMap<&'static str, Result<(), String>>> {
        self.0.conditions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The three paths, for a role that has an HTTP server anyway.
pub fn router(status: Status) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/readyz", get(readyz))
        .route("/livez", get(|| async { "ok\n" }))
        .with_state(status)
}

/// Serves the three paths until `token` is cancelled.
pub async fn serve(listener: TcpListener, status: Status, token: CancellationToken) {
    serve_with(listener, status, Router::new(), token).await;
}

/// Serves the three paths and `more` until `token` is cancelled.
pub async fn serve_with(listener: TcpListener, status: Status, more: Router, token: CancellationToken) {
    let listener = listener::Bounded::new(listener, MAX_CONNECTIONS);
    let server =
        axum::serve(listener, router(status).merge(more)).with_graceful_shutdown(token.clone().cancelled_owned());
    let patience = async {
        token.cancelled().await;
        tokio::time::sleep(CLOSE_GRACE).await;
    };
    tokio::select! {
        ended = server => if let Err(error) = ended {
            tracing::error!(%error, "the status server failed");
        },
        () = patience => {}
    }
}

async fn metrics(State(status): State<Status>) -> Response {
    match status.metrics() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn readyz(State(status): State<Status>) -> Response {
    let readiness = status.readiness();
    let code = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(readiness)).into_response()
}

#[cfg(test)]
mod tests;
