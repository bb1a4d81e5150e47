//! An Engine API that writes down what it is asked to create and to update: enough of a swarm manager for `docker stack
//! deploy`, over real HTTP on a unix socket.
//!
//! It answers as an Engine does to a client that creates a stack in an empty swarm, and deploys it again: nothing of the
//! stack is there before, every external network, secret and config exists, and what was created is found again under its
//! name. Ids are made from names ([`id_of`]), so that a reader of the bodies can turn them back; its registry has every
//! image, with one digest ([`DIGEST`]).
//!
//! It does not run anything. It refuses what a manager refuses (`rules.rs`), names that are taken, and data that would be
//! changed.

mod rules;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::UnixListener;
use tokio::task::JoinSet;

/// Largest body that is read: a config of 1000 KiB in base64 and its frame.
const BODY_BYTES_MAX: usize = 2 << 20;

/// Digest of every image, without `sha256:`.
pub const DIGEST: &str = "d19e57d19e57d19e57d19e57d19e57d19e57d19e57d19e57d19e57d19e57d19e";
/// Operating system and architecture that every image runs on; the last one is an attestation's.
pub const PLATFORMS: [(&str, &str); 3] = [("linux", "amd64"), ("linux", "arm64"), ("unknown", "unknown")];
/// Version of every object.
pub const VERSION: u64 = 7;

/// Bodies of creates, by name of what was created; of updates, by name of the service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recorded {
    pub networks: BTreeMap<String, Value>,
    pub secrets: BTreeMap<String, Value>,
    pub configs: BTreeMap<String, Value>,
    pub services: BTreeMap<String, Value>,
    pub updates: BTreeMap<String, Value>,
}

/// One listening stub; ends when dropped.
pub struct EngineStub {
    socket: PathBuf,
    recorded: Arc<Mutex<Recorded>>,
    _serving: JoinSet<()>,
}

/// Id that the stub gives to, and expects of, the object with this name.
pub fn id_of(name: &str) -> String {
    format!("id-of-{name}")
}

/// The name behind an id of [`id_of`].
pub fn name_of(id: &str) -> Option<&str> {
    id.strip_prefix("id-of-")
}

