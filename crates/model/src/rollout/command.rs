//! What people may ask of a rollout. Each command only changes what is wanted; the planner does the rest.

use super::{Rollout, State};

/// Why a command does not apply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rollout {rollout} is {state}, so it cannot be {wanted}")]
pub struct Refused {
    pub rollout: u64,
    pub state: String,
    pub wanted: &'static str,
}

impl Rollout {
    /// Steps under way are finished, no cluster is begun.
    pub fn pause(&self, by: &str) -> Result<Rollout, Refused> {
        match self.state {
            State::Running | State::Paused { .. } => Ok(self.with(State::Paused { by: by.into() })),
            _ => Err(self.refuse("paused")),
        }
    }

    /// Goes on; clusters that failed or were reverted are tried again with a new attempt number.
    pub fn resume(&self) -> Result<Rollout, Refused> {
        match self.state {
            State::Running | State::Paused { .. } | State::Held { .. } => Ok(self.with(State::Running)),
            _ => Err(self.refuse("resumed")),
        }
    }

    /// Clusters under way go back to what they ran before; finished ones stay.
    pub fn abort(&self, by: &str) -> Result<Rollout, Refused> {
        match self.state {
            State::Aborting { .. } => Ok(self.clone()),
            State::Running | State::Paused { .. } | State::Held { .. } => {
                Ok(self.with(State::Aborting { by: by.into() }))
            }
            _ => Err(self.refuse("aborted")),
        }
    }

    /// A newer rollout of the same stack takes over; see [`begin`](super::begin).
    pub fn supersede(&self, by: u64) -> Rollout {
        if self.state.is_final() { self.clone() } else { self.with(State::Superseded { by }) }
    }

    fn with(&self, state: State) -> Rollout {
        Rollout { state, ..self.clone() }
    }

    fn refuse(&self, wanted: &'static str) -> Refused {
        Refused { rollout: self.id, state: self.state.to_string(), wanted }
    }
}
