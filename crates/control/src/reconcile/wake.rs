//! When to look: by timer, when a session has news, when the store changed.

use super::{Activation, Seen, activate};
use crate::records::{Epoch, get, keys};
use crate::store::{Rev, Store, WatchItem};
use futures_util::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use waggle_model::Timestamp;

/// Longest time between two looks while a rollout or removal is under way, and otherwise.
pub const ACTIVE_INTERVAL: Duration = Duration::from_millis(250);
pub const IDLE_INTERVAL: Duration = Duration::from_secs(1);
/// Shortest time between two looks: news comes in bursts.
const PAUSE: Duration = Duration::from_millis(20);
/// Pause after the store's watch failed.
const WATCH_RETRY: Duration = Duration::from_secs(1);

/// Asks the reconciler to look. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    pub fn now(&self) {
        self.0.notify_one();
    }
}

/// Reconciles until `stop`. `latest` gets each activation, and the error's text in its place if there was one.
pub async fn run(
    store: Arc<dyn Store>,
    seen: impl Fn() -> Seen + Send,
    wake: Wake,
    latest: watch::Sender<Result<Activation, String>>,
    stop: CancellationToken,
) {
    let looking = look(store.clone(), seen, wake.clone(), latest);
    let watching = wake_on_change(store, wake);
    let both = async { tokio::join!(looking, watching) };
    stop.run_until_cancelled(both).await;
}

async fn look(
    store: Arc<dyn Store>,
    seen: impl Fn() -> Seen + Send,
    wake: Wake,
    latest: watch::Sender<Result<Activation, String>>,
) {
    loop {
        let activation = activate(&*store, &seen(), Timestamp(waggle_daemon::time::now())).await;
        let interval = match &activation {
            Ok(activation) if activation.under_way => ACTIVE_INTERVAL,
            Ok(_) => IDLE_INTERVAL,
            Err(error) => {
                tracing::error!(error = %waggle_daemon::tasks::chain(error), "cannot reconcile");
                IDLE_INTERVAL
            }
        };
        let _before = latest.send_replace(activation.map_err(|error| waggle_daemon::tasks::chain(&error)));
        tokio::time::sleep(PAUSE).await;
        let _ = tokio::time::timeout(interval, wake.0.notified()).await;
    }
}

async fn wake_on_change(store: Arc<dyn Store>, wake: Wake) {
    loop {
        let epoch = get::<Epoch>(&*store, &keys::epoch()).await.ok().flatten();
        let after = epoch.map_or(Rev(0), |epoch| epoch.rev);
        let mut changes = store.watch(keys::epoch(), after);
        loop {
            match changes.next().await {
                Some(Ok(WatchItem::Batch { .. })) => wake.now(),
                Some(Ok(WatchItem::Progress(_))) => {}
                Some(Ok(WatchItem::Compacted(_))) | Some(Err(_)) | None => break,
            }
        }
        wake.now();
        tokio::time::sleep(WATCH_RETRY).await;
    }
}
