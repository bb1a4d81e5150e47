use super::*;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use waggle_wire::channel::{Incoming, dial};
use waggle_wire::credentials::{Current, RENEW_AFTER};
use waggle_wire::tls::{self, ALPN_GRPC, Clients};

fn now() -> Timestamp {
    Timestamp(waggle_daemon::time::now())
}

fn credentials(ca: &Authority, identity: &Identity) -> Credentials {
    let (key, csr) = signing_request().unwrap();
    Credentials::new(key, ca.issue(identity, &csr, now()).unwrap()).unwrap()
}

#[test]
fn certificates_live_a_day_and_say_what_the_authority_decided() {
    let ca = Authority::in_memory(now()).unwrap();
    let agent = Identity::Agent("eu-1".parse().unwrap());
    let made = credentials(&ca, &agent);
    assert_eq!(made.identity, agent);
    assert!(made.not_after.since(made.not_before) <= LIFETIME);
    assert!(!made.is_due(now()) && made.is_due(now().after(RENEW_AFTER)));
    let week = Duration::from_secs(7 * 24 * 3600);
    assert!(!made.is_expired(now().after(RENEW_AFTER + week)), "control may be away for a week just before a renewal");
    assert_eq!(digest(made.ca().unwrap()), ca.digest());
}

#[test]
fn the_authority_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let first = Authority::open(dir.path(), now()).unwrap();
    let again = Authority::open(dir.path(), now().after(Duration::from_secs(3600))).unwrap();
    assert_eq!((first.digest(), first.pem()), (again.digest(), again.pem()));
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(dir.path().join("ca.key")).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::remove_file(dir.path().join("ca.key")).unwrap();
    assert!(matches!(Authority::open(dir.path(), now()), Err(CaError::KeyMissing { .. })));
}

#[test]
fn bent_requests_are_refused() {
    let ca = Authority::in_memory(now()).unwrap();
    let (_, mut csr) = signing_request().unwrap();
    let last = csr.len() - 1;
    csr[last] ^= 1;
    assert!(matches!(ca.issue(&Identity::Control, &csr, now()), Err(CaError::Request(_))));
    assert!(matches!(ca.issue(&Identity::Control, &[0; CSR_BYTES_MAX + 1], now()), Err(CaError::RequestForm)));
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let csr = CertificateParams::default().serialize_request(&key).unwrap();
    assert!(matches!(ca.issue(&Identity::Control, csr.der(), now()), Err(CaError::RequestForm)));
}

#[tokio::test]
async fn foreign_certificates_are_refused_at_the_handshake() {
    let (ours, foreign) = (Authority::in_memory(now()).unwrap(), Authority::in_memory(now()).unwrap());
    let current = Current::new(ours.own(now()).unwrap());
    let stop = CancellationToken::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = tls::server(&current, Clients::MayBeAnonymous, ALPN_GRPC).unwrap();
    let (mut incoming, accepting) = Incoming::new(listener, config, stop.clone()).unwrap();
    let address = incoming.local_addr().to_string();
    let tasks = waggle_daemon::Tasks::new();
    tasks.spawn("accept", accepting);

    // A client of another federation does not trust this server.
    let stranger = Current::new(credentials(&foreign, &Identity::Agent("eu-1".parse().unwrap())));
    assert!(dial(&address, &Identity::Control, tls::client(&stranger).unwrap()).await.is_err());

    // One that trusts it, but shows a foreign certificate, is not let in.
    let mixed = credentials(&foreign, &Identity::Agent("eu-1".parse().unwrap()));
    let chain = vec![mixed.chain[0].to_vec(), current.get().ca().unwrap().to_vec()];
    let mixed = Current::new(Credentials::new(mixed.key_der.clone(), chain).unwrap());
    let dialled = dial(&address, &Identity::Control, tls::client(&mixed).unwrap()).await;
    if let Ok(mut stream) = dialled {
        use tokio::io::AsyncReadExt;
        assert!(stream.read_u8().await.is_err(), "the server must hang up");
    }

    let friend = Current::new(credentials(&ours, &Identity::Agent("eu-1".parse().unwrap())));
    let dialled = dial(&address, &Identity::Control, tls::client(&friend).unwrap()).await;
    assert!(dialled.is_ok());
    use futures_util::StreamExt;
    let accepted = tokio::time::timeout(Duration::from_secs(5), incoming.next()).await.unwrap().unwrap().unwrap();
    use tonic::transport::server::Connected;
    let peer = accepted.connect_info().peer_certs().unwrap()[0].clone();
    assert_eq!(Identity::of_certificate(&peer), Some(Identity::Agent("eu-1".parse().unwrap())));
    stop.cancel();
    tasks.shutdown(Duration::from_secs(5)).await.unwrap();
}
