//! Requests to the Engine's unix socket whose answers are read with our own types.
//!
//! bollard has no raw requests, and its models lose data that we must not lose: `Healthcheck` of a service (it is spelt
//! otherwise in the API's description), attachments and job iterations of a task. A connection per request: on a local
//! socket that costs less than keeping a pool right across restarts of the daemon.

use super::EngineError;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, unfold};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Largest answer that is read.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Reading lists from a local Engine, whose answer may need the swarm's leader.
pub const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// Until a stream begins.
pub const STREAM_TIMEOUT: Duration = Duration::from_secs(10);
/// Writing waits for the swarm's managers to agree.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// One Engine, by its socket and API version.
#[derive(Clone, Debug)]
pub struct Socket {
    pub path: PathBuf,
    /// `1.41`; without it the Engine takes its newest.
    pub version: Option<String>,
}

impl Socket {
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, EngineError> {
        self.get_within(path, None, READ_TIMEOUT).await
    }

    /// As [`get`](Socket::get), with a login and a limit of its own.
    pub async fn get_within<T: DeserializeOwned>(
        &self,
        path: &str,
        registry_auth: Option<&str>,
        limit: Duration,
    ) -> Result<T, EngineError> {
        let request = with_login(Request::builder().method(Method::GET), registry_auth)?;
        let answer = self.send(request, path, Bytes::new(), limit).await?;
        read(&answer)
    }

