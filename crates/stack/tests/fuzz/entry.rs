//! One input of the loader's fuzzer: what must hold for any bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use waggle_stack::{Deviation, Input, Problem, Source, config, render, yaml};

/// Divides the bytes into files.
const BETWEEN_FILES: &str = "\n====\n";

/// Loads the bytes as one to three files, with and without interpolation and deviations. Panics where the loader does, or
/// where what it prints cannot be read again.
pub fn load(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let source = |(index, text): (usize, &str)| Source { name: format!("{index}.yml"), text: text.to_owned() };
    let sources: Vec<Source> = text.splitn(3, BETWEEN_FILES).enumerate().map(source).collect();
    let env: BTreeMap<String, String> =
        [("HOME", "/home/u"), ("N", "3"), ("B", "yes"), ("E", "")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let read = |path: &Path| match path.extension() {
        Some(_) => Ok(b"A=1\nB\n".to_vec()),
        None => Err("there is none".to_owned()),
    };
    for compat in [BTreeSet::new(), Deviation::ALL.into()] {
        let stack = match "shop".parse() {
            Ok(stack) => stack,
            Err(_) => return,
        };
        let input = Input { stack, sources: &sources, workdir: Path::new("/w"), env: &env, read: &read, compat };
        for interpolate in [true, false] {
            match config(&input, interpolate) {
                Ok(printed) => {
                    let again = yaml::parse("printed", &printed.text);
                    assert!(readable(&again), "{}\n{again:?}", printed.text);
                }
                Err(problems) => told(&problems),
            }
        }
        if let Err(problems) = render(&input) {
            told(&problems);
        }
    }
}

/// What is printed is longer than what was read: only limits may refuse it.
fn readable(again: &Result<yaml::Node, Problem>) -> bool {
    match again {
        Ok(_) => true,
        Err(problem) => ["larger than", "more than", "deeper than"].iter().any(|limit| problem.message.contains(limit)),
    }
}

fn told(problems: &[Problem]) {
    assert!(!problems.is_empty(), "refused without a reason");
    assert!(problems.iter().all(|problem| !problem.to_string().is_empty()));
}
