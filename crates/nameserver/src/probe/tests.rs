use super::*;
use crate::tests::fixture::{Ca, cluster, domain, eventually, http_check, plan, spawn, tcp_check, with_check};
use prometheus_client::registry::Registry;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use waggle_model::release::HttpCheck;
use waggle_wire::credentials::Current;
use waggle_wire::identity::Identity;

/// What a server does with each connection once it has read the request's head.
#[derive(Clone)]
pub(super) enum Does {
    /// Sends these parts, then closes.
    Answers(Vec<u8>),
    /// The same, so much later.
    AnswersAfter(Duration, Vec<u8>),
    /// Sends this and then nothing more, ever.
    Hangs(&'static str),
}

pub(super) struct Server {
    pub port: u16,
    /// Heads of requests.
    seen: mpsc::UnboundedReceiver<String>,
    _tasks: JoinSet<()>,
}

pub(super) async fn server(does: Does) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (send, seen) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            connections.spawn(converse(stream, does.clone(), send.clone()));
        }
    });
    Server { port, seen, _tasks: tasks }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, does: Does, seen: mpsc::UnboundedSender<String>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let _ = seen.send(String::from_utf8(head).unwrap());
    if let Does::AnswersAfter(delay, _) = does {
        tokio::time::sleep(delay).await;
    }
    match does {
        Does::Answers(bytes) | Does::AnswersAfter(_, bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Does::Hangs(begin) => {
            let _ = stream.write_all(begin.as_bytes()).await;
            std::future::pending::<()>().await;
        }
    }
}

pub(super) fn answer(status: &str, body: &str) -> Does {
    let text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    Does::Answers(text.into_bytes())
}

pub(super) fn shared() -> (Shared, mpsc::Receiver<Report>) {
    shared_with(tls::Clients::default())
}

/// Trusts what this authority signed.
pub(super) fn shared_trusting(ca: &Ca) -> (Shared, mpsc::Receiver<Report>) {
    shared_with(tls::Clients::of(vec![ca.root()]))
}

fn shared_with(tls: tls::Clients) -> (Shared, mpsc::Receiver<Report>) {
    let (reports, received) = mpsc::channel(16);
    let metrics = ProbeMetrics::register(&mut Registry::default());
    (Shared { tls, permits: Semaphore::new(8), metrics, reports }, received)
}

pub(super) fn target(check: Check) -> Target {
    let addresses = vec!["127.0.0.1".parse().unwrap()];
    Target { route: domain("www.shop.example"), cluster: cluster("eu-1"), addresses, check }
}

fn http(port: u16, change: impl FnOnce(&mut HttpCheck)) -> Target {
    let (check, mut http) = http_check(port);
    change(&mut http);
    target(Check { kind: CheckKind::Http(http), timeout: Duration::from_secs(5), ..check })
}

/// The same with a deadline that a hanging server will meet.
pub(super) fn soon(mut target: Target) -> Target {
    target.check.timeout = Duration::from_millis(150);
    target
}

async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn a_port_that_accepts_is_up_and_one_that_refuses_is_not() {
    let (shared, _reports) = shared();
    let up = server(Does::Hangs("")).await;
    assert_eq!(probe(&target(tcp_check(up.port)), &shared).await.outcome, Ok(()));
    let why = probe(&target(tcp_check(free_port().await)), &shared).await.outcome.unwrap_err();
    assert!(why.contains("cannot connect"), "{why}");
}

/// A full accept queue drops first packets, as a lossy link does.
#[tokio::test]
async fn a_lost_first_packet_is_no_failed_probe() {
    let (shared, _reports) = shared();
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(100), tokio::net::TcpStream::connect(address)).await {
        waiting.push(stream.unwrap());
        assert!(waiting.len() < 100, "the queue is never full");
    }
    // TCP would try again after a second.
    let mut target = target(tcp_check(address.port()));
    target.check.timeout = Duration::from_millis(900);
    let room = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut taken = Vec::new();
        while taken.len() < waiting.len() {
            taken.push(listener.accept().await.unwrap());
        }
        taken
    };
    let (probed, _taken) = tokio::join!(probe(&target, &shared), room);
    assert_eq!(probed.outcome, Ok(()));
    assert!(probed.took >= target.check.second_try(), "{:?}", probed.took);
}

#[tokio::test]
async fn a_request_names_host_path_and_wants_no_second_one() {
    let (shared, _reports) = shared();
    let mut server = server(answer("204 No Content", "")).await;
    let own = http(server.port, |check| check.path = "/healthz?deep=1".into());
    assert_eq!(probe(&own, &shared).await.outcome, Ok(()));
    let head = server.seen.recv().await.unwrap().to_lowercase();
    assert!(head.starts_with("get /healthz?deep=1 http/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: www.shop.example:{}\r\n", server.port)), "{head}");
    assert!(head.contains("connection: close\r\n"), "{head}");
    let other = http(server.port, |check| check.host = Some("other.example".into()));
    assert_eq!(probe(&other, &shared).await.outcome, Ok(()));
    assert!(server.seen.recv().await.unwrap().to_lowercase().contains("host: other.example\r\n"));
}

