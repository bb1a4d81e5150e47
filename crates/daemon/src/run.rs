//! The life of a process after it is wired: wait for the end, then end in time.

use std::future::Future;
use std::io;
use std::time::Duration;

use crate::signals::{Signal, Signals};
use crate::tasks::{Late, TaskFailure, Tasks};

/// Why a process ended badly.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    #[error("an essential task failed")]
    Task(#[source] TaskFailure),
    #[error("shutdown took longer than its deadline")]
    Late(#[source] Late),
}

/// Waits for SIGTERM, SIGINT or the failure of an essential task, then cancels all tasks and gives them `deadline` to end.
///
/// A second signal ends the process at once: whoever sends it has lost patience.
pub async fn run(tasks: Tasks, deadline: Duration) -> Result<(), RunError> {
    let mut signals = Signals::listen().map_err(RunError::Signals)?;
    let first = async {
        let signal = signals.next().await;
        tracing::info!(%signal, "stopping");
    };
    let outcome = wait(&tasks, first).await;
    let second = async {
        let signal = signals.next().await;
        exit_at_once(signal)
    };
    tokio::select! {
        ended = finish(&tasks, deadline, outcome) => ended,
        never = second => never,
    }
}

/// As [`run`], with any future in the place of the signals: for a role that lives inside another process, and for tests.
pub async fn run_until(tasks: Tasks, deadline: Duration, stop: impl Future<Output = ()>) -> Result<(), RunError> {
    let outcome = wait(&tasks, stop).await;
    finish(&tasks, deadline, outcome).await
}

async fn wait(tasks: &Tasks, stop: impl Future<Output = ()>) -> Result<(), TaskFailure> {
    tokio::select! {
        () = stop => Ok(()),
        failure = tasks.failed() => {
            tracing::error!(task = failure.name, why = %failure.why, "an essential task ended; stopping");
            Err(failure)
        }
    }
}

async fn finish(tasks: &Tasks, deadline: Duration, outcome: Result<(), TaskFailure>) -> Result<(), RunError> {
    let ended = tasks.shutdown(deadline).await;
    if let Err(late) = &ended {
        tracing::warn!(tasks = ?late.names, deadline = ?deadline, "tasks were late and were aborted");
    }
    outcome.map_err(RunError::Task)?;
    ended.map_err(RunError::Late)?;
    Ok(())
}

fn exit_at_once(signal: Signal) -> Result<(), RunError> {
    tracing::warn!(%signal, "second signal, exiting at once");
    std::process::exit(signal.exit_code())
}

#[cfg(test)]
mod tests;
