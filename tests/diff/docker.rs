//! The oracle: the real `docker` command against a recording stub of an Engine.

use crate::case::{Case, STACK, environment};
use crate::told::{Bodies, Told};
use anyhow::{Context, Result, bail, ensure};
use std::path::PathBuf;
use std::process::{Command, Output};
use waggle_tests::engine_stub::EngineStub;

/// Oldest command that counts as an oracle: schema 3.13 with `start_interval`.
const MAJOR_MIN: u32 = 28;

/// API versions of the stubs: that of Debian's Engine 20.10, and that of Engine 28.
pub const API_VERSIONS: [&str; 2] = ["1.41", "1.50"];

/// One user of the `docker` command with a home, a working directory and an Engine for each API version.
pub struct Docker {
    dir: tempfile::TempDir,
    stubs: Vec<EngineStub>,
}

/// Fails with what is needed unless `docker` in `PATH` is new enough; its version.
pub fn version() -> Result<String> {
    let needed = format!(
        "the differential tests need the docker command, version {MAJOR_MIN} or newer, in PATH; Debian's docker.io is \
         older: take docker-ce-cli from Docker's own Debian repository, or the static binary"
    );
    let output = Command::new("docker").arg("--version").output().with_context(|| needed.clone())?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let major = text.strip_prefix("Docker version ").and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
    match major {
        Some(major) if major >= MAJOR_MIN => Ok(text),
        _ => bail!("{needed}; found: {text:?}"),
    }
}

impl Docker {
    /// Needs a running Tokio runtime for its stubs.
    pub fn new() -> Result<Docker> {
        let dir = tempfile::tempdir()?;
        std::fs::create_dir(dir.path().join("home"))?;
        let start = |version: &&str| EngineStub::start(&dir.path().join(version), version);
        let stubs = API_VERSIONS.iter().map(start).collect::<Result<Vec<_>>>()?;
        Ok(Docker { dir, stubs })
    }

    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// Where the files of the case in hand are.
    pub fn workdir(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// Writes the files of a case into an empty working directory.
    pub fn set_out(&self, case: &Case) -> Result<()> {
        let work = self.workdir();
        if work.exists() {
            std::fs::remove_dir_all(&work)?;
        }
        std::fs::create_dir(&work)?;
        case.write(&work)
    }

    /// What `docker` makes of the case that was set out.
    pub fn told(&self, case: &Case, api_version: &str) -> Result<Told> {
        let Some(at) = API_VERSIONS.iter().position(|version| *version == api_version) else {
            bail!("there is no stub of API {api_version}");
        };
        let stub = &self.stubs[at];
        let host = format!("unix://{}", stub.socket().display());
        let deploy = ["-H", &host, "stack", "deploy", "--detach=true", "--resolve-image", "never"];
        let output = self.run(case, &deploy, &[STACK])?;
        let bodies = Bodies::from_recorded(stub.take());
        let deploy = match output.status.success() {
            true => Ok(bodies.with_context(|| format!("what docker sent for\n{}", case.show()))?),
            false => Err(stderr(&output)),
        };
        let output = self.run(case, &["stack", "config"], &[])?;
        let config = match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(stderr(&output)),
        };
        Ok(Told { deploy, config })
    }

    fn run(&self, case: &Case, command: &[&str], rest: &[&str]) -> Result<Output> {
        let files = case.files.iter().flat_map(|(name, _)| ["-c", name]);
        let output = Command::new("docker")
            .args(command)
            .args(files)
            .args(rest)
            .env_clear()
            .envs(environment(case, &self.home()))
            .current_dir(self.workdir())
            .output()
            .context("run docker")?;
        ensure!(output.status.code().is_some(), "docker was killed: {output:?}");
        Ok(output)
    }
}

/// What it said, without advice. A crash counts as a refusal: nothing was deployed.
fn stderr(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    if let Some(panic) = text.lines().find(|line| line.starts_with("panic:")) {
        return format!("docker crashed: {panic}");
    }
    let said = |line: &&str| !line.starts_with("Since --detach") && !line.starts_with("In a future release");
    text.lines().filter(said).collect::<Vec<_>>().join("\n")
}
