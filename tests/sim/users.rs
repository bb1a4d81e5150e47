//! Users who honour TTLs: one in each region's network, each asking any nameserver that answers.

use crate::cluster::Cluster;
use crate::link::{Links, Place};
use crate::nameserver::Nameserver;
use anyhow::Result;
use std::net::{IpAddr, Ipv4Addr};
use waggle_model::Timestamp;

#[derive(Clone, Debug)]
pub struct User {
    pub subnet: Ipv4Addr,
    cached: Option<(IpAddr, Timestamp)>,
    pub ok: u64,
    pub failed: u64,
    /// The last failure, in words.
    pub why: String,
}

impl User {
    pub fn new(subnet: Ipv4Addr) -> User {
        User { subnet, cached: None, ok: 0, failed: 0, why: String::new() }
    }

    /// Resolves if the cache has run out, then makes one request.
    pub async fn visit(
        &mut self,
        route: &str,
        nameservers: &[Nameserver],
        clusters: &[Cluster],
        links: &Links,
        now: Timestamp,
    ) -> Result<()> {
        let Some(address) = self.resolve(route, nameservers, links, now)? else { return Ok(()) };
        let number = cluster_of(address);
        let served = match number.and_then(|number| Some((number, clusters.get(number)?))) {
            Some((number, cluster)) => links.connects(Place::Users, Place::Cluster(number)) && cluster.serves().await,
            None => false,
        };
        if served {
            self.ok += 1;
        } else {
            self.failed += 1;
            self.why = format!("{} at {}: {address} does not serve", self.subnet, now.0);
        }
        Ok(())
    }

    fn resolve(
        &mut self,
        route: &str,
        nameservers: &[Nameserver],
        links: &Links,
        now: Timestamp,
    ) -> Result<Option<IpAddr>> {
        if let Some((address, until)) = self.cached
            && now < until
        {
            return Ok(Some(address));
        }
        // A resolver tries one nameserver after the other, not always the same one first.
        let first = (now.0 / 1000) as usize;
        for offset in 0..nameservers.len() {
            let at = (first + offset) % nameservers.len();
            if !nameservers[at].up || !links.connects(Place::Users, Place::Nameserver(at)) {
                continue;
            }
            if let Some((address, ttl)) = nameservers[at].ask(route, self.subnet, now)? {
                self.cached = Some((address, Timestamp(now.0 + u64::from(ttl) * 1000)));
                return Ok(Some(address));
            }
        }
        Ok(None)
    }
}

/// Clusters have the addresses 192.0.2.1, .2 and so on.
pub fn address_of(cluster: usize) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, cluster as u8 + 1)
}

fn cluster_of(address: IpAddr) -> Option<usize> {
    match address {
        IpAddr::V4(v4) => usize::from(v4.octets()[3]).checked_sub(1),
        IpAddr::V6(_) => None,
    }
}
