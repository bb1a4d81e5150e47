//! One HTTP/1.1 request over a fresh connection, with limits on everything the other side may send.
//!
//! hyper's low-level connection is driven in the same future as the request, so that dropping the probe drops all of it.

use super::tls::Clients;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::pin::pin;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use waggle_model::release::HttpCheck;

/// Octets of a body that are searched for the wanted text.
pub const BODY_MAX: usize = 64 * 1024;
/// Octets of status line and headers.
const HEAD_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 100;

/// Asks, and compares the answer with the check. `Err` says what is wrong, for people.
pub async fn exchange(
    stream: TcpStream,
    check: &HttpCheck,
    host: &str,
    port: u16,
    tls: &Clients,
) -> Result<(), String> {
    let request = request(check, host, port)?;
    if check.tls {
        let stream = tls.handshake(stream, host, check.tls_insecure, b"http/1.1").await?;
        return ask(stream, request, check).await;
    }
    ask(stream, request, check).await
}

fn request(check: &HttpCheck, host: &str, port: u16) -> Result<http::Request<Empty<Bytes>>, String> {
    let host = authority(host, check.host.is_some(), check.tls, port);
    http::Request::get(check.path.as_str())
        .header(http::header::HOST, host)
        .header(http::header::USER_AGENT, concat!("waggle/", env!("CARGO_PKG_VERSION")))
        .header(http::header::ACCEPT, "*/*")
        .header(http::header::CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| format!("the check cannot be sent: {error}"))
}

/// The host as a client names it: with the port unless it is the usual one; a host that the check gives stays as it is.
pub(super) fn authority(host: &str, given: bool, tls: bool, port: u16) -> String {
    let usual = if tls { 443 } else { 80 };
    if given || port == usual { host.to_owned() } else { format!("{host}:{port}") }
}

async fn ask<S>(stream: S, request: http::Request<Empty<Bytes>>, check: &HttpCheck) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |error: hyper::Error| format!("no valid HTTP answer: {error}");
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_MAX).max_headers(HEADERS_MAX);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let mut connection = pin!(connection);
    let mut answer = pin!(async {
        let response = sender.send_request(request).await.map_err(broken)?;
        judge(response, check).await
    });
    tokio::select! {
        // The answer first: a connection that ends may have delivered it whole.
        biased;
        judged = &mut answer => judged,
        // Its errors reach the answer too; what it has read already is still there.
        _ = &mut connection => answer.await,
    }
}

async fn judge(response: http::Response<Incoming>, check: &HttpCheck) -> Result<(), String> {
    let status = response.status();
    let good = match check.status {
        Some(wanted) => status.as_u16() == wanted,
        None => status.is_success() || status.is_redirection(),
    };
    if !good {
        let wanted = check.status.map_or("2xx or 3xx".to_owned(), |wanted| wanted.to_string());
        return Err(format!("status {} instead of {wanted}", status.as_u16()));
    }
    match &check.contains {
        Some(text) => find(response.into_body(), text).await,
        None => Ok(()),
    }
}

async fn find(mut body: Incoming, text: &str) -> Result<(), String> {
    let mut read = Vec::new();
    // Everything before was searched already.
    let mut from = 0;
    loop {
        if contains(read.get(from..).unwrap_or_default(), text.as_bytes()) {
            return Ok(());
        }
        if read.len() >= BODY_MAX {
            return Err(format!("the first {BODY_MAX} octets of the body do not contain the wanted text"));
        }
        from = (read.len() + 1).saturating_sub(text.len());
        match body.frame().await {
            Some(Ok(frame)) => {
                let data = frame.data_ref().map_or(&[][..], |data| data);
                read.extend_from_slice(data.get(..BODY_MAX - read.len()).unwrap_or(data));
            }
            Some(Err(error)) => return Err(format!("the body broke off: {error}")),
            None => return Err("the body does not contain the wanted text".to_owned()),
        }
    }
}

fn contains(body: &[u8], text: &[u8]) -> bool {
    text.is_empty() || body.windows(text.len()).any(|window| window == text)
}