#[tokio::test]
async fn the_status_decides() {
    let (shared, _reports) = shared();
    for (status, wanted, good) in [
        ("200 OK", None, true),
        ("302 Found", None, true),
        ("404 Not Found", None, false),
        ("503 Busy", None, false),
        ("503 Busy", Some(503), true),
        ("200 OK", Some(204), false),
    ] {
        let server = server(answer(status, "x")).await;
        let outcome = probe(&http(server.port, |check| check.status = wanted), &shared).await.outcome;
        assert_eq!(outcome.is_ok(), good, "{status} {wanted:?} {outcome:?}");
    }
}

#[tokio::test]
async fn the_text_must_be_within_the_first_64_kib() {
    let (shared, _reports) = shared();
    let find = |port| http(port, |check| check.contains = Some("all is well".into()));
    for (body, good) in [
        ("so far all is well here".to_owned(), true),
        ("all is broken".to_owned(), false),
        (format!("{}all is well", "x".repeat(http::BODY_MAX - 11)), true),
        (format!("{}all is well", "x".repeat(http::BODY_MAX - 10)), false),
        (format!("{}all is well", "x".repeat(1 << 20)), false),
    ] {
        let server = server(answer("200 OK", &body)).await;
        let outcome = probe(&find(server.port), &shared).await.outcome;
        assert_eq!(outcome.is_ok(), good, "{} {outcome:?}", body.len());
    }
    let cut = server(Does::Answers(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nall is".to_vec())).await;
    assert!(probe(&find(cut.port), &shared).await.outcome.is_err());
}

#[tokio::test]
async fn a_server_that_hangs_anywhere_meets_the_deadline() {
    let (shared, _reports) = shared();
    for begin in ["", "HTTP/1.1 200 OK\r\nContent-", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nall"] {
        let server = server(Does::Hangs(begin)).await;
        let began = Instant::now();
        let target = soon(http(server.port, |check| check.contains = Some("well".into())));
        let why = probe(&target, &shared).await.outcome.unwrap_err();
        assert!(why.contains("no answer within 150 ms"), "{begin:?}: {why}");
        assert!(began.elapsed() < Duration::from_secs(3));
    }
    // A TLS handshake that never goes on.
    let silent = server(Does::Hangs("")).await;
    let why = probe(&soon(http(silent.port, |check| check.tls = true)), &shared).await.outcome.unwrap_err();
    assert!(why.contains("no answer within"), "{why}");
}

#[tokio::test]
async fn a_right_answer_beyond_the_latency_limit_is_a_failure() {
    let (shared, _reports) = shared();
    let delay = Duration::from_millis(120);
    let Does::Answers(bytes) = answer("200 OK", "fine") else { unreachable!() };
    let slow = server(Does::AnswersAfter(delay, bytes)).await;
    let limited = |limit: u64| {
        let target = http(slow.port, |_| {});
        Target { check: Check { latency: Some(Duration::from_millis(limit)), ..target.check }, ..target }
    };
    let probed = probe(&limited(100), &shared).await;
    assert!(probed.took >= delay, "{:?}", probed.took);
    let why = probed.outcome.unwrap_err();
    assert_eq!(why, format!("127.0.0.1:{}: answered in {} ms, limit 100 ms", slow.port, millis(&why)));
    let probed = probe(&limited(4900), &shared).await;
    assert_eq!(probed.outcome, Ok(()));
    assert!(probed.took >= delay, "{:?}", probed.took);
}

/// The time that a reason names.
fn millis(why: &str) -> u64 {
    let rest = why.split_once("answered in ").expect(why).1;
    rest.split_once(" ms").unwrap().0.parse().unwrap()
}

#[tokio::test]
async fn what_is_not_http_is_down() {
    let (shared, _reports) = shared();
    let huge = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(64 * 1024));
    for bytes in ["SSH-2.0-OpenSSH_9.2\r\n", "", &huge] {
        let server = server(Does::Answers(bytes.as_bytes().to_vec())).await;
        let why = probe(&http(server.port, |_| {}), &shared).await.outcome.unwrap_err();
        assert!(why.contains("no valid HTTP answer"), "{why}");
    }
}

/// A server that shows the certificate of `current`; returns its port.
async fn secured(current: &Arc<Current>, tasks: &mut JoinSet<()>) -> u16 {
    let config = waggle_wire::tls::server(current, waggle_wire::tls::Clients::NotAsked, &[b"http/1.1"]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tasks.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(stream) = TlsAcceptor::from(config.clone()).accept(stream).await {
                converse(stream, answer("200 OK", "fine"), mpsc::unbounded_channel().0).await;
            }
        }
    });
    port
}

