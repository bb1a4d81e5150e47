//! The whole nameserver over loopback, with a control that is scripted.

use super::*;
use crate::config::Secret;
use crate::tests::fixture::{
    ROUTE, addresses, ask, config, eventually, offer, plan, query, tcp_check, with_check, with_peers,
};
use hickory_proto::op::{Edns, Message, ResponseCode};
use hickory_proto::rr::RecordType;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use waggle_dns::Transport;
use waggle_model::Generation;
use waggle_model::health::Verdict;
use waggle_wire::enroll::Saved;
use waggle_wire::identity::Identity;

pub(crate) mod control;
pub(crate) mod fixture;
mod overrides;
mod sockets;

const DEADLINE: Duration = Duration::from_secs(5);

pub(crate) struct Running {
    pub(crate) dns: SocketAddr,
    pub(crate) status: Status,
    statuses: watch::Receiver<Option<Arc<NameserverStatus>>>,
    tasks: Tasks,
}

pub(crate) fn run(nameserver: Nameserver) -> Running {
    let tasks = Tasks::new();
    let (dns, status, statuses) = (nameserver.listening()[0], nameserver.status(), nameserver.statuses());
    nameserver.spawn(&tasks).unwrap();
    Running { dns, status, statuses, tasks }
}

impl Running {
    async fn until(&mut self, check: impl Fn(&NameserverStatus) -> bool) {
        let met = self.statuses.wait_for(|status| status.as_deref().is_some_and(&check));
        tokio::time::timeout(Duration::from_secs(10), met).await.expect("such a status").unwrap();
    }

    pub(crate) async fn end(self) {
        self.tasks.shutdown(DEADLINE).await.unwrap();
    }
}

/// As if a plan had been taken in an earlier life.
pub(crate) fn keep(data_dir: &Path, plan: &RoutePlan) {
    let shelf = Shelf::open(&data_dir.join("plans")).unwrap();
    shelf.keep(plan.generation, &offer(plan).json).unwrap();
}

fn two(generation: u64) -> RoutePlan {
    plan(generation, &[("eu-1", "192.0.2.1"), ("us-1", "192.0.2.2")])
}

async fn exchange(stream: &mut TcpStream, query: &[u8]) -> Vec<u8> {
    stream.write_u16(query.len() as u16).await.unwrap();
    stream.write_all(query).await.unwrap();
    let length = stream.read_u16().await.unwrap();
    let mut reply = vec![0; usize::from(length)];
    stream.read_exact(&mut reply).await.unwrap();
    reply
}

pub(crate) async fn ask_tcp(server: SocketAddr, message: &Message) -> Message {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let reply = tokio::time::timeout(DEADLINE, exchange(&mut stream, &message.to_vec().unwrap())).await.unwrap();
    Message::from_vec(&reply).unwrap()
}

#[tokio::test]
async fn the_last_plan_is_answered_from_disk_without_control() {
    let directory = tempfile::tempdir().unwrap();
    keep(directory.path(), &two(3));
    let running = run(build(config("ns-1", directory.path())).unwrap());
    assert_eq!(addresses(running.dns).await, ["192.0.2.1".parse::<std::net::IpAddr>().unwrap()]);
    let reply = ask_tcp(running.dns, &query(ROUTE, RecordType::A)).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
    assert_eq!(reply.answers.len(), 1);
    assert!(running.status.readiness().ready);
    let metrics = running.status.metrics().unwrap();
    for wanted in [
        "waggle_dns_answers_total{transport=\"udp\",rcode=\"NOERROR\"} 1",
        "waggle_dns_answers_total{transport=\"tcp\",rcode=\"NOERROR\"} 1",
        "waggle_plan_generation 3",
        "waggle_endpoint_fit{route=\"www.shop.example\",cluster=\"eu-1\"}",
    ] {
        assert!(metrics.contains(wanted), "{wanted} in\n{metrics}");
    }
    running.end().await;
}

