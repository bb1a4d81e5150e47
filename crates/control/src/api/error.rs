//! Every answer that is not 2xx has the same body.

use super::types::{ErrorBody, ErrorDetail};
use crate::store::StoreError;
use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use std::str::FromStr;
use waggle_model::ClusterName;

/// Why a request was not done.
#[derive(Debug)]
pub struct ApiError {
    pub status: StatusCode,
    pub detail: ErrorDetail,
}

impl ApiError {
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> ApiError {
        let detail = ErrorDetail { code: code.into(), message: message.into(), help: None, problems: Vec::new() };
        ApiError { status, detail }
    }

    pub fn not_found(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub fn invalid(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message)
    }

    pub fn conflict(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::CONFLICT, "conflict", message)
    }

    pub fn unavailable(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
    }

    pub fn too_large(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    pub fn internal(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    pub fn contended() -> ApiError {
        ApiError::unavailable("others kept changing the same things").help("try again")
    }

    pub fn help(mut self, help: impl Into<String>) -> ApiError {
        self.detail.help = Some(help.into());
        self
    }

    /// What one cluster said instead of an answer, when only that cluster was asked.
    pub fn from_reply(cluster: &ClusterName, detail: ErrorDetail) -> ApiError {
        let status = match detail.code.as_str() {
            "not_found" => StatusCode::NOT_FOUND,
            "invalid" => StatusCode::UNPROCESSABLE_ENTITY,
            "conflict" => StatusCode::CONFLICT,
            "too_large" => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        ApiError { status, detail: ErrorDetail { message: format!("{cluster}: {}", detail.message), ..detail } }
    }

    /// All problems; the message counts them.
    pub fn problems(what: &str, problems: Vec<String>) -> ApiError {
        let message = match problems.as_slice() {
            [one] => format!("{what}: {one}"),
            many => format!("{what}: {} problems", many.len()),
        };
        let mut error = ApiError::invalid(message);
        error.detail.problems = problems;
        error
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(ErrorBody { error: self.detail })).into_response()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        let text = error.to_string();
        match error {
            StoreError::DiskFull(_) => ApiError::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", text)
                .help("free some space where control keeps its data; nothing was changed"),
            StoreError::Limit(_) => ApiError::too_large(text),
            StoreError::Busy => ApiError::unavailable(text).help("try again"),
            StoreError::Unknown => ApiError::unavailable(text).help("look whether it was done before trying again"),
            other => {
                tracing::error!(error = %waggle_daemon::tasks::chain(&other), "a request failed");
                ApiError::internal(text)
            }
        }
    }
}

impl From<crate::reconcile::ActivateError> for ApiError {
    fn from(error: crate::reconcile::ActivateError) -> ApiError {
        match error {
            crate::reconcile::ActivateError::Store(error) => error.into(),
            crate::reconcile::ActivateError::Contended => ApiError::contended(),
            other => ApiError::internal(waggle_daemon::tasks::chain(&other)),
        }
    }
}

pub(super) async fn no_such_route(uri: Uri) -> ApiError {
    ApiError::not_found(format!("there is no {}", uri.path())).help("GET /v1/openapi.json lists what there is")
}

pub(super) async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    let message = format!("{} cannot be asked with {method}", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Body(value)),
            Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Err(ApiError::too_large("the body is larger than this request may be"))
            }
            Err(JsonRejection::MissingJsonContentType(_)) => {
                let message = "the body must be JSON";
                Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid", message)
                    .help("send it with content-type: application/json"))
            }
            Err(rejection @ (JsonRejection::JsonDataError(_) | JsonRejection::JsonSyntaxError(_))) => {
                Err(ApiError::invalid(rejection.body_text()))
            }
            Err(rejection) => Err(ApiError::new(rejection.status(), "invalid", rejection.body_text())),
        }
    }
}

/// Query parameters.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        let refuse = |rejection: QueryRejection| ApiError::invalid(rejection.body_text());
        query.map(|axum::extract::Query(value)| Query(value)).map_err(refuse)
    }
}

/// The one parameter of a path, parsed.
pub(super) struct Named<T>(pub(super) T);

impl<T, S> FromRequestParts<S> for Named<T>
where
    T: FromStr + Send,
    T::Err: std::fmt::Display,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|rejection| ApiError::invalid(rejection.body_text()))?;
        text.parse().map(Named).map_err(|error| ApiError::invalid(format!("{error}")))
    }
}

/// Query parameters of questions to clusters; `cluster` may be repeated.
pub(super) struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Query::<Vec<(String, String)>>::from_request_parts(parts, state).await.map(|Query(pairs)| Params(pairs))
    }
}

impl Params {
    /// Refuses parameters that are not among `known`.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), ApiError> {
        let unknown = self.0.iter().find(|(key, _)| key != "cluster" && !known.contains(&key.as_str()));
        match unknown {
            Some((key, _)) => Err(ApiError::invalid(format!("there is no parameter {key}"))),
            None => Ok(()),
        }
    }

    pub(super) fn clusters(&self) -> Vec<&str> {
        self.0.iter().filter(|(key, _)| key == "cluster").map(|(_, value)| value.as_str()).collect()
    }

    pub(super) fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    pub(super) fn parsed<T>(&self, name: &str) -> Result<Option<T>, ApiError>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        let parsed = self.one(name).map(|text| text.parse::<T>()).transpose();
        parsed.map_err(|error| ApiError::invalid(format!("{name}: {error}")))
    }
}
