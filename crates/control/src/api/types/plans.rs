//! Bodies about route plans: what was in force when, and going back.

use serde::{Deserialize, Serialize};
use waggle_model::plan::hold::Hold;
use waggle_model::{Generation, Timestamp};

/// `GET /v1/plans`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlansView {
    /// The earlier plan that is in force just now, if so.
    pub hold: Option<Hold>,
    /// Newest first; the first one is in force.
    pub plans: Vec<PlanView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanView {
    pub generation: Generation,
    pub issued_at: Timestamp,
    /// Whose change led to it; empty: nobody's.
    pub by: String,
    /// That change in words; may be empty.
    pub what: String,
    /// W3C trace context of that change; may be empty.
    pub traceparent: String,
    /// The generation whose content was held then.
    pub held: Option<Generation>,
    /// Against the plan before, in words.
    pub changes: Vec<String>,
    /// Further changes.
    pub more: usize,
    /// It can be put back in force.
    pub kept: bool,
}

/// `POST /v1/plans/{generation}/revert`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevertRequest {
    /// For those who wonder why users are not steered as clusters and releases say.
    pub reason: String,
    /// How long it stays in force, 1 s to 7 days; an hour unless set.
    #[serde(default)]
    pub for_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reverted {
    pub hold: Hold,
    /// What is in force now.
    pub plan_generation: Generation,
    /// Against the plan that was in force, in words; empty: it said the same.
    pub changes: Vec<String>,
}
