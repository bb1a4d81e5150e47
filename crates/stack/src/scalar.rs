//! Small text formats of Compose files: durations, sizes, CPU shares, shell words, env files.

pub mod bytes;
pub mod cpus;
pub mod duration;
pub mod env_file;
pub mod path;
pub mod shell;
