//! What `waggle up` asks of the Docker Engine before there is an agent: whether it is in a swarm, and to start one.

use crate::exit::{Exit, Failure, chain};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::task::JoinSet;

/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// `POST /swarm/init` makes certificates and elects a leader.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The Engine's place in a swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    None,
    Manager,
    Worker,
}

#[derive(Deserialize)]
struct Info {
    #[serde(rename = "Swarm")]
    swarm: Swarm,
}

#[derive(Deserialize)]
struct Swarm {
    #[serde(rename = "LocalNodeState", default)]
    state: String,
    #[serde(rename = "ControlAvailable", default)]
    manager: bool,
}

pub async fn membership(socket: &Path) -> Result<Membership, Failure> {
    let info: Info = serde_json::from_value(call(socket, Method::GET, "/info", None).await?)?;
    Ok(match (info.swarm.state.as_str(), info.swarm.manager) {
        ("active", true) => Membership::Manager,
        ("active" | "locked", false) => Membership::Worker,
        _ => Membership::None,
    })
}

/// As `docker swarm init --advertise-addr ADDRESS`, with the manager's port open on that address alone.
pub async fn init_swarm(socket: &Path, address: IpAddr) -> Result<(), Failure> {
    let address = match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    };
    let body = json!({"ListenAddr": format!("{address}:2377"), "AdvertiseAddr": address});
    call(socket, Method::POST, "/swarm/init", Some(body)).await.map(drop)
}

async fn call(socket: &Path, method: Method, path: &str, body: Option<Value>) -> Result<Value, Failure> {
    let late =
        |_| Failure::new(Exit::Failed, format!("the Docker Engine did not answer within {} s", TIMEOUT.as_secs()));
    tokio::time::timeout(TIMEOUT, exchange(socket, method, path, body)).await.map_err(late)?
}

async fn exchange(socket: &Path, method: Method, path: &str, body: Option<Value>) -> Result<Value, Failure> {
    let stream = UnixStream::connect(socket).await.map_err(|error| {
        Failure::new(Exit::Failed, format!("the Docker Engine cannot be reached at {}: {error}", socket.display()))
            .with_help("start Docker, or name its socket with --docker-socket; its group may use it (`docker`, on most systems)")
    })?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        let _ = connection.await;
    });
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "docker")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|error| Failure::new(Exit::Failed, chain(error.as_ref())))?.to_bytes();
    let value: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status == StatusCode::OK {
        return Ok(value);
    }
    let why = value.get("message").and_then(Value::as_str).unwrap_or("no reason given");
    Err(Failure::new(Exit::Failed, format!("the Docker Engine refused {path}: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::body::Incoming;
    use hyper::service::service_fn;
    use hyper::{Response, server};
    use std::convert::Infallible;
    use tokio::net::UnixListener;

    /// An Engine that answers `/info` with `info`, and refuses all else with the request's body.
    fn engine(socket: &Path, info: Value) -> JoinSet<()> {
        let listener = UnixListener::bind(socket).unwrap();
        let service = service_fn(move |request: Request<Incoming>| {
            let info = info.clone();
            async move {
                let (status, body) = match request.uri().path() {
                    "/info" => (StatusCode::OK, info),
                    _ => {
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        (StatusCode::SERVICE_UNAVAILABLE, json!({"message": String::from_utf8_lossy(&body)}))
                    }
                };
                let body = Full::new(Bytes::from(body.to_string()));
                Ok::<_, Infallible>(Response::builder().status(status).body(body).unwrap())
            }
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let _ = server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), &service).await;
            }
        });
        tasks
    }

    #[tokio::test]
    async fn membership_and_refusals() {
        let dir = tempfile::tempdir().unwrap();
        let cases = [
            (json!({"Swarm": {"LocalNodeState": "inactive"}}), Membership::None),
            (json!({"Swarm": {"LocalNodeState": "active", "ControlAvailable": true}}), Membership::Manager),
            (json!({"Swarm": {"LocalNodeState": "active"}}), Membership::Worker),
            (json!({"Swarm": {"LocalNodeState": "locked"}}), Membership::Worker),
        ];
        for (at, (info, want)) in cases.into_iter().enumerate() {
            let socket = dir.path().join(at.to_string());
            let _engine = engine(&socket, info);
            assert_eq!(membership(&socket).await, Ok(want));
            let refused = init_swarm(&socket, "2001:db8::1".parse().unwrap()).await.unwrap_err();
            assert!(refused.message.contains(r#""ListenAddr":"[2001:db8::1]:2377""#), "{}", refused.message);
        }
        let gone = membership(&dir.path().join("gone")).await.unwrap_err();
        assert!(gone.help.unwrap().contains("start Docker"));
    }
}
