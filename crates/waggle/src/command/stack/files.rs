//! The Compose files of a command: what is read from where, in one place for all commands that take them.

use crate::exit::Failure;
use crate::terminal;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use waggle_model::StackName;
use waggle_stack::{Deviation, Input, Problem, Source, UnknownDeviation};

/// Bytes of one file that a stack names: larger than the 1000 KiB that Swarm allows a config.
const FILE_BYTES_MAX: u64 = 2 << 20;

#[derive(Clone, Debug, Default, clap::Args)]
pub struct Files {
    /// Compose file; later ones are merged over earlier ones; - reads standard input
    #[arg(short, long, value_name = "FILE", value_delimiter = ',', required = true)]
    compose_file: Vec<PathBuf>,
    /// Do as docker does where we differ on purpose: all, or ids with commas between them (D2, D3, D5, D13, D14, D15)
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = Deviation::switched_by as Switch)]
    compat: Vec<BTreeSet<Deviation>>,
}

type Switch = fn(&str) -> Result<BTreeSet<Deviation>, UnknownDeviation>;

impl From<&[PathBuf]> for Files {
    fn from(files: &[PathBuf]) -> Files {
        Files { compose_file: files.to_vec(), compat: Vec::new() }
    }
}

impl Files {
    /// Reads the files and hands them to `use_them`; problems found in them refuse the command.
    pub fn with<T>(
        &self,
        stack: &StackName,
        use_them: impl FnOnce(&Input<'_>) -> Result<T, Vec<Problem>>,
    ) -> Result<T, Failure> {
        let files = &self.compose_file;
        let sources = files.iter().map(|file| read_source(file)).collect::<Result<Vec<Source>, Failure>>()?;
        let workdir = match files.first().filter(|file| file.as_os_str() != "-").and_then(|file| file.parent()) {
            Some(parent) => std::path::absolute(Path::new(".").join(parent))?,
            None => std::env::current_dir()?,
        };
        let env: BTreeMap<String, String> = waggle_daemon::config::environment();
        let input = Input {
            stack: stack.clone(),
            sources: &sources,
            workdir: &workdir,
            env: &env,
            read: &read_file,
            compat: self.compat.iter().flatten().copied().collect(),
        };
        use_them(&input).map_err(|problems| refusal(&problems))
    }
}

/// Prints warnings on standard error.
pub fn warn(warnings: &[Problem]) {
    warnings.iter().for_each(|warning| terminal::warn(&warning.to_string()));
}

fn refusal(problems: &[Problem]) -> Failure {
    let message = match problems.len() {
        1 => "1 problem in the compose files; nothing was done".to_owned(),
        count => format!("{count} problems in the compose files; nothing was done"),
    };
    Failure::refused(message).with_problems(problems)
}

fn read_source(file: &Path) -> Result<Source, Failure> {
    if file.as_os_str() == "-" {
        return Ok(Source { name: "standard input".into(), text: terminal::read_stdin()? });
    }
    let name = file.display().to_string();
    let text = read_text(file)?;
    Ok(Source { name, text })
}

/// A file that must be text.
pub fn read_text(file: &Path) -> Result<String, Failure> {
    let name = file.display();
    let bytes = read_file(file).map_err(|why| Failure::refused(format!("cannot read {name}: {why}")))?;
    String::from_utf8(bytes).map_err(|_| Failure::refused(format!("{name} is not UTF-8")))
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("it has more than {FILE_BYTES_MAX} bytes"));
    }
    Ok(bytes)
}
