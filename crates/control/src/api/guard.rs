//! What every request passes: a limit in number and time, a span of its trace, and its token.

use super::{Api, ApiError, openapi};
use crate::records::Epoch;
use crate::tokens;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::time::Duration;
use tracing::Instrument;
use waggle_daemon::trace;

/// Longest time a request may take, looking up images included.
pub(super) const REQUEST_MAX: Duration = Duration::from_secs(60);

/// Who asks, and within which trace.
#[derive(Clone, Debug)]
pub struct Caller {
    pub name: String,
    /// W3C trace context; may be empty.
    pub traceparent: String,
}

impl Caller {
    /// A change of this caller's, in words for those who look at it later.
    pub fn did(&self, what: impl Into<String>) -> Epoch {
        Epoch { traceparent: self.traceparent.clone(), by: self.name.clone(), what: what.into() }
    }
}

pub(super) async fn guard(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let Ok(_permit) = api.requests.clone().try_acquire_owned() else {
        return ApiError::unavailable("too many requests at once").help("try again in a moment").into_response();
    };
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let span = tracing::info_span!("http request", %method, path, status = tracing::field::Empty);
    let given = trace::extract_http(request.headers()).map(str::to_owned);
    if let Some(parent) = &given {
        trace::set_parent(&span, parent);
    }
    let answering = async {
        if !openapi::PUBLIC.contains(&path.as_str()) {
            let name = match caller(&api, request.headers()).await {
                Ok(name) => name,
                Err(error) => return error.into_response(),
            };
            let traceparent = trace::current_traceparent().or(given).unwrap_or_default();
            request.extensions_mut().insert(Caller { name, traceparent });
        }
        match tokio::time::timeout(REQUEST_MAX, next.run(request)).await {
            Ok(response) => response,
            Err(_) => ApiError::new(StatusCode::GATEWAY_TIMEOUT, "timeout", "the request took longer than 60 s")
                .help("look whether it was done before trying again")
                .into_response(),
        }
    };
    let response = answering.instrument(span.clone()).await;
    span.record("status", response.status().as_u16());
    response
}

async fn caller(api: &Api, headers: &HeaderMap) -> Result<String, ApiError> {
    let refuse = |message: &str| {
        ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
            .help("send `authorization: Bearer TOKEN`; the first token is in admin.token where control keeps its data")
    };
    let header = headers.get(header::AUTHORIZATION).ok_or_else(|| refuse("a token is needed"))?;
    let text = header.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let text = text.ok_or_else(|| refuse("the authorization header holds no bearer token"))?;
    tokens::holder(&*api.store, text).await?.ok_or_else(|| refuse("this token is not accepted"))
}
