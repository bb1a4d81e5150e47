//! A registry and the images in it: nothing is pulled from anywhere else.

use super::engine::Engine;
use super::host::Host;
use super::process::{self, Process};
use anyhow::Result;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

pub struct Registry {
    pub host: Host,
    pub process: Process,
}

/// Somebody whom a closed registry lets in.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    pub user: &'static str,
    pub password: &'static str,
    /// Of the password, by bcrypt.
    pub hash: &'static str,
    /// Base64 of `user:password`.
    pub auth: &'static str,
}

const PORT: u16 = 5000;
/// Below the host's directory: docker's configuration, and whom a closed registry lets in.
const DOCKER_CONFIG: &str = "docker-config";
const ACCOUNTS: &str = "htpasswd";

fn write_accounts(host: &Host, accounts: &[Account]) -> Result<()> {
    let lines: String = accounts.iter().map(|account| format!("{}:{}\n", account.user, account.hash)).collect();
    Ok(fs::write(host.dir().join(ACCOUNTS), lines)?)
}

impl Registry {
    pub fn start(host: &Host) -> Result<Registry> {
        Registry::start_with(host, "")
    }

    /// One that lets in these accounts only; the first one publishes.
    pub fn start_closed(host: &Host, accounts: &[Account]) -> Result<Registry> {
        let dir = host.dir();
        fs::create_dir_all(dir.join(DOCKER_CONFIG))?;
        let auth = accounts.first().map_or("", |account| account.auth);
        let login = format!("{{\"auths\": {{\"{}\": {{\"auth\": \"{auth}\"}}}}}}", Registry::name(host));
        fs::write(dir.join(DOCKER_CONFIG).join("config.json"), login)?;
        write_accounts(host, accounts)?;
        let path = dir.join(ACCOUNTS).display().to_string();
        Registry::start_with(host, &format!("auth: {{htpasswd: {{realm: bed, path: {path}}}}}\n"))
    }

    /// From now on these accounts are let in, and no others.
    pub fn set_accounts(&self, accounts: &[Account]) -> Result<()> {
        write_accounts(&self.host, accounts)
    }

    /// Directory with the docker configuration of whom the images are published by.
    pub fn docker_config(&self) -> PathBuf {
        self.host.dir().join(DOCKER_CONFIG)
    }

    fn start_with(host: &Host, rest: &str) -> Result<Registry> {
        let dir = host.dir();
        fs::create_dir_all(&dir)?;
        let config = dir.join("registry.yml");
        let storage = dir.join("registry").display().to_string();
        let text = format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {storage}}}}}\nhttp: {{addr: {}:{PORT}}}\n{rest}",
            host.address
        );
        fs::write(&config, text)?;
        let mut command = host.command("docker-registry");
        command.args(["serve", &config.display().to_string()]);
        let mut process = Process::start(&dir, "registry", command)?;
        process::wait_for_port(SocketAddr::from((host.address, PORT)), &mut process)?;
        Ok(Registry { host: host.clone(), process })
    }

    /// `ADDRESS:PORT`, as in image names and as `--insecure-registry`.
    pub fn name(host: &Host) -> String {
        format!("{}:{PORT}", host.address)
    }

    /// Makes `web:<tag>`: busybox with its web server, serving `/version` (the tag) and `/health`.
    pub fn publish_web(&self, engine: &Engine, tag: &str) -> Result<String> {
        let root = self.host.dir().join(format!("web-{tag}"));
        for dir in ["bin", "www", "tmp"] {
            fs::create_dir_all(root.join(dir))?;
        }
        let busybox = process::find("busybox").unwrap_or_default();
        fs::copy(busybox, root.join("bin/busybox"))?;
        fs::set_permissions(root.join("bin/busybox"), fs::Permissions::from_mode(0o755))?;
        for applet in ["sh", "httpd", "wget", "sleep", "cat", "false", "true", "test", "kill", "echo"] {
            symlink("busybox", root.join("bin").join(applet))?;
        }
        fs::write(root.join("www/version"), format!("{tag}\n"))?;
        fs::write(root.join("www/health"), "ok\n")?;
        let tar = self.host.dir().join(format!("web-{tag}.tar"));
        let (tar_text, root_text) = (tar.display().to_string(), root.display().to_string());
        process::run("tar", &["-C", &root_text, "-cf", &tar_text, "."])?;
        let image = format!("{}/web:{tag}", Registry::name(&self.host));
        engine.docker(&["import", &tar_text, &image])?;
        engine.docker(&["--config", &self.docker_config().display().to_string(), "push", &image])?;
        fs::remove_file(&tar)?;
        Ok(image)
    }
}
