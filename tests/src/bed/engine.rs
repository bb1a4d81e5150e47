//! A Docker Engine on a host, as a one-node swarm.

use super::host::Host;
use super::process::{self, Process};
use super::{PATIENCE, wait_for};
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;

pub struct Engine {
    pub host: Host,
    pub process: Process,
    registry: String,
}

impl Engine {
    /// Starts dockerd; use [`Engine::wait`] before talking to it, so that several can start at once.
    pub fn start(host: &Host, registry: &str) -> Result<Engine> {
        let process = spawn(host, registry)?;
        Ok(Engine { host: host.clone(), process, registry: registry.to_owned() })
    }

    /// Starts a dockerd that was killed again, on the same data.
    pub fn restart(&mut self) -> Result<()> {
        let _ = fs::remove_file(self.host.dir().join("pid"));
        self.process = spawn(&self.host, &self.registry)?;
        self.wait()
    }

    pub fn socket(&self) -> PathBuf {
        self.host.dir().join("docker.sock")
    }

    pub fn wait(&mut self) -> Result<()> {
        let socket = self.endpoint();
        wait_for(&format!("the Docker Engine of {}", self.host.name), PATIENCE, || {
            self.process.check_alive()?;
            process::output("docker", &["-H", &socket, "version"])
        })?;
        Ok(())
    }

    pub fn swarm_init(&self) -> Result<()> {
        let address = self.host.address.to_string();
        self.docker(&["swarm", "init", "--advertise-addr", &address]).map(|_| ())
    }

    /// Output of the docker CLI against this Engine.
    pub fn docker(&self, arguments: &[&str]) -> Result<String> {
        process::output("docker", &[&["-H", self.endpoint().as_str()], arguments].concat())
    }

    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.socket().display())
    }
}

fn spawn(host: &Host, registry: &str) -> Result<Process> {
    let dir = host.dir();
    fs::create_dir_all(&dir)?;
    // vfs works on every file system, and the images here are two megabytes.
    let config = dir.join("daemon.json");
    fs::write(&config, r#"{"storage-driver": "vfs"}"#).context("cannot write the Engine's configuration")?;
    let mut command = host.command("dockerd");
    let path = |name: &str| dir.join(name).display().to_string();
    command.args(["--config-file", &path("daemon.json"), "--data-root", &path("data"), "--exec-root", &path("exec")]);
    command.args(["-H", &format!("unix://{}", path("docker.sock")), "--pidfile", &path("pid")]);
    command.args(["--insecure-registry", registry]);
    // A system containerd, if there is one, is shared by all Engines: each gets its own namespace in it.
    let namespace = host.namespace();
    command.args(["--containerd-namespace", &namespace]);
    command.args(["--containerd-plugins-namespace", &format!("{namespace}-plugins")]);
    Process::start(&dir, "dockerd", command)
}
