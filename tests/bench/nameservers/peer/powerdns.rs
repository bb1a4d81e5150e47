//! PowerDNS: the bind backend, and a LUA record that routes by the client's network.

use super::Setup;
use crate::nameservers::scene::{ROUTE, SITES, TTL, ZONE, master_file};
use crate::nameservers::server::need;
use anyhow::Result;
use std::fs;
use std::process::Command;

pub fn prepare(setup: &Setup<'_>) -> Result<Command> {
    need("pdns_server")?;
    let home = setup.directory.join("powerdns");
    fs::create_dir_all(&home)?;
    // `view` takes the first pair whose networks hold the client, so longer prefixes come first. Strings of a record are
    // at most 255 octets long; PowerDNS joins them.
    let mut rules = setup.rules.to_vec();
    rules.sort_by_key(|rule| std::cmp::Reverse(rule.length));
    let pairs: Vec<String> = rules
        .iter()
        .map(|rule| format!("{{{{'{}/{}'}},{{'{}'}}}}", rule.address, rule.length, SITES[rule.site].1))
        .collect();
    let chunks: Vec<String> = pairs.chunks(5).map(|pairs| format!("\"{},\"", pairs.join(","))).collect();
    let routed = format!("{ROUTE} {TTL} LUA A ( \"view({{\" {} \"}})\" )", chunks.join(" "));
    fs::write(home.join("zone"), master_file(&routed))?;
    let named = format!("zone \"{ZONE}\" {{ type master; file \"{}/zone\"; }};\n", home.display());
    fs::write(home.join("named.conf"), named)?;
    let config = format!(
        "launch=bind\nbind-config={home}/named.conf\nlocal-address=127.0.0.1\nlocal-port={}\nreceiver-threads=1\n\
         distributor-threads=1\nenable-lua-records=shared\nedns-subnet-processing=yes\nsocket-dir={home}\n\
         reuseport=no\nguardian=no\ndaemon=no\nloglevel=3\nsecurity-poll-suffix=\n",
        setup.port,
        home = home.display(),
    );
    fs::write(home.join("pdns.conf"), config)?;
    let mut command = Command::new("pdns_server");
    command.arg(format!("--config-dir={}", home.display()));
    Ok(command)
}
