//! From what is stored and seen to what is stored next: rollouts, settled releases, desired states, the route plan.
//!
//! [`activate`] takes no request. It reads the latest state, plans, and commits what changed on the condition that
//! nothing has changed since it began to read; then it plans again from the new state. So it can be run at any time,
//! any number of times, by timer, signal or store change, and be killed between any two commits: the next run ends at
//! the same place (invariant 6). The generation of a document grows exactly when its content changes (invariant 3).
//!
//! Rejected: handlers that push the next step themselves (a lost one stops the rollout), and a queue of things to do
//! (it can disagree with the state).

mod commit;
mod decide;
mod load;
mod removal;
mod seen;
mod steer;
mod succession;
mod wake;

#[cfg(test)]
mod tests;

pub use load::{Loaded, load};
pub use seen::{Seen, SeenAgent, SeenNameserver};
pub(crate) use steer::in_force;
pub use succession::too_much_lost;
pub use wake::{ACTIVE_INTERVAL, IDLE_INTERVAL, Wake, run};

use crate::store::{Store, StoreError};
use waggle_model::rollout::Report;
use waggle_model::{Generation, Timestamp};

/// Attempts at a commit that others' writes keep overtaking.
const ATTEMPTS_MAX: usize = 16;

/// What one activation found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Activation {
    /// Something was written.
    pub committed: bool,
    /// Of every rollout that is not final, or has just become so.
    pub reports: Vec<Report>,
    /// What could not be done and needs a person.
    pub problems: Vec<String>,
    pub plan_generation: Generation,
    /// A rollout or removal is under way: look again soon.
    pub under_way: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ActivateError {
    #[error("the store failed")]
    Store(#[from] StoreError),
    #[error("others kept writing; the next run tries again")]
    Contended,
    #[error("a document cannot be written")]
    Document(#[from] waggle_wire::document::InvalidDocument),
}

/// Brings everything one step further. `seen` is what agents and nameservers last said.
pub async fn activate(store: &dyn Store, seen: &Seen, now: Timestamp) -> Result<Activation, ActivateError> {
    for _ in 0..ATTEMPTS_MAX {
        let loaded = load(store).await?;
        let decision = decide::decide(&loaded, seen, now)?;
        if commit::commit(store, &loaded, &decision).await? {
            return Ok(decision.activation);
        }
    }
    Err(ActivateError::Contended)
}
