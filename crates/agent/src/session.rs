//! The session with control: desired state comes in, observed state goes out.
//!
//! The agent dials, so a swarm needs no port that control could reach. Nothing here is needed to keep the swarm as it
//! should be: while control is away, the working loop goes on from the order on disk. A session that is silent for
//! [`SILENCE_MAX`] is given up even if its connection looks well: a stopped process keeps a connection alive.

use crate::ask::{Asked, Desk};
use crate::engine::Engine;
use crate::metrics::Metrics;
use crate::order::{self, Order, Taken};
use crate::policy::Policy;
use crate::resolve;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use waggle_daemon::{CancellationToken, Status};
use waggle_model::observed::Observed;
use waggle_model::{ClusterName, Generation};
use waggle_wire::credentials::Current;
use waggle_wire::document::{self, MESSAGE_BYTES_MAX};
use waggle_wire::identity::Identity;
use waggle_wire::proto::agent::agents_client::AgentsClient;
use waggle_wire::proto::agent::{AgentMessage, Answer, ControlMessage, DesiredState, Hello, Resolve};
use waggle_wire::proto::agent::{agent_message as said, control_message as heard};
use waggle_wire::proto::document::{Alive, Document};
use waggle_wire::{channel, tls};

/// Silence of control after which another session is tried.
pub const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Own silence after which a sign of life is sent.
pub const ALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// Longest pause before the next attempt.
pub const BACKOFF_MAX: Duration = Duration::from_secs(3);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// Messages on their way out.
const OUTGOING_MAX: usize = 16;
/// Requests to resolve images that are worked on at once; more are refused.
pub const RESOLVES_MAX: usize = 8;

/// What a session needs; lives as long as the agent.
pub struct Session {
    pub cluster: ClusterName,
    pub swarm_id: String,
    pub control: Vec<String>,
    pub data_dir: PathBuf,
    pub current: Arc<Current>,
    pub engine: Arc<dyn Engine>,
    /// Told to control, so that it can refuse a deploy at once.
    pub policy: Arc<Policy>,
    pub orders: watch::Sender<Option<Arc<Order>>>,
    pub observed: watch::Receiver<Option<Arc<Observed>>>,
    pub metrics: Metrics,
    pub status: Status,
}

/// Keeps a session open until `token` is cancelled.
pub async fn run(session: Arc<Session>, token: CancellationToken) {
    let mut backoff = BACKOFF_MIN;
    for address in session.control.iter().cycle() {
        let started = Instant::now();
        let why = tokio::select! {
            () = token.cancelled() => return,
            why = one(&session, address) => why,
        };
        session.metrics.session.set(0);
        session.status.ready("session", Err(format!("no session with control at {address}: {why}")));
        tracing::info!(address, why, "no session with control; the swarm is kept as last desired");
        if started.elapsed() > SILENCE_MAX * 2 {
            backoff = BACKOFF_MIN;
        }
        tokio::select! {
            () = token.cancelled() => return,
            () = tokio::time::sleep(jittered(backoff)) => backoff = (backoff * 2).min(BACKOFF_MAX),
        }
    }
}

/// Between half of `pause` and all of it, so that agents do not come back in step.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish() % 1000;
    pause / 2 + pause / 2 * u32::try_from(random).unwrap_or(0) / 1000
}

/// One session from its start to its end; says why it ended.
async fn one(session: &Session, address: &str) -> String {
    match talk(session, address).await {
        Ok(()) => "control ended it".to_owned(),
        Err(why) => why,
    }
}

