//! This nameserver's view, sent to every other one of the plan. The judge's loop publishes it whole once a second and on
//! change; here each publication is sent as it is, and a peer that cannot keep up gets the newest only.

use futures_util::stream::unfold;
use futures_util::{Stream, StreamExt};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use waggle_model::NameserverName;
use waggle_model::fleet::NameserverPeer;
use waggle_model::health::View;
use waggle_model::plan::RoutePlan;
use waggle_wire::channel;
use waggle_wire::credentials::Current;
use waggle_wire::identity::Identity;
use waggle_wire::proto::route as wire;
use waggle_wire::proto::route::peers_client::PeersClient;
use waggle_wire::tls;

/// Peers that views are sent to; a larger federation is not sent to in full.
pub const PEERS_MAX: usize = 64;
/// Pause before a peer is dialled again: doubles from the first to the second.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);

type Views = watch::Receiver<Option<Arc<View>>>;

/// Keeps one stream to each peer of the newest plan until `stop`.
pub async fn run(
    me: NameserverName,
    mut plans: watch::Receiver<Option<Arc<RoutePlan>>>,
    views: Views,
    current: Arc<Current>,
    stop: CancellationToken,
) {
    let mut tasks = JoinSet::new();
    let mut running: BTreeMap<NameserverName, (NameserverPeer, AbortHandle)> = BTreeMap::new();
    loop {
        let plan = plans.borrow_and_update().clone();
        let all = plan.iter().flat_map(|plan| plan.nameservers.iter()).filter(|peer| peer.name != me);
        let wanted: BTreeMap<_, _> = all.take(PEERS_MAX).map(|peer| (peer.name.clone(), peer.clone())).collect();
        running.retain(|name, (peer, task)| {
            let keep = wanted.get(name) == Some(peer) && !task.is_finished();
            if !keep {
                task.abort();
            }
            keep
        });
        for (name, peer) in wanted {
            running.entry(name).or_insert_with(|| {
                let task = tasks.spawn(keep_sending(peer.clone(), views.clone(), current.clone()));
                (peer, task)
            });
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = plans.changed() => if changed.is_err() { return },
            Some(ended) = tasks.join_next() => if let Err(error) = ended && error.is_panic() {
                tracing::error!(%error, "sending views panicked and is started again");
            },
        }
    }
}

async fn keep_sending(peer: NameserverPeer, views: Views, current: Arc<Current>) {
    let mut pause = PAUSE_MIN;
    let mut complained = false;
    loop {
        let began = tokio::time::Instant::now();
        if let Err(why) = send(&peer, views.clone(), &current).await {
            if !complained {
                tracing::warn!(peer = %peer.name, address = %peer.address, why, "views do not get through; trying on");
            }
            complained = true;
        }
        if began.elapsed() > PAUSE_MAX {
            (pause, complained) = (PAUSE_MIN, false);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// One stream; ends when the peer or the connection does.
async fn send(peer: &NameserverPeer, views: Views, current: &Arc<Current>) -> Result<(), String> {
    let config = tls::client(current).map_err(|error| error.to_string())?;
    let identity = Identity::Nameserver(peer.name.clone());
    let channel = channel::connect(&peer.address.to_string(), identity, config).await;
    let channel = channel.map_err(|error| waggle_daemon::tasks::chain(&error))?;
    let mut client = PeersClient::new(channel).max_encoding_message_size(super::MESSAGE_MAX);
    // Without it the connection would live on to send views after this task was aborted.
    let over = CancellationToken::new();
    let _over = over.clone().drop_guard();
    client.views(each(views).take_until(over.cancelled_owned())).await.map_err(|status| status.message().to_owned())?;
    Ok(())
}

/// The present view, then each newer one.
fn each(mut views: Views) -> impl Stream<Item = wire::View> + Send + 'static {
    views.mark_changed();
    unfold(views, |mut views| async {
        loop {
            views.changed().await.ok()?;
            let view = views.borrow_and_update().clone();
            if let Some(view) = view {
                return Some((wire::View::from(view.as_ref()), views));
            }
        }
    })
}
