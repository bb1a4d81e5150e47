//! Asking an agent which digest an image has: its Engine has the registry credentials and mirrors of its cluster.

use super::Agents;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use waggle_model::ClusterName;
use waggle_wire::proto::agent::ResolvedImage;

/// All images of one release, all attempts together.
pub const RESOLVE_DEADLINE: Duration = Duration::from_secs(30);
/// Images of one release.
pub const IMAGES_MAX: usize = 512;
/// Clusters that are asked for an image before it counts as not to be found.
const CLUSTERS_ASKED_MAX: usize = 3;

/// Image as written → what the registry says.
pub type Resolution = BTreeMap<String, ResolvedImage>;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    #[error("no agent is connected that could look up the images")]
    NoAgent,
    #[error("the images were not looked up within {} s", RESOLVE_DEADLINE.as_secs())]
    Deadline,
    #[error("{0} images, at most {IMAGES_MAX} are allowed")]
    TooMany(usize),
    #[error("{}", .0.iter().map(|(image, why)| format!("image {image}: {why}")).collect::<Vec<_>>().join("; "))]
    NotFound(BTreeMap<String, String>),
}

pub(super) struct Ask {
    pub(super) images: Vec<String>,
    pub(super) traceparent: String,
    pub(super) reply: oneshot::Sender<Vec<ResolvedImage>>,
}

impl Agents {
    /// Digests of all images. One that a cluster cannot look up is tried through others.
    pub async fn resolve(&self, images: BTreeSet<String>, traceparent: &str) -> Result<Resolution, ResolveError> {
        if images.is_empty() {
            return Ok(Resolution::new());
        }
        if images.len() > IMAGES_MAX {
            return Err(ResolveError::TooMany(images.len()));
        }
        let asking = self.ask_in_turn(images, traceparent);
        tokio::time::timeout(RESOLVE_DEADLINE, asking).await.unwrap_or(Err(ResolveError::Deadline))
    }

    async fn ask_in_turn(&self, images: BTreeSet<String>, traceparent: &str) -> Result<Resolution, ResolveError> {
        let mut left = images;
        let (mut found, mut failures) = (Resolution::new(), BTreeMap::new());
        let mut asked = false;
        for (cluster, asks) in self.asking().into_iter().take(CLUSTERS_ASKED_MAX) {
            let (reply, answer) = oneshot::channel();
            let images = left.iter().cloned().collect();
            if asks.send(Ask { images, traceparent: traceparent.to_owned(), reply }).await.is_err() {
                continue;
            }
            let Ok(answer) = answer.await else { continue };
            asked = true;
            for image in answer {
                if !left.contains(&image.image) {
                    continue;
                }
                if image.digest.is_empty() {
                    let why = if image.error.is_empty() { "it has no digest" } else { &image.error };
                    failures.insert(image.image, format!("{why} (asked through {cluster})"));
                } else {
                    left.remove(&image.image);
                    found.insert(image.image.clone(), image);
                }
            }
            if left.is_empty() {
                return Ok(found);
            }
        }
        if !asked {
            return Err(ResolveError::NoAgent);
        }
        let why = |image: &String| failures.get(image).cloned().unwrap_or_else(|| "no agent answered for it".into());
        Err(ResolveError::NotFound(left.iter().map(|image| (image.clone(), why(image))).collect()))
    }

    fn asking(&self) -> Vec<(ClusterName, mpsc::Sender<Ask>)> {
        let table = self.table();
        let live = table.rows.iter().filter_map(|(name, row)| Some((name.clone(), row.live.as_ref()?.asks.clone())));
        live.collect()
    }
}
