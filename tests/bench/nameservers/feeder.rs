//! A control that does one thing: it sends a new generation of the same plan to a nameserver, again and again, over the
//! same session, certificates and documents as the real one.

use anyhow::{Context, Result};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use waggle_control::ca::Authority;
use waggle_model::plan::{NameserverStatus, RoutePlan};
use waggle_model::{Generation, Timestamp};
use waggle_wire::channel::{self, Incoming};
use waggle_wire::credentials::{Credentials, Current, signing_request};
use waggle_wire::document;
use waggle_wire::enroll::Saved;
use waggle_wire::identity::Identity;
use waggle_wire::proto::document::{Alive, Document};
use waggle_wire::proto::route::nameserver_message::Kind as In;
use waggle_wire::proto::route::route_message::Kind as Out;
use waggle_wire::proto::route::routes_server::{Routes, RoutesServer};
use waggle_wire::proto::route::{NameserverMessage, RouteMessage};
use waggle_wire::tls::{self, ALPN_GRPC, Clients};

const ALIVE: Duration = Duration::from_secs(1);

pub struct Feeder {
    pub address: SocketAddr,
    plans: watch::Sender<Option<Document>>,
    in_force: Arc<AtomicU64>,
    stop: CancellationToken,
    authority: Authority,
    _runtime: Runtime,
}

struct Session {
    plans: watch::Receiver<Option<Document>>,
    in_force: Arc<AtomicU64>,
}

impl Feeder {
    pub fn start() -> Result<Feeder> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let authority = Authority::in_memory(now())?;
        let (plans, watched) = watch::channel(None);
        let (in_force, stop) = (Arc::new(AtomicU64::new(0)), CancellationToken::new());
        let own = Current::new(authority.own(now())?);
        let session = Session { plans: watched, in_force: in_force.clone() };
        let listener = runtime.block_on(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let config = tls::server(&own, Clients::MayBeAnonymous, ALPN_GRPC)?;
        let _entered = runtime.enter();
        let (incoming, accept) = Incoming::new(listener, config, stop.clone())?;
        let server = channel::grpc_server()
            .add_service(RoutesServer::new(session))
            .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
        runtime.spawn(async move {
            let (served, ()) = tokio::join!(server, accept);
            served
        });
        drop(_entered);
        Ok(Feeder { address, plans, in_force, stop, authority, _runtime: runtime })
    }

    /// Puts a certificate into a nameserver's directory, as if it had joined.
    pub fn admit(&self, name: &str, data_dir: &Path) -> Result<()> {
        let (key, csr) = signing_request()?;
        let chain = self.authority.issue(&Identity::Nameserver(name.parse()?), &csr, now())?;
        let saved = Saved::from(&Credentials::new(key, chain)?);
        waggle_daemon::file::write_document(&data_dir.join("identity.json"), &serde_json::to_vec(&saved)?)?;
        Ok(())
    }

    pub fn send(&self, plan: &RoutePlan) -> Result<()> {
        self.plans.send_replace(Some(document::encode(plan.generation, plan)?));
        Ok(())
    }

    /// Generation that the nameserver said it answers from, last.
    pub fn in_force(&self) -> Generation {
        Generation(self.in_force.load(Ordering::Relaxed))
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn now() -> Timestamp {
    Timestamp(waggle_daemon::time::now())
}

#[tonic::async_trait]
impl Routes for Session {
    type SessionStream = Pin<Box<dyn Stream<Item = Result<RouteMessage, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<NameserverMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let mut inbound = request.into_inner();
        let in_force = self.in_force.clone();
        let heard = async move {
            while let Ok(Some(message)) = inbound.message().await {
                if let Some(In::Status(status)) = message.kind
                    && let Ok(status) = document::decode::<NameserverStatus>(&status).context("a status")
                {
                    in_force.store(status.generation.0, Ordering::Relaxed);
                }
            }
        };
        #[expect(clippy::disallowed_methods, reason = "ends with the runtime, which the feeder owns")]
        tokio::task::spawn(heard);
        let plans = tokio_stream::wrappers::WatchStream::new(self.plans.clone());
        let plans = plans.filter_map(|plan| Some(Ok(RouteMessage { kind: Some(Out::Plan(plan?)) })));
        let alive = tokio_stream::wrappers::IntervalStream::new(tokio::time::interval(ALIVE));
        let alive = alive.map(|_| Ok(RouteMessage { kind: Some(Out::Alive(Alive {})) }));
        Ok(Response::new(Box::pin(plans.merge(alive))))
    }
}
