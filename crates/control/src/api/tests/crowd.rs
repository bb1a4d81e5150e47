//! More connections than there is room for, none of which asks anything.

use super::server::Server;
use crate::api::{CONNECTIONS_MAX, FIRST_REQUEST_MAX};
use axum::http::StatusCode;
use std::process::Command;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use waggle_wire::channel::{TlsClientStream, dial};
use waggle_wire::identity::Identity;
use waggle_wire::tls;

const CROWD: usize = 600;
/// At a time, so that no handshake is turned away.
const ARRIVING: usize = 50;

/// Both ends of every connection are in this process.
fn allow_files() {
    let process = std::process::id().to_string();
    let done = Command::new("prlimit").args(["--pid", &process, "--nofile=4096:"]).status();
    assert!(done.is_ok_and(|done| done.success()), "prlimit (util-linux) cannot allow 4096 open files");
}

async fn connect(server: &Server, protocol: &'static [u8]) -> TlsClientStream {
    let config = tls::pinned(server.ca, &[protocol]).unwrap();
    dial(&server.api.to_string(), &Identity::Control, config).await.unwrap()
}

/// Sends nothing, or headers that never end, or only what HTTP/2 begins with.
async fn loiter(mut stream: TlsClientStream, way: usize) {
    let begin: &[u8] = match way % 3 {
        0 => b"",
        1 => b"GET /v1/status HTTP/1.1\r\nhost: control\r\n",
        _ => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    };
    let _ = stream.write_all(begin).await;
    loop {
        sleep(Duration::from_millis(500)).await;
        if way % 3 == 1 && stream.write_all(b"x: y\r\n").await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn those_who_ask_nothing_keep_nobody_out() {
    const { assert!(CROWD > CONNECTIONS_MAX) };
    allow_files();
    let server = Server::start().await;
    let mut crowd = JoinSet::new();
    let here = &server;
    for arriving in (0..CROWD).step_by(ARRIVING) {
        let connecting = (arriving..arriving + ARRIVING)
            .map(|n| async move { (n, connect(here, if n % 3 == 2 { b"h2" } else { b"http/1.1" }).await) });
        for (n, stream) in futures_util::future::join_all(connecting).await {
            crowd.spawn(loiter(stream, n));
        }
    }
    let begin = Instant::now();
    assert_eq!(server.get("/v1/status").await.0, StatusCode::OK);
    assert!(begin.elapsed() < FIRST_REQUEST_MAX * 3, "{:?}", begin.elapsed());
    crowd.shutdown().await;
    server.stop().await;
}

#[tokio::test]
async fn whoever_asks_in_time_is_answered_and_may_ask_again() {
    let server = Server::start().await;
    let mut stream = connect(&server, b"http/1.1").await;
    sleep(FIRST_REQUEST_MAX / 2).await;
    for pause in [FIRST_REQUEST_MAX + Duration::from_secs(1), Duration::ZERO] {
        stream.write_all(b"GET /v1/version HTTP/1.1\r\nhost: control\r\n\r\n").await.unwrap();
        let mut answer = [0; 15];
        timeout(super::PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        let mut rest = vec![0; 4096];
        timeout(super::PATIENCE, stream.read(&mut rest)).await.unwrap().unwrap();
        sleep(pause).await;
    }
    server.stop().await;
}
