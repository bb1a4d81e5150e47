//! A control that issues certificates, keeps sessions and sends the plans a test gives it.

use crate::tests::fixture::{Ca, offer, spawn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use waggle_model::Generation;
use waggle_model::plan::{NameserverStatus, RoutePlan};
use waggle_model::traffic::QuerySamples;
use waggle_wire::channel::{self, Incoming};
use waggle_wire::credentials::Current;
use waggle_wire::document;
use waggle_wire::identity::{Identity, of_peer};
use waggle_wire::proto::document::{Alive, Document};
use waggle_wire::proto::identity::identity_server::{Identity as IdentityService, IdentityServer};
use waggle_wire::proto::identity::{Certificate, JoinRequest, RenewRequest};
use waggle_wire::proto::route::nameserver_message::Kind as In;
use waggle_wire::proto::route::route_message::Kind as Out;
use waggle_wire::proto::route::routes_server::{Routes, RoutesServer};
use waggle_wire::proto::route::{NameserverMessage, RouteMessage};
use waggle_wire::tls::{self, ALPN_GRPC, Clients};
use waggle_wire::token::{Kind, Token};

pub(crate) struct Control {
    pub(crate) address: SocketAddr,
    pub(crate) token: Token,
    shared: Arc<Shared>,
    plans: watch::Sender<Option<Document>>,
    statuses: mpsc::UnboundedReceiver<NameserverStatus>,
    samples: mpsc::UnboundedReceiver<QuerySamples>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

struct Shared {
    ca: Ca,
    own: Arc<Current>,
}

#[derive(Clone)]
struct Service {
    shared: Arc<Shared>,
    plans: watch::Receiver<Option<Document>>,
    statuses: mpsc::UnboundedSender<NameserverStatus>,
    samples: mpsc::UnboundedSender<QuerySamples>,
    stop: CancellationToken,
}

pub(crate) async fn start() -> Control {
    let ca = Ca::new();
    let own = ca.issue(&Identity::Control);
    serve(Arc::new(Shared { ca, own }), "127.0.0.1:0".parse().unwrap()).await
}

async fn serve(shared: Arc<Shared>, address: SocketAddr) -> Control {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (plans, watched) = watch::channel(None);
    let (send, statuses) = mpsc::unbounded_channel();
    let (tell, samples) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let config = tls::server(&shared.own, Clients::MayBeAnonymous, ALPN_GRPC).unwrap();
    let (incoming, accept) = Incoming::new(listener, config, stop.clone()).unwrap();
    let service = Service { shared: shared.clone(), plans: watched, statuses: send, samples: tell, stop: stop.clone() };
    let server = channel::grpc_server()
        .add_service(IdentityServer::new(service.clone()))
        .add_service(RoutesServer::new(service))
        .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
    let task = spawn(async move {
        let (served, ()) = tokio::join!(server, accept);
        served.unwrap();
    });
    let token = Token::generate(Kind::Nameserver, document::digest(shared.own.get().ca().unwrap())).unwrap();
    Control { address, token, shared, plans, statuses, samples, stop, task }
}

impl Control {
    pub(crate) fn ca(&self) -> &Ca {
        &self.shared.ca
    }

    pub(crate) fn send(&self, plan: &RoutePlan) {
        self.plans.send_replace(Some(offer(plan)));
    }

    /// Waits for a status of that generation.
    pub(crate) async fn reported(&mut self, generation: Generation) -> NameserverStatus {
        let wait = async {
            loop {
                let status = self.statuses.recv().await.unwrap();
                if status.generation == generation {
                    return status;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait).await.expect("such a status")
    }

    /// The next samples of queries.
    pub(crate) async fn sampled(&mut self) -> QuerySamples {
        let told = tokio::time::timeout(Duration::from_secs(10), self.samples.recv());
        told.await.expect("samples are told").unwrap()
    }

    /// Dies, and comes back at the same address.
    pub(crate) async fn restart(self) -> Control {
        let (shared, address) = (self.shared.clone(), self.address);
        self.end().await;
        serve(shared, address).await
    }

    pub(crate) async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(5), self.task).await.expect("it ends").unwrap();
    }
}

#[tonic::async_trait]
impl IdentityService for Service {
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<Certificate>, Status> {
        let request = request.into_inner();
        let name = request.name.parse().unwrap();
        let csr = rcgen::CertificateSigningRequestParams::from_der(&request.csr.to_vec().into()).unwrap();
        let chain = self.shared.ca.sign(&Identity::Nameserver(name), &csr);
        Ok(Response::new(Certificate { chain: chain.into_iter().map(Into::into).collect() }))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<Certificate>, Status> {
        let identity = of_peer(&request)?;
        let csr = rcgen::CertificateSigningRequestParams::from_der(&request.into_inner().csr.to_vec().into()).unwrap();
        let chain = self.shared.ca.sign(&identity, &csr);
        Ok(Response::new(Certificate { chain: chain.into_iter().map(Into::into).collect() }))
    }
}

#[tonic::async_trait]
impl Routes for Service {
    type SessionStream = Pin<Box<dyn Stream<Item = Result<RouteMessage, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<NameserverMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        assert!(matches!(of_peer(&request)?, Identity::Nameserver(_)));
        let mut inbound = request.into_inner();
        let hello = inbound.message().await?.unwrap();
        assert!(matches!(hello.kind, Some(In::Hello(_))), "{hello:?}");
        let (statuses, samples) = (self.statuses.clone(), self.samples.clone());
        spawn(async move {
            while let Ok(Some(message)) = inbound.message().await {
                match message.kind {
                    Some(In::Status(status)) => drop(statuses.send(document::decode(&status).unwrap())),
                    Some(In::Samples(told)) => drop(samples.send(document::decode(&told).unwrap())),
                    _ => panic!("{message:?}"),
                }
            }
        });
        let plans = tokio_stream::wrappers::WatchStream::new(self.plans.clone());
        let plans = plans.filter_map(|plan| Some(Ok(RouteMessage { kind: Some(Out::Plan(plan?)) })));
        let alive = tokio_stream::wrappers::IntervalStream::new(tokio::time::interval(Duration::from_secs(1)));
        let alive = alive.map(|_| Ok(RouteMessage { kind: Some(Out::Alive(Alive {})) }));
        let stop = self.stop.clone();
        let merged = futures_util::StreamExt::take_until(plans.merge(alive), stop.cancelled_owned());
        Ok(Response::new(Box::pin(merged)))
    }
}
