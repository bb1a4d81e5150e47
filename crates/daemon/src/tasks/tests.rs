use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Full, Late, TaskFailure, Tasks, Why};

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(20);

#[tokio::test]
async fn shutdown_waits_for_tasks_that_heed_the_token() {
    let tasks = Tasks::new();
    let done = Arc::new(AtomicBool::new(false));
    let (token, flag) = (tasks.token(), done.clone());
    tasks.spawn("tidy", async move {
        token.cancelled().await;
        tokio::task::yield_now().await;
        flag.store(true, Ordering::SeqCst);
    });
    assert_eq!(tasks.running(), ["tidy"]);
    tasks.shutdown(LONG).await.unwrap();
    assert!(done.load(Ordering::SeqCst));
    assert!(tasks.running().is_empty());
}

#[tokio::test]
async fn shutdown_aborts_and_names_those_that_are_late() {
    let tasks = Tasks::new();
    let dropped = Arc::new(AtomicBool::new(false));
    let witness = SetOnDrop(dropped.clone());
    tasks.spawn("prompt", async {});
    tasks.spawn("stubborn", async move {
        let _witness = witness;
        pending::<()>().await;
    });
    tasks.spawn("deaf", pending::<()>());
    let late = tasks.shutdown(SHORT).await.unwrap_err();
    assert_eq!(late, Late { names: vec!["deaf", "stubborn"] });
    assert_eq!(late.to_string(), "tasks aborted because they did not end in time: deaf, stubborn");
    assert!(dropped.load(Ordering::SeqCst), "an aborted task drops what it holds");
}

#[tokio::test]
async fn shutdown_waits_for_tasks_spawned_meanwhile() {
    let tasks = Tasks::new();
    let done = Arc::new(AtomicBool::new(false));
    let (spawner, flag) = (tasks.clone(), done.clone());
    tasks.spawn("first", async move {
        spawner.token().cancelled().await;
        spawner.spawn("last write", async move {
            tokio::task::yield_now().await;
            flag.store(true, Ordering::SeqCst);
        });
    });
    tasks.shutdown(LONG).await.unwrap();
    assert!(done.load(Ordering::SeqCst));
}

#[tokio::test]
async fn an_essential_task_fails_the_process_however_it_ends() {
    let ended = failure_of(|tasks| tasks.spawn_essential("core", async {})).await;
    assert_eq!(ended, Why::Ended);

    let failed = failure_of(|tasks| {
        tasks.spawn_essential("core", async { Err::<(), _>(io::Error::other("no disk")) });
    })
    .await;
    assert_eq!(failed, Why::Failed("no disk".to_owned()));

    let panicked = failure_of(|tasks| {
        tasks.spawn_essential("core", async {
            let empty: Vec<u8> = Vec::new();
            let _ = empty.first().expect("one byte");
        });
    })
    .await;
    assert_eq!(panicked, Why::Panicked("one byte".to_owned()));
}

#[tokio::test]
async fn the_first_failure_stays() {
    let tasks = Tasks::new();
    tasks.spawn_essential("first", async {});
    let failure = tasks.failed().await;
    tasks.spawn_essential("second", async {});
    tasks.shutdown(LONG).await.unwrap();
    assert_eq!(failure, TaskFailure { name: "first", why: Why::Ended });
    assert_eq!(tasks.failed().await, failure);
    assert_eq!(failure.to_string(), "task first ended");
}

#[tokio::test]
async fn neither_other_tasks_nor_an_end_at_shutdown_fail_the_process() {
    let tasks = Tasks::new();
    tasks.spawn("optional", async { Err::<(), _>("gone") });
    tasks.spawn("careless", async { assert!(std::process::id() == 0, "not essential") });
    tasks.spawn_essential("core", tasks.token().cancelled_owned());
    tasks.shutdown(LONG).await.unwrap();
    assert!(tokio::time::timeout(SHORT, tasks.failed()).await.is_err());
}

#[tokio::test]
async fn a_limit_counts_the_running_tasks_of_that_name() {
    let tasks = Tasks::new();
    tasks.spawn("other", tasks.token().cancelled_owned());
    tasks.spawn_within("session", 1, tasks.token().cancelled_owned()).unwrap();
    let full = tasks.spawn_within("session", 1, async {}).unwrap_err();
    assert_eq!(full, Full { name: "session", limit: 1 });
    tasks.shutdown(LONG).await.unwrap();
    tasks.spawn_within("session", 1, async {}).unwrap();
}

async fn failure_of(spawn: impl FnOnce(&Tasks)) -> Why {
    let tasks = Tasks::new();
    spawn(&tasks);
    let failure = tokio::time::timeout(LONG, tasks.failed()).await.expect("a failure");
    assert_eq!(failure.name, "core");
    failure.why
}

struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
