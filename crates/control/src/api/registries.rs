//! Logins for registries. Passwords come in and never go out.

use super::error::{Body, Named};
use super::types::{LoginStored, LoginView, NewLogin};
use super::{Api, ApiError, Caller, now};
use crate::logins::{self, Login, LoginError};
use axum::extract::State;
use axum::{Extension, Json};
use std::str::FromStr;
use waggle_stack::registry::{self, InvalidRegistry};

/// A registry in a path, in any of the forms that people write.
pub(super) struct Registry(String);

impl FromStr for Registry {
    type Err = InvalidRegistry;

    fn from_str(text: &str) -> Result<Registry, InvalidRegistry> {
        registry::normal(text).map(Registry)
    }
}

pub(super) async fn all(State(api): State<Api>) -> Result<Json<Vec<LoginView>>, ApiError> {
    let found = logins::list(&*api.store, &api.vault).await?;
    Ok(Json(found.into_iter().map(|(registry, login)| view(registry, login)).collect()))
}

pub(super) async fn put(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Named(Registry(registry)): Named<Registry>,
    Body(credentials): Body<NewLogin>,
) -> Result<Json<LoginStored>, ApiError> {
    let by = (caller.name.as_str(), now());
    let kept = logins::put(&*api.store, &api.vault, &registry, &credentials, by).await;
    let (login, changed) = kept.map_err(|error| match error {
        LoginError::Store(error) => error.into(),
        LoginError::Vault(error) => ApiError::internal(error.to_string()),
        LoginError::Contended => ApiError::contended(),
        LoginError::TooMany => ApiError::conflict(error.to_string()),
        LoginError::Incomplete | LoginError::TooLong => ApiError::invalid(error.to_string()),
    })?;
    if changed {
        tracing::info!(registry, version = login.version, by = caller.name, "registry login kept");
    }
    Ok(Json(LoginStored { changed, login: view(registry, login) }))
}

pub(super) async fn remove(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Named(Registry(registry)): Named<Registry>,
) -> Result<Json<Vec<LoginView>>, ApiError> {
    if !logins::remove(&*api.store, &registry).await? {
        return Err(ApiError::not_found(format!("there is no login for {registry}"))
            .help("`waggle registry ls` lists those there are"));
    }
    tracing::info!(registry, by = caller.name, "registry login forgotten");
    all(State(api)).await
}

fn view(registry: String, login: Login) -> LoginView {
    let Login { version, credentials, updated, by } = login;
    LoginView { registry, username: credentials.username, version, updated_at: updated, by }
}
