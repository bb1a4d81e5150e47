//! Releases.

use super::error::{Named, Query};
use super::types::ReleaseView;
use super::{Api, ApiError};
use crate::records::{get, keys, list};
use crate::store::Key;
use crate::views;
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use waggle_model::StackName;
use waggle_model::release::Release;

/// Shortest prefix of an id.
const PREFIX_MIN: usize = 4;

#[derive(Deserialize)]
pub(super) struct Filter {
    stack: Option<StackName>,
}

/// Newest first.
pub(super) async fn all(
    State(api): State<Api>,
    Query(filter): Query<Filter>,
) -> Result<Json<Vec<ReleaseView>>, ApiError> {
    let loaded = api.load().await?;
    let releases = list::<Release>(&*api.store, keys::RELEASES).await?.into_iter().map(|(_, found)| found.value);
    let wanted = releases.filter(|release| filter.stack.as_ref().is_none_or(|stack| release.body.stack == *stack));
    let mut views: Vec<_> = wanted.map(|release| views::release(&loaded, &release, false)).collect();
    if let Some(stack) = filter.stack.filter(|stack| views.is_empty() && !loaded.stacks.contains_key(stack)) {
        return Err(ApiError::not_found(format!("there is no stack {stack}")).help("`waggle stack ls` lists them"));
    }
    views.sort_by_key(|view| (std::cmp::Reverse(view.created_at), view.id));
    Ok(Json(views))
}

pub(super) async fn one(State(api): State<Api>, Named(prefix): Named<String>) -> Result<Json<ReleaseView>, ApiError> {
    let hex = prefix.bytes().all(|byte| byte.is_ascii_hexdigit()) && prefix.len() <= 64;
    if !hex || prefix.len() < PREFIX_MIN {
        let message = format!("{prefix:?} is no release id; give at least {PREFIX_MIN} of its hex digits");
        return Err(ApiError::invalid(message));
    }
    let prefix = prefix.to_ascii_lowercase();
    let (_, entries) = api.store.list(&Key::new(format!("{}{prefix}", keys::RELEASES)), None).await?;
    let key = match entries.as_slice() {
        [one] => one.key.clone(),
        [] => return Err(ApiError::not_found(format!("there is no release {prefix}"))),
        many => {
            let message = format!("{} releases begin with {prefix}", many.len());
            return Err(ApiError::conflict(message).help("give more digits"));
        }
    };
    let release = get::<Release>(&*api.store, &key).await?;
    let release = release.ok_or_else(|| ApiError::not_found(format!("there is no release {prefix}")))?;
    Ok(Json(views::release(&api.load().await?, &release.value, true)))
}
