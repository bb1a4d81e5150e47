//! Hand-written cases in the manner of files that people publish.
//!
//! A directory of `corpus/` is a case. Its Compose files are those that `case.txt` names, or `compose.yml`; the other
//! files are there for them. `case.txt` has lines of
//!
//! ```text
//! files: base.yml prod.yml     in this order
//! env: NAME=value              a variable; one per line
//! refused                      docker refuses it
//! deviates: D5                 without compat we do something else on purpose; several with blanks between them
//! # a remark
//! ```

use crate::case::Case;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use waggle_stack::Deviation;

pub struct Entry {
    pub name: String,
    pub case: Case,
    pub refused: bool,
    pub deviates: Vec<Deviation>,
}

/// Every case, by name.
pub fn entries() -> Result<Vec<Entry>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("diff/corpus");
    let mut dirs: Vec<PathBuf> = fs::read_dir(&root)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    dirs.sort();
    dirs.iter().map(|dir| entry(dir).with_context(|| dir.display().to_string())).collect()
}

fn entry(dir: &Path) -> Result<Entry> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut entry = Entry { name, case: Case::default(), refused: false, deviates: Vec::new() };
    let mut names = vec!["compose.yml".to_owned()];
    let description = fs::read_to_string(dir.join("case.txt")).unwrap_or_default();
    for line in description.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words = |rest: &str| rest.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        match line.split_once(": ") {
            Some(("files", rest)) => names = words(rest),
            Some(("deviates", rest)) => {
                entry.deviates = words(rest).iter().map(|id| Ok(id.parse()?)).collect::<Result<_>>()?;
            }
            Some(("env", rest)) => {
                let (name, value) = rest.split_once('=').context("env: NAME=value")?;
                entry.case.env.insert(name.to_owned(), value.to_owned());
            }
            None if line == "refused" => entry.refused = true,
            _ => bail!("case.txt has a line {line:?}"),
        }
    }
    collect(dir, dir, &mut entry.case)?;
    for name in names {
        let bytes = entry.case.others.remove(&name).with_context(|| format!("there is no {name}"))?;
        entry.case.files.push((name, String::from_utf8(bytes)?));
    }
    Ok(entry)
}

fn collect(root: &Path, dir: &Path, case: &mut Case) -> Result<()> {
    for found in fs::read_dir(dir)? {
        let path = found?.path();
        if path.is_dir() {
            collect(root, &path, case)?;
        } else if path.file_name().is_some_and(|name| name != "case.txt") {
            let name = path.strip_prefix(root)?.display().to_string();
            case.others.insert(name, fs::read(&path)?);
        }
    }
    Ok(())
}
