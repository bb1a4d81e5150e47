//! The session with control: plans in, statuses and samples of queries out. Everything else goes on without it, for ever.
//!
//! Control sends something at least every second; silence beyond a deadline of our own ends the session, because a
//! connection whose far side hangs stays open at every lower layer.

use crate::backoff::Backoff;
use futures_util::stream::unfold;
use futures_util::{Stream, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use waggle_model::Generation;
use waggle_model::plan::NameserverStatus;
use waggle_model::traffic::QuerySamples;
use waggle_wire::channel;
use waggle_wire::credentials::Current;
use waggle_wire::document::{self, MESSAGE_BYTES_MAX};
use waggle_wire::identity::Identity;
use waggle_wire::proto::document::Document;
use waggle_wire::proto::route as wire;
use waggle_wire::proto::route::nameserver_message::Kind as Out;
use waggle_wire::proto::route::route_message::Kind as In;
use waggle_wire::proto::route::routes_client::RoutesClient;
use waggle_wire::tls;

/// Longest silence of control within a session.
pub const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Longest pause before control is dialled again.
pub const PAUSE_MAX: Duration = Duration::from_secs(3);

/// What a session needs.
pub struct Feed {
    /// `HOST:PORT` each; tried in turn.
    pub control: Vec<String>,
    pub advertise: String,
    pub current: Arc<Current>,
    pub statuses: watch::Receiver<Option<Arc<NameserverStatus>>>,
    pub samples: watch::Receiver<Option<Arc<QuerySamples>>>,
    pub offers: mpsc::Sender<Document>,
}

impl Feed {
    /// One session after the other until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut backoff = Backoff::new(PAUSE_MAX);
        let mut complained = false;
        for address in self.control.iter().cycle() {
            let began = tokio::time::Instant::now();
            let why = tokio::select! {
                () = stop.cancelled() => return,
                why = self.session(address) => why,
            };
            if began.elapsed() > SILENCE_MAX {
                complained = false;
                backoff.reset();
            }
            if !complained {
                tracing::warn!(control = address, why, "no session with control; answers go on from the last plan");
                complained = true;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(backoff.next()) => {}
            }
        }
    }

    /// Returns why it ended.
    async fn session(&self, address: &str) -> String {
        match self.converse(address).await {
            Ok(()) => "control ended the session".to_owned(),
            Err(why) => why,
        }
    }

    async fn converse(&self, address: &str) -> Result<(), String> {
        let config = tls::client(&self.current).map_err(|error| error.to_string())?;
        let channel = channel::connect(address, Identity::Control, config).await;
        let channel = channel.map_err(|error| waggle_daemon::tasks::chain(&error))?;
        let mut client = RoutesClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        // Without it the connection would live on to send statuses after the session has been given up.
        let over = CancellationToken::new();
        let _over = over.clone().drop_guard();
        let outbound = self.outbound().take_until(over.cancelled_owned());
        let silent = |_| format!("control said nothing for {} s", SILENCE_MAX.as_secs());
        let session = timeout(SILENCE_MAX, client.session(outbound)).await.map_err(silent)?;
        let mut inbound = session.map_err(|status| status.message().to_owned())?.into_inner();
        tracing::info!(control = address, "session with control");
        loop {
            let message = timeout(SILENCE_MAX, inbound.message()).await.map_err(silent)?;
            let Some(message) = message.map_err(|status| status.message().to_owned())? else {
                return Ok(());
            };
            match message.kind {
                Some(In::Plan(plan)) => {
                    // A keeper that is busy compiling holds the session up, not the answers.
                    let offered = self.offers.send(plan).await;
                    offered.map_err(|_| "this nameserver is stopping".to_owned())?;
                }
                Some(In::Alive(_)) | None => {}
            }
        }
    }

    /// Hello, then each status and each sample of the queries as it is published.
    fn outbound(&self) -> impl Stream<Item = wire::NameserverMessage> + Send + 'static {
        let (mut statuses, mut samples) = (self.statuses.clone(), self.samples.clone());
        statuses.mark_changed();
        samples.mark_changed();
        let generation = statuses.borrow().as_ref().map_or(0, |status| status.generation.0);
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let hello = wire::NameserverHello { version, generation, advertise: self.advertise.clone() };
        unfold((statuses, samples, Some(hello)), |(mut statuses, mut samples, hello)| async {
            if let Some(hello) = hello {
                return Some((wire::NameserverMessage { kind: Some(Out::Hello(hello)) }, (statuses, samples, None)));
            }
            loop {
                let message = tokio::select! {
                    biased;
                    changed = statuses.changed() => {
                        changed.ok()?;
                        let status = statuses.borrow_and_update().clone();
                        status.map(|status| document::encode(status.generation, status.as_ref()).map(Out::Status))
                    }
                    // Their task may end before this one does.
                    Ok(()) = samples.changed() => {
                        let told = samples.borrow_and_update().clone();
                        told.map(|told| document::encode(Generation(told.at.0), told.as_ref()).map(Out::Samples))
                    }
                };
                match message {
                    Some(Ok(kind)) => {
                        return Some((wire::NameserverMessage { kind: Some(kind) }, (statuses, samples, None)));
                    }
                    Some(Err(error)) => tracing::error!(%error, "a status or sample cannot be sent"),
                    None => {}
                }
            }
        })
    }
}
