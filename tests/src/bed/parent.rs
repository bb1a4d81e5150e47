//! The zone above ours, as a registry has it: unbound as an authoritative server, which refers to our nameservers.

use super::federation::ZONE;
use super::host::Host;
use super::process::Process;
use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;

pub struct Parent {
    pub process: Process,
    pub address: Ipv4Addr,
    file: PathBuf,
}

/// What is registered of the zone.
#[derive(Clone, Debug)]
pub struct Referral {
    /// Seconds.
    pub ttl: u32,
    /// Names with their addresses (glue).
    pub nameservers: Vec<(String, Option<Ipv4Addr>)>,
}

impl Parent {
    /// Name of the zone that it serves.
    pub fn zone() -> Result<&'static str> {
        ZONE.split_once('.').map(|(_, parent)| parent).context("the zone has one above it")
    }

    pub fn start(host: &Host, referral: &Referral) -> Result<Parent> {
        let dir = host.dir();
        fs::create_dir_all(&dir)?;
        let (address, plot, zone) = (host.address, host.plot.address(0), Parent::zone()?);
        let file = dir.join("parent.zone");
        fs::write(&file, master_file(address, referral)?)?;
        let text = format!(
            "server:\n  interface: {address}\n  access-control: {plot}/24 allow_snoop\n  do-daemonize: no\n  \
             username: \"\"\n  chroot: \"\"\n  directory: {dir}\n  pidfile: {dir}/unbound.pid\n  use-syslog: no\n  \
             logfile: \"\"\n  module-config: \"iterator\"\n  do-ip6: no\n  num-threads: 1\nremote-control:\n  \
             control-enable: no\nauth-zone:\n  name: {zone}\n  zonefile: {file}\n  for-downstream: yes\n  \
             for-upstream: no\n  fallback-enabled: no\n",
            dir = dir.display(),
            file = file.display(),
        );
        let config = dir.join("unbound.conf");
        fs::write(&config, text)?;
        let mut command = host.command("unbound");
        command.args(["-d", "-c", &config.display().to_string()]);
        let process = Process::start(&dir, "unbound", command)?;
        Ok(Parent { process, address, file })
    }

    /// Refers otherwise from now on, or a moment later.
    pub fn refer(&self, referral: &Referral) -> Result<()> {
        fs::write(&self.file, master_file(self.address, referral)?)?;
        self.process.signal(Signal::SIGHUP)
    }
}

fn master_file(address: Ipv4Addr, referral: &Referral) -> Result<String> {
    let zone = Parent::zone()?;
    let mut text = format!(
        "{zone}. 300 IN SOA ns.{zone}. hostmaster.{zone}. 1 3600 600 86400 5\n{zone}. 300 IN NS ns.{zone}.\n\
         ns.{zone}. 300 IN A {address}\n"
    );
    let ttl = referral.ttl;
    for (name, glue) in &referral.nameservers {
        text += &format!("{ZONE}. {ttl} IN NS {name}.\n");
        text += &glue.map(|glue| format!("{name}. {ttl} IN A {glue}\n")).unwrap_or_default();
    }
    Ok(text)
}
