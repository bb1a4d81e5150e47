//! What the tests of this crate share: a tiny CA, a control and a nameserver on loopback, waiting.

use futures_util::Stream;
use rcgen::{BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair, SanType};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use waggle_daemon::{CancellationToken, Tasks};
use waggle_model::health::Beat;
use waggle_wire::channel::{Incoming, grpc_server};
use waggle_wire::credentials::{Credentials, Current};
use waggle_wire::identity::{Identity, of_peer};
use waggle_wire::proto::agent::agents_server::{Agents, AgentsServer};
use waggle_wire::proto::agent::{AgentMessage, ControlMessage, agent_message, control_message};
use waggle_wire::proto::identity::identity_server::{Identity as IdentityService, IdentityServer};
use waggle_wire::proto::identity::{Certificate, JoinRequest, RenewRequest};
use waggle_wire::proto::route::peers_server::{Peers, PeersServer};
use waggle_wire::proto::route::{Beat as WireBeat, Received, View};
use waggle_wire::tls::{self, ALPN_GRPC, Clients};
use waggle_wire::token::{Kind, Token};

/// How long a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(20);

pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(answer) => answer,
        Err(_) => panic!("never happened: {what}"),
    }
}

pub struct Ca {
    params: CertificateParams,
    key: KeyPair,
    der: Vec<u8>,
}

impl Ca {
    pub fn new() -> Arc<Ca> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Arc::new(Ca { params, key, der })
    }

    pub fn issue(&self, identity: &Identity) -> Arc<Current> {
        let key = KeyPair::generate().unwrap();
        let leaf = leaf(identity).signed_by(&key, &Issuer::from_params(&self.params, &self.key)).unwrap();
        let chain = vec![leaf.der().to_vec(), self.der.clone()];
        Current::new(Credentials::new(key.serialize_der(), chain).unwrap())
    }

    fn sign(&self, identity: &Identity, csr: &[u8]) -> Certificate {
        let csr = CertificateSigningRequestParams::from_der(&csr.into()).unwrap();
        let leaf = leaf(identity).signed_by(&csr.public_key, &Issuer::from_params(&self.params, &self.key)).unwrap();
        Certificate { chain: vec![leaf.der().to_vec().into(), self.der.clone().into()] }
    }

    pub fn token(&self) -> Token {
        Token::generate(Kind::Cluster, waggle_wire::document::digest(&self.der)).unwrap()
    }
}

fn leaf(identity: &Identity) -> CertificateParams {
    let mut params = CertificateParams::new(vec![identity.dns_name()]).unwrap();
    params.subject_alt_names.push(SanType::URI(identity.uri().try_into().unwrap()));
    params
}

/// A listener's address, and its server among `tasks`.
async fn serve(
    tasks: &Tasks,
    at: Option<SocketAddr>,
    current: &Arc<Current>,
    clients: Clients,
    routes: tonic::service::Routes,
) -> SocketAddr {
    let listener = TcpListener::bind(at.unwrap_or_else(|| ([127, 0, 0, 1], 0).into())).await.unwrap();
    let config = tls::server(current, clients, ALPN_GRPC).unwrap();
    let (incoming, accept) = Incoming::new(listener, config, tasks.token()).unwrap();
    let address = incoming.local_addr();
    tasks.spawn("accept", accept);
    let stop: CancellationToken = tasks.token();
    tasks.spawn("serve", async move {
        // Open streams would hold a graceful shutdown for ever.
        tokio::select! {
            _ = grpc_server().add_routes(routes).serve_with_incoming(incoming) => {}
            () = stop.cancelled() => {}
        }
    });
    address
}

/// A nameserver that keeps the latest beat.
pub struct Nameserver {
    pub address: SocketAddr,
    pub beats: watch::Receiver<Option<(Identity, Beat)>>,
    tasks: Tasks,
}

struct TakesBeats(watch::Sender<Option<(Identity, Beat)>>, CancellationToken);

#[tonic::async_trait]
impl Peers for TakesBeats {
    async fn beats(&self, request: Request<Streaming<WireBeat>>) -> Result<Response<Received>, Status> {
        let from = of_peer(&request)?;
        let mut beats = request.into_inner();
        let mut count = 0;
        // The server's own end does not end its connections.
        while let Some(beat) = tokio::select! {
            beat = beats.message() => beat?,
            () = self.1.cancelled() => return Err(Status::unavailable("stopped")),
        } {
            count += 1;
            self.0.send_replace(Some((from.clone(), Beat::try_from(beat).unwrap())));
        }
        Ok(Response::new(Received { count }))
    }

