//! Progress of a rollout as server-sent events.

use super::error::Named;
use super::types::RolloutView;
use super::{Api, ApiError, rollouts};
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{Stream, unfold};
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};
use waggle_model::rollout::{ClusterRollout, State as RolloutState, Step};

/// A view is computed at most this often, and at least every [`LONGEST`].
const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(1);
/// Name of each event.
pub(super) const EVENT: &str = "rollout";

struct Progress<T> {
    api: Api,
    id: u64,
    latest: watch::Receiver<T>,
    last: Option<RolloutView>,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

/// A `RolloutView` now and on each change; the stream ends when the rollout is final, or held with every cluster at rest.
pub(super) async fn events(
    State(api): State<Api>,
    Named(id): Named<u64>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let place = api.events.clone().try_acquire_owned();
    let place =
        place.map_err(|_| ApiError::unavailable("too many streams of events are open").help("try again later"))?;
    rollouts::view(&api, id).await?;
    let latest = api.latest.clone();
    let progress = Progress { api, id, latest, last: None, ended: false, _place: place };
    let stream = unfold(progress, |mut progress| async move {
        let event = progress.next().await?;
        Some((Ok(event), progress))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

impl<T> Progress<T> {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.ended || self.api.stop.is_cancelled() {
                return None;
            }
            let view = match rollouts::view(&self.api, self.id).await {
                Ok(view) => view,
                Err(error) => {
                    self.ended = true;
                    return Event::default().event("error").json_data(error.detail).ok();
                }
            };
            let state = &view.rollout.state;
            let settling =
                |cluster: &ClusterRollout| cluster.is_under_way() && !matches!(cluster.step, Step::Failed { .. });
            let held = matches!(state, RolloutState::Held { .. });
            self.ended = state.is_final() || (held && !view.rollout.clusters.values().any(settling));
            if self.last.as_ref() != Some(&view) {
                let event = Event::default().event(EVENT).json_data(&view).ok();
                self.last = Some(view);
                return event;
            }
            if !self.ended {
                self.wait().await;
            }
        }
    }

    async fn wait(&mut self) {
        let stop = self.api.stop.clone();
        let waiting = async {
            tokio::time::sleep(SHORTEST).await;
            let _ = tokio::time::timeout(LONGEST, self.latest.changed()).await;
        };
        stop.run_until_cancelled(waiting).await;
    }
}