async fn talk(session: &Session, address: &str) -> Result<(), String> {
    let text = |error: &(dyn std::error::Error + 'static)| waggle_daemon::tasks::chain(error);
    let config = tls::client(&session.current).map_err(|e| text(&e))?;
    let channel = channel::connect(address, Identity::Control, config).await.map_err(|e| text(&e))?;
    let mut client = AgentsClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let (out, outgoing) = mpsc::channel(OUTGOING_MAX);
    send(&out, said::Kind::Hello(hello(session))).await?;
    let opened = timeout(SILENCE_MAX, client.session(ReceiverStream::new(outgoing))).await;
    let inbound = opened.map_err(|_| "control did not answer in time".to_owned())?.map_err(|e| text(&e))?;
    session.metrics.session.set(1);
    session.status.ready("session", Ok(()));
    tracing::info!(address, "session with control is open");
    converse(session, inbound.into_inner(), &out).await
}

/// The generation on disk, unless its payloads are gone: then the whole is asked for again.
fn hello(session: &Session) -> Hello {
    let order = session.orders.borrow().clone();
    let complete = order.as_ref().filter(|order| !order.lacks_payloads());
    let generation = complete.map_or(Generation(0), |order| order.desired.generation);
    Hello {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        swarm_id: session.swarm_id.clone(),
        generation: generation.0,
        policy: serde_json::to_vec(&*session.policy).unwrap_or_default().into(),
    }
}

async fn converse(
    session: &Session,
    mut inbound: Streaming<ControlMessage>,
    out: &mpsc::Sender<AgentMessage>,
) -> Result<(), String> {
    let mut observed = session.observed.clone();
    observed.mark_changed();
    let mut resolves = JoinSet::new();
    let mut desk = Desk::new(Asked { engine: session.engine.clone(), orders: session.orders.subscribe() });
    let mut heard_at = Instant::now();
    let mut said_at = Instant::now();
    loop {
        tokio::select! {
            message = inbound.message() => {
                let Some(message) = message.map_err(|status| waggle_daemon::tasks::chain(&status))? else {
                    return Ok(());
                };
                heard_at = Instant::now();
                match message.kind {
                    Some(heard::Kind::Desired(offered)) => take(session, offered).await,
                    Some(heard::Kind::Resolve(asked)) => start_resolve(session, asked, &mut resolves),
                    // A question that is not understood is not answered; whoever asked has a deadline.
                    Some(heard::Kind::Ask(asked)) => desk.start(asked),
                    Some(heard::Kind::Withdraw(id)) => desk.withdraw(id),
                    Some(heard::Kind::Took(id)) => desk.took(id),
                    Some(heard::Kind::Alive(_)) | None => {}
                }
            }
            answer = next_answer(&mut desk, out) => send(out, said::Kind::Answer(answer)).await?,
            Some(resolved) = resolves.join_next(), if !resolves.is_empty() => {
                if let Ok(resolved) = resolved {
                    send(out, said::Kind::Resolved(resolved)).await?;
                }
            }
            changed = observed.changed() => {
                changed.map_err(|_| "the agent stops".to_owned())?;
                let latest = observed.borrow_and_update().clone();
                if let Some(latest) = latest {
                    send(out, said::Kind::Observed(report(&latest)?)).await?;
                    said_at = Instant::now();
                }
            }
            () = sleep_until(said_at + ALIVE_INTERVAL) => {
                send(out, said::Kind::Alive(Alive {})).await?;
                said_at = Instant::now();
            }
            () = sleep_until(heard_at + SILENCE_MAX) => {
                return Err(format!("control was silent for {} s", SILENCE_MAX.as_secs()));
            }
        }
    }
}

/// An answer, once there is more room than answers may take: reports and signs of life never wait behind them.
async fn next_answer(desk: &mut Desk, out: &mpsc::Sender<AgentMessage>) -> Answer {
    match out.reserve_many(OUTGOING_MAX / 2).await {
        Ok(room) => drop(room),
        // The session is over, which its other ends will notice.
        Err(_) => std::future::pending().await,
    }
    desk.next().await
}

fn report(observed: &Observed) -> Result<Document, String> {
    document::encode(observed.generation, observed).map_err(|error| waggle_daemon::tasks::chain(&error))
}

async fn send(out: &mpsc::Sender<AgentMessage>, kind: said::Kind) -> Result<(), String> {
    match timeout(SILENCE_MAX, out.send(AgentMessage { kind: Some(kind) })).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err("control closed the session".into()),
        Err(_) => Err("control takes no messages".into()),
    }
}

async fn take(session: &Session, offered: DesiredState) {
    let current = session.orders.borrow().clone();
    match order::take(&session.data_dir, &session.cluster, current.as_ref(), offered).await {
        Ok(Taken::New(order)) => {
            session.metrics.generation.set(i64::try_from(order.desired.generation.0).unwrap_or(i64::MAX));
            tracing::info!(generation = %order.desired.generation, stacks = order.desired.stacks.len(), "new desired state");
            session.orders.send_replace(Some(order));
        }
        Ok(Taken::Completed(order)) => {
            session.orders.send_replace(Some(order));
        }
        Ok(Taken::Same) => {}
        Err(error) => {
            tracing::error!(error = waggle_daemon::tasks::chain(&error), "a desired state was not taken");
        }
    }
}

fn start_resolve(session: &Session, asked: Resolve, resolves: &mut JoinSet<waggle_wire::proto::agent::Resolved>) {
    if resolves.len() >= RESOLVES_MAX {
        resolves.spawn(async move { resolve::refused(asked, "the agent resolves too many images already") });
    } else {
        resolves.spawn(resolve::answer(session.engine.clone(), asked));
    }
}

#[cfg(test)]
mod tests;
