//! The working loop: passes over the swarm, and cheap looks in between.
//!
//! One task owns the memory and does all writing. It polls: Swarm's event stream tells of services and nodes but not of
//! tasks on other nodes, so that a crash would go unseen, and a stream that breaks needs polling as well. Events only make
//! the next pass come sooner; what they say is never believed.

use crate::apply::{self, Given, Report};
use crate::beat::Pulse;
use crate::engine::Engine;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::observe;
use crate::order::Order;
use crate::policy::Policy;
use crate::seen::look;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::Instrument;
use waggle_daemon::{CancellationToken, Status};
use waggle_model::observed::Observed;
use waggle_model::{ClusterName, Timestamp};

/// Between whole passes when all is as desired.
pub const PASS_INTERVAL: Duration = Duration::from_secs(1);
/// Between whole passes while something is on its way.
pub const BUSY_INTERVAL: Duration = Duration::from_millis(500);
/// Times are whole milliseconds: a pass that comes this much after something is due finds it so.
const DUE_MARGIN: Duration = Duration::from_millis(2);
/// Shortest time from one pass to the next, when events call for it.
pub const WAKE_INTERVAL: Duration = Duration::from_millis(200);
/// Until the event stream is asked for again after it broke, and how long it is waited for.
const STREAM_PAUSE: Duration = Duration::from_secs(5);
const STREAM_PATIENCE: Duration = Duration::from_secs(1);
/// Between looks at the tasks.
pub const GLANCE_INTERVAL: Duration = Duration::from_millis(300);

/// The loop and what it feeds.
pub struct Work {
    pub cluster: ClusterName,
    pub engine: Arc<dyn Engine>,
    pub policy: Arc<Policy>,
    pub memory: Memory,
    pub orders: watch::Receiver<Option<Arc<Order>>>,
    pub observed: watch::Sender<Option<Arc<Observed>>>,
    pub pulse: watch::Sender<Pulse>,
    pub metrics: Metrics,
    pub status: Status,
    pub events: Events,
}

/// The Engine's event stream, as far as there is one.
#[derive(Default)]
pub struct Events {
    stream: Option<BoxStream<'static, ()>>,
    /// Not asked for again before.
    pause: Option<Instant>,
}

impl Events {
    /// Asks for the stream if there is none, and passes over what has come: the look that follows sees it.
    async fn refresh(&mut self, engine: &dyn Engine) {
        if self.stream.is_none() && self.pause.is_none_or(|pause| Instant::now() >= pause) {
            match timeout(STREAM_PATIENCE, engine.changes()).await {
                Ok(Ok(stream)) => self.stream = Some(stream),
                failed => {
                    tracing::debug!(timely = failed.is_ok(), "no event stream");
                    self.pause = Some(Instant::now() + STREAM_PAUSE);
                }
            }
        }
        while let Some(stream) = &mut self.stream {
            match stream.next().now_or_never() {
                Some(Some(())) => {}
                Some(None) => self.over(),
                None => break,
            }
        }
    }

    /// The next event; pending while there is no stream.
    async fn next(&mut self) {
        if let Some(stream) = &mut self.stream {
            if stream.next().await.is_some() {
                return;
            }
            self.over();
        }
        std::future::pending().await
    }

    fn over(&mut self) {
        self.stream = None;
        self.pause = Some(Instant::now() + STREAM_PAUSE);
    }
}

impl Work {
    /// Works until `token` is cancelled. A write that has begun is ended first.
    pub async fn run(mut self, token: CancellationToken) {
        while !token.is_cancelled() {
            let order = self.orders.borrow_and_update().clone();
            self.events.refresh(self.engine.as_ref()).await;
            let began = Instant::now();
            let pause = match &order {
                Some(order) => self.pass(order).await,
                None => self.idle().await,
            };
            let next = began + pause;
            if !self.wait(order.as_deref(), began, next, &token).await {
                break;
            }
        }
    }

