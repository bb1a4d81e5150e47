//! Files → expected objects or expected problems. `testdata/NAME.yml` (with `NAME.2.yml` merged over it, if there) gives
//! `NAME.json` or `NAME.err`; `WAGGLE_BLESS=1` rewrites them.

use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use waggle_stack::{Input, Problem, Source, render};

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

fn environment() -> BTreeMap<String, String> {
    [("TAG", "2.1"), ("NUMBER", "8"), ("YES", "yes"), ("EMPTY", ""), ("HOME_PORT", "8080")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

fn shown(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n\n")).collect()
}

/// Extension of the expectation and its text.
fn run(name: &str) -> (&'static str, String) {
    let sources: Vec<Source> = [format!("{name}.yml"), format!("{name}.2.yml")]
        .into_iter()
        .filter_map(|name| Some(Source { text: std::fs::read_to_string(testdata().join(&name)).ok()?, name }))
        .collect();
    let read = |path: &Path| {
        let path = path.strip_prefix("/dir").unwrap_or(path);
        std::fs::read(testdata().join(path)).map_err(|error| error.kind().to_string())
    };
    let input = Input {
        stack: "shop".parse().unwrap(),
        sources: &sources,
        workdir: Path::new("/dir"),
        env: &environment(),
        read: &read,
        compat: BTreeSet::new(),
    };
    match render(&input) {
        Ok(rendered) => {
            let warnings: Vec<String> = rendered.warnings.iter().map(|p| p.to_string()).collect();
            let value = json!({
                "objects": rendered.objects,
                "payloads": rendered.payloads.keys().collect::<Vec<_>>(),
                "routes": rendered.routes,
                "promotion": rendered.promotion,
                "warnings": warnings,
            });
            ("json", serde_json::to_string_pretty(&value).unwrap() + "\n")
        }
        Err(problems) => ("err", shown(&problems)),
    }
}

#[test]
fn files_give_what_is_expected() {
    let bless = std::env::var_os("WAGGLE_BLESS").is_some();
    let mut names: Vec<String> = std::fs::read_dir(testdata())
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".yml").map(str::to_owned))
        .filter(|name| !name.ends_with(".2"))
        .collect();
    names.sort();
    assert!(names.len() > 5, "testdata is not complete");
    let mut wrong = Vec::new();
    for name in names {
        let (extension, text) = run(&name);
        assert_eq!(extension == "err", name.starts_with("bad-"), "{name}:\n{text}");
        let path = testdata().join(format!("{name}.{extension}"));
        if bless {
            std::fs::write(&path, &text).unwrap();
        }
        if std::fs::read_to_string(&path).unwrap_or_default() != text {
            wrong.push(format!("{}:\n{text}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "not as expected:\n{}", wrong.join("\n"));
}