#[tokio::test]
async fn tcp_says_the_same_as_udp_and_more_where_udp_is_too_short() {
    let directory = tempfile::tempdir().unwrap();
    keep(directory.path(), &two(1));
    let running = run(build(config("ns-1", directory.path())).unwrap());
    let edns = |version| {
        let mut edns = Edns::new();
        edns.set_version(version).set_max_payload(1232).set_dnssec_ok(true);
        let mut message = query(ROUTE, RecordType::A);
        message.edns = Some(edns);
        message
    };
    let queries = [
        query(ROUTE, RecordType::A),
        query("wWw.ShOp.ExAmPlE", RecordType::A),
        query(ROUTE, RecordType::TXT),
        query("nothing.shop.example", RecordType::A),
        query("elsewhere.example", RecordType::A),
        edns(0),
        edns(7),
    ];
    for query in &queries {
        let (udp, tcp) = (ask(running.dns, query).await, ask_tcp(running.dns, query).await);
        assert_eq!(udp, tcp, "{query}");
    }
    let long = query("long.shop.example", RecordType::TXT);
    let udp = ask(running.dns, &long).await;
    assert!(udp.metadata.truncation && udp.answers.is_empty());
    let tcp = ask_tcp(running.dns, &long).await;
    assert!(!tcp.metadata.truncation);
    assert_eq!(tcp.answers.len(), 20);

    // Several queries over one connection, then one that deserves no reply before one that does.
    let mut stream = TcpStream::connect(running.dns).await.unwrap();
    for query in &queries {
        let reply = exchange(&mut stream, &query.to_vec().unwrap()).await;
        assert_eq!(Message::from_vec(&reply).unwrap().metadata.id, 4711);
    }
    let mut response = queries[0].to_vec().unwrap();
    response[2] |= 0x80;
    stream.write_u16(response.len() as u16).await.unwrap();
    stream.write_all(&response).await.unwrap();
    let reply = exchange(&mut stream, &queries[0].to_vec().unwrap()).await;
    assert_eq!(Message::from_vec(&reply).unwrap().answers.len(), 1);
    running.end().await;
}

#[tokio::test]
async fn a_panic_costs_one_answer() {
    fn broken(
        serving: &Serving,
        query: &[u8],
        source: SocketAddr,
        transport: Transport,
        now: Timestamp,
        out: &mut [u8],
    ) -> Option<usize> {
        assert!(!query.windows(4).any(|window| window == b"boom"), "a bug in the engine");
        serving.answer(query, source, transport, now, out)
    }
    let directory = tempfile::tempdir().unwrap();
    keep(directory.path(), &two(1));
    let mut nameserver = build(config("ns-1", directory.path())).unwrap();
    nameserver.answer = broken;
    let traffic = nameserver.shared.traffic.clone();
    let running = run(nameserver);
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let boom = query("boom.shop.example", RecordType::A).to_vec().unwrap();
    for _ in 0..3 {
        socket.send_to(&boom, running.dns).await.unwrap();
    }
    eventually("the panics are counted", || {
        let panics = traffic.panics();
        async move { panics == 3 }
    })
    .await;
    assert_eq!(addresses(running.dns).await.len(), 1);
    let mut stream = TcpStream::connect(running.dns).await.unwrap();
    stream.write_u16(boom.len() as u16).await.unwrap();
    stream.write_all(&boom).await.unwrap();
    let reply = exchange(&mut stream, &query(ROUTE, RecordType::A).to_vec().unwrap()).await;
    assert_eq!(Message::from_vec(&reply).unwrap().answers.len(), 1);
    assert_eq!(traffic.panics(), 4);
    assert!(running.status.metrics().unwrap().contains("waggle_dns_threads_restarted_total 0"));
    running.end().await;
}

