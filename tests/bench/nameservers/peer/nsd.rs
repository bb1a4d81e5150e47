//! NSD: static data only.

use super::Setup;
use crate::nameservers::scene::{ROUTE, SITES, TTL, ZONE, master_file};
use crate::nameservers::server::need;
use anyhow::Result;
use std::fs;
use std::process::Command;

pub fn prepare(setup: &Setup<'_>) -> Result<Command> {
    need("nsd")?;
    let home = setup.directory.join("nsd");
    fs::create_dir_all(&home)?;
    fs::write(home.join("zone"), master_file(&format!("{ROUTE} {TTL} A {}", SITES[0].1)))?;
    let home = home.display();
    let config = format!(
        "server:\n  ip-address: 127.0.0.1@{}\n  server-count: 1\n  username: \"\"\n  chroot: \"\"\n  zonesdir: {home}\n  \
         pidfile: {home}/pid\n  database: \"\"\n  xfrdfile: {home}/xfrd\n  zonelistfile: {home}/zones\n  cookie-secret-file: \
         {home}/cookies\n  rrl-ratelimit: 0\n  rrl-whitelist-ratelimit: 0\nremote-control:\n  control-enable: no\nzone:\n  name: {ZONE}\n  \
         zonefile: zone\n",
        setup.port
    );
    let path = setup.directory.join("nsd/conf");
    fs::write(&path, config)?;
    let mut command = Command::new("nsd");
    command.arg("-d").arg("-c").arg(path);
    Ok(command)
}
