//! Images to digests, asked through the cluster's own Engine: it has the route to the registry, and perhaps a login.

use crate::engine::Engine;
use crate::logins::Logins;
use futures_util::StreamExt;
use futures_util::stream;
use std::sync::Arc;
use tracing::Instrument;
use waggle_wire::proto::agent::{Platform, Resolve, Resolved, ResolvedImage};

/// Images of one request.
pub const IMAGES_MAX: usize = 512;
/// Registry calls at once.
const CALLS_MAX: usize = 8;

/// Every image gets an answer: a digest or an error.
pub async fn answer(engine: Arc<dyn Engine>, asked: Resolve) -> Resolved {
    if asked.images.len() > IMAGES_MAX {
        return refused(asked, "too many images in one request");
    }
    let span = tracing::info_span!("resolve images", count = asked.images.len());
    waggle_daemon::trace::set_parent(&span, &asked.traceparent);
    let logins = match Logins::checked(asked.logins) {
        Ok(logins) => logins,
        Err(error) => return refused(Resolve { logins: Vec::new(), ..asked }, &error.to_string()),
    };
    let calls = asked.images.into_iter().map(|image| one(engine.clone(), image, &logins));
    let images = stream::iter(calls.collect::<Vec<_>>()).buffered(CALLS_MAX).collect().instrument(span).await;
    Resolved { id: asked.id, images }
}

pub fn refused(asked: Resolve, why: &str) -> Resolved {
    let images = asked.images.into_iter().take(IMAGES_MAX);
    let images = images.map(|image| ResolvedImage { image, error: why.to_owned(), ..Default::default() }).collect();
    Resolved { id: asked.id, images }
}

async fn one(engine: Arc<dyn Engine>, image: String, logins: &Logins) -> ResolvedImage {
    match engine.resolve(&image, logins.of(&image)).await {
        Ok(resolved) => {
            let platforms = resolved.platforms.into_iter().map(|(os, architecture)| Platform { os, architecture });
            ResolvedImage { image, digest: resolved.digest, platforms: platforms.collect(), error: String::new() }
        }
        Err(error) => ResolvedImage { image, error: waggle_daemon::tasks::chain(&error), ..Default::default() },
    }
}
