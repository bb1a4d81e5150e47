//! What is true and what should happen, as values and pure functions.
//!
//! Every decision of Waggle is made here: whether a cluster is fit, which endpoints a route may answer with, what a
//! rollout does next. A decision takes state and `now` and returns the decision together with a typed report; it never
//! awaits, reads no clock and iterates no hash map, so the simulation and the processes run the very same code.
//!
//! The documents that processes send each other ([`desired::Desired`], [`plan::RoutePlan`], [`observed::Observed`]) are
//! defined here too and derive `Serialize`. We considered separate structs for disk, wire and model: a document would
//! then exist in three shapes that must agree. Instead one encoding (canonical JSON) is what is committed, sent, hashed
//! and kept on disk, so "same generation, different bytes" is a comparison of digests everywhere.

pub mod ask;
pub mod desired;
pub mod doctor;
pub mod federate;
pub mod fleet;
pub mod fleet_state;
pub mod health;
pub mod name;
pub mod observed;
pub mod outage;
pub mod plan;
pub mod release;
pub mod rollout;
pub mod routing;
pub mod time;
pub mod traffic;

#[cfg(test)]
mod script;

pub use name::{ClusterName, DomainName, NameserverName, StackName};
pub use time::{Generation, Timestamp};
