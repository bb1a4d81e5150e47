//! gdnsd on the same network, watching the same clusters over HTTP, with the smallest numbers its manual allows: a check
//! every two seconds with a patience of one (the patience must be less, and a second is the least), and one failure counts.

use super::VICTIM;
use anyhow::Result;
use std::fs;
use std::net::SocketAddr;
use waggle_tests::bed::federation::{Federation, ROUTE, ZONE};
use waggle_tests::bed::process::Process;

const PORT: u16 = 5354;

pub struct Rival {
    pub address: SocketAddr,
    _process: Process,
}

impl Rival {
    pub fn start(federation: &Federation) -> Result<Rival> {
        let host = &federation.hosts.hub;
        let home = host.dir().join("gdnsd");
        for part in ["zones", "run", "state"] {
            fs::create_dir_all(home.join(part))?;
        }
        let label = ROUTE.trim_end_matches(ZONE).trim_end_matches('.');
        let zone = format!("@ 300 SOA ns1 hostmaster 1 3600 600 86400 5\n@ 300 NS ns1\nns1 300 A {}\n", host.address);
        fs::write(home.join("zones").join(ZONE), format!("{zone}{label} 1/5 DYNA simplefo!shop\n"))?;
        let primary = federation.hosts.region(VICTIM)?.address;
        let secondary = federation.hosts.region("us-1")?.address;
        let config = format!(
            "options => {{ listen => [{address}:{PORT}], run_dir => {home}/run, state_dir => {home}/state }}\n\
             service_types => {{ shop => {{ plugin => http_status, port => 80, url_path => /health, interval => 2, timeout => 1, \
             up_thresh => 1, ok_thresh => 1, down_thresh => 1 }} }}\n\
             plugins => {{ simplefo => {{ service_types => shop, shop => {{ primary => {primary}, secondary => {secondary} }} }} }}\n",
            address = host.address,
            home = home.display(),
        );
        fs::write(home.join("config"), config)?;
        let mut command = host.command("gdnsd");
        command.arg("-c").arg(&home).arg("start");
        let process = Process::start(&home, "gdnsd", command)?;
        Ok(Rival { address: SocketAddr::from((host.address, PORT)), _process: process })
    }
}
