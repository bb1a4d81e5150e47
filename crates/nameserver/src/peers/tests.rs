use super::*;
use crate::tests::fixture::{Ca, eventually, plan, spawn, with_peers};
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::Code;
use waggle_model::{ClusterName, NameserverName};
use waggle_wire::proto::route::peers_client::PeersClient;

struct Server {
    address: SocketAddr,
    heard: mpsc::Receiver<Heard>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), PeersError>>,
}

async fn server(ca: &Ca, name: &str) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (send, heard) = mpsc::channel(16);
    let stop = CancellationToken::new();
    let metrics = IntakeMetrics::register(&mut Registry::default());
    let task = spawn(serve(listener, ca.issue(&nameserver(name)), send, metrics, stop.clone()));
    Server { address, heard, stop, task }
}

impl Server {
    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(5), self.task).await.expect("it ends").unwrap().unwrap();
    }
}

fn nameserver(name: &str) -> Identity {
    Identity::Nameserver(name.parse().unwrap())
}

fn agent(name: &str) -> Identity {
    Identity::Agent(name.parse().unwrap())
}

async fn client(ca: &Ca, me: &Identity, server: &Server) -> PeersClient<tonic::transport::Channel> {
    let config = tls::client(&ca.issue(me)).unwrap();
    let channel = channel::connect(&server.address.to_string(), nameserver("ns-1"), config).await.unwrap();
    PeersClient::new(channel)
}

fn beat(cluster: &str, seq: u64) -> Beat {
    Beat { cluster: cluster.parse::<ClusterName>().unwrap(), boot: 1, seq, engine_ok: true, stacks: Default::default() }
}

fn view(from: &str, seq: u64) -> View {
    let from = from.parse::<NameserverName>().unwrap();
    View {
        from,
        boot: 1,
        seq,
        self_suspect: false,
        entries: Vec::new(),
        demand: Default::default(),
        overrides: Vec::new(),
    }
}

#[tokio::test]
async fn an_agent_beats_for_its_own_cluster_only() {
    let ca = Ca::new();
    let mut server = server(&ca, "ns-1").await;
    let mut client = client(&ca, &agent("eu-1"), &server).await;
    let beats = [beat("eu-1", 1), beat("eu-1", 2)];
    let stream = tokio_stream::iter(beats.clone().map(|beat| waggle_wire::proto::route::Beat::from(&beat)));
    let received = client.beats(stream).await.unwrap().into_inner();
    assert_eq!(received.count, 2);
    for beat in beats {
        assert_eq!(server.heard.recv().await, Some(Heard::Beat(beat)));
    }
    let foreign = tokio_stream::iter([waggle_wire::proto::route::Beat::from(&beat("us-1", 1))]);
    assert_eq!(client.beats(foreign).await.unwrap_err().code(), Code::PermissionDenied);
    let views = tokio_stream::iter([waggle_wire::proto::route::View::from(&view("eu-1", 1))]);
    assert_eq!(client.views(views).await.unwrap_err().code(), Code::PermissionDenied);
    assert!(server.heard.try_recv().is_err());
    server.end().await;
}

#[tokio::test]
async fn a_nameserver_sends_its_own_view_only() {
    let ca = Ca::new();
    let mut server = server(&ca, "ns-1").await;
    let mut client = client(&ca, &nameserver("ns-2"), &server).await;
    let own = tokio_stream::iter([waggle_wire::proto::route::View::from(&view("ns-2", 1))]);
    client.views(own).await.unwrap();
    assert_eq!(server.heard.recv().await, Some(Heard::View(view("ns-2", 1))));
    let foreign = tokio_stream::iter([waggle_wire::proto::route::View::from(&view("ns-3", 1))]);
    assert_eq!(client.views(foreign).await.unwrap_err().code(), Code::PermissionDenied);
    let beats = tokio_stream::iter([waggle_wire::proto::route::Beat::from(&beat("ns-2", 1))]);
    assert_eq!(client.beats(beats).await.unwrap_err().code(), Code::PermissionDenied);
    server.end().await;
}

#[tokio::test]
async fn another_ca_is_not_known() {
    let (ca, stranger) = (Ca::new(), Ca::new());
    let server = server(&ca, "ns-1").await;
    let config = tls::client(&stranger.issue(&agent("eu-1"))).unwrap();
    assert!(channel::connect(&server.address.to_string(), nameserver("ns-1"), config).await.is_err());
    server.end().await;
}

#[tokio::test]
async fn an_open_stream_does_not_hold_the_shutdown_up() {
    let ca = Ca::new();
    let mut server = server(&ca, "ns-1").await;
    let mut client = client(&ca, &agent("eu-1"), &server).await;
    let (send, beats) = mpsc::channel(1);
    let stream = tokio_stream::wrappers::ReceiverStream::new(beats);
    let call = spawn(async move { client.beats(stream).await });
    send.send(waggle_wire::proto::route::Beat::from(&beat("eu-1", 1))).await.unwrap();
    assert!(server.heard.recv().await.is_some());
    server.end().await;
    assert!(call.await.unwrap().is_err());
}

#[tokio::test]
async fn views_reach_every_peer_of_the_plan_and_come_back_after_it_restarts() {
    let ca = Ca::new();
    let mut server = server(&ca, "ns-1").await;
    let plan = with_peers(plan(1, &[("eu-1", "192.0.2.1")]), &[("ns-1", server.address), ("ns-2", server.address)]);
    let (_plans, plans) = watch::channel(Some(Arc::new(plan)));
    let (views, watched) = watch::channel(Some(Arc::new(view("ns-2", 1))));
    let stop = CancellationToken::new();
    let current = ca.issue(&nameserver("ns-2"));
    let task = spawn(send_views("ns-2".parse().unwrap(), plans, watched, current, stop.clone()));
    assert_eq!(server.heard.recv().await, Some(Heard::View(view("ns-2", 1))));
    views.send_replace(Some(Arc::new(view("ns-2", 2))));
    assert_eq!(server.heard.recv().await, Some(Heard::View(view("ns-2", 2))));

    let address = server.address;
    server.end().await;
    let mut again = None;
    eventually("the port is free again", || {
        let free = std::net::TcpListener::bind(address).ok();
        let done = free.is_some();
        again = free.or(again.take());
        async move { done }
    })
    .await;
    let listener = again.unwrap();
    listener.set_nonblocking(true).unwrap();
    let (send, mut heard) = mpsc::channel(16);
    let metrics = IntakeMetrics::register(&mut Registry::default());
    let listener = TcpListener::from_std(listener).unwrap();
    let restarted = spawn(serve(listener, ca.issue(&nameserver("ns-1")), send, metrics, stop.clone()));
    let message = tokio::time::timeout(Duration::from_secs(5), heard.recv()).await.expect("dialled again");
    assert_eq!(message, Some(Heard::View(view("ns-2", 2))));
    stop.cancel();
    task.await.unwrap();
    restarted.await.unwrap().unwrap();
}