    /// Glances until the next pass is due; at once when a new order comes or something happened. False: stop.
    async fn wait(
        &mut self,
        order: Option<&Order>,
        began: Instant,
        mut next: Instant,
        token: &CancellationToken,
    ) -> bool {
        loop {
            let glance = (Instant::now() + GLANCE_INTERVAL).min(next);
            tokio::select! {
                () = token.cancelled() => return false,
                changed = self.orders.changed() => return changed.is_ok(),
                () = self.events.next(), if next > began + WAKE_INTERVAL => {
                    next = began + WAKE_INTERVAL;
                    continue;
                }
                () = sleep_until(glance) => {}
            }
            if Instant::now() >= next {
                return true;
            }
            if let Some(order) = order
                && self.glance(order).await
            {
                return true;
            }
        }
    }

    /// How long from its beginning until the next one.
    async fn pass(&mut self, order: &Order) -> Duration {
        let span = tracing::info_span!("pass", generation = %order.desired.generation);
        if self.memory.last.as_ref().is_none_or(|last| last.generation != order.desired.generation) {
            // Only the first pass belongs to the change that led to it; later ones would make its trace endless.
            waggle_daemon::trace::set_parent(&span, &order.traceparent);
        }
        let report = self.apply(order).instrument(span).await;
        self.metrics.pass(if report.error.is_some() { "error" } else { "ok" });
        if let Some(error) = &report.error {
            tracing::warn!(error, "the pass could not do its work");
        }
        let pause = if report.is_busy() { BUSY_INTERVAL } else { PASS_INTERVAL };
        let pause = report.due.map_or(pause, |due| pause.min(due + DUE_MARGIN));
        self.publish(report.observed);
        pause
    }

    async fn apply(&mut self, order: &Order) -> Report {
        let now = Timestamp(waggle_daemon::time::now());
        let given = Given { payloads: &order.payloads, logins: &order.logins, policy: &self.policy };
        apply::apply(self.engine.as_ref(), &order.desired, given, &mut self.memory, now).await
    }

    /// Without an order there is nothing to do but to tell how the swarm is.
    async fn idle(&mut self) -> Duration {
        let now = Timestamp(waggle_daemon::time::now());
        let observed = match look(self.engine.as_ref()).await {
            Ok(seen) => observe::idle(&seen, &self.cluster, now),
            Err(error) => {
                let error = waggle_daemon::tasks::chain(&error);
                observe::stale(&self.memory, &self.cluster, now, Some(error))
            }
        };
        self.publish(observed);
        PASS_INTERVAL
    }

    /// True when a task came, went or changed its state.
    async fn glance(&mut self, order: &Order) -> bool {
        let before = self.memory.last.as_ref().map(states);
        let now = Timestamp(waggle_daemon::time::now());
        match apply::glance(self.engine.as_ref(), &order.desired, &mut self.memory, now).await {
            Some(Ok(observed)) => {
                let changed = before.is_some_and(|before| before != states(&observed));
                if changed {
                    self.publish(observed);
                } else {
                    self.pulse.send_modify(|pulse| pulse.engine_at = Some(Instant::now()));
                }
                changed
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "no answer to a glance");
                false
            }
            None => false,
        }
    }

    fn publish(&self, observed: Observed) {
        let answered = observed.swarm.error.is_none();
        self.status.ready("engine", observed.swarm.error.clone().map_or(Ok(()), Err));
        let stacks = observe::beats(&observed);
        self.pulse.send_modify(|pulse| {
            pulse.stacks = stacks;
            if answered {
                pulse.engine_at = Some(Instant::now());
            }
        });
        self.observed.send_replace(Some(Arc::new(observed)));
    }
}

fn states(observed: &Observed) -> BTreeSet<(String, String, String)> {
    let services = observed.stacks.values().flat_map(|stack| stack.services.values());
    let tasks = services.flat_map(|service| &service.tasks);
    tasks.map(|task| (task.id.clone(), task.state.clone(), task.desired_state.clone())).collect()
}
