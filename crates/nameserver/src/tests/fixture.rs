//! What the tests of this crate share: plans, queries, a tiny CA, waiting.

use crate::config::Config;
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair, SanType, date_time_ymd,
};
use std::future::Future;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use waggle_model::fleet::{NameserverPeer, Record, Zone};
use waggle_model::plan::{Endpoint, PlanCluster, PlanRoute, RoutePlan};
use waggle_model::release::{AllDown, Check, CheckKind, HttpCheck, Policy};
use waggle_model::{ClusterName, DomainName, Generation, Timestamp};
use waggle_wire::credentials::{Credentials, Current};
use waggle_wire::document;
use waggle_wire::identity::Identity;
use waggle_wire::proto::document::Document;

pub const ROUTE: &str = "www.shop.example";

pub fn domain(text: &str) -> DomainName {
    text.parse().unwrap()
}

pub fn cluster(text: &str) -> ClusterName {
    text.parse().unwrap()
}

/// The zone `shop.example` with one route over `clusters`, preferred in this order and never probed.
pub fn plan(generation: u64, clusters: &[(&str, &str)]) -> RoutePlan {
    let endpoint = |(name, address): &(&str, &str)| Endpoint {
        cluster: cluster(name),
        addresses: vec![address.parse().unwrap()],
        drained: None,
        release: None,
        forced: None,
    };
    let mut pool: Vec<_> = clusters.iter().map(endpoint).collect();
    pool.sort_by(|a, b| a.cluster.cmp(&b.cluster));
    let route = PlanRoute {
        stack: "shop".parse().unwrap(),
        policy: Policy::Failover(clusters.iter().map(|(name, _)| cluster(name)).collect()),
        ttl: 30,
        check: None,
        all_down: AllDown::LastGood,
        https: None,
        pool,
    };
    let long = Record {
        name: domain("long.shop.example"),
        kind: "TXT".into(),
        ttl: None,
        values: (0..20).map(|number| format!("\"{number:0>100}\"")).collect(),
    };
    let zone = Zone {
        nameservers: vec![domain("ns1.shop.example")],
        contact: domain("hostmaster.shop.example"),
        ttl: 300,
        negative_ttl: 5,
        records: vec![long],
        master: None,
    };
    // Every client prefers the clusters by name, so that tests know whom to expect.
    let mut by_name: Vec<_> = clusters.iter().map(|(name, _)| cluster(name)).collect();
    by_name.sort();
    let everybody = ["0.0.0.0/0", "::/0"].map(|net| (net.parse().unwrap(), by_name.clone()));
    let known = PlanCluster { region: None, location: None, weight: 1, capacity: None };
    RoutePlan {
        generation: Generation(generation),
        issued: Timestamp(1),
        zones: [(domain("shop.example"), zone)].into(),
        clusters: clusters.iter().map(|(name, _)| (cluster(name), known.clone())).collect(),
        client_map: everybody.into(),
        routes: [(domain(ROUTE), route)].into(),
        ..RoutePlan::default()
    }
}

pub fn with_peers(mut plan: RoutePlan, peers: &[(&str, SocketAddr)]) -> RoutePlan {
    let peer = |(name, address): &(&str, SocketAddr)| NameserverPeer { name: name.parse().unwrap(), address: *address };
    plan.nameservers = peers.iter().map(peer).collect();
    plan
}

pub fn with_check(mut plan: RoutePlan, check: Check) -> RoutePlan {
    plan.routes.values_mut().for_each(|route| route.check = Some(check.clone()));
    plan
}

pub fn tcp_check(port: u16) -> Check {
    let (interval, timeout) = (Duration::from_millis(50), Duration::from_millis(300));
    Check { kind: CheckKind::Tcp, port, interval, timeout, latency: None }
}

