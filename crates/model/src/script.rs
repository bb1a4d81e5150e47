//! Golden cases: a text file is a script of commands; every line a command prints follows it behind `| `. The driver runs
//! the commands and compares the whole file. `WAGGLE_BLESS=1` rewrites the files instead.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

pub(crate) trait World {
    /// Runs one command and returns what it prints.
    fn run(&mut self, command: &Command<'_>) -> String;
}

/// A command line: words, `key=value` options anywhere, and the text as a whole.
pub(crate) struct Command<'a> {
    pub words: Vec<&'a str>,
    pub options: BTreeMap<&'a str, &'a str>,
}

impl<'a> Command<'a> {
    fn parse(line: &'a str) -> Command<'a> {
        let (options, words): (Vec<_>, Vec<_>) = line.split_whitespace().partition(|word| word.contains('='));
        let options = options.into_iter().filter_map(|option| option.split_once('=')).collect();
        Command { words, options }
    }

    pub fn word(&self, at: usize) -> &'a str {
        self.words.get(at).copied().unwrap_or_else(|| panic!("{:?} lacks a word", self.words))
    }

    pub fn rest(&self, from: usize) -> String {
        self.words[from.min(self.words.len())..].join(" ")
    }

    /// Seconds with a fraction, as milliseconds.
    pub fn millis(text: &str) -> u64 {
        (text.parse::<f64>().unwrap_or_else(|_| panic!("{text:?} is no number of seconds")) * 1000.0).round() as u64
    }
}

/// Runs every script in `testdata/FOLDER` in a new world each; there must be at least `least` of them.
pub(crate) fn check<W: World>(folder: &str, least: usize, new: impl Fn() -> W) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "txt"));
    files.sort();
    assert!(files.len() >= least, "only {} cases in {}", files.len(), folder.display());
    let mut wrong = String::new();
    for path in files {
        let before = std::fs::read_to_string(&path).unwrap();
        let after = replay(&before, &mut new());
        if before == after {
            continue;
        }
        if std::env::var_os("WAGGLE_BLESS").is_some() {
            std::fs::write(&path, &after).unwrap();
        } else {
            writeln!(wrong, "{}:\n{}", path.display(), difference(&before, &after)).unwrap();
        }
    }
    assert!(wrong.is_empty(), "cases differ (WAGGLE_BLESS=1 accepts):\n{wrong}");
}

fn replay(script: &str, world: &mut impl World) -> String {
    let mut out = String::new();
    for line in script.lines().filter(|line| !line.starts_with('|')) {
        writeln!(out, "{line}").unwrap();
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        for printed in world.run(&Command::parse(line)).lines() {
            writeln!(out, "| {printed}").unwrap();
        }
    }
    out
}

fn difference(before: &str, after: &str) -> String {
    let at = before.lines().zip(after.lines()).take_while(|(one, other)| one == other).count();
    let some = |text: &str| text.lines().skip(at).take(6).map(|line| format!("    {line}\n")).collect::<String>();
    format!("  from line {}, expected\n{}  got\n{}", at + 1, some(before), some(after))
}

/// Runs one command line, for tests that make up scripts.
pub(crate) fn run_line(world: &mut impl World, line: &str) -> String {
    world.run(&Command::parse(line))
}
