//! A whole control on loopback, and a client of its API.

use super::PATIENCE;
use crate::Config;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use waggle_daemon::Tasks;
use waggle_wire::channel::dial;
use waggle_wire::identity::Identity;
use waggle_wire::tls;

pub(super) struct Server {
    dir: tempfile::TempDir,
    tasks: Tasks,
    pub(super) api: SocketAddr,
    pub(super) grpc: SocketAddr,
    pub(super) ca: [u8; 32],
}

pub(super) fn config(dir: &Path) -> Config {
    let any = "127.0.0.1:0".parse().unwrap();
    Config { data_dir: dir.join("data"), api_listen: any, grpc_listen: any, ..Config::default() }
}

impl Server {
    pub(super) async fn start() -> Server {
        Server::start_in(tempfile::tempdir().unwrap()).await
    }

    async fn start_in(dir: tempfile::TempDir) -> Server {
        let control = crate::build(config(dir.path())).await.unwrap();
        let (api, grpc, ca) = (control.api_addr().unwrap(), control.grpc_addr().unwrap(), control.ca_digest());
        let tasks = Tasks::new();
        control.spawn(&tasks).unwrap();
        Server { dir, tasks, api, grpc, ca }
    }

    pub(super) async fn stop(self) {
        self.tasks.shutdown(Duration::from_secs(5)).await.expect("shutdown ends in time");
    }

    pub(super) async fn restart(self) -> Server {
        self.tasks.shutdown(Duration::from_secs(5)).await.expect("shutdown ends in time");
        Server::start_in(self.dir).await
    }

    pub(super) fn token(&self) -> String {
        let text = std::fs::read_to_string(self.dir.path().join("data/admin.token")).unwrap();
        text.trim().to_owned()
    }

    pub(super) fn data_contains(&self, needle: &[u8]) -> bool {
        let files = std::fs::read_dir(self.dir.path().join("data")).unwrap();
        files.into_iter().any(|file| {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            bytes.windows(needle.len()).any(|window| window == needle)
        })
    }

    pub(super) async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.ask(Method::GET, path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.ask(Method::POST, path, Some(body)).await
    }

    pub(super) async fn put(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.ask(Method::PUT, path, Some(body)).await
    }

    pub(super) async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        self.ask_with(Some(&self.token()), method, path, body).await
    }

    pub(super) async fn ask_with(
        &self,
        token: Option<&str>,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let (status, bytes) = self.send(token, method, path, body).await;
        let json = serde_json::from_slice(&bytes);
        (status, json.unwrap_or_else(|error| panic!("{path}: {error}: {:?}", String::from_utf8_lossy(&bytes))))
    }

    /// All events of a stream, until the server ends it.
    pub(super) async fn events(&self, path: &str) -> Vec<Value> {
        let (status, bytes) = self.send(Some(&self.token()), Method::GET, path, None).await;
        assert_eq!(status, StatusCode::OK);
        let text = String::from_utf8(bytes).unwrap();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(|json| serde_json::from_str(json).unwrap()).collect()
    }

    pub(super) async fn until(&self, path: &str, done: impl Fn(&Value) -> bool) -> Value {
        let waiting = async {
            loop {
                let (_, body) = self.get(path).await;
                if done(&body) {
                    return body;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(body) => body,
            Err(_) => panic!("{path} does not come to it: {}", self.get(path).await.1),
        }
    }

    async fn send(
        &self,
        token: Option<&str>,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Vec<u8>) {
        let config = tls::pinned(self.ca, &[b"http/1.1"]).unwrap();
        let stream = dial(&self.api.to_string(), &Identity::Control, config).await.unwrap();
        let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "control");
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let asking = async {
            let response = client.send_request(request.body(body).unwrap()).await.unwrap();
            let status = response.status();
            let bytes = response.into_body().collect().await.unwrap().to_bytes().to_vec();
            (status, bytes)
        };
        let driving = async {
            let _ = connection.await;
            std::future::pending::<()>().await;
        };
        let answer = async {
            tokio::select! {
                answer = asking => answer,
                () = driving => unreachable!("the connection outlives the answer"),
            }
        };
        tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| panic!("{path} is not answered"))
    }
}
