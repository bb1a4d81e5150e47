//! A host: a network namespace with one interface on the bed's bridge.

use super::{BRIDGE, Plot, SWITCH, process};
use anyhow::{Result, ensure};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;

#[derive(Clone, Debug)]
pub struct Host {
    pub plot: Plot,
    pub name: String,
    pub address: Ipv4Addr,
}

impl Host {
    pub fn make(plot: Plot, name: &str, number: u8) -> Result<Host> {
        let host = Host { plot, name: name.to_owned(), address: plot.address(number) };
        let (namespace, switch) = (host.namespace(), plot.namespace(SWITCH));
        process::run("ip", &["netns", "add", &namespace])?;
        process::run(
            "ip",
            &["-n", &switch, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", &namespace],
        )?;
        process::run("ip", &["-n", &switch, "link", "set", name, "master", BRIDGE, "up"])?;
        let inside = |arguments: &[&str]| process::run("ip", &[&["-n", namespace.as_str()], arguments].concat());
        inside(&["address", "add", &format!("{}/24", host.address), "dev", "eth0"])?;
        inside(&["link", "set", "lo", "up"])?;
        inside(&["link", "set", "eth0", "up"])?;
        inside(&["route", "add", "default", "via", &plot.address(1).to_string()])?;
        Ok(host)
    }

    pub fn namespace(&self) -> String {
        self.plot.namespace(&self.name)
    }

    /// Where this host's files and logs live.
    pub fn dir(&self) -> PathBuf {
        self.plot.dir().join(&self.name)
    }

    /// A command that runs in this host's network. Not `ip netns exec`: that remounts /sys and hides the cgroups.
    pub fn command(&self, program: &str) -> Command {
        let mut command = process::command("nsenter");
        command.arg(format!("--net=/var/run/netns/{}", self.namespace()));
        command.arg(process::find(program).unwrap_or_else(|| PathBuf::from(program)));
        command
    }

    /// Pulls the plug: from now on nothing reaches the host or leaves it, and nobody is told.
    pub fn cut(&self) -> Result<()> {
        self.plug("down")
    }

    pub fn heal(&self) -> Result<()> {
        self.plug("up")
    }

    /// From now on the host loses, on their way in, packets that match one of these (nft's words, such as `ip saddr
    /// 10.78.0.10 tcp dport 7445`), and no others. What it sends goes out: a cut one way.
    pub fn lose(&self, matches: &[String]) -> Result<()> {
        let chain = "chain ip lost in { type filter hook input priority 0; }";
        // Added first, since only what is there can be deleted.
        let mut script = format!("add table ip lost; delete table ip lost; add table ip lost; add {chain}");
        for what in matches {
            script += &format!("; add rule ip lost in {what} drop");
        }
        let result = self.command("nft").arg(script).output()?;
        ensure!(result.status.success(), "nft: {}", String::from_utf8_lossy(&result.stderr));
        Ok(())
    }

    /// The switch's end of the cable: addresses and routes inside stay as they are.
    fn plug(&self, state: &str) -> Result<()> {
        process::run("ip", &["-n", &self.plot.namespace(SWITCH), "link", "set", &self.name, state])
    }
}
