//! The connections of the API: so many at a time, each with a request under way or closed before long.
//!
//! Whoever holds a connection and sends nothing, or its headers byte by byte, costs a place that others wait for. So
//! what is measured is not bytes but time without a request whose headers are complete: briefly for a connection that
//! never had one, longer between two. A request is under way until the last of its answer is on its way, so streams of
//! events stay for as long as somebody reads them.
//!
//! Rejected: `axum::serve`, which waits for the first bytes without limit to tell the version of HTTP; the handshake has
//! agreed on that already. And hyper's own limit for headers, which HTTP/2 does not have.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::util::ServiceExt;
use waggle_wire::channel::{Connection, Incoming};

/// Connections of the API at a time; the next ones wait.
pub const CONNECTIONS_MAX: usize = 512;
/// From the handshake to the end of the first request's headers.
pub const FIRST_REQUEST_MAX: Duration = Duration::from_secs(5);
/// Without a request after that.
pub const IDLE_MAX: Duration = Duration::from_secs(60);
/// Without a request once the other side was told to leave.
const CLOSING: Patience = Patience { first: Duration::from_secs(1), between: Duration::from_secs(1) };

/// How long a connection may be without a request.
#[derive(Clone, Copy, Debug)]
struct Patience {
    first: Duration,
    between: Duration,
}

/// Serves until `stop`; requests under way are then brought to their end.
pub async fn serve(incoming: Incoming, api: Router, stop: CancellationToken) {
    let patience = Patience { first: FIRST_REQUEST_MAX, between: IDLE_MAX };
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut incoming = incoming;
    let mut open = JoinSet::new();
    loop {
        let next = async {
            let place = room.clone().acquire_owned().await.ok()?;
            Some((place, axum::serve::Listener::accept(&mut incoming).await.0))
        };
        let (place, connection) = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = open.join_next(), if !open.is_empty() => continue,
            Some(next) = next => next,
            else => break,
        };
        open.spawn(one(connection, place, api.clone(), patience, stop.clone()));
    }
    while open.join_next().await.is_some() {}
}

async fn one(
    connection: Connection,
    _place: OwnedSemaphorePermit,
    api: Router,
    patience: Patience,
    stop: CancellationToken,
) {
    let builder = Builder::new(TokioExecutor::new());
    let builder = if connection.speaks_http2() { builder.http2_only() } else { builder.http1_only() };
    let requests = Requests::default();
    let busy = requests.clone();
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let under_way = busy.begin();
        let answering = api.clone().oneshot(request.map(Body::new));
        async move {
            let answer = answering.await?;
            // The closure owns the mark, and the answer's body owns the closure.
            Ok::<_, Infallible>(answer.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    let _ = &under_way;
                    frame
                }))
            }))
        }
    });
    let serving = builder.serve_connection(TokioIo::new(connection), service);
    tokio::pin!(serving);
    tokio::select! {
        _ = serving.as_mut() => return,
        () = requests.none_for(patience) => {}
        () = stop.cancelled() => {}
    }
    serving.as_mut().graceful_shutdown();
    tokio::select! {
        _ = serving => {}
        () = requests.none_for(CLOSING) => {}
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    begun: u64,
    under_way: u64,
}

/// The requests of one connection.
#[derive(Clone, Default)]
struct Requests(Arc<watch::Sender<Count>>);

/// A request under way, until it is dropped.
struct UnderWay(Requests);

impl Requests {
    fn begin(&self) -> UnderWay {
        self.0.send_modify(|count| *count = Count { begun: count.begun + 1, under_way: count.under_way + 1 });
        UnderWay(self.clone())
    }

    /// Ends when there was no request for that long.
    async fn none_for(&self, patience: Patience) {
        let mut counts = self.0.subscribe();
        loop {
            let limit = match *counts.borrow_and_update() {
                Count { under_way: 0, begun: 0 } => patience.first,
                Count { under_way: 0, .. } => patience.between,
                Count { .. } => Duration::MAX,
            };
            // The sender is ours: it cannot be gone.
            if timeout(limit, counts.changed()).await.is_err() {
                return;
            }
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| count.under_way -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, sleep};

    const PATIENCE: Patience = Patience { first: Duration::from_millis(50), between: Duration::from_millis(200) };

    async fn waited(requests: &Requests, working: impl Future<Output = ()>) -> Duration {
        let begin = Instant::now();
        tokio::join!(working, requests.none_for(PATIENCE));
        begin.elapsed()
    }

    #[tokio::test]
    async fn time_without_a_request_is_limited() {
        let never = Requests::default();
        let waited_for_first = waited(&never, async {}).await;
        assert!(waited_for_first >= PATIENCE.first && waited_for_first < PATIENCE.between, "{waited_for_first:?}");

        let requests = Requests::default();
        let step = Duration::from_millis(300);
        let working = async {
            let (first, second) = (requests.begin(), requests.begin());
            sleep(step).await;
            drop(first);
            sleep(step).await;
            drop(second);
            // Over before anybody looks.
            drop(requests.begin());
        };
        let busy = waited(&requests, working).await;
        assert!(busy >= step * 2 + PATIENCE.between, "{busy:?}");
        assert_eq!(*requests.0.borrow(), Count { begun: 3, under_way: 0 });
    }
}
