//! Probes of real tonic servers over loopback.

use crate::probe::tests::{Does, answer, server, shared, shared_trusting, soon, target};
use crate::probe::{Target, probe};
use crate::tests::fixture::{Ca, eventually, spawn, tcp_check};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tower::util::MapRequestLayer;
use waggle_model::release::{Check, CheckKind, GrpcCheck};
use waggle_wire::channel::Incoming;
use waggle_wire::credentials::Current;
use waggle_wire::identity::Identity;
use waggle_wire::proto::health::health_check_response::ServingStatus;
use waggle_wire::proto::health::health_server::{Health, HealthServer};
use waggle_wire::proto::health::{HealthCheckRequest, HealthCheckResponse};

/// Speaks of three services and of itself; is silent about one.
#[derive(Default)]
struct Shop;

#[tonic::async_trait]
impl Health for Shop {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let status = match request.get_ref().service.as_str() {
            "" | "shop.v1.Web" => ServingStatus::Serving,
            "shop.v1.Cart" => ServingStatus::NotServing,
            "shop.v1.New" => ServingStatus::Unknown,
            "shop.v1.Hangs" => std::future::pending().await,
            "shop.v1.Busy" => return Err(Status::unavailable("come again\u{7} later")),
            other => return Err(Status::not_found(format!("no {other} here"))),
        };
        Ok(Response::new(HealthCheckResponse { status: status.into() }))
    }
}

type Asked = Arc<Mutex<Vec<http::Uri>>>;

