//! What is kept in the store, typed: the keys, and how each value is read and written.
//!
//! Everything that decides what clusters should run and nameservers answer hangs on one key, the [`EPOCH`]: whoever
//! changes such a record writes it too, and the reconciler commits only if it is as it was when the reconciler began to
//! read. One guard instead of one per record, since a transaction has a limited number of them.
//!
//! Values are JSON in an envelope with a version; documents keep the very bytes that are sent ([`document`]), payloads
//! are encrypted ([`vault`](crate::vault)).

pub mod document;
mod edit;
pub mod keys;
mod plans;

pub use document::Stored;
pub use edit::{Edit, Found, get, list};
pub use keys::EPOCH;
pub use plans::{HeldPlan, KeptPlan, PLANS_KEPT, PlanLog};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use waggle_model::desired::Override;
use waggle_model::fleet_state::Settled;
use waggle_model::rollout::Rollout;
use waggle_model::{ClusterName, NameserverName, Timestamp};
use waggle_stack::Bound;
use waggle_wire::token::Kind;

/// Stacks of a federation.
pub const STACKS_MAX: usize = waggle_model::desired::STACKS_MAX;
/// Join tokens that were neither used nor ran out.
pub const TOKENS_MAX: usize = 1000;
/// Releases kept per stack, beyond those in use.
pub const RELEASES_KEPT: usize = 20;
/// Rollouts kept per stack.
pub const ROLLOUTS_KEPT: usize = 50;
/// Notes kept per rollout; the oldest go first.
pub const NOTES_KEPT: usize = 500;

/// One stack: what runs where apart from its newest rollout.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stack {
    pub settled: BTreeMap<ClusterName, Settled>,
    /// Its newest rollout, finished or not.
    pub rollout: Option<u64>,
    #[serde(default)]
    pub removing: Option<Removing>,
    /// Names of secrets and configs, and the bytes they were first given.
    #[serde(default, skip_serializing_if = "Bound::is_empty")]
    pub bound: Bound,
    /// What people changed since the release: cluster → service as in the file.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub overrides: BTreeMap<ClusterName, BTreeMap<String, Override>>,
}

/// A stack on its way out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Removing {
    pub since: Timestamp,
    pub by: String,
    /// Its routes have left the answers and it left the desired states.
    pub withdrawn: bool,
}

/// One rollout and what happened in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolloutRecord {
    pub rollout: Rollout,
    pub author: String,
    /// W3C trace context of the deploy; may be empty.
    pub traceparent: String,
    /// The planner's notes, oldest first.
    pub notes: Vec<NoteRecord>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteRecord {
    pub at: Timestamp,
    pub text: String,
}

/// Value of the [`EPOCH`]: the newest change, and whose it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// W3C trace context of the change; may be empty.
    pub traceparent: String,
    /// Empty: a process's.
    #[serde(default)]
    pub by: String,
    /// What it was, in words; may be empty.
    #[serde(default)]
    pub what: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainRecord {
    pub reason: String,
    pub by: String,
    pub since: Timestamp,
}

/// An operator's word that what the change written with it takes away is meant; for the very next look of the reconciler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForceRecord {
    pub by: String,
    pub reason: String,
}

/// Verdicts in force at a time.
pub const FORCED_VERDICTS_MAX: usize = 1000;

/// An agent that joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentIdentity {
    pub cluster: ClusterName,
    pub swarm_id: String,
    pub joined: Timestamp,
}

/// A nameserver that joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameserverIdentity {
    pub name: NameserverName,
    pub advertise: std::net::SocketAddr,
    pub joined: Timestamp,
}

/// A join token, found by its hash. Kept for a while after its use, so that a second use can be told what happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    pub kind: TokenKind,
    pub name: Option<String>,
    pub expires: Timestamp,
    pub used: Option<Used>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    pub at: Timestamp,
    pub by: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    Cluster,
    Nameserver,
}

impl From<TokenKind> for Kind {
    fn from(kind: TokenKind) -> Kind {
        match kind {
            TokenKind::Cluster => Kind::Cluster,
            TokenKind::Nameserver => Kind::Nameserver,
        }
    }
}

/// A bearer token of the API, found by its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    /// Whom actions are attributed to.
    pub name: String,
    pub created: Timestamp,
}

/// The newest number given out for rollouts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    pub last: u64,
}

#[cfg(test)]
mod tests;
