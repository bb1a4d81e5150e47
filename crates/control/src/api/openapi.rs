//! The description of this API (OpenAPI 3.1). Written by hand beside the code, as a document that people read; a test
//! holds every route and every body against it.

use axum::http::header;
use axum::response::IntoResponse;

/// Paths that need no token.
pub(super) const PUBLIC: &[&str] = &["/v1/version", "/v1/openapi.json"];

pub(super) const DOCUMENT: &str = include_str!("openapi.json");

pub(super) async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT)
}