struct Running {
    port: u16,
    asked: Asked,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// `with_health`: the server offers the health service at all.
async fn plain(with_health: bool) -> Running {
    let (listener, port) = listen().await;
    let asked = Asked::default();
    let seen = asked.clone();
    let layer = MapRequestLayer::new(move |request: http::Request<tonic::body::Body>| {
        seen.lock().unwrap().push(request.uri().clone());
        request
    });
    let health = with_health.then(|| HealthServer::new(Shop));
    let serve = tonic::transport::Server::builder()
        .layer(layer)
        .add_optional_service(health)
        .serve_with_incoming(TcpListenerStream::new(listener));
    Running { port, asked, task: spawn(async move { serve.await.unwrap() }) }
}

async fn secured(current: &Arc<Current>) -> Running {
    let (listener, port) = listen().await;
    let config = waggle_wire::tls::server(current, waggle_wire::tls::Clients::NotAsked, &[b"h2"]).unwrap();
    let (incoming, accept) = Incoming::new(listener, config, CancellationToken::new()).unwrap();
    let serve = tonic::transport::Server::builder().add_service(HealthServer::new(Shop)).serve_with_incoming(incoming);
    let both = async move { tokio::join!(accept, serve).1.unwrap() };
    Running { port, asked: Asked::default(), task: spawn(both) }
}

fn grpc(port: u16, change: impl FnOnce(&mut GrpcCheck)) -> Target {
    let mut check = GrpcCheck::default();
    change(&mut check);
    let kind = CheckKind::Grpc(check);
    target(Check { kind, timeout: Duration::from_secs(5), ..tcp_check(port) })
}

fn of(port: u16, service: &str) -> Target {
    grpc(port, |check| check.service = service.into())
}

#[tokio::test]
async fn serving_is_good_and_every_other_word_is_told() {
    let (shared, _reports) = shared();
    let running = plain(true).await;
    for service in ["", "shop.v1.Web"] {
        assert_eq!(probe(&of(running.port, service), &shared).await.outcome, Ok(()), "{service}");
    }
    for (service, said) in [
        ("shop.v1.Cart", "service shop.v1.Cart is NOT_SERVING"),
        ("shop.v1.New", "service shop.v1.New is UNKNOWN"),
        ("shop.v1.Busy", "gRPC status UNAVAILABLE: come again later"),
        ("shop.v1.Old", "the server knows no service \"shop.v1.Old\": gRPC status NOT_FOUND: no shop.v1.Old here"),
    ] {
        let why = probe(&of(running.port, service), &shared).await.outcome.unwrap_err();
        assert_eq!(why, format!("127.0.0.1:{}: {said}", running.port));
    }
}

#[tokio::test]
async fn the_authority_is_the_routes_name_or_the_checks_host() {
    let (shared, _reports) = shared();
    let running = plain(true).await;
    let other = grpc(running.port, |check| check.host = Some("other.example".into()));
    for target in [of(running.port, ""), other] {
        assert_eq!(probe(&target, &shared).await.outcome, Ok(()));
    }
    let asked: Vec<String> = running.asked.lock().unwrap().iter().map(ToString::to_string).collect();
    let path = "/grpc.health.v1.Health/Check";
    let own = format!("http://www.shop.example:{}{path}", running.port);
    assert_eq!(asked, [own, format!("http://other.example{path}")]);
}

#[tokio::test]
async fn a_server_without_the_health_service_is_down() {
    let (shared, _reports) = shared();
    let running = plain(false).await;
    let why = probe(&of(running.port, ""), &shared).await.outcome.unwrap_err();
    assert!(why.contains("the server does not offer grpc.health.v1.Health: gRPC status UNIMPLEMENTED"), "{why}");
}

#[tokio::test]
async fn what_hangs_meets_the_deadline_and_what_is_not_http2_is_down() {
    let (shared, _reports) = shared();
    let running = plain(true).await;
    let silent = server(Does::Hangs("")).await;
    for target in [of(running.port, "shop.v1.Hangs"), of(silent.port, ""), grpc(silent.port, |check| check.tls = true)]
    {
        let why = probe(&soon(target), &shared).await.outcome.unwrap_err();
        assert!(why.contains("no answer within 150 ms"), "{why}");
    }
    for says in
        [answer("200 OK", "fine"), Does::Answers(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), Does::Answers(Vec::new())]
    {
        let other = server(says).await;
        let why = probe(&of(other.port, ""), &shared).await.outcome.unwrap_err();
        assert!(why.contains("gRPC status") || why.contains("no valid HTTP/2 answer"), "{why}");
    }
}

#[tokio::test]
async fn nothing_of_a_probe_is_left_when_it_is_dropped() {
    let (shared, _reports) = shared();
    let (listener, port) = listen().await;
    let target = soon(of(port, ""));
    let (outcome, accepted) = tokio::join!(probe(&target, &shared), listener.accept());
    assert!(outcome.outcome.is_err());
    let (stream, _): (_, SocketAddr) = accepted.unwrap();
    // Our end was reset: reading first meets the preface, then the end.
    eventually("the connection is gone", || {
        let mut buffer = [0; 1024];
        let gone = match stream.try_read(&mut buffer) {
            Ok(read) => read == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        };
        async move { gone }
    })
    .await;
}

#[tokio::test]
async fn over_tls_the_certificate_must_be_valid_for_the_host() {
    let ca = Ca::new();
    let identity = Identity::Nameserver("ns-1".parse().unwrap());
    let running = secured(&ca.issue(&identity)).await;
    let host = identity.dns_name();
    let named = |host: Option<&str>| {
        let host = host.map(str::to_owned);
        grpc(running.port, |check| (check.tls, check.host) = (true, host))
    };
    let (trusting, _reports) = shared_trusting(&ca);
    assert_eq!(probe(&named(Some(&host)), &trusting).await.outcome, Ok(()));
    let why = probe(&named(None), &trusting).await.outcome.unwrap_err();
    assert!(why.contains("TLS failed: the certificate is not for www.shop.example but for"), "{why}");
    let (foreign, _reports) = shared();
    let why = probe(&named(Some(&host)), &foreign).await.outcome.unwrap_err();
    assert!(why.contains("TLS failed: the certificate was signed by nobody this nameserver trusts"), "{why}");
    let insecure = grpc(running.port, |check| (check.tls, check.tls_insecure) = (true, true));
    assert_eq!(probe(&insecure, &foreign).await.outcome, Ok(()));
    let expired = secured(&Current::new(ca.expired(&identity))).await;
    let old = grpc(expired.port, |check| (check.tls, check.host) = (true, Some(host.clone())));
    let why = probe(&old, &trusting).await.outcome.unwrap_err();
    assert!(why.contains("TLS failed: the certificate expired ") && why.ends_with(" days ago"), "{why}");
}
