//! Knot with its geoip module in subnet mode.

use super::Setup;
use crate::nameservers::scene::{ROUTE, SITES, TTL, ZONE, master_file};
use crate::nameservers::server::need;
use anyhow::Result;
use std::fmt::Write;
use std::fs;
use std::process::Command;

pub fn prepare(setup: &Setup<'_>) -> Result<Command> {
    need("knotd")?;
    let home = setup.directory.join("knot");
    fs::create_dir_all(home.join("run"))?;
    fs::write(home.join("zone"), master_file(&format!("{ROUTE} {TTL} A {}", SITES[0].1)))?;
    let mut nets = format!("{ROUTE}.{ZONE}:\n");
    for rule in setup.rules {
        let _ = writeln!(nets, "  - net: {}/{}\n    A: {}", rule.address, rule.length, SITES[rule.site].1);
    }
    fs::write(home.join("nets"), nets)?;
    let home = home.display();
    let config = format!(
        "server:\n  listen: 127.0.0.1@{}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n  rundir: {home}/run\n  \
         edns-client-subnet: on\ndatabase:\n  storage: {home}\nmod-geoip:\n  - id: clients\n    config-file: {home}/nets\n    \
         ttl: {TTL}\n    mode: subnet\nzone:\n  - domain: {ZONE}\n    file: {home}/zone\n    zonefile-load: whole\n    \
         module: mod-geoip/clients\n",
        setup.port
    );
    let path = setup.directory.join("knot/conf");
    fs::write(&path, config)?;
    let mut command = Command::new("knotd");
    command.arg("-c").arg(path);
    Ok(command)
}