#[tokio::test]
async fn without_any_plan_it_is_silent_and_not_ready() {
    let directory = tempfile::tempdir().unwrap();
    let running = run(build(config("ns-1", directory.path())).unwrap());
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let bytes = query(ROUTE, RecordType::A).to_vec().unwrap();
    socket.send_to(&bytes, running.dns).await.unwrap();
    eventually("the query is dropped", || {
        let metrics = running.status.metrics().unwrap();
        async move { metrics.contains("waggle_dns_dropped_total{transport=\"udp\"} 1") }
    })
    .await;
    assert!(!running.status.readiness().ready);
    running.end().await;
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = build(Config { listen: vec![address], ..config("ns-1", directory.path()) }).err().unwrap();
    let text = waggle_daemon::tasks::chain(&error);
    assert!(text.contains(&format!("cannot listen on {address} (UDP)")), "{text}");

    let first = build(config("ns-1", directory.path())).unwrap();
    let address = first.listening()[0];
    let error = build(Config { listen: vec![address], ..config("ns-2", directory.path()) }).err().unwrap();
    assert!(waggle_daemon::tasks::chain(&error).contains(&address.to_string()));

    let peer = first.peer_address();
    let error = build(Config { peer_listen: peer, ..config("ns-1", directory.path()) }).err().unwrap();
    let text = waggle_daemon::tasks::chain(&error);
    assert!(text.contains(&format!("cannot listen on {peer} for beats and views")), "{text}");
}

#[tokio::test]
async fn what_the_configuration_lacks_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let base = || config("ns-1", directory.path());
    let text = |config| waggle_daemon::tasks::chain(&build(config).err().unwrap());
    assert!(text(Config { listen: Vec::new(), ..base() }).contains("listen is empty"));
    assert!(text(Config { workers: Some(0), ..base() }).contains("workers is 0"));
    let control = vec!["127.0.0.1:1".to_owned()];
    let peer_listen = "0.0.0.0:0".parse().unwrap();
    assert!(text(Config { control: control.clone(), peer_listen, ..base() }).contains("set advertise"));
    assert!(text(Config { control: control.clone(), ..base() }).contains("no token"));
    let token = Some(Secret::new("nonsense".into()));
    assert!(text(Config { control, token, ..base() }).contains("not a waggle token"));
    assert!(text(Config { user: Some("no-such-user".into()), ..base() }).contains("there is no user no-such-user"));
}

#[tokio::test]
async fn a_dead_endpoint_is_left_by_own_probes_alone() {
    let directory = tempfile::tempdir().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let clusters = [("a-1", "127.0.0.2"), ("b-1", "127.0.0.1"), ("c-1", "127.0.0.1"), ("d-1", "127.0.0.1")];
    keep(directory.path(), &with_check(plan(1, &clusters), tcp_check(port)));
    let running = run(build(config("ns-1", directory.path())).unwrap());
    let alive: std::net::IpAddr = "127.0.0.1".parse().unwrap();
    eventually("answers leave 127.0.0.2", || async { addresses(running.dns).await == [alive] }).await;
    running.end().await;
    drop(listener);
}

/// Answers each HTTP request with 200, so much later.
fn http_server(listener: tokio::net::TcpListener, delay: Duration) -> tokio::task::JoinHandle<()> {
    fixture::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.is_ok_and(|read| read > 0) {}
                tokio::time::sleep(delay).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            });
        }
    })
}

#[tokio::test]
async fn an_endpoint_that_answers_right_but_slowly_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let quick = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = quick.local_addr().unwrap().port();
    let slow = tokio::net::TcpListener::bind(("127.0.0.2", port)).await.unwrap();
    let servers = [http_server(quick, Duration::ZERO), http_server(slow, Duration::from_millis(1200))];
    let clusters = [("a-1", "127.0.0.2"), ("b-1", "127.0.0.1"), ("c-1", "127.0.0.1"), ("d-1", "127.0.0.1")];
    let (timeout, latency) = (Duration::from_secs(8), Some(Duration::from_millis(1000)));
    let check = waggle_model::release::Check { timeout, latency, ..fixture::http_check(port).0 };
    keep(directory.path(), &with_check(plan(1, &clusters), check));
    let mut running = run(build(config("ns-1", directory.path())).unwrap());
    let quick: std::net::IpAddr = "127.0.0.1".parse().unwrap();
    eventually("answers leave 127.0.0.2", || async { addresses(running.dns).await == [quick] }).await;
    let slow = |entry: &&waggle_model::plan::EndpointVerdict| entry.cluster.as_str() == "a-1";
    let limit = |why: &str| why.contains(": answered in 1") && why.ends_with(" ms, limit 1000 ms");
    let said = |status: &NameserverStatus| match status.verdicts.iter().find(slow) {
        Some(entry) => entry.probe_ms >= Some(1200) && matches!(&entry.verdict, Verdict::Unfit(why) if limit(why)),
        None => false,
    };
    running.until(said).await;
    let metrics = running.status.metrics().unwrap();
    assert!(
        metrics.contains("waggle_probe_latency_seconds{route=\"www.shop.example\",cluster=\"a-1\"} 1."),
        "{metrics}"
    );
    servers.iter().for_each(|server| server.abort());
    running.end().await;
}

