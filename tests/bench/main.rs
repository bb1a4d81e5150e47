//! Measurements beside the named peers, in one run, printed as ratios. Not tests: a slow machine fails none of them.

mod deploy;

use std::process::ExitCode;

const USAGE: &str = "usage: bench deploy [ROUNDS]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["deploy"] => deploy::run(3),
        ["deploy", rounds] => match rounds.parse() {
            Ok(rounds @ 1..=100) => deploy::run(rounds),
            _ => return usage(),
        },
        _ => return usage(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}
