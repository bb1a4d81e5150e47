//! What a simulated outage says.

use serde::{Deserialize, Serialize};
use waggle_model::outage::Outage;
use waggle_model::{Generation, NameserverName};

/// `GET /v1/simulate/outage?cluster=eu-1&at_rate=2`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutageView {
    pub outage: Outage,
    /// What rates were multiplied by.
    pub at_rate: f64,
    /// Sampled queries that were replayed, the nameservers they come from, and the time they cover.
    pub samples: u64,
    pub nameservers: Vec<NameserverName>,
    pub window_ms: u64,
    pub plan_generation: Generation,
    /// Whose verdicts were used.
    pub verdicts_of: Option<NameserverName>,
}
