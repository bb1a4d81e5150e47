//! Plain threads that answer, and who looks after them: one that ends before it should is started again and counted.
//!
//! They are no tasks of the runtime, so that neither its scheduler nor a task that blocks comes between a query and its
//! answer.

use crate::metrics::Traffic;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Longest wait for something to answer: how late a thread sees the stop flag and lets go of an old snapshot.
pub const WAIT: Duration = Duration::from_millis(50);
/// Pause before a thread that ended is started again.
const RESTART_PAUSE: Duration = Duration::from_millis(20);

/// What one thread does.
pub trait Work: Send + 'static {
    /// Answers until `stop` is set, which it sees within [`WAIT`].
    fn run(&self, stop: &AtomicBool) -> io::Result<()>;
}

/// Runs one thread per worker until `stop`, named `name` and its number.
pub async fn run<W: Work>(
    name: &str,
    workers: Vec<W>,
    traffic: Arc<Traffic>,
    stop: CancellationToken,
) -> io::Result<()> {
    let flag = StopOnDrop(Arc::default());
    let mut ended = Vec::new();
    for (number, worker) in workers.into_iter().enumerate() {
        let (traffic, stop) = (traffic.clone(), flag.0.clone());
        let (alive, gone) = oneshot::channel::<()>();
        ended.push(gone);
        thread::Builder::new().name(format!("{name}-{number}")).spawn(move || {
            let _alive = alive;
            supervise(&worker, &traffic, &stop);
        })?;
    }
    stop.cancelled().await;
    drop(flag);
    for gone in ended {
        // Resolves when the thread drops its end.
        let _ = gone.await;
    }
    Ok(())
}

/// Threads end with the future that owns them, also when that is aborted.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn supervise(worker: &impl Work, traffic: &Traffic, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let ended = catch_unwind(AssertUnwindSafe(|| worker.run(stop)));
        if stop.load(Ordering::Relaxed) {
            return;
        }
        traffic.threads_restarted.fetch_add(1, Ordering::Relaxed);
        match ended {
            Ok(Err(error)) => tracing::error!(%error, "an answering thread ended, it starts again"),
            Ok(Ok(())) | Err(_) => tracing::error!("an answering thread ended, it starts again"),
        }
        thread::sleep(RESTART_PAUSE);
    }
}

#[cfg(test)]
mod tests;
