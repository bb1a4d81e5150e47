//! Break-glass overrides over loopback: real nameservers, no control, and what clients get.

use super::*;
use std::net::IpAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use waggle_model::health::overrides::{Effect, Hex, Order, Signed, Target};
use waggle_wire::override_key::OverrideKey;

fn now() -> waggle_model::Timestamp {
    waggle_model::Timestamp(waggle_daemon::time::now())
}

fn sign(key: &OverrideKey, route: Option<&str>, cluster: &str, effect: Effect) -> Signed {
    let target = Target { route: route.map(fixture::domain), cluster: fixture::cluster(cluster) };
    let (issued, reason) = (now(), "fire".to_owned());
    let expires = issued.after(Duration::from_secs(600));
    key.sign(Order { target, effect, reason, issued, expires }).unwrap()
}

/// As anybody could with a few bytes of HTTP: status and body.
async fn post(to: SocketAddr, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let length = body.len();
    let head =
        format!("POST /v1/override HTTP/1.1\r\nhost: ns\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    let mut reply = String::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_string(&mut reply)).await;
    // A server that refuses a body may hang up before it was sent.
    let _ = read.expect("an answer in time");
    let status = reply.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    (status, reply.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// Those that come too fast are refused; this one is patient.
async fn give(to: SocketAddr, signed: &Signed) -> (u16, String) {
    let json = serde_json::to_vec(signed).unwrap();
    for _ in 0..100 {
        let outcome = post(to, &json).await;
        if outcome.0 != 429 {
            return outcome;
        }
        tokio::time::sleep(crate::overrides::PAUSE).await;
    }
    panic!("the nameserver never has time");
}

fn with_key(mut plan: RoutePlan, key: &OverrideKey) -> RoutePlan {
    plan.override_keys.push(key.public());
    plan
}

fn ip(text: &str) -> Vec<IpAddr> {
    vec![text.parse().unwrap()]
}

fn reachable(name: &str, directory: &Path) -> Config {
    Config { status_listen: Some("127.0.0.1:0".parse().unwrap()), ..config(name, directory) }
}

#[tokio::test]
async fn one_send_reaches_all_and_outlives_a_restart() {
    let (disk_one, disk_two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let key = OverrideKey::generate().unwrap();
    let control = control::start().await;
    let joining = |name, directory: &Path| {
        let token = Some(Secret::new(control.token.expose()));
        Config { control: vec![control.address.to_string()], token, ..reachable(name, directory) }
    };
    let (first, second) =
        (build(joining("ns-1", disk_one.path())).unwrap(), build(joining("ns-2", disk_two.path())).unwrap());
    let peers = [("ns-1", first.peer_address()), ("ns-2", second.peer_address())];
    control.send(&with_key(with_peers(two(1), &peers), &key));
    let told = first.status_address().unwrap();
    let (mut first, mut second) = (run(first), run(second));
    first.until(|status| status.generation == Generation(1)).await;
    second.until(|status| status.generation == Generation(1)).await;
    control.end().await;
    assert_eq!((addresses(first.dns).await, addresses(second.dns).await), (ip("192.0.2.1"), ip("192.0.2.1")));

    let (status, body) = give(told, &sign(&key, None, "eu-1", Effect::Drained)).await;
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("\"changed\":true") && body.contains("www.shop.example"), "{body}");
    assert!(body.contains("eu-1 for all routes: drained until"), "{body}");
    let obeys = |status: &NameserverStatus| status.overrides.len() == 1;
    first.until(obeys).await;
    second.until(obeys).await;
    assert_eq!((addresses(first.dns).await, addresses(second.dns).await), (ip("192.0.2.2"), ip("192.0.2.2")));

    // The other one as well: the route's rule for "all down" decides, and the answer is not empty.
    assert_eq!(give(told, &sign(&key, Some(ROUTE), "us-1", Effect::Unfit)).await.0, 200);
    first.until(|status| status.overrides.len() == 2).await;
    second.until(|status| status.overrides.len() == 2).await;
    for dns in [first.dns, second.dns] {
        assert_eq!(addresses(dns).await.len(), 1);
    }
    second.end().await;
    let mut again = run(build(config("ns-2", disk_two.path())).unwrap());
    again.until(|status| status.overrides.len() == 2).await;
    again.end().await;

    for cluster in ["eu-1", "us-1"] {
        let route = Some(ROUTE).filter(|_| cluster == "us-1");
        assert_eq!(give(told, &sign(&key, route, cluster, Effect::None)).await.0, 200);
    }
    first.until(|status| status.overrides.is_empty()).await;
    assert_eq!(addresses(first.dns).await, ip("192.0.2.1"));
    first.end().await;
}

#[tokio::test]
async fn a_disk_that_hangs_holds_neither_the_override_nor_the_judge_up() {
    let directory = tempfile::tempdir().unwrap();
    let key = OverrideKey::generate().unwrap();
    keep(directory.path(), &with_key(two(1), &key));
    let nameserver = build(reachable("ns-1", directory.path())).unwrap();
    let to = nameserver.status_address().unwrap();
    let mut running = run(nameserver);
    // Whoever opens it waits until somebody else does.
    let file = directory.path().join("overrides.json");
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let document = sign(&key, None, "eu-1", Effect::Drained);
    let sender = fixture::spawn(async move { give(to, &document).await });
    running.until(|status| status.overrides.len() == 1).await;
    assert_eq!(addresses(running.dns).await, ip("192.0.2.2"));
    let said = running.statuses.borrow().as_ref().map(|status| status.at);
    running.until(|status| Some(status.at) > said).await;
    assert!(!sender.is_finished(), "who sent it is told of the disk");
    drop(std::fs::OpenOptions::new().write(true).open(&file).unwrap());
    let (status, body) = sender.await.unwrap();
    assert!(status == 200 && !body.contains("warnings"), "{status} {body}");
    running.end().await;
    let mut again = run(build(config("ns-1", directory.path())).unwrap());
    again.until(|status| status.overrides.len() == 1).await;
    again.end().await;
}

#[tokio::test]
async fn what_is_not_signed_for_here_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (key, stranger) = (OverrideKey::generate().unwrap(), OverrideKey::generate().unwrap());
    keep(directory.path(), &with_key(two(1), &key));
    let nameserver = build(reachable("ns-1", directory.path())).unwrap();
    let to = nameserver.status_address().unwrap();
    let mut running = run(nameserver);
    let good = sign(&key, None, "eu-1", Effect::Drained);
    let mut tampered = good.clone();
    tampered.order.target.cluster = fixture::cluster("us-1");
    let mut forged = sign(&stranger, None, "eu-1", Effect::Drained);
    forged.key = key.public();
    let mut expired = good.order.clone();
    (expired.issued, expired.expires) = (waggle_model::Timestamp(1), waggle_model::Timestamp(2));
    let expired = key.sign(expired).unwrap();
    let mut zero = good.clone();
    zero.signature = Hex([0; 64]);
    for (document, status, says) in [
        (tampered, 403, "was changed on the way"),
        (forged, 403, "was changed on the way"),
        (zero, 403, "was changed on the way"),
        (sign(&stranger, None, "eu-1", Effect::Drained), 403, "is not among override_keys"),
        (expired, 422, "it ran out at 1970-01-01 00:00 UTC"),
        (sign(&key, Some("blog.example"), "eu-1", Effect::Unfit), 422, "there is no route blog.example"),
        (sign(&key, Some(ROUTE), "ap-1", Effect::Unfit), 422, "there is no cluster ap-1"),
    ] {
        let (found, body) = give(to, &document).await;
        assert!(found == status && body.contains(says), "{found} {body}");
    }
    assert_eq!(post(to, b"{}").await.0, 422);
    assert!(matches!(post(to, &vec![b' '; crate::overrides::DOCUMENT_MAX + 1]).await.0, 413 | 0));
    running.until(|status| status.overrides.is_empty()).await;
    assert_eq!(addresses(running.dns).await, ip("192.0.2.1"));

    let older = sign(&key, None, "eu-1", Effect::Fit);
    let newer = key.sign(Order { issued: older.order.issued.after(Duration::from_millis(1)), ..good.order }).unwrap();
    assert_eq!(give(to, &newer).await.0, 200);
    let (status, body) = give(to, &older).await;
    assert!(status == 409 && body.contains("is not newer"), "{status} {body}");
    let (status, body) = give(to, &newer).await;
    assert!(status == 200 && body.contains("\"changed\":false"), "{status} {body}");
    assert_eq!(addresses(running.dns).await, ip("192.0.2.2"));
    // A key that leaves the federation takes its word along.
    running.end().await;
    keep(directory.path(), &two(2));
    let without = run(build(config("ns-1", directory.path())).unwrap());
    assert_eq!(addresses(without.dns).await, ip("192.0.2.1"));
    without.end().await;
}