#[tokio::test]
async fn a_certificate_must_be_trusted_unless_the_check_says_otherwise() {
    let ((shared, _), mut tasks) = (shared(), JoinSet::new());
    let ca = Ca::new();
    let identity = Identity::Nameserver("ns-1".parse().unwrap());
    let port = secured(&ca.issue(&identity), &mut tasks).await;
    let named = |port, host: &str| {
        let host = Some(host.to_owned());
        http(port, |check| (check.tls, check.host) = (true, host))
    };
    let (trusting, _reports) = shared_trusting(&ca);
    let host = identity.dns_name();
    assert_eq!(probe(&named(port, &host), &trusting).await.outcome, Ok(()));
    let expired = secured(&Current::new(ca.expired(&identity)), &mut tasks).await;
    let old = "the certificate expired ".to_owned();
    let other = format!("the certificate is not for other.example but for {host}");
    let foreign = "the certificate was signed by nobody this nameserver trusts".to_owned();
    for (target, shared, told) in [
        (named(port, "other.example"), &trusting, other),
        (named(port, &host), &shared, foreign),
        (named(expired, &host), &trusting, old),
    ] {
        let why = probe(&target, shared).await.outcome.unwrap_err();
        assert!(why.contains(&format!(": TLS failed: {told}")), "{why}");
    }
    let insecure = http(port, |check| (check.tls, check.tls_insecure) = (true, true));
    assert_eq!(probe(&insecure, &shared).await.outcome, Ok(()));
}

#[test]
fn families_count_as_both_unless_this_machine_has_no_route() {
    let address: SocketAddr = "192.0.2.1:80".parse().unwrap();
    let failed = || Err(Failure::Failed("refused".to_owned()));
    let cases = [
        (vec![Ok(())], true),
        (vec![Ok(()), Ok(())], true),
        (vec![Ok(()), failed()], false),
        (vec![Ok(()), Err(Failure::NoRoute)], true),
        (vec![failed(), Err(Failure::NoRoute)], false),
        (vec![Err(Failure::NoRoute)], false),
    ];
    for (outcomes, up) in cases {
        let outcomes: Vec<_> = outcomes.into_iter().map(|outcome| (address, outcome)).collect();
        assert_eq!(conclude(&outcomes).is_ok(), up, "{outcomes:?}");
    }
}

#[test]
fn one_address_of_each_family_is_probed() {
    let addresses = ["192.0.2.1", "2001:db8::1", "192.0.2.2", "2001:db8::2"].map(|text| text.parse().unwrap());
    assert_eq!(one_per_family(&addresses), addresses[..2]);
}

#[test]
fn probes_spread_over_the_interval() {
    let every = Duration::from_secs(1);
    let of = |number| phase(&Target { cluster: cluster(&format!("c{number}")), ..target(tcp_check(1)) }, every);
    let phases: Vec<_> = (0..64).map(of).collect();
    for quarter in 0..4u32 {
        let from = every / 4 * quarter;
        let within = phases.iter().filter(|phase| **phase >= from && **phase < from + every / 4).count();
        assert!((4..=32).contains(&within), "{within} of 64 in quarter {quarter}");
    }
}

#[tokio::test]
async fn an_endpoint_that_leaves_the_plan_is_probed_no_more() {
    let server = server(Does::Hangs("")).await;
    let full = with_check(plan(1, &[("eu-1", "127.0.0.1"), ("us-1", "127.0.0.1")]), tcp_check(server.port));
    let less = with_check(plan(2, &[("us-1", "127.0.0.1")]), tcp_check(server.port));
    let (plans, watched) = watch::channel(Some(Arc::new(full)));
    let (send, mut reports) = mpsc::channel(16);
    let stop = CancellationToken::new();
    let mut registry = Registry::default();
    let metrics = ProbeMetrics::register(&mut registry);
    let task = spawn(run(watched, send, metrics, stop.clone()));
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 2 {
        let report = reports.recv().await.unwrap();
        assert_eq!(report.result.outcome, Ok(()));
        seen.insert(report.cluster);
    }
    plans.send_replace(Some(Arc::new(less)));
    eventually("one target is left", || {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let done = text.contains("probe_targets 1\n");
        let drained = std::iter::from_fn(|| reports.try_recv().ok()).count();
        async move { done && drained < 100 }
    })
    .await;
    while reports.try_recv().is_ok() {}
    for _ in 0..5 {
        assert_eq!(reports.recv().await.unwrap().cluster, cluster("us-1"));
    }
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), task).await.expect("it ends").unwrap();
}
