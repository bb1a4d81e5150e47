//! The signals that ask a process to end.

use std::io;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// A request to end, from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Terminate,
    Interrupt,
}

/// A subscription to SIGTERM and SIGINT.
///
/// Once one exists the default action of both signals is off for the rest of the process, so whoever listens must act.
pub struct Signals {
    terminate: Stream,
    interrupt: Stream,
}

/// Waits for the first SIGTERM or SIGINT. If the process cannot listen for signals, that is logged and this never ends.
pub async fn stop_signal() -> Signal {
    match Signals::listen() {
        Ok(mut signals) => signals.next().await,
        Err(error) => {
            tracing::error!(%error, "cannot listen for signals");
            std::future::pending().await
        }
    }
}

impl Signals {
    /// Starts to listen; signals that arrive from now on are not lost.
    pub fn listen() -> io::Result<Signals> {
        Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            Some(()) = self.terminate.recv() => Signal::Terminate,
            Some(()) = self.interrupt.recv() => Signal::Interrupt,
            else => std::future::pending().await,
        }
    }
}

impl Signal {
    /// The exit status that shells expect of a process ended by this signal: 128 and its number.
    pub fn exit_code(self) -> i32 {
        match self {
            Signal::Terminate => 128 + 15,
            Signal::Interrupt => 128 + 2,
        }
    }
}

impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Signal::Terminate => "SIGTERM",
            Signal::Interrupt => "SIGINT",
        })
    }
}
