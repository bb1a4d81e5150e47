//! gdnsd: its geoip plugin with a `nets` map, no monitoring.

use super::Setup;
use crate::nameservers::scene::{ROUTE, SITES, TTL, ZONE, master_file};
use crate::nameservers::server::need;
use anyhow::Result;
use std::fmt::Write;
use std::fs;
use std::process::Command;

pub fn prepare(setup: &Setup<'_>) -> Result<Command> {
    need("gdnsd")?;
    let home = setup.directory.join("gdnsd");
    for part in ["zones", "run", "state"] {
        fs::create_dir_all(home.join(part))?;
    }
    fs::write(home.join("zones").join(ZONE), master_file(&format!("{ROUTE} {TTL} DYNA geoip!{ROUTE}")))?;
    let mut config = format!(
        "options => {{\n listen => [127.0.0.1:{}]\n udp_threads => 1\n tcp_threads => 1\n run_dir => {run}\n \
         state_dir => {state}\n}}\n",
        setup.port,
        run = home.join("run").display(),
        state = home.join("state").display(),
    );
    let sites: Vec<&str> = SITES.iter().map(|(name, _)| *name).collect();
    let _ = writeln!(config, "plugins => {{ geoip => {{\n maps => {{ clients => {{");
    let _ = writeln!(config, "  datacenters => [{}]\n  nets => {{", sites.join(","));
    for rule in setup.rules {
        let others = sites.iter().filter(|name| **name != sites[rule.site]);
        let order: Vec<&str> = std::iter::once(&sites[rule.site]).chain(others).copied().collect();
        let _ = writeln!(config, "   {}/{} => [{}]", rule.address, rule.length, order.join(","));
    }
    let _ = writeln!(
        config,
        "  }}\n }} }}\n resources => {{ {ROUTE} => {{ map => clients, service_types => up, dcmap => {{"
    );
    for (name, address) in SITES {
        let _ = writeln!(config, "   {name} => {address}");
    }
    let _ = writeln!(config, " }} }} }}\n}} }}");
    fs::write(home.join("config"), config)?;
    let mut command = Command::new("gdnsd");
    command.arg("-c").arg(&home).arg("start");
    Ok(command)
}
