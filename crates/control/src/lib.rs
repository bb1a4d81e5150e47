//! The control service: store, certificate authority, rollouts, sessions of agents and nameservers, HTTP API.
//!
//! ```text
//! api ──commit──► store ◄──commit── reconcile ◄──seen── sessions ◄── agents, nameservers
//!                   └───────────────follow─────────────────┘
//! ```
//!
//! Handlers and sessions never act on each other: what must happen is written to the store, the reconciler plans from
//! the store and from what was seen, and sessions follow what it wrote. Control may be killed at any time; answers and
//! failover do not need it, and everything else goes on where it was.

pub mod api;
pub mod ca;
pub mod config;
pub mod deploy;
pub mod identity;
pub mod logins;
mod metrics;
pub mod reconcile;
pub mod records;
pub mod secret;
pub mod serve;
pub mod sessions;
pub mod store;
pub mod tokens;
pub mod vault;
mod views;

pub use config::Config;
pub use serve::{BuildError, Control, build, rotate_key};
