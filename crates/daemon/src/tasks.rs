//! Owned tasks: each has a name, someone who sees it fail, and an end.
//!
//! A future that a process runs beside its main one is spawned here and nowhere else. The token tells all of them to
//! end; [`Tasks::shutdown`] waits for them, but not longer than its deadline, and names those it had to abort.
//!
//! Rejected: aborting on drop as the only stop (safe only if a task may be cut at any await), and shutdown without a
//! deadline (one open stream holds the process for as long as its peer likes).

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

pub use crate::error::chain;

/// How long aborted tasks may take to drop what they hold. Those that block in synchronous code do not make it.
const ABORT_GRACE: Duration = Duration::from_millis(50);

/// The target of the span of every task.
pub(crate) const SPAN_TARGET: &str = "waggle_daemon::task";

/// The tasks of one process. Clones share them.
#[derive(Clone, Default)]
pub struct Tasks(Arc<Shared>);

/// Some tasks did not end within the deadline and were aborted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tasks aborted because they did not end in time: {}", names.join(", "))]
pub struct Late {
    /// One entry per task, so a name may repeat; sorted.
    pub names: Vec<&'static str>,
}

/// An essential task ended although nobody had asked it to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("task {name} {why}")]
pub struct TaskFailure {
    pub name: &'static str,
    pub why: Why,
}

/// How a task came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    Ended,
    /// The error it returned, with its sources.
    Failed(String),
    /// The message of the panic.
    Panicked(String),
    Aborted,
}

/// There are as many tasks of this name as allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no more than {limit} tasks named {name} at a time")]
pub struct Full {
    pub name: &'static str,
    pub limit: usize,
}

/// What a task may return: `()`, or a result whose error is logged. A loop without end is neither: tasks end.
pub trait Outcome: Send + 'static {
    fn error(self) -> Option<String>;
}

#[derive(Default)]
struct Shared {
    token: CancellationToken,
    tracker: TaskTracker,
    table: Mutex<Table>,
    failure: watch::Sender<Option<TaskFailure>>,
}

#[derive(Default)]
struct Table {
    next: u64,
    running: BTreeMap<u64, Running>,
}

struct Running {
    name: &'static str,
    /// `None` for the moment between registration and spawn.
    abort: Option<AbortHandle>,
}

impl Tasks {
    pub fn new() -> Tasks {
        Tasks::default()
    }

    /// Cancelled when shutdown begins. Every task is to watch it and end.
    pub fn token(&self) -> CancellationToken {
        self.0.token.clone()
    }

    /// Runs `task` until it ends. An error or a panic is logged and ends that task alone.
    ///
    /// For long-lived parts, whose number the code fixes. Whatever grows with the traffic takes [`Tasks::spawn_within`].
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output: Outcome> + Send + 'static,
    {
        let id = self.register(name);
        self.start(id, name, false, task);
    }

    /// Runs `task`, without which the process is useless: its end, error or panic before shutdown is a failure of the
    /// process, see [`Tasks::failed`].
    pub fn spawn_essential<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output: Outcome> + Send + 'static,
    {
        let id = self.register(name);
        self.start(id, name, true, task);
    }

