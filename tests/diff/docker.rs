//! The oracle: the real `docker` command against a recording stub of an Engine.

use crate::case::{Case, STACK, environment};
use crate::told::{Bodies, Told};
use anyhow::{Context, Result, bail, ensure};
use std::path::PathBuf;
use std::process::{Command, Output};
use waggle_tests::engine_stub::{EngineStub, Recorded};

/// Oldest command that counts as an oracle: schema 3.13 with `start_interval`.
const MAJOR_MIN: u32 = 28;

/// API versions of the stubs: that of Debian's Engine 20.10, and that of Engine 28.
pub const API_VERSIONS: [&str; 2] = ["1.41", "1.50"];

/// What a second deployment found and sent.
pub struct Over {
    pub before: Recorded,
    /// With what was there before; its updates are those of the second deployment. `Err`: refused.
    pub after: Result<Recorded, String>,
}

/// Restarts of every service between two deployments.
const RESTARTS: u64 = 3;

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
        let stub = self.stub(api_version)?;
        let deployed = self.deploy(case, stub, "never")?;
        let bodies = Bodies::from_recorded(stub.take());
        let deploy = match deployed {
            Ok(()) => Ok(bodies.with_context(|| format!("what docker sent for\n{}", case.show()))?),
            Err(refused) => Err(refused),
        };
        let output = self.run(case, &["stack", "config"], &[])?;
        let config = match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(stderr(&output)),
        };
        Ok(Told { deploy, config })
    }

    /// What `docker` sends for `second` to a swarm where it has deployed `first` and people have restarted the services.
    /// `None`: it refuses `first`. Leaves `second` set out.
    pub fn over(&self, first: &Case, second: &Case, api_version: &str) -> Result<Option<Over>> {
        let stub = self.stub(api_version)?;
        self.set_out(first)?;
        if self.deploy(first, stub, "always")?.is_err() {
            stub.take();
            return Ok(None);
        }
        let before = stub.swarm(|swarm| {
            for service in swarm.services.values_mut() {
                service["TaskTemplate"]["ForceUpdate"] = RESTARTS.into();
            }
            swarm.clone()
        });
        self.set_out(second)?;
        let deployed = self.deploy(second, stub, "always")?;
        let after = stub.take();
        Ok(Some(Over { before, after: deployed.map(|()| after) }))
    }

    fn stub(&self, api_version: &str) -> Result<&EngineStub> {
        let at = API_VERSIONS.iter().position(|version| *version == api_version);
        at.map(|at| &self.stubs[at]).with_context(|| format!("there is no stub of API {api_version}"))
    }

    /// `Err`: what it says to its refusal.
    fn deploy(&self, case: &Case, stub: &EngineStub, resolve_image: &str) -> Result<Result<(), String>> {
        let host = format!("unix://{}", stub.socket().display());
        let deploy = ["-H", &host, "stack", "deploy", "--detach=true", "--resolve-image", resolve_image];
        let output = self.run(case, &deploy, &[STACK])?;
        Ok(if output.status.success() { Ok(()) } else { Err(stderr(&output)) })
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