/// As at Facebook in October 2021: every nameserver loses sight of everything. None of them withdraws anything for it.
#[tokio::test]
async fn nameservers_that_see_nothing_go_on_answering() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let control = control::start().await;
    let config = |name, directory: &Path| {
        let token = Some(Secret::new(control.token.expose()));
        Config { control: vec![control.address.to_string()], token, ..config(name, directory) }
    };
    let (first, second) = (build(config("ns-1", one.path())).unwrap(), build(config("ns-2", two.path())).unwrap());
    let peers = [("ns-1", first.peer_address()), ("ns-2", second.peer_address())];
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let clusters = [("a-1", "127.0.0.2"), ("b-1", "127.0.0.3"), ("c-1", "127.0.0.4")];
    control.send(&with_peers(with_check(plan(1, &clusters), tcp_check(port)), &peers));
    let mut running = [run(first), run(second)];
    for one in &mut running {
        one.until(|status| status.verdicts.len() == 3 && status.verdicts.iter().all(|v| v.verdict == Verdict::Fit))
            .await;
    }
    let before = addresses(running[0].dns).await;
    control.end().await;
    drop(listener);
    for one in &mut running {
        one.until(|status| status.verdicts.iter().all(|verdict| verdict.probe_up == Some(false))).await;
        assert_eq!(addresses(one.dns).await, before);
        assert!(one.status.readiness().ready);
    }
    // Started again while it is so, from what is on disk.
    let [first, second] = running;
    first.end().await;
    second.end().await;
    let again = run(build(fixture::config("ns-1", one.path())).unwrap());
    assert_eq!(addresses(again.dns).await, before);
    again.end().await;
}

#[tokio::test]
async fn it_joins_takes_plans_and_reports() {
    let directory = tempfile::tempdir().unwrap();
    let mut control = control::start().await;
    let config = Config {
        control: vec![control.address.to_string()],
        token: Some(Secret::new(control.token.expose())),
        ..config("ns-1", directory.path())
    };
    let mut running = run(build(config.clone()).unwrap());
    control.send(&two(1));
    running.until(|status| status.generation == Generation(1)).await;
    control.reported(Generation(1)).await;
    assert_eq!(addresses(running.dns).await.len(), 1);

    // The ledger and a new generation arrive at control without being asked for.
    let swapped = plan(2, &[("us-1", "192.0.2.2")]);
    control.send(&swapped);
    let status = control.reported(Generation(2)).await;
    assert!(status.ledger.iter().any(|entry| entry.cluster.as_str() == "eu-1"), "{:?}", status.ledger);
    control.send(&two(1));
    control.send(&two(3));
    control.reported(Generation(3)).await;

    // Control dies: answers go on, and the session comes back with it.
    let revived = control.restart().await;
    assert_eq!(addresses(running.dns).await.len(), 1);
    let mut control = revived;
    control.send(&two(4));
    control.reported(Generation(4)).await;
    running.end().await;

    // The certificate and the plan were kept, the token is spent.
    let mut again = run(build(Config { token: None, ..config }).unwrap());
    again.until(|status| status.generation == Generation(4)).await;
    control.reported(Generation(4)).await;
    again.end().await;
    control.end().await;
}

