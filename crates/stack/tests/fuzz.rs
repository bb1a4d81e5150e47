//! The loader's fuzz entry over its corpus and over seeded mutations of it; `crates/stack/fuzz` runs the same entry under
//! libFuzzer.

#[path = "fuzz/entry.rs"]
mod entry;

use std::path::Path;
use std::time::{Duration, Instant};

/// Spent on mutations.
const MUTATING: Duration = Duration::from_secs(3);

/// Pieces that mean something to the loader.
const WORDS: [&str; 32] = [
    "- ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "<<: *a",
    "!!int ",
    "!x ",
    "|",
    ">-",
    "\"",
    "'",
    "#",
    "\n",
    "\n  ",
    "\t",
    "$",
    "${N:?-}",
    "$N-",
    "~",
    "0x1F",
    "1e999",
    "2024-01-01",
    "\u{feff}",
    "\u{2028}",
    "é",
    "x-a: ",
    "\n====\n",
    "\n---\n",
];

/// xorshift: the same mutations on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

fn corpus() -> Vec<Vec<u8>> {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut files: Vec<_> = std::fs::read_dir(testdata).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yml"));
    files.sort();
    files.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn mutated(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(4) {
        let (at, other) = (random.below(bytes.len() + 1), &corpus[random.below(corpus.len())]);
        let end = at + random.below((bytes.len() - at).min(40) + 1);
        let from = random.below(other.len());
        let to = from + random.below((other.len() - from).min(80) + 1);
        let with = match random.below(3) {
            0 => &[],
            1 => WORDS[random.below(WORDS.len())].as_bytes(),
            _ => &other[from..to],
        };
        bytes.splice(at..end, with.iter().copied());
    }
    bytes
}

#[test]
fn corpus_and_mutations() {
    let corpus = corpus();
    assert!(corpus.len() > 5, "testdata is not complete");
    corpus.iter().for_each(|bytes| entry::load(bytes));
    let (start, mut random, mut runs) = (Instant::now(), Random(0x5eed), 0_u32);
    while start.elapsed() < MUTATING {
        entry::load(&mutated(&corpus, &mut random));
        runs += 1;
    }
    assert!(runs > 10, "only {runs} mutations in {MUTATING:?}");
}
