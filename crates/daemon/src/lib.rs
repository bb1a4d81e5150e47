//! How a process lives: configuration, telemetry, owned tasks, signals, shutdown within a deadline, metrics and
//! readiness, durable files.
//!
//! Every role of the binary is wired the same way, and this crate knows no word of the domain, so that it can serve all
//! of them: load the configuration, start telemetry, bind, spawn the parts into one [`Tasks`], then [`run()`].
//!
//! Rejected: a task-local "center" that hands out configuration, tasks and clocks from anywhere. It saves a few arguments
//! and makes every function depend on where it happens to be called from.

pub mod config;
pub mod error;
pub mod file;
pub mod run;
pub mod signals;
pub mod status;
pub mod tasks;
pub mod telemetry;
pub mod time;
pub mod trace;

pub use run::run;
pub use status::Status;
pub use tasks::Tasks;
pub use telemetry::{Telemetry, TelemetryConfig};
pub use tokio_util::sync::CancellationToken;
