//! Rules of the tree that no compiler checks: which crate may use which, and what pure code must not touch.
//! Read from `cargo metadata` and from the sources, so that they stay true.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// Workspace crates each crate may use (`waggle` and the tests may use all).
const MAY_USE: [(&str, &[&str]); 8] = [
    ("model", &[]),
    ("stack", &["model"]),
    ("dns", &["model"]),
    ("wire", &["model"]),
    ("daemon", &[]),
    ("agent", &["model", "stack", "wire", "daemon"]),
    ("nameserver", &["model", "dns", "wire", "daemon"]),
    ("control", &["model", "stack", "dns", "wire", "daemon"]),
];

/// External crates a crate must never use directly.
const NEVER: [(&str, &[&str]); 7] = [
    ("model", &["tokio", "tonic", "prost", "hickory-proto", "hickory-server", "bollard", "redb", "axum"]),
    ("stack", &["tokio", "tonic", "prost", "hickory-proto", "hickory-server", "bollard", "redb", "axum"]),
    ("dns", &["tokio", "tonic", "prost", "hickory-server", "bollard", "redb", "axum", "socket2"]),
    ("wire", &["hickory-proto", "hickory-server", "bollard", "redb"]),
    ("agent", &["hickory-proto", "hickory-server", "redb"]),
    ("nameserver", &["bollard", "redb"]),
    ("control", &["bollard", "hickory-proto", "hickory-server"]),
];

/// What pure code (`model`, `stack`, `dns`) must not say outside its tests.
const IMPURE: [&str; 13] = [
    "SystemTime::now",
    "Instant::now",
    "std::fs",
    "std::net::TcpStream",
    "UdpSocket",
    "std::env::",
    "std::process",
    "thread::spawn",
    "HashMap",
    "HashSet",
    "async fn",
    ".await",
    "println!",
];

/// Lock graphs with these make two TLS providers or need a C library.
const BANNED: [&str; 4] = ["aws-lc-rs", "aws-lc-sys", "openssl-sys", "native-tls"];

/// Crates of which the graph must hold exactly one version.
const ONE_VERSION: [&str; 8] = ["rustls", "tokio-rustls", "hyper", "tonic", "h2", "http", "axum", "tokio"];

#[test]
fn crates_use_only_what_they_may() {
    let packages = workspace_packages();
    for (name, allowed) in MAY_USE {
        let used = dependencies(&packages, &format!("waggle-{name}"));
        for other in used.iter().filter_map(|dependency| dependency.strip_prefix("waggle-")) {
            assert!(allowed.contains(&other), "{name} must not use {other}");
        }
    }
    for (name, never) in NEVER {
        let used = dependencies(&packages, &format!("waggle-{name}"));
        for dependency in never {
            assert!(!used.contains(*dependency), "{name} must not use {dependency}");
        }
    }
}

#[test]
fn no_process_crate_depends_on_another() {
    let packages = workspace_packages();
    let processes = ["waggle-agent", "waggle-nameserver", "waggle-control"];
    for name in processes {
        let used = dependencies(&packages, name);
        assert!(!processes.iter().any(|other| used.contains(*other)), "{name} uses another process: {used:?}");
    }
}

#[test]
fn pure_crates_do_no_io_read_no_clock_and_iterate_no_hash_map() {
    for name in ["model", "stack", "dns"] {
        for file in sources(&root().join("crates").join(name).join("src")) {
            let text = without_tests(&file);
            for (at, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                let found = IMPURE.iter().find(|word| code.contains(**word));
                assert!(found.is_none(), "{}:{}: {:?} in a pure crate", file.display(), at + 1, found);
            }
        }
    }
}

#[test]
fn heavy_dependencies_are_named_in_one_place() {
    for (word, home) in
        [("bollard", "crates/agent/src/engine/docker"), ("hickory_server", "crates/nameserver/src/serve")]
    {
        // As it comes, to be measured beside ours.
        let measured = "tests/bench/nameservers/peer/hickory.rs";
        for file in all_sources() {
            let place = file.strip_prefix(root()).unwrap_or(&file).display().to_string();
            let used = code_lines(&file).any(|line| line.contains(&format!("{word}::")));
            assert!(!used || place.starts_with(home) || place == measured, "{place} uses {word}; only {home} may");
        }
    }
}

