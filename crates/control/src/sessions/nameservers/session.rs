//! One nameserver's session.

use super::super::follow::Follow;
use super::super::{ALIVE_INTERVAL, HELLO_MAX, QUEUE_MAX, SESSIONS_MAX, SILENCE_MAX, Sessions, admit, refuse, send};
use super::Attached;
use crate::records::{Edit, NameserverIdentity, get, keys};
use crate::store::{Store, StoreError};
use async_trait::async_trait;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use waggle_daemon::Tasks;
use waggle_model::plan::NameserverStatus;
use waggle_model::traffic::{QuerySamples, SAMPLES_BYTES_MAX};
use waggle_model::{NameserverName, Timestamp};
use waggle_wire::document::decode;
use waggle_wire::identity::{Identity, expiry_of_peer, of_peer_since};
use waggle_wire::proto::document::Alive;
use waggle_wire::proto::route::routes_server::Routes as Rpc;
use waggle_wire::proto::route::{NameserverMessage, RouteMessage, nameserver_message, route_message};

/// Serves `waggle.route.v1.Routes`.
#[derive(Clone)]
pub struct Service {
    pub store: Arc<dyn Store>,
    pub sessions: Arc<Sessions>,
    pub tasks: Tasks,
}

#[async_trait]
impl Rpc for Service {
    type SessionStream = ReceiverStream<Result<RouteMessage, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<NameserverMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (identity, since) = of_peer_since(&request)?;
        let Identity::Nameserver(name) = identity.clone() else {
            return Err(Status::permission_denied("only nameservers have this session"));
        };
        admit(&*self.store, &identity, since).await?;
        if self.sessions.nameservers.is_live(&name) {
            return Err(second(&name));
        }
        let until = expiry_of_peer(&request);
        let (out, answers) = mpsc::channel(QUEUE_MAX);
        let (service, inbound) = (self.clone(), request.into_inner());
        let session = async move { service.run(name, (since, until), inbound, out).await };
        let full = |_| Status::resource_exhausted(format!("{SESSIONS_MAX} nameservers are connected"));
        self.tasks.spawn_within("nameserver session", SESSIONS_MAX, session).map_err(full)?;
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

fn said_by(name: &NameserverName, said: &NameserverName) -> Result<(), Status> {
    let other = || Status::permission_denied(format!("the document is that of {said}"));
    if name == said { Ok(()) } else { Err(other()) }
}

fn second(name: &NameserverName) -> Status {
    Status::already_exists(format!("a second nameserver {name}: another one is connected; give each its own name"))
}

type Out = mpsc::Sender<Result<RouteMessage, Status>>;

impl Service {
    /// `since` and `until`: its certificate is valid.
    async fn run(
        self,
        name: NameserverName,
        (since, until): (Timestamp, Option<Timestamp>),
        inbound: Streaming<NameserverMessage>,
        out: Out,
    ) {
        let Some(attached) = self.sessions.nameservers.attach(&name) else {
            return refuse(&out, second(&name));
        };
        self.sessions.nameservers.certified(&name, until);
        tracing::info!(nameserver = %name, "nameserver connected");
        let stop = self.tasks.token();
        let ended = tokio::select! {
            ended = self.hear(&name, inbound, &attached) => ended,
            ended = self.tell((&name, since), &out) => ended,
            () = stop.cancelled() => Status::unavailable("control is stopping"),
        };
        tracing::info!(nameserver = %name, reason = ended.message(), "nameserver disconnected");
        refuse(&out, ended);
    }

    async fn tell(&self, (name, since): (&NameserverName, Timestamp), out: &Out) -> Status {
        let identity = Identity::Nameserver(name.clone());
        let mut plan = Follow::new(self.store.clone(), keys::plan());
        let mut alive = tokio::time::interval(ALIVE_INTERVAL);
        alive.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let message = tokio::select! {
                stored = plan.next() => match stored {
                    Ok(stored) => route_message::Kind::Plan(stored.to_wire()),
                    Err(error) => return Status::unavailable(error.to_string()),
                },
                _ = alive.tick() => match admit(&*self.store, &identity, since).await {
                    Ok(()) => route_message::Kind::Alive(Alive {}),
                    Err(over) => return over,
                },
            };
            if !send(out, RouteMessage { kind: Some(message) }).await {
                return Status::deadline_exceeded("the nameserver takes no messages");
            }
        }
    }

    async fn hear(
        &self,
        name: &NameserverName,
        mut inbound: Streaming<NameserverMessage>,
        attached: &Attached<'_>,
    ) -> Status {
        let first = tokio::time::timeout(HELLO_MAX, inbound.message()).await;
        let Ok(Ok(Some(NameserverMessage { kind: Some(nameserver_message::Kind::Hello(hello)) }))) = first else {
            return Status::invalid_argument("the first message must say hello");
        };
        attached.hello(hello.version);
        if let Err(error) = self.moved(name, &hello.advertise).await {
            return Status::unavailable(error.to_string());
        }
        loop {
            let message = match tokio::time::timeout(SILENCE_MAX, inbound.message()).await {
                Ok(Ok(Some(message))) => message,
                Ok(Ok(None)) => return Status::ok("the nameserver hung up"),
                Ok(Err(status)) => return status,
                Err(_) => return Status::deadline_exceeded("the nameserver said nothing for 5 s"),
            };
            let taken = match message.kind {
                Some(nameserver_message::Kind::Status(document)) => decode::<NameserverStatus>(&document)
                    .map(|status| said_by(name, &status.name.clone()).map(|()| attached.status(status))),
                Some(nameserver_message::Kind::Samples(document)) if document.json.len() > SAMPLES_BYTES_MAX => {
                    return Status::resource_exhausted(format!("samples have at most {SAMPLES_BYTES_MAX} octets"));
                }
                Some(nameserver_message::Kind::Samples(document)) => decode::<QuerySamples>(&document)
                    .map(|samples| said_by(name, &samples.name.clone()).map(|()| attached.samples(samples))),
                Some(nameserver_message::Kind::Hello(_)) => {
                    return Status::invalid_argument("hello is said once, then only statuses and samples");
                }
                // Of a newer kind than this control knows.
                None => continue,
            };
            match taken {
                Ok(Ok(())) => {}
                Ok(Err(status)) => return status,
                Err(error) => return Status::invalid_argument(waggle_daemon::tasks::chain(&error)),
            }
        }
    }

    /// A nameserver that is reached by another address than when it joined says so itself.
    async fn moved(&self, name: &NameserverName, advertise: &str) -> Result<(), StoreError> {
        let Ok(advertise) = advertise.parse::<SocketAddr>() else { return Ok(()) };
        let key = keys::nameserver(name);
        let Some(known) = get::<NameserverIdentity>(&*self.store, &key).await? else { return Ok(()) };
        if known.value.advertise == advertise || advertise.ip().is_unspecified() || advertise.port() == 0 {
            return Ok(());
        }
        let mut edit = Edit::new();
        let moved = NameserverIdentity { advertise, ..known.value };
        edit.expect(key.clone(), Some(known.rev)).put(key, &moved)?;
        edit.touch("")?;
        // A conflict means that it has just joined again: that join knows better.
        edit.commit(&*self.store).await.map(|_| ())
    }
}