    /// As [`Tasks::spawn`], unless `limit` tasks of that name run already. The refused future is dropped.
    pub fn spawn_within<F>(&self, name: &'static str, limit: usize, task: F) -> Result<(), Full>
    where
        F: Future<Output: Outcome> + Send + 'static,
    {
        let Some(id) = self.register_within(name, limit) else {
            return Err(Full { name, limit });
        };
        self.start(id, name, false, task);
        Ok(())
    }

    /// The names of the tasks that run now, sorted; one entry per task.
    pub fn running(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.table().running.values().map(|task| task.name).collect();
        names.sort_unstable();
        names
    }

    /// Waits for the first failure of an essential task; returns it again whenever asked. Never ends without one.
    pub async fn failed(&self) -> TaskFailure {
        let mut failure = self.0.failure.subscribe();
        let seen = failure.wait_for(Option::is_some).await.ok().and_then(|seen| seen.clone());
        match seen {
            Some(failure) => failure,
            None => std::future::pending().await,
        }
    }

    /// Cancels the token and waits for all tasks, those included that are spawned meanwhile. After `deadline` the rest is
    /// aborted and named.
    pub async fn shutdown(&self, deadline: Duration) -> Result<(), Late> {
        self.0.token.cancel();
        self.0.tracker.close();
        if tokio::time::timeout(deadline, self.0.tracker.wait()).await.is_ok() {
            return Ok(());
        }
        let names = self.running();
        for task in self.table().running.values() {
            if let Some(abort) = &task.abort {
                abort.abort();
            }
        }
        let _ = tokio::time::timeout(ABORT_GRACE, self.0.tracker.wait()).await;
        Err(Late { names })
    }

    fn register(&self, name: &'static str) -> u64 {
        self.table().add(name)
    }

    fn register_within(&self, name: &'static str, limit: usize) -> Option<u64> {
        let mut table = self.table();
        let running = table.running.values().filter(|task| task.name == name).count();
        (running < limit).then(|| table.add(name))
    }

    fn start<F>(&self, id: u64, name: &'static str, essential: bool, task: F)
    where
        F: Future<Output: Outcome> + Send + 'static,
    {
        let end = End { shared: self.0.clone(), id, name, essential, why: Why::Aborted };
        // Without a parent: a task outlives the span in which it happened to be spawned.
        let span = tracing::info_span!(target: SPAN_TARGET, parent: None, "task", task = name);
        let handle = self.0.tracker.spawn(supervise(end, task).instrument(span));
        if let Some(running) = self.table().running.get_mut(&id) {
            running.abort = Some(handle.abort_handle());
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table()
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn add(&mut self, name: &'static str) -> u64 {
        let id = self.next;
        self.next += 1;
        self.running.insert(id, Running { name, abort: None });
        id
    }
}

async fn supervise<F>(mut end: End, task: F)
where
    F: Future<Output: Outcome> + Send + 'static,
{
    end.why = match AssertUnwindSafe(task).catch_unwind().await {
        Ok(outcome) => outcome.error().map_or(Why::Ended, Why::Failed),
        Err(payload) => Why::Panicked(panic_message(payload.as_ref()).to_owned()),
    };
    drop(end);
}

/// Lives as long as the task. Being dropped is the one way out of it, abort and runtime shutdown included.
struct End {
    shared: Arc<Shared>,
    id: u64,
    name: &'static str,
    essential: bool,
    why: Why,
}

impl Drop for End {
    fn drop(&mut self) {
        self.shared.table().running.remove(&self.id);
        let stopping = self.shared.token.is_cancelled();
        match &self.why {
            Why::Ended | Why::Aborted => tracing::debug!(task = self.name, "task {}", self.why),
            Why::Failed(_) | Why::Panicked(_) => tracing::error!(task = self.name, "task {}", self.why),
        }
        if self.essential && !stopping {
            let failure = TaskFailure { name: self.name, why: self.why.clone() };
            self.shared.failure.send_if_modified(|first| match first {
                Some(_) => false,
                None => {
                    *first = Some(failure);
                    true
                }
            });
        }
    }
}

/// What the panic said, if it was text.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

impl Outcome for () {
    fn error(self) -> Option<String> {
        None
    }
}

impl<E> Outcome for Result<(), E>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    fn error(self) -> Option<String> {
        self.err().map(|error| chain(error.into().as_ref()))
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Ended => f.write_str("ended"),
            Why::Failed(error) => write!(f, "failed: {error}"),
            Why::Panicked(message) => write!(f, "panicked: {message}"),
            Why::Aborted => f.write_str("was aborted"),
        }
    }
}

#[cfg(test)]
mod tests;
