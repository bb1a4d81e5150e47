use std::future::pending;
use std::io::{BufRead, BufReader};
use std::process::{self, Command, Stdio};
use std::time::Duration;

use super::{RunError, run, run_until};
use crate::error::chain;
use crate::tasks::{Tasks, Why};

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(20);

#[tokio::test]
async fn the_panic_of_an_essential_task_ends_the_process_with_an_error() {
    let tasks = Tasks::new();
    tasks.spawn_essential("core", async { assert!(process::id() == 0, "out of luck") });
    let token = tasks.token();
    let error = tokio::time::timeout(LONG, run_until(tasks, LONG, pending())).await.expect("an end").unwrap_err();
    assert!(matches!(&error, RunError::Task(failure) if failure.why == Why::Panicked("out of luck".to_owned())));
    assert_eq!(chain(&error), "an essential task failed: task core panicked: out of luck");
    assert!(token.is_cancelled(), "the other tasks are asked to end");
}

#[tokio::test]
async fn sigterm_ends_the_process_well() {
    let tasks = Tasks::new();
    // Its first step runs after `run` has begun to listen, on this one thread.
    tasks.spawn("sender", async {
        terminate(process::id());
    });
    tasks.spawn_essential("core", tasks.token().cancelled_owned());
    tokio::time::timeout(LONG, run(tasks, LONG)).await.expect("an end").unwrap();
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let mut patient = Child::start("run::tests::patient_process");
    patient.wait_for("working");
    patient.terminate();
    patient.wait_for("asked to end");
    patient.terminate();
    let status = patient.0.wait().unwrap();
    assert_eq!(status.code(), Some(128 + 15));
}

#[tokio::test]
#[ignore = "the process that another test signals"]
async fn patient_process() {
    let tasks = Tasks::new();
    let token = tasks.token();
    tasks.spawn("stubborn", async move {
        println!("working");
        token.cancelled().await;
        println!("asked to end");
        pending::<()>().await;
    });
    run(tasks, LONG).await.unwrap();
}

#[tokio::test]
async fn a_late_task_is_an_error_that_names_it() {
    let tasks = Tasks::new();
    tasks.spawn("stubborn", pending::<()>());
    let error = run_until(tasks, SHORT, async {}).await.unwrap_err();
    let expected = "shutdown took longer than its deadline: tasks aborted because they did not end in time: stubborn";
    assert_eq!(chain(&error), expected);
}

#[tokio::test]
async fn a_stop_from_within_ends_well() {
    let tasks = Tasks::new();
    tasks.spawn_essential("core", tasks.token().cancelled_owned());
    run_until(tasks, LONG, async {}).await.unwrap();
}

fn terminate(process: u32) {
    let sent = Command::new("sh").arg("-c").arg(format!("kill -TERM {process}")).status();
    assert!(sent.unwrap().success());
}

/// One ignored test of this binary, as a process of its own.
struct Child(process::Child);

impl Child {
    fn start(test: &str) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--ignored", "--nocapture"]);
        Child(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn terminate(&self) {
        terminate(self.0.id());
    }

    fn wait_for(&mut self, wanted: &str) {
        let out = self.0.stdout.as_mut().unwrap();
        // Byte by byte, so that nothing read ahead is lost with the reader.
        let mut lines = BufReader::with_capacity(1, out).lines();
        assert!(lines.any(|line| line.unwrap().ends_with(wanted)), "{wanted}");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