impl EngineStub {
    /// Listens at `socket`, as an Engine whose newest API version is `api_version`. Needs a running Tokio runtime.
    pub fn start(socket: &Path, api_version: &str) -> Result<EngineStub> {
        let listener = UnixListener::bind(socket).with_context(|| format!("listen at {}", socket.display()))?;
        let recorded = Arc::new(Mutex::new(Recorded::default()));
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, recorded.clone(), Arc::from(api_version)));
        Ok(EngineStub { socket: socket.to_owned(), recorded, _serving: serving })
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// What the swarm has, to look at or to change, as others than the client do.
    pub fn swarm<T>(&self, act: impl FnOnce(&mut Recorded) -> T) -> T {
        act(&mut self.recorded.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What was created and updated since the last call; the swarm is empty again after it.
    pub fn take(&self) -> Recorded {
        std::mem::take(&mut *self.recorded.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn serve(listener: UnixListener, recorded: Arc<Mutex<Recorded>>, version: Arc<str>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { return };
                let (recorded, version) = (recorded.clone(), version.clone());
                let service = service_fn(move |request| {
                    let (recorded, version) = (recorded.clone(), version.clone());
                    async move { Ok::<_, Infallible>(answer(request, &recorded, &version).await) }
                });
                connections.spawn(async move {
                    // A client that goes away early has said all it had to say.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(request: Request<Incoming>, recorded: &Mutex<Recorded>, version: &str) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let (status, value) = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => {
            let mut recorded = recorded.lock().unwrap_or_else(PoisonError::into_inner);
            let query = head.uri.query().unwrap_or_default();
            route(&head.method, head.uri.path(), query, &body.to_bytes(), &mut recorded, version)
        }
        Err(error) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let text = if value.is_null() { Bytes::from_static(b"OK") } else { Bytes::from(value.to_string()) };
    let mut response = Response::new(Full::new(text));
    *response.status_mut() = status;
    for (name, value) in [
        ("content-type", "application/json"),
        ("api-version", version),
        ("ostype", "linux"),
        ("swarm", "active/manager"),
        ("server", "engine-stub"),
    ] {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

type Answer = (StatusCode, Value);

fn refuse(status: StatusCode, message: &str) -> Answer {
    (status, json!({ "message": message }))
}

fn route(method: &Method, path: &str, query: &str, body: &[u8], recorded: &mut Recorded, version: &str) -> Answer {
    let mut segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    if segments.first().is_some_and(|first| first.starts_with("v1.")) {
        segments.remove(0);
    }
    match (method.as_str(), &segments[..]) {
        ("GET" | "HEAD", ["_ping"]) => (StatusCode::OK, Value::Null),
        ("GET", ["version"]) => (
            StatusCode::OK,
            json!({
                "Version": "0", "ApiVersion": version, "MinAPIVersion": "1.24", "Os": "linux", "Arch": "amd64",
            }),
        ),
        ("GET", ["info"]) => (
            StatusCode::OK,
            json!({
                "ID": "stub", "OSType": "linux", "Architecture": "x86_64",
                "Swarm": { "NodeID": "node", "LocalNodeState": "active", "ControlAvailable": true, "Nodes": 1, "Managers": 1 },
            }),
        ),
        ("GET", ["networks"]) => {
            (StatusCode::OK, recorded.networks.iter().map(|(name, body)| made_network(name, body)).collect())
        }
        ("GET", ["services"]) => {
            (StatusCode::OK, recorded.services.iter().map(|(name, body)| made(name, body)).collect())
        }
        ("GET", ["distribution", .., "json"]) => (StatusCode::OK, distribution()),
        ("GET", ["networks", name]) => (StatusCode::OK, network(name)),
        ("POST", ["networks", "create"]) => create(recorded, Kind::Network, body),
        ("POST", ["services", "create"]) => create(recorded, Kind::Service, body),
        ("POST", ["services", id, "update"]) => update_service(id, query, body, recorded),
        (_, ["secrets", rest @ ..]) => payload(method, rest, query, body, recorded, Kind::Secret),
        (_, ["configs", rest @ ..]) => payload(method, rest, query, body, recorded, Kind::Config),
        _ => refuse(StatusCode::NOT_FOUND, &format!("the stub has no {method} {path}")),
    }
}

/// Any network that is asked for by name is an external one.
fn network(name: &str) -> Value {
    json!({ "Name": name, "Id": id_of(name), "Scope": "swarm", "Driver": "overlay" })
}

fn made_network(name: &str, body: &Value) -> Value {
    json!({ "Name": name, "Id": id_of(name), "Scope": "swarm", "Driver": body["Driver"], "Labels": body["Labels"] })
}

fn made(name: &str, body: &Value) -> Value {
    json!({ "ID": id_of(name), "Version": { "Index": VERSION }, "Spec": body })
}

/// What a registry says of an image.
fn distribution() -> Value {
    let platform = |(os, architecture): (&str, &str)| json!({ "os": os, "architecture": architecture });
    let media_type = "application/vnd.oci.image.index.v1+json";
    json!({
        "Descriptor": { "mediaType": media_type, "digest": format!("sha256:{DIGEST}"), "size": 1 },
        "Platforms": PLATFORMS.map(platform),
    })
}

#[derive(Clone, Copy)]
enum Kind {
    Network,
    Secret,
    Config,
    Service,
}

impl Recorded {
    fn of(&mut self, kind: Kind) -> &mut BTreeMap<String, Value> {
        match kind {
            Kind::Network => &mut self.networks,
            Kind::Secret => &mut self.secrets,
            Kind::Config => &mut self.configs,
            Kind::Service => &mut self.services,
        }
    }
}

fn create(recorded: &mut Recorded, kind: Kind, body: &[u8]) -> Answer {
    let body: Value = match serde_json::from_slice(body) {
        Ok(body) => body,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let judged = match kind {
        Kind::Network => rules::network(&body),
        Kind::Secret => rules::secret(&body),
        Kind::Config => rules::config(&body),
        Kind::Service => rules::service(&body, recorded),
    };
    if let Err(why) = judged {
        return refuse(StatusCode::BAD_REQUEST, &why);
    }
    let name = body["Name"].as_str().unwrap_or_default().to_owned();
    let answer = json!({ "ID": id_of(&name), "Id": id_of(&name) });
    match recorded.of(kind).insert(name.clone(), body) {
        None => (StatusCode::CREATED, answer),
        Some(_) => refuse(StatusCode::CONFLICT, &format!("{name} exists already")),
    }
}

/// Secrets and configs.
fn payload(method: &Method, rest: &[&str], query: &str, body: &[u8], recorded: &mut Recorded, kind: Kind) -> Answer {
    if let ("POST", ["create"]) = (method.as_str(), rest) {
        return create(recorded, kind, body);
    }
    let created = recorded.of(kind);
    match (method.as_str(), rest) {
        ("GET", []) => {
            (StatusCode::OK, names_asked_for(query).iter().map(|name| found(name, created.get(name))).collect())
        }
        ("GET", [name]) => match created.get(*name) {
            Some(body) => (StatusCode::OK, found(name, Some(body))),
            None => refuse(StatusCode::NOT_FOUND, &format!("{name} not found")),
        },
        ("POST", [id, "update"]) => update(id, body, created),
        _ => refuse(StatusCode::NOT_FOUND, "the stub has no such request"),
    }
}

fn found(name: &str, body: Option<&Value>) -> Value {
    let labels = body.map_or(Value::Null, |body| body["Labels"].clone());
    json!({ "ID": id_of(name), "Version": { "Index": 1 }, "Spec": { "Name": name, "Labels": labels } })
}

/// A manager takes the version that it has, and neither another name nor another mode.
fn update_service(id: &str, query: &str, body: &[u8], recorded: &mut Recorded) -> Answer {
    let body: Value = match serde_json::from_slice(body) {
        Ok(body) => body,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let Some(old) = name_of(id).and_then(|name| recorded.services.get(name)) else {
        return refuse(StatusCode::NOT_FOUND, &format!("service {id} not found"));
    };
    if !query.split('&').any(|pair| pair == format!("version={VERSION}")) {
        return refuse(StatusCode::INTERNAL_SERVER_ERROR, "update out of sequence");
    }
    let mode = |spec: &Value| spec["Mode"].as_object().and_then(|mode| mode.keys().next().cloned());
    if mode(old) != mode(&body) || old["Name"] != body["Name"] {
        return refuse(StatusCode::NOT_IMPLEMENTED, "service mode change is not allowed");
    }
    if let Err(why) = rules::service(&body, recorded) {
        return refuse(StatusCode::BAD_REQUEST, &why);
    }
    recorded.updates.insert(name_of(id).unwrap_or_default().to_owned(), body);
    (StatusCode::OK, json!({ "Warnings": null }))
}

/// A manager lets only labels change.
fn update(id: &str, body: &[u8], created: &mut BTreeMap<String, Value>) -> Answer {
    let old = name_of(id).and_then(|name| created.get_mut(name));
    match (old, serde_json::from_slice::<Value>(body)) {
        (Some(old), Ok(new)) if new["Data"].is_null() || new["Data"] == old["Data"] => {
            old["Labels"] = new["Labels"].clone();
            (StatusCode::OK, Value::Null)
        }
        (Some(_), Ok(_)) => refuse(StatusCode::BAD_REQUEST, "only updates to Labels are allowed"),
        (None, _) => refuse(StatusCode::NOT_FOUND, &format!("{id} not found")),
        (_, Err(error)) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

/// Of `filters={"name":{"a":true}}`, percent-encoded.
fn names_asked_for(query: &str) -> Vec<String> {
    let encoded = query.split('&').find_map(|pair| pair.strip_prefix("filters=")).unwrap_or_default();
    let filters: Value = serde_json::from_slice(&decoded(encoded)).unwrap_or_default();
    filters["name"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
}

fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => match (digit(rest.next()), digit(rest.next())) {
                (Some(high), Some(low)) => (high * 16 + low) as u8,
                _ => b'%',
            },
            other => other,
        });
    }
    bytes
}