    async fn views(&self, _: Request<Streaming<View>>) -> Result<Response<Received>, Status> {
        Err(Status::unimplemented("beats only"))
    }
}

impl Nameserver {
    pub async fn start(ca: &Ca, name: &str, at: Option<SocketAddr>) -> Nameserver {
        let tasks = Tasks::new();
        let (send, beats) = watch::channel(None);
        let current = ca.issue(&Identity::Nameserver(name.parse().unwrap()));
        let routes = tonic::service::Routes::new(PeersServer::new(TakesBeats(send, tasks.token())));
        let address = serve(&tasks, at, &current, Clients::MustBeKnown, routes).await;
        Nameserver { address, beats, tasks }
    }

    pub async fn beat(&mut self, what: &str, wanted: impl Fn(&Beat) -> bool) -> Beat {
        let found = soon(what, self.beats.wait_for(|beat| beat.as_ref().is_some_and(|(_, beat)| wanted(beat)))).await;
        found.unwrap().clone().unwrap().1
    }

    pub async fn stop(self) {
        let _ = self.tasks.shutdown(Duration::from_secs(2)).await;
    }
}

/// A control whose sessions the test conducts.
pub struct Control {
    pub address: SocketAddr,
    sessions: mpsc::Receiver<Conversation>,
    tasks: Tasks,
}

/// One session as control has it.
pub struct Conversation {
    pub from: Identity,
    pub inbound: Streaming<AgentMessage>,
    pub out: mpsc::Sender<Result<ControlMessage, Status>>,
}

struct Conducted {
    ca: Arc<Ca>,
    sessions: mpsc::Sender<Conversation>,
}

#[tonic::async_trait]
impl Agents for Conducted {
    type SessionStream = Pin<Box<dyn Stream<Item = Result<ControlMessage, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let from = of_peer(&request)?;
        let (out, messages) = mpsc::channel(16);
        let conversation = Conversation { from, inbound: request.into_inner(), out };
        self.sessions.send(conversation).await.map_err(|_| Status::unavailable("over"))?;
        Ok(Response::new(Box::pin(ReceiverStream::new(messages))))
    }
}

#[tonic::async_trait]
impl IdentityService for Conducted {
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<Certificate>, Status> {
        let request = request.into_inner();
        let identity = Identity::Agent(request.name.parse().map_err(|_| Status::invalid_argument("name"))?);
        Ok(Response::new(self.ca.sign(&identity, &request.csr)))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<Certificate>, Status> {
        let identity = of_peer(&request)?;
        Ok(Response::new(self.ca.sign(&identity, &request.into_inner().csr)))
    }
}

impl Control {
    pub async fn start(ca: &Arc<Ca>) -> Control {
        let tasks = Tasks::new();
        let (send, sessions) = mpsc::channel(4);
        let shared = Arc::new(Conducted { ca: ca.clone(), sessions: send });
        let routes = tonic::service::Routes::new(AgentsServer::from_arc(shared.clone()))
            .add_service(IdentityServer::from_arc(shared));
        let address = serve(&tasks, None, &ca.issue(&Identity::Control), Clients::MayBeAnonymous, routes).await;
        Control { address, sessions, tasks }
    }

    pub async fn session(&mut self) -> Conversation {
        soon("a session", self.sessions.recv()).await.unwrap()
    }

    pub async fn stop(self) {
        let _ = self.tasks.shutdown(Duration::from_secs(2)).await;
    }
}

impl Conversation {
    pub async fn say(&self, kind: control_message::Kind) {
        self.out.send(Ok(ControlMessage { kind: Some(kind) })).await.unwrap();
    }

    /// The next message that `wanted` makes something of; signs of life are answered meanwhile.
    pub async fn hear<T>(&mut self, what: &str, wanted: impl Fn(agent_message::Kind) -> Option<T>) -> T {
        soon(what, async {
            loop {
                let message = self.inbound.next().await.expect("the session goes on").unwrap();
                let _ = self
                    .out
                    .try_send(Ok(ControlMessage { kind: Some(control_message::Kind::Alive(Default::default())) }));
                if let Some(found) = message.kind.and_then(&wanted) {
                    return found;
                }
            }
        })
        .await
    }
}