#[test]
fn network_facing_code_does_not_unwrap() {
    for name in ["dns", "nameserver", "wire", "agent", "control"] {
        for file in sources(&root().join("crates").join(name).join("src")) {
            if is_test_file(&file) || file.ends_with("store/conformance.rs") {
                continue;
            }
            let text = without_tests(&file);
            for (at, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                let bad =
                    [".unwrap()", ".expect(\"", "unreachable!(", "panic!("].iter().find(|word| code.contains(**word));
                assert!(bad.is_none(), "{}:{}: {:?} in network-facing code", file.display(), at + 1, bad);
            }
        }
    }
}

#[test]
fn the_graph_has_one_tls_provider_and_one_version_of_what_matters() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let mut versions: BTreeMap<&str, usize> = BTreeMap::new();
    for line in lock.lines() {
        if let Some(name) = line.strip_prefix("name = ") {
            *versions.entry(name.trim_matches('"')).or_default() += 1;
        }
    }
    for banned in BANNED {
        assert!(!versions.contains_key(banned), "{banned} is in Cargo.lock");
    }
    for name in ONE_VERSION {
        assert_eq!(versions.get(name), Some(&1), "versions of {name} in Cargo.lock");
    }
}

#[test]
fn top_level_is_what_it_should_be() {
    let allowed = ["Cargo.toml", "Cargo.lock", "crates", "proto", "config", "deploy", "tests", "README.md", "target"];
    for entry in fs::read_dir(root()).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(name.starts_with('.') || allowed.contains(&name.as_str()), "{name} does not belong at the top level");
    }
}

#[test]
fn files_stay_readable() {
    for file in all_sources() {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= 800, "{} has {lines} lines; split it", file.display());
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        assert!(
            !["utils", "util", "common", "manager", "helper", "helpers", "misc"].contains(&name.as_str()),
            "{}",
            file.display()
        );
    }
}

#[test]
fn every_crate_says_why_it_exists() {
    for file in all_sources().into_iter().filter(|file| !is_test_file(file)) {
        let text = fs::read_to_string(&file).unwrap();
        assert!(
            text.trim_start().starts_with("//!") || text.trim_start().starts_with("#!["),
            "{} has no head",
            file.display()
        );
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn workspace_packages() -> Vec<Value> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// Normal dependencies of a workspace package.
fn dependencies(packages: &[Value], name: &str) -> BTreeSet<String> {
    let package = packages.iter().find(|package| package["name"] == name);
    let package = package.unwrap_or_else(|| panic!("no package {name}"));
    let all = package["dependencies"].as_array().unwrap();
    all.iter().filter(|d| d["kind"].is_null()).map(|d| d["name"].as_str().unwrap().to_owned()).collect()
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(dir) else { return found };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn all_sources() -> Vec<PathBuf> {
    [sources(&root().join("crates")), sources(&root().join("tests"))].concat()
}

/// A file of `tests/`, or of a module that is only compiled for tests.
fn is_test_file(file: &Path) -> bool {
    static MODULES: LazyLock<Vec<PathBuf>> = LazyLock::new(test_modules);
    let text = file.display().to_string();
    text.contains("/tests/")
        || MODULES.iter().any(|module| file == module || file.starts_with(module.with_extension("")))
}

/// Files of modules declared as `#[cfg(test)] mod name;`.
fn test_modules() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for file in sources(&root().join("crates")) {
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for pair in lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]") {
            let declared = pair[1].split("mod ").nth(1).and_then(|rest| rest.strip_suffix(';'));
            if let Some(name) = declared {
                let root = ["lib", "main"].iter().any(|stem| file.file_stem().is_some_and(|found| found == *stem));
                let dir = if root { file.parent().unwrap().to_owned() } else { file.with_extension("") };
                found.push(dir.join(format!("{name}.rs")));
            }
        }
    }
    found
}

/// The text up to an inline test module; nothing of a test file.
fn without_tests(file: &Path) -> String {
    if is_test_file(file) {
        return String::new();
    }
    let text = fs::read_to_string(file).unwrap();
    let mut kept = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let inline = |next: &&str| next.starts_with("mod ") && next.trim_end().ends_with('{');
        if line.trim() == "#[cfg(test)]" && lines.peek().is_some_and(inline) {
            break;
        }
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

fn code_lines(file: &Path) -> impl Iterator<Item = String> {
    let text = fs::read_to_string(file).unwrap();
    let lines: Vec<String> = text.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned()).collect();
    lines.into_iter()
}
