//! Paths and answers of what is asked on behalf of people.

use super::{encoded, filtered};
use crate::engine::{JoinTokens, Pruned, Whose};
use serde::Deserialize;
use serde_json::json;
use waggle_model::ask::ObjectKind;

pub(super) fn tasks_path(whose: &Whose) -> String {
    match whose {
        Whose::Everybodys => "/tasks".into(),
        Whose::Service(id) => filtered("/tasks", &json!({ "service": [id] }).to_string()),
        Whose::Node(id) => filtered("/tasks", &json!({ "node": [id] }).to_string()),
    }
}

pub(super) fn object_path(kind: ObjectKind, name: &str) -> String {
    let collection = match kind {
        ObjectKind::Service => "services",
        ObjectKind::Node => "nodes",
        ObjectKind::Secret => "secrets",
        ObjectKind::Config => "configs",
        ObjectKind::Network => "networks",
        ObjectKind::Task => "tasks",
    };
    format!("/{collection}/{}", encoded(name))
}

pub(super) fn prune_path(all: bool) -> String {
    filtered("/images/prune", &json!({ "dangling": [if all { "false" } else { "true" }] }).to_string())
}

#[derive(Deserialize)]
pub(super) struct Swarm {
    #[serde(rename = "JoinTokens")]
    tokens: Tokens,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tokens {
    worker: String,
    manager: String,
}

impl From<Swarm> for JoinTokens {
    fn from(swarm: Swarm) -> JoinTokens {
        JoinTokens { worker: swarm.tokens.worker, manager: swarm.tokens.manager }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Removed {
    #[serde(default)]
    images_deleted: Option<Vec<Deleted>>,
    #[serde(default)]
    space_reclaimed: u64,
}

/// An image that went, or only one of its names.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Deleted {
    #[serde(default)]
    deleted: Option<String>,
}

impl From<Removed> for Pruned {
    fn from(removed: Removed) -> Pruned {
        let gone = removed.images_deleted.unwrap_or_default().into_iter().filter_map(|one| one.deleted);
        Pruned { images: gone.count() as u64, bytes: removed.space_reclaimed }
    }
}
