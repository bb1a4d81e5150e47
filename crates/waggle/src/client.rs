//! The HTTP API of control, as the command line uses it.
//!
//! One connection per request: a command makes few. The URL says only where to dial; who answers is verified by the CA
//! that the token pins, so neither DNS nor the machine's list of CAs can lead a token astray.

pub mod connection;
pub mod error;
pub mod sse;
pub mod url;

use crate::exit::{Exit, Failure};
use bytes::Bytes;
use connection::Exchange;
use http::{HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use rustls::ClientConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use url::Address;
use waggle_wire::tls;
use waggle_wire::token::Token;

/// Bytes of one answer.
pub const RESPONSE_BYTES_MAX: usize = 64 << 20;
/// Time for an answer, unless the caller knows better.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("waggle/", env!("CARGO_PKG_VERSION")));

#[derive(Clone)]
pub struct Client {
    address: Address,
    tls: Arc<ClientConfig>,
    bearer: HeaderValue,
}

impl Client {
    /// Nothing is dialled yet.
    pub fn new(url: &str, token: &Token) -> Result<Client, Failure> {
        let address = url.parse::<Address>().map_err(Failure::refused)?;
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()))?;
        bearer.set_sensitive(true);
        Ok(Client { address, tls: tls::pinned(token.ca, &[b"http/1.1"])?, bearer })
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        decode(self.call(Method::GET, path, None, RESPONSE_TIMEOUT).await?)
    }

    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        self.send(Method::POST, path, body, RESPONSE_TIMEOUT).await
    }

    /// Sends `body` as JSON and waits for the answer up to `limit`.
    pub async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        limit: Duration,
    ) -> Result<T, Failure> {
        decode(self.call(method, path, Some(serde_json::to_vec(body)?.into()), limit).await?)
    }

    /// A call without a body.
    pub async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str) -> Result<T, Failure> {
        decode(self.call(method, path, None, RESPONSE_TIMEOUT).await?)
    }

    /// A call whose answer says nothing more than that it was accepted.
    pub async fn tell(&self, method: Method, path: &str, body: Option<&impl Serialize>) -> Result<(), Failure> {
        let body = body.map(serde_json::to_vec).transpose()?;
        self.call(method, path, body.map(Bytes::from), RESPONSE_TIMEOUT).await.map(drop)
    }

    /// Opens a stream of server-sent events; `limit` bounds the time until it is open.
    pub async fn events(&self, path: &str) -> Result<sse::Events, Failure> {
        let mut request = self.request(Method::GET, path, None)?;
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        let exchange = within(RESPONSE_TIMEOUT, self.exchange(request)).await?;
        if exchange.response.status().is_success() {
            return Ok(sse::Events::new(exchange));
        }
        let (status, body) = within(RESPONSE_TIMEOUT, read(exchange)).await?;
        Err(error::refusal(status, &body))
    }

    async fn call(&self, method: Method, path: &str, body: Option<Bytes>, limit: Duration) -> Result<Bytes, Failure> {
        let request = self.request(method, path, body)?;
        let (status, body) = within(limit, async { read(self.exchange(request).await?).await }).await?;
        if status.is_success() { Ok(body) } else { Err(error::refusal(status, &body)) }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Exchange, Failure> {
        connection::exchange(&self.address, self.tls.clone(), request).await
    }

    fn request(&self, method: Method, path: &str, body: Option<Bytes>) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, self.address.authority());
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, JSON);
        }
        let mut request = request.body(Full::new(body.unwrap_or_default()))?;
        let headers = request.headers_mut();
        headers.insert(header::AUTHORIZATION, self.bearer.clone());
        headers.insert(header::USER_AGENT, AGENT);
        waggle_daemon::trace::inject_http(headers);
        Ok(request)
    }
}

async fn read(exchange: Exchange) -> Result<(http::StatusCode, Bytes), Failure> {
    let Exchange { response, _driver } = exchange;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, RESPONSE_BYTES_MAX).collect().await;
    let body = body.map_err(|error| Failure::new(Exit::Unreachable, format!("the answer broke off: {error}")))?;
    Ok((head.status, body.to_bytes()))
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let late = |_| {
        let message = format!("control did not answer within {} s", limit.as_secs());
        Failure::new(Exit::Unreachable, message).with_help("look at its log, or try again")
    };
    tokio::time::timeout(limit, work).await.map_err(late)?
}

fn decode<T: DeserializeOwned>(body: Bytes) -> Result<T, Failure> {
    serde_json::from_slice(&body).map_err(|error| {
        Failure::new(Exit::Failed, format!("the answer is not what this version expects: {error}"))
            .with_help("compare `waggle --version` with the version of control (`waggle status`)")
    })
}

#[cfg(test)]
pub mod fake;
#[cfg(test)]
mod tests;