    /// Sends `body` as JSON; the answer may be empty, which reads as `null`.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &serde_json::Value,
        registry_auth: Option<&str>,
    ) -> Result<T, EngineError> {
        let request = Request::builder().method(Method::POST).header(http::header::CONTENT_TYPE, "application/json");
        let request = with_login(request, registry_auth)?;
        let answer = self.send(request, path, Bytes::from(body.to_string()), WRITE_TIMEOUT).await?;
        read(&answer)
    }

    /// A body that is read as it comes; only its beginning has a time limit. Dropping the stream ends the connection.
    pub async fn stream(&self, path: &str) -> Result<BoxStream<'static, Result<Bytes, EngineError>>, EngineError> {
        let request = self.request(Request::builder().method(Method::GET), path, Bytes::new())?;
        let opened = timeout(STREAM_TIMEOUT, self.open(request)).await;
        let (connection, body) = opened.map_err(|_| EngineError::Slow(STREAM_TIMEOUT))??;
        let socket = self.path.clone();
        let stream = unfold(Some((connection, body)), move |state| {
            let socket = socket.clone();
            async move {
                let (connection, mut body) = state?;
                match body.frame().await? {
                    Ok(frame) => Some((Ok(frame.into_data().unwrap_or_default()), Some((connection, body)))),
                    Err(error) => Some((Err(unreachable(&socket, &io::Error::other(error))), None)),
                }
            }
        });
        Ok(stream.boxed())
    }

    /// Sends a request whose answer is read later; the connection is driven by the one task of the set.
    async fn open(&self, request: Request<Full<Bytes>>) -> Result<(JoinSet<()>, Incoming), EngineError> {
        let broken = |error: hyper::Error| unreachable(&self.path, &io::Error::other(error));
        let stream = UnixStream::connect(&self.path).await.map_err(|error| unreachable(&self.path, &error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            let _ = connection.await;
        });
        let answer = sender.send_request(request).await.map_err(broken)?;
        let status = answer.status();
        if status.is_success() {
            return Ok((driver, answer.into_body()));
        }
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| EngineError::Answer(error.to_string()))?.to_bytes();
        Err(refusal(status, &body))
    }

    fn request(
        &self,
        request: http::request::Builder,
        path: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, EngineError> {
        let path = match &self.version {
            Some(version) => format!("/v{version}{path}"),
            None => path.to_owned(),
        };
        let request = request.uri(path).header(http::header::HOST, "docker").body(Full::new(body));
        request.map_err(|error| EngineError::Answer(error.to_string()))
    }

    async fn send(
        &self,
        request: http::request::Builder,
        path: &str,
        body: Bytes,
        limit: Duration,
    ) -> Result<Bytes, EngineError> {
        let request = self.request(request, path, body)?;
        match timeout(limit, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(EngineError::Slow(limit)),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Bytes, EngineError> {
        let broken = |error: hyper::Error| unreachable(&self.path, &io::Error::other(error));
        let stream = UnixStream::connect(&self.path).await.map_err(|error| unreachable(&self.path, &error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let talk = async move {
            let answer = sender.send_request(request).await.map_err(broken)?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| EngineError::Answer(error.to_string()))?.to_bytes();
            if status.is_success() { Ok(body) } else { Err(refusal(status, &body)) }
        };
        tokio::pin!(talk, connection);
        // The connection moves the bytes while we wait for them; when it ends first, what it read is still to be taken.
        tokio::select! {
            answer = &mut talk => answer,
            _ = &mut connection => talk.await,
        }
    }
}

/// The login is marked as secret, so that nothing that prints headers prints it.
fn with_login(
    request: http::request::Builder,
    registry_auth: Option<&str>,
) -> Result<http::request::Builder, EngineError> {
    let Some(auth) = registry_auth else {
        return Ok(request);
    };
    let value = HeaderValue::from_str(auth);
    let mut value = value.map_err(|_| EngineError::Refused("the registry login is no header".into()))?;
    value.set_sensitive(true);
    Ok(request.header("X-Registry-Auth", value))
}

fn read<T: DeserializeOwned>(answer: &[u8]) -> Result<T, EngineError> {
    let answer = if answer.trim_ascii().is_empty() { b"null" } else { answer };
    serde_json::from_slice(answer).map_err(|error| EngineError::Answer(error.to_string()))
}

pub(super) fn unreachable(socket: &Path, error: &io::Error) -> EngineError {
    match error.kind() {
        io::ErrorKind::PermissionDenied => EngineError::Permission(socket.to_owned()),
        io::ErrorKind::NotFound => {
            EngineError::Unreachable { socket: socket.to_owned(), why: "there is no such socket".into() }
        }
        _ => EngineError::Unreachable { socket: socket.to_owned(), why: error.to_string() },
    }
}

fn refusal(status: StatusCode, body: &[u8]) -> EngineError {
    #[derive(serde::Deserialize)]
    struct Message {
        message: String,
    }
    let text = match serde_json::from_slice::<Message>(body) {
        Ok(said) => said.message,
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    };
    classify(status.as_u16(), text)
}

/// What a status and message of the Engine mean. Swarm's errors are told apart by text where their code is a plain 500
/// (moby/moby: errdefs, daemon/cluster/errors.go; moby/swarmkit: manager/state/store).
pub(super) fn classify(status: u16, message: String) -> EngineError {
    let says = |part: &str| message.contains(part);
    if says("out of sequence") {
        return EngineError::Conflict(message);
    }
    if says("not a swarm manager") || says("not part of a swarm") {
        return EngineError::NotManager { managers: Vec::new() };
    }
    // "code = Unavailable" is what a manager answers while the leader changes.
    let without_leader = says("does not have a leader") || says("code = Unavailable");
    if without_leader || says("context deadline exceeded") || says("DeadlineExceeded") {
        return EngineError::NoLeader(message);
    }
    // What a service refers to went away between our look and our write; here as a 400 or 500.
    if status != 404 && says("network ") && says(" not found") {
        return EngineError::NotFound(message);
    }
    match status {
        404 => EngineError::NotFound(message),
        409 => EngineError::Conflict(message),
        _ => EngineError::Refused(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        let out = "rpc error: code = Unknown desc = update out of sequence";
        assert!(matches!(classify(500, out.into()), EngineError::Conflict(_)));
        let worker = "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state.";
        assert!(matches!(classify(503, worker.into()), EngineError::NotManager { .. }));
        let quorum = "rpc error: code = Unknown desc = The swarm does not have a leader.";
        assert!(matches!(classify(500, quorum.into()), EngineError::NoLeader(_)));
        let changing = "rpc error: code = Unavailable desc = transport is closing";
        assert!(matches!(classify(503, changing.into()), EngineError::NoLeader(_)));
        assert!(matches!(classify(404, "service x not found".into()), EngineError::NotFound(_)));
        assert!(matches!(classify(400, "invalid".into()), EngineError::Refused(_)));
    }

    #[tokio::test]
    async fn a_missing_socket_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let socket = Socket { path: dir.path().join("docker.sock"), version: None };
        let error = socket.get::<serde_json::Value>("/info").await.unwrap_err();
        assert!(error.to_string().contains("is Docker running?"), "{error}");
    }
}
