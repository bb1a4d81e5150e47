//! The `waggle` command: every role of the federation, and the command line that people and pipelines use.
//!
//! | file | holds |
//! |---|---|
//! | `command.rs`, `command/` | one file per command: its arguments, its help, what it does |
//! | `client.rs`, `client/` | the HTTP API of control, from this side |
//! | `context.rs` | which control service is meant, and the token for it |
//! | `federation_file.rs` | `federation.yaml` as people write it → the model's `Federation` |
//! | `progress.rs`, `progress/` | a rollout while one waits for it |
//! | `output.rs`, `terminal.rs` | tables, JSON, colours, questions |
//! | `exit.rs` | exit codes and failures |
//!
//! Commands decide nothing about the federation: they read files, talk to control and print. What a rollout waits for is
//! told by its own report, so the words here are those of the dashboard.

mod client;
mod command;
mod context;
mod docker_config;
mod duration;
mod exit;
mod federation_file;
mod output;
mod progress;
mod terminal;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything can make a TLS configuration. It fails only if a provider is set already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match command::run(command::Cli::parse()) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprint!("{}", failure.render(terminal::has_colour(&std::io::stderr())));
            failure.exit.into()
        }
    }
}
