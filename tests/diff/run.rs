//! Cases side by side: a `docker` process spends most of its time on starting, and there is more than one core.

use crate::docker::Docker;
use anyhow::{Context, Result};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Calls `one` for `0..count`, each thread with a `docker` of its own; results in order.
pub fn side_by_side<T: Send>(
    count: usize,
    one: impl Fn(&Docker, usize) -> Result<T> + Sync,
) -> Result<Vec<(usize, T)>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let threads = thread::available_parallelism().map_or(2, |n| n.get()).min(count.max(1));
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let work = || -> Result<()> {
        let _entered = runtime.enter();
        let docker = Docker::new()?;
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                return Ok(());
            }
            let result = one(&docker, at).with_context(|| format!("case {at}"))?;
            if let Ok(mut results) = results.lock() {
                results.push((at, result));
            }
        }
    };
    thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        handles.into_iter().try_for_each(|handle| handle.join().unwrap_or_else(|_| anyhow::bail!("a thread panicked")))
    })?;
    let mut results = results.into_inner().unwrap_or_default();
    results.sort_by_key(|(at, _)| *at);
    Ok(results)
}