#[tokio::test]
async fn a_certificate_in_its_second_half_is_renewed_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let control = control::start().await;
    let me = Identity::Nameserver("ns-1".parse().unwrap());
    let aged = control.ca().aged(&me);
    let path = directory.path().join("identity.json");
    let saved = |credentials| serde_json::to_vec(&Saved::from(credentials)).unwrap();
    waggle_daemon::file::write_document(&path, &saved(&aged)).unwrap();
    let config = Config { control: vec![control.address.to_string()], ..config("ns-1", directory.path()) };
    let running = run(build(config).unwrap());
    eventually("another certificate is on disk", || {
        let now = waggle_daemon::file::read_document(&path).unwrap().unwrap();
        let renewed = now != saved(&aged);
        async move { renewed }
    })
    .await;
    running.end().await;
    control.end().await;
}

#[tokio::test]
async fn an_expired_certificate_does_not_stop_the_answers() {
    let directory = tempfile::tempdir().unwrap();
    keep(directory.path(), &two(3));
    let expired = fixture::Ca::new().expired(&Identity::Nameserver("ns-1".parse().unwrap()));
    let saved = serde_json::to_vec(&Saved::from(&expired)).unwrap();
    waggle_daemon::file::write_document(&directory.path().join("identity.json"), &saved).unwrap();
    let config = Config { control: vec!["127.0.0.1:1".into()], ..config("ns-1", directory.path()) };
    let running = run(build(config).unwrap());
    assert_eq!(addresses(running.dns).await, ["192.0.2.1".parse::<std::net::IpAddr>().unwrap()]);
    running.end().await;
}

#[tokio::test]
async fn two_nameservers_agree_about_a_dead_endpoint() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let control = control::start().await;
    let start = |name, directory: &Path| {
        let token = Some(Secret::new(control.token.expose()));
        let nameserver =
            build(Config { control: vec![control.address.to_string()], token, ..config(name, directory) }).unwrap();
        (nameserver.peer_address(), run(nameserver))
    };
    let ((first, mut one), (second, mut two)) = (start("ns-1", one.path()), start("ns-2", two.path()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let clusters = [("a-1", "127.0.0.2"), ("b-1", "127.0.0.1"), ("c-1", "127.0.0.1"), ("d-1", "127.0.0.1")];
    let plan = with_check(plan(1, &clusters), tcp_check(port));
    control.send(&with_peers(plan, &[("ns-1", first), ("ns-2", second)]));
    let agreed = |status: &NameserverStatus| {
        let unfit = |why: &str| why.contains("2 of 2 observers fail");
        status.verdicts.iter().any(|entry| matches!(&entry.verdict, Verdict::Unfit(why) if unfit(why)))
    };
    one.until(agreed).await;
    two.until(agreed).await;
    let alive: std::net::IpAddr = "127.0.0.1".parse().unwrap();
    assert_eq!((addresses(one.dns).await, addresses(two.dns).await), (vec![alive], vec![alive]));
    one.end().await;
    two.end().await;
    control.end().await;
}

#[tokio::test]
async fn shutdown_keeps_its_deadline_with_everything_open() {
    let directory = tempfile::tempdir().unwrap();
    let control = control::start().await;
    keep(directory.path(), &with_check(two(1), tcp_check(9)));
    let config = Config {
        control: vec![control.address.to_string()],
        token: Some(Secret::new(control.token.expose())),
        status_listen: Some("127.0.0.1:0".parse().unwrap()),
        ..config("ns-1", directory.path())
    };
    let running = run(build(config).unwrap());
    let mut idle = TcpStream::connect(running.dns).await.unwrap();
    exchange(&mut idle, &query(ROUTE, RecordType::A).to_vec().unwrap()).await;
    let began = tokio::time::Instant::now();
    running.tasks.shutdown(DEADLINE).await.unwrap();
    assert!(began.elapsed() < DEADLINE);
    assert_eq!(running.tasks.running(), Vec::<&str>::new());
    control.end().await;
}
