//! Keys. Numbers are padded, so that keys sort as numbers do.

use crate::store::Key;
use waggle_model::release::ReleaseId;
use waggle_model::{ClusterName, DomainName, Generation, NameserverName, StackName};

/// Written by every change that the reconciler must take into account.
pub const EPOCH: &str = "epoch";
pub const STACKS: &str = "stack/";
pub const RELEASES: &str = "release/";
pub const ROLLOUTS: &str = "rollout/";
pub const DRAINS: &str = "drain/";
/// Verdicts that people set.
pub const FORCED: &str = "forced/";
pub const AGENTS: &str = "identity/agent/";
pub const NAMESERVERS: &str = "identity/nameserver/";
pub const TOKENS: &str = "token/";
pub const API_TOKENS: &str = "apitoken/";
pub const DESIRED: &str = "desired/";
pub const PLANS: &str = "plans/";
pub const PAYLOADS: &str = "payload/";
/// Logins for registries; sealed.
pub const LOGINS: &str = "login/";

pub fn epoch() -> Key {
    Key::new(EPOCH)
}

pub fn federation() -> Key {
    Key::new("federation")
}

pub fn plan() -> Key {
    Key::new("plan")
}

/// See [`ForceRecord`](super::ForceRecord).
pub fn force() -> Key {
    Key::new("force")
}

/// The list of the last plans.
pub fn plan_log() -> Key {
    Key::new("planlog")
}

/// The bytes of one of them.
pub fn kept_plan(generation: Generation) -> Key {
    Key::new(format!("{PLANS}{:020}", generation.0))
}

/// An earlier plan put back in force.
pub fn held_plan() -> Key {
    Key::new("planhold")
}

pub fn rollout_counter() -> Key {
    Key::new("counter/rollout")
}

pub fn stack(name: &StackName) -> Key {
    Key::new(format!("{STACKS}{name}"))
}

pub fn release(id: &ReleaseId) -> Key {
    Key::new(format!("{RELEASES}{id}"))
}

pub fn rollout(id: u64) -> Key {
    Key::new(format!("{ROLLOUTS}{id:020}"))
}

pub fn drain(cluster: &ClusterName) -> Key {
    Key::new(format!("{DRAINS}{cluster}"))
}

pub fn forced(route: &DomainName, cluster: &ClusterName) -> Key {
    Key::new(format!("{FORCED}{route}/{cluster}"))
}

pub fn agent(cluster: &ClusterName) -> Key {
    Key::new(format!("{AGENTS}{cluster}"))
}

pub fn nameserver(name: &NameserverName) -> Key {
    Key::new(format!("{NAMESERVERS}{name}"))
}

pub fn token(hash: &str) -> Key {
    Key::new(format!("{TOKENS}{hash}"))
}

pub fn api_token(hash: &str) -> Key {
    Key::new(format!("{API_TOKENS}{hash}"))
}

pub fn desired(cluster: &ClusterName) -> Key {
    Key::new(format!("{DESIRED}{cluster}"))
}

/// By registry as in image names.
pub fn login(registry: &str) -> Key {
    Key::new(format!("{LOGINS}{registry}"))
}

/// The newest version given to a login; never deleted.
pub fn login_counter() -> Key {
    Key::new("counter/login")
}

/// A value that only the right key opens.
pub fn vault() -> Key {
    Key::new("vault")
}

/// By SHA-256 (hex) of the clear bytes.
pub fn payload(sha256: &str) -> Key {
    Key::new(format!("{PAYLOADS}{sha256}"))
}
