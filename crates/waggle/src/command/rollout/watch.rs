//! Waiting for a rollout. The stream of events may break at any time; it is opened again until the timeout.

use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::output::Format;
use crate::progress::{Display, Outcome, outcome};
use crate::terminal;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};
use waggle_control::api::types::{Deployed, ErrorDetail, RolloutView};

/// How long is waited unless said otherwise.
pub const TIMEOUT: &str = "1h";
/// Pauses between attempts to open the stream: the first, doubling up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LAST: Duration = Duration::from_secs(3);
/// Pause before a stream is opened again that control ended in good order.
const REOPEN: Duration = Duration::from_millis(500);
/// Name of an event that says why there are no more.
const ERROR: &str = "error";

/// Options of every command that begins a rollout.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Wait {
    /// Do not wait for the rollout
    #[arg(short, long)]
    detach: bool,
    /// Longest time to wait
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse, default_value = TIMEOUT)]
    timeout: Duration,
}

impl Wait {
    /// Waits for the rollout that was begun, if one was, or says how to.
    pub async fn until_done(&self, client: &Client, deployed: &Deployed) -> Result<Exit, Failure> {
        let id = deployed.rollout;
        if deployed.unchanged {
            return Ok(Exit::Done);
        }
        if self.detach {
            terminal::note(&format!("Watch it with `waggle rollout watch {id}`."));
            return Ok(Exit::Done);
        }
        watch(client, id, self.timeout, Format::Table).await
    }
}

/// Follows a rollout until it ends, `limit` has passed, or Ctrl-C. Progress goes to standard error; with JSON every
/// state goes to standard output, one per line.
pub async fn watch(client: &Client, id: u64, limit: Duration, format: Format) -> Result<Exit, Failure> {
    let mut display = Display::new();
    let deadline = Instant::now() + limit;
    let again = format!("watch it again with `waggle rollout watch {id}`");
    let followed = tokio::select! {
        followed = timeout_at(deadline, follow(client, id, format, &mut display)) => followed,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            display.finish();
            terminal::note(&format!("Rollout {id} goes on without you; {again}."));
            return Ok(Exit::Interrupted);
        }
    };
    display.finish();
    match followed {
        Ok(ended) => ended,
        Err(_) => {
            let waited = format!("rollout {id} did not end within {} s; it goes on", limit.as_secs());
            Err(Failure::new(Exit::TimedOut, waited).with_help(again))
        }
    }
}

async fn follow(client: &Client, id: u64, format: Format, display: &mut Display) -> Result<Exit, Failure> {
    let mut pause = RETRY_FIRST;
    let mut trouble = String::new();
    loop {
        match follow_once(client, id, format, display, &mut pause).await {
            Ok(Some(ended)) => return ended,
            Ok(None) => {
                sleep(REOPEN).await;
                continue;
            }
            Err(failure) if failure.exit == Exit::Unreachable => {
                if trouble != failure.message {
                    display.note(&format!("{}; trying again", failure.message));
                }
                trouble = failure.message;
            }
            Err(failure) => return Err(failure),
        }
        sleep(pause).await;
        pause = (pause * 2).min(RETRY_LAST);
    }
}

/// One stream, from the state at its begin to its end; `None` if it ended before the rollout.
async fn follow_once(
    client: &Client,
    id: u64,
    format: Format,
    display: &mut Display,
    pause: &mut Duration,
) -> Result<Option<Result<Exit, Failure>>, Failure> {
    let mut events = client.events(&format!("/v1/rollouts/{id}/events")).await?;
    let mut view: RolloutView = client.get(&format!("/v1/rollouts/{id}")).await?;
    loop {
        *pause = RETRY_FIRST;
        display.show(&view);
        if format == Format::Json {
            terminal::print(&(serde_json::to_string(&view)? + "\n"))?;
        }
        match outcome(&view) {
            Outcome::Running => {}
            Outcome::Done(text) => {
                display.note(&text);
                return Ok(Some(Ok(Exit::Done)));
            }
            Outcome::Stopped(failure) => return Ok(Some(Err(failure))),
        }
        match events.next().await? {
            Some(event) if event.name == ERROR => {
                let why: ErrorDetail = serde_json::from_str(&event.data)?;
                return Err(Failure::new(Exit::Unreachable, why.message));
            }
            Some(event) => view = serde_json::from_str(&event.data)?,
            None => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests;
