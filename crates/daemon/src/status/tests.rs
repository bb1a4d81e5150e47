use std::net::SocketAddr;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Status, serve};
use crate::tasks::Tasks;

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn readiness_over_http_follows_the_conditions() {
    let status = Status::new();
    let (tasks, address) = start(&status).await;

    let (code, body) = get(address, "/readyz").await;
    assert_eq!(code, 503);
    assert_eq!(json_of(&body), json!({"ready": false, "reasons": {"start": "no condition has been reported yet"}}));

    status.ready("plan", Err("no plan yet".to_owned()));
    status.ready("sockets", Ok(()));
    let (code, body) = get(address, "/readyz").await;
    assert_eq!(code, 503);
    assert_eq!(json_of(&body), json!({"ready": false, "reasons": {"plan": "no plan yet"}}));

    status.ready("plan", Ok(()));
    let (code, body) = get(address, "/readyz").await;
    assert_eq!(code, 200);
    assert_eq!(json_of(&body), json!({"ready": true, "reasons": {}}));

    assert_eq!(get(address, "/livez").await.0, 200);
    assert_eq!(get(address, "/elsewhere").await.0, 404);
    tasks.shutdown(LONG).await.unwrap();
}

#[tokio::test]
async fn metrics_are_open_metrics_text() {
    let status = Status::new();
    let queries = status.register(|registry| {
        let queries: Counter = Counter::default();
        registry.register("queries", "Queries answered", queries.clone());
        queries
    });
    queries.inc_by(3);
    let (tasks, address) = start(&status).await;
    let (code, body) = get(address, "/metrics").await;
    assert_eq!(code, 200);
    assert!(body.contains("\nwaggle_queries_total 3\n"), "{body}");
    assert!(body.contains("\nwaggle_build_info{version=\""), "{body}");
    assert!(body.ends_with("# EOF\n"), "{body}");
    tasks.shutdown(LONG).await.unwrap();
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_shutdown() {
    let (tasks, address) = start(&Status::new()).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /livez HT").await.unwrap();
    // An answer to a later connection shows that the first one was accepted.
    assert_eq!(get(address, "/livez").await.0, 200);
    tasks.shutdown(LONG).await.unwrap();
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let (tasks, address) = start(&Status::new()).await;
    let mut open = Vec::new();
    for _ in 0..super::MAX_CONNECTIONS {
        open.push(connected(address).await);
    }
    let mut waiting = TcpStream::connect(address).await.unwrap();
    waiting.write_all(b"GET /livez HTTP/1.0\r\n\r\n").await.unwrap();
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(50), waiting.read(&mut byte)).await;
    assert!(early.is_err(), "answered beyond the limit");
    open.clear();
    let answered = tokio::time::timeout(LONG, waiting.read(&mut byte)).await.unwrap().unwrap();
    assert_eq!(answered, 1);
    tasks.shutdown(LONG).await.unwrap();
}

async fn start(status: &Status) -> (Tasks, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tasks = Tasks::new();
    tasks.spawn("status", serve(listener, status.clone(), tasks.token()));
    (tasks, address)
}

/// A connection that was answered and stays open.
async fn connected(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    let mut byte = [0];
    stream.read_exact(&mut byte).await.unwrap();
    stream
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    (code, body.to_owned())
}

fn json_of(body: &str) -> serde_json::Value {
    serde_json::from_str(body).unwrap()
}
