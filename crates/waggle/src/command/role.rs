//! What the long-running roles have in common: configuration, telemetry, tasks, shutdown.

use crate::exit::{Exit, Failure, chain};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use std::time::Duration;
use waggle_daemon::config::{self, ConfigError};
use waggle_daemon::{Tasks, TelemetryConfig, telemetry};

/// How long tasks may take to end: below the 10 s after which Docker and many others kill.
pub const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(8);

/// Flags of every role.
#[derive(Debug, Default, clap::Args)]
pub struct Flags {
    /// Configuration file, TOML; its keys can also be set in the environment and by --set
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set any key of the configuration file, e.g. --set telemetry.log=debug
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,
}

pub fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Flags {
    /// The configuration of `role`: file, then environment, then `--set`, then the `named` flags.
    pub fn load<C: DeserializeOwned>(&self, role: &str, named: &[(&str, Option<String>)]) -> Result<C, Failure> {
        let named = named.iter().filter_map(|(key, value)| Some(((*key).to_owned(), value.clone()?)));
        let flags: Vec<(String, String)> = self.set.iter().cloned().chain(named).collect();
        config::load(role, self.config.as_deref(), &config::environment(), &flags).map_err(|error| match error {
            ConfigError::Problems(problems) => {
                Failure::refused(format!("the configuration of {role} cannot be used")).with_problems(problems)
            }
            error => Failure::refused(chain(&error)),
        })
    }
}

/// A list as `daemon::config` takes it from a flag; `None` if nothing was given.
pub fn list<T: ToString>(items: &[T]) -> Option<String> {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    (!items.is_empty()).then(|| items.join(","))
}

/// What to run.
pub struct Role<'a> {
    /// `control`, `agent`, `nameserver`.
    pub name: &'static str,
    /// Tells this process from its likes.
    pub instance: &'a str,
    pub telemetry: &'a TelemetryConfig,
}

/// Runs a role until a signal: telemetry, then `wire` spawns its parts, then they live. Builds the runtime.
pub fn run(role: Role<'_>, wire: impl AsyncFnOnce(&Tasks) -> Result<(), Failure>) -> Result<Exit, Failure> {
    let files = raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let telemetry = telemetry::init(role.name, role.instance, role.telemetry)?;
        match files {
            Ok(files) => tracing::debug!(files, "files that may be open at once"),
            Err(error) => tracing::warn!(%error, "the limit of open files stays what it is"),
        }
        let tasks = Tasks::new();
        let result = match wire(&tasks).await {
            Ok(()) => waggle_daemon::run(tasks, SHUTDOWN_DEADLINE).await.map_err(Failure::from),
            Err(failure) => {
                let _ = tasks.shutdown(SHUTDOWN_DEADLINE).await;
                Err(failure)
            }
        };
        telemetry.shutdown().await;
        result
    });
    // Threads that block in a system call must not hold the process.
    runtime.shutdown_timeout(Duration::from_millis(200));
    result.map(|()| Exit::Done)
}

/// To what the system allows: shells and init systems hand out 1,024, the soft limit that is meant for `select(2)`.
fn raise_file_limit() -> nix::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

#[cfg(test)]
mod tests;
