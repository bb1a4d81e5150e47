//! Any bytes through the Compose loader. `cargo fuzz run load ../testdata` in `crates/stack/fuzz`; the same entry runs over
//! `testdata` and over mutations of it as a normal test (`tests/fuzz.rs`).

#![no_main]

#[path = "../../tests/fuzz/entry.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entry::load(bytes));
