//! What agents and other nameservers say: the `Peers` service. Who speaks is known from the certificate alone, and each
//! speaks for itself only (a beat of another cluster, a view of another nameserver ends the stream).

mod views;

pub use views::run as send_views;

use crate::health::Heard;
use crate::metrics::IntakeMetrics;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use waggle_model::health::{Beat, View};
use waggle_wire::channel::{self, Incoming};
use waggle_wire::convert::InvalidMessage;
use waggle_wire::credentials::Current;
use waggle_wire::identity::{self, Identity};
use waggle_wire::proto::route as wire;
use waggle_wire::proto::route::peers_server::{Peers, PeersServer};
use waggle_wire::tls::{self, ALPN_GRPC, Clients, TlsError};

/// Octets of one beat or view.
pub const MESSAGE_MAX: usize = 16 << 20;
/// A stream that says nothing for so long is ended; its sender dials again.
const SILENCE_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum PeersError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the listener for beats and views cannot be used")]
    Listen(#[source] std::io::Error),
    #[error("the server for beats and views failed")]
    Serve(#[source] tonic::transport::Error),
}

/// Serves `Peers` on `listener` until `stop`. Streams still open then are ended by it.
pub async fn serve(
    listener: TcpListener,
    current: Arc<Current>,
    heard: mpsc::Sender<Heard>,
    metrics: IntakeMetrics,
    stop: CancellationToken,
) -> Result<(), PeersError> {
    let config = tls::server(&current, Clients::MustBeKnown, ALPN_GRPC)?;
    let (incoming, accept) = Incoming::new(listener, config, stop.clone()).map_err(PeersError::Listen)?;
    let service =
        PeersServer::new(Receiver { heard, metrics, stop: stop.clone() }).max_decoding_message_size(MESSAGE_MAX);
    let server = channel::grpc_server().add_service(service);
    let server = server.serve_with_incoming_shutdown(incoming, stop.cancelled_owned());
    let (served, ()) = tokio::join!(server, accept);
    served.map_err(PeersError::Serve)
}

struct Receiver {
    heard: mpsc::Sender<Heard>,
    metrics: IntakeMetrics,
    stop: CancellationToken,
}

#[tonic::async_trait]
impl Peers for Receiver {
    async fn beats(&self, request: Request<Streaming<wire::Beat>>) -> Result<Response<wire::Received>, Status> {
        let Identity::Agent(cluster) = identity::of_peer(&request)? else {
            return Err(Status::permission_denied("only agents send beats"));
        };
        let check = |beat: wire::Beat| {
            let beat = Beat::try_from(beat).map_err(invalid)?;
            if beat.cluster != cluster {
                let why = format!("the agent of {cluster} cannot beat for {}", beat.cluster);
                return Err(Status::permission_denied(why));
            }
            Ok(Heard::Beat(beat))
        };
        self.take("beat", request.into_inner(), check).await
    }

    async fn views(&self, request: Request<Streaming<wire::View>>) -> Result<Response<wire::Received>, Status> {
        let Identity::Nameserver(from) = identity::of_peer(&request)? else {
            return Err(Status::permission_denied("only nameservers send views"));
        };
        let check = |view: wire::View| {
            let view = View::try_from(view).map_err(invalid)?;
            if view.from != from {
                let why = format!("nameserver {from} cannot send the view of {}", view.from);
                return Err(Status::permission_denied(why));
            }
            Ok(Heard::View(view))
        };
        self.take("view", request.into_inner(), check).await
    }
}

impl Receiver {
    async fn take<M>(
        &self,
        kind: &'static str,
        mut stream: Streaming<M>,
        check: impl Fn(M) -> Result<Heard, Status>,
    ) -> Result<Response<wire::Received>, Status> {
        let mut count = 0;
        loop {
            let message = tokio::select! {
                () = self.stop.cancelled() => return Err(Status::unavailable("this nameserver is stopping")),
                message = tokio::time::timeout(SILENCE_MAX, stream.message()) => message,
            };
            let message = message.map_err(|_| Status::deadline_exceeded("nothing was said for 30 s"))??;
            let Some(message) = message else {
                return Ok(Response::new(wire::Received { count }));
            };
            match check(message) {
                Ok(heard) => {
                    let gone = |_| Status::unavailable("this nameserver is stopping");
                    self.heard.send(heard).await.map_err(gone)?;
                    count += 1;
                }
                Err(status) => {
                    self.metrics.refused(kind);
                    tracing::warn!(why = status.message(), "a {kind} is refused");
                    return Err(status);
                }
            }
        }
    }
}

fn invalid(error: InvalidMessage) -> Status {
    Status::invalid_argument(error.to_string())
}

#[cfg(test)]
mod tests;
