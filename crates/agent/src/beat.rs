//! Beats: the agent's word about its own cluster, to every nameserver, several times a second.
//!
//! Each nameserver has a task and a connection of its own, so that one that hangs delays nobody else. A beat is made when
//! there is room to send it and never waits in a queue: what arrives late would be believed as news. That the Engine
//! answers is not a flag somebody sets but the age of its last answer, so an agent whose loop hangs says so as well.

use crate::metrics::Metrics;
use crate::order::Order;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;
use waggle_daemon::CancellationToken;
use waggle_model::fleet::{BeatPolicy, NameserverPeer};
use waggle_model::health::{Beat, BeatStack};
use waggle_model::{ClusterName, NameserverName, StackName};
use waggle_wire::channel;
use waggle_wire::credentials::Current;
use waggle_wire::identity::Identity;
use waggle_wire::proto::route as wire;
use waggle_wire::proto::route::peers_client::PeersClient;
use waggle_wire::tls;

/// An Engine that has not answered for this long counts as not answering.
pub const ENGINE_DEADLINE: Duration = Duration::from_millis(2500);
/// A connection that does not take a beat for this long is given up.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest pause before the next connection.
pub const RECONNECT_MAX: Duration = Duration::from_secs(1);
const RECONNECT_MIN: Duration = Duration::from_millis(50);
/// Bounds of the interval, whatever the desired state says.
const INTERVAL_MIN: Duration = Duration::from_millis(50);
const INTERVAL_MAX: Duration = Duration::from_secs(10);
/// Nameservers beaten to.
pub const NAMESERVERS_MAX: usize = 64;

/// What the working loop last knew.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pulse {
    pub stacks: BTreeMap<StackName, BeatStack>,
    /// When the Engine last answered.
    pub engine_at: Option<Instant>,
}

/// Everything a connection needs; shared by all.
pub struct Beater {
    pub cluster: ClusterName,
    /// Number of this start of the agent: it orders beats across restarts.
    pub boot: u64,
    pub current: Arc<Current>,
    pub pulse: watch::Receiver<Pulse>,
    pub metrics: Metrics,
    pub seq: AtomicU64,
}

impl Beater {
    fn beat(&self, pulse: &Pulse) -> wire::Beat {
        let beat = Beat {
            cluster: self.cluster.clone(),
            boot: self.boot,
            seq: self.seq.fetch_add(1, Ordering::Relaxed) + 1,
            engine_ok: pulse.engine_at.is_some_and(|at| at.elapsed() < ENGINE_DEADLINE),
            stacks: pulse.stacks.clone(),
        };
        wire::Beat::from(&beat)
    }
}

/// Keeps one connection to each nameserver of the desired state, until `token` is cancelled.
pub async fn run(beater: Arc<Beater>, mut orders: watch::Receiver<Option<Arc<Order>>>, token: CancellationToken) {
    let mut running: BTreeMap<NameserverName, (NameserverPeer, BeatPolicy, CancellationToken)> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    loop {
        let order = orders.borrow_and_update().clone();
        if let Some(order) = order {
            let policy = order.desired.beat;
            let peers = &order.desired.nameservers;
            if peers.len() > NAMESERVERS_MAX {
                tracing::warn!(
                    listed = peers.len(),
                    limit = NAMESERVERS_MAX,
                    "too many nameservers, some get no beats"
                );
            }
            let wanted: BTreeMap<_, _> = peers.iter().take(NAMESERVERS_MAX).map(|p| (p.name.clone(), p)).collect();
            running.retain(|name, (peer, had, stop)| {
                let keep = wanted.get(name).is_some_and(|w| *w == peer) && *had == policy;
                if !keep {
                    stop.cancel();
                }
                keep
            });
            for (name, peer) in wanted {
                running.entry(name).or_insert_with(|| {
                    let stop = token.child_token();
                    tasks.spawn(keep_beating(beater.clone(), peer.clone(), policy, stop.clone()));
                    (peer.clone(), policy, stop)
                });
            }
        }
        tokio::select! {
            () = token.cancelled() => break,
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a beat connection ended unexpectedly");
                    running.retain(|_, (_, _, stop)| { stop.cancel(); false });
                }
            }
            changed = orders.changed() => if changed.is_err() { break },
        }
    }
    tasks.shutdown().await;
}

async fn keep_beating(beater: Arc<Beater>, peer: NameserverPeer, policy: BeatPolicy, stop: CancellationToken) {
    let mut pause = RECONNECT_MIN;
    loop {
        let started = Instant::now();
        tokio::select! {
            () = stop.cancelled() => return,
            why = connection(&beater, &peer, policy) => {
                tracing::debug!(nameserver = %peer.name, address = %peer.address, why, "no beats for now");
            }
        }
        if started.elapsed() > RECONNECT_MAX * 5 {
            pause = RECONNECT_MIN;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(RECONNECT_MAX),
        }
    }
}

/// One connection, from its start to its end; says why it ended.
async fn connection(beater: &Beater, peer: &NameserverPeer, policy: BeatPolicy) -> String {
    let config = match tls::client(&beater.current) {
        Ok(config) => config,
        Err(error) => return waggle_daemon::tasks::chain(&error),
    };
    let address = peer.address.to_string();
    let channel = match channel::connect(&address, Identity::Nameserver(peer.name.clone()), config).await {
        Ok(channel) => channel,
        Err(error) => return waggle_daemon::tasks::chain(&error),
    };
    let (send, beats) = mpsc::channel(1);
    let mut client = PeersClient::new(channel);
    let answered = client.beats(ReceiverStream::new(beats));
    tokio::select! {
        answer = answered => match answer {
            Ok(_) => "the nameserver ended the stream".to_owned(),
            Err(status) => waggle_daemon::tasks::chain(&status),
        },
        why = feed(beater, policy, &send) => why.to_owned(),
    }
}

async fn feed(beater: &Beater, policy: BeatPolicy, send: &mpsc::Sender<wire::Beat>) -> &'static str {
    let mut pulse = beater.pulse.clone();
    let mut tick = tokio::time::interval(policy.interval.clamp(INTERVAL_MIN, INTERVAL_MAX));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told = None;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            changed = pulse.changed() => {
                if changed.is_err() {
                    return "the agent stops";
                }
                // That the Engine answered once more is no change worth a beat of its own.
                if told.as_ref() == Some(&pulse.borrow_and_update().stacks) {
                    continue;
                }
            }
        }
        let Ok(Ok(room)) = timeout(SEND_TIMEOUT, send.reserve()).await else {
            return "a beat was not taken in time";
        };
        let latest = pulse.borrow_and_update().clone();
        room.send(beater.beat(&latest));
        told = Some(latest.stacks);
        beater.metrics.beats_sent.inc();
    }
}

#[cfg(test)]
mod tests;
