//! A registry and the images in it: nothing is pulled from anywhere else.

use super::engine::Engine;
use super::host::Host;
use super::process::{self, Process};
use anyhow::Result;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};

pub struct Registry {
    pub host: Host,
    pub process: Process,
}

const PORT: u16 = 5000;

impl Registry {
    pub fn start(host: &Host) -> Result<Registry> {
        let dir = host.dir();
        fs::create_dir_all(&dir)?;
        let config = dir.join("registry.yml");
        let storage = dir.join("registry").display().to_string();
        let text = format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {storage}}}}}\nhttp: {{addr: {}:{PORT}}}\n",
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
        engine.docker(&["push", &image])?;
        fs::remove_file(&tar)?;
        Ok(image)
    }
}