pub fn http_check(port: u16) -> (Check, HttpCheck) {
    let http =
        HttpCheck { path: "/".into(), host: None, tls: false, tls_insecure: false, status: None, contains: None };
    (Check { kind: CheckKind::Http(http.clone()), ..tcp_check(port) }, http)
}

pub fn offer(plan: &RoutePlan) -> Document {
    document::encode(plan.generation, plan).unwrap()
}

/// Loopback, ports by the kernel, no control.
pub fn config(name: &str, data_dir: &Path) -> Config {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    Config {
        name: name.parse().unwrap(),
        control: Vec::new(),
        token_file: None,
        token: None,
        data_dir: data_dir.to_owned(),
        listen: vec![any],
        peer_listen: any,
        advertise: None,
        workers: Some(2),
        geo_database: None,
        status_listen: None,
        user: None,
        query_log: Default::default(),
        telemetry: Default::default(),
    }
}

pub fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.id = 4711;
    message.queries.push(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

/// Asks over UDP with a patience of five seconds.
pub async fn ask(server: SocketAddr, message: &Message) -> Message {
    let bytes = message.to_vec().unwrap();
    let ask = move || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket.send_to(&bytes, server).unwrap();
        let mut reply = [0; 4096];
        let length = socket.recv(&mut reply).expect("a reply");
        Message::from_vec(&reply[..length]).unwrap()
    };
    tokio::task::spawn_blocking(ask).await.unwrap()
}

/// The addresses a server answers for the route.
pub async fn addresses(server: SocketAddr) -> Vec<IpAddr> {
    let reply = ask(server, &query(ROUTE, RecordType::A)).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
    let ip = |record: &hickory_proto::rr::Record| match &record.data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        _ => None,
    };
    reply.answers.iter().filter_map(ip).collect()
}

/// Tries until `check` holds, for ten seconds.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut check: impl FnMut() -> F) {
    let patience = tokio::time::Instant::now() + Duration::from_secs(10);
    while !check().await {
        assert!(tokio::time::Instant::now() < patience, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A task that the test itself sees end.
#[expect(clippy::disallowed_methods, reason = "its owner is the test")]
pub fn spawn<F>(task: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    tokio::spawn(task)
}

pub struct Ca {
    params: CertificateParams,
    key: KeyPair,
    der: Vec<u8>,
}

impl Ca {
    pub fn new() -> Ca {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Ca { params, key, der }
    }

    /// What its peers would trust.
    pub fn root(&self) -> rustls::pki_types::CertificateDer<'static> {
        self.der.clone().into()
    }

    pub fn issue(&self, identity: &Identity) -> Arc<Current> {
        Current::new(self.credentials(identity))
    }

    pub fn credentials(&self, identity: &Identity) -> Credentials {
        self.of(leaf(identity))
    }

    /// Valid, but in the second half of its life.
    pub fn aged(&self, identity: &Identity) -> Credentials {
        let mut params = leaf(identity);
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2040, 1, 1));
        self.of(params)
    }

    pub fn expired(&self, identity: &Identity) -> Credentials {
        let mut params = leaf(identity);
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1));
        self.of(params)
    }

    fn of(&self, params: CertificateParams) -> Credentials {
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &Issuer::from_params(&self.params, &self.key)).unwrap();
        Credentials::new(key.serialize_der(), vec![leaf.der().to_vec(), self.der.clone()]).unwrap()
    }

    /// A chain for the key of a signing request.
    pub fn sign(&self, identity: &Identity, csr: &CertificateSigningRequestParams) -> Vec<Vec<u8>> {
        let leaf = leaf(identity).signed_by(&csr.public_key, &Issuer::from_params(&self.params, &self.key)).unwrap();
        vec![leaf.der().to_vec(), self.der.clone()]
    }
}

fn leaf(identity: &Identity) -> CertificateParams {
    let mut params = CertificateParams::new(vec![identity.dns_name()]).unwrap();
    params.subject_alt_names.push(SanType::URI(identity.uri().try_into().unwrap()));
    params
}
