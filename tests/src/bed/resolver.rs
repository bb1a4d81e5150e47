//! unbound as the users' resolver: caches for the TTL, no longer and no shorter, and asks our nameservers.

use super::host::Host;
use super::process::Process;
use anyhow::Result;
use nix::sys::signal::Signal;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

pub struct Resolver {
    pub process: Process,
    pub address: SocketAddr,
}

impl Resolver {
    /// Asks these servers for what lies in these zones, and nobody for anything else.
    pub fn start(host: &Host, zones: &[(&str, &[Ipv4Addr])]) -> Result<Resolver> {
        let dir = host.dir();
        fs::create_dir_all(&dir)?;
        let stub = |(zone, servers): &(&str, &[Ipv4Addr])| {
            let servers: String = servers.iter().map(|ip| format!("  stub-addr: {ip}\n")).collect();
            format!("stub-zone:\n  name: {zone}\n{servers}")
        };
        let stubs: String = zones.iter().map(stub).collect();
        let (address, plot) = (host.address, host.plot.address(0));
        let text = format!(
            "server:\n  interface: {address}\n  access-control: {plot}/24 allow\n  do-daemonize: no\n  username: \"\"\n  \
             chroot: \"\"\n  directory: {dir}\n  pidfile: {dir}/unbound.pid\n  use-syslog: no\n  logfile: \"\"\n  \
             module-config: \"iterator\"\n  do-ip6: no\n  cache-min-ttl: 0\n  num-threads: 1\n  \
             infra-host-ttl: 5\n  infra-keep-probing: yes\n  private-address: 192.0.2.0/24\nremote-control:\n  \
             control-enable: no\n{stubs}",
            dir = dir.display(),
        );
        let config = dir.join("unbound.conf");
        fs::write(&config, text)?;
        let mut command = host.command("unbound");
        command.args(["-d", "-c", &config.display().to_string()]);
        let process = Process::start(&dir, "unbound", command)?;
        Ok(Resolver { process, address: SocketAddr::from((address, 53)) })
    }
    /// Empties its cache: on a hangup unbound reads its configuration again, and starts from nothing.
    pub fn forget(&self) -> Result<()> {
        self.process.signal(Signal::SIGHUP)
    }
}
