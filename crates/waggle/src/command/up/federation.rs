//! The federation that `waggle up` begins with.

use super::NAME;
use crate::exit::Failure;
use std::net::{IpAddr, SocketAddr};
use waggle_model::DomainName;
use waggle_model::fleet::{Cluster, Federation, Record, Zone};

/// Seconds. Short: whoever tries things out changes them.
const TTL: u32 = 60;
const NEGATIVE_TTL: u32 = 2;

/// One cluster at `address`, and one zone whose nameserver is the one at `dns`.
pub fn default(zone: &DomainName, address: IpAddr, dns: SocketAddr) -> Result<Federation, Failure> {
    let nameserver: DomainName = format!("ns1.{zone}").parse()?;
    let kind = if dns.is_ipv4() { "A" } else { "AAAA" };
    let record = Record { name: nameserver.clone(), kind: kind.into(), ttl: None, values: vec![dns.ip().to_string()] };
    let contents = Zone {
        nameservers: vec![nameserver],
        contact: format!("hostmaster.{zone}").parse()?,
        ttl: TTL,
        negative_ttl: NEGATIVE_TTL,
        records: vec![record],
        master: None,
    };
    let cluster = Cluster { addresses: vec![address], weight: 1, ..Cluster::default() };
    Ok(Federation {
        clusters: [(NAME.parse()?, cluster)].into(),
        zones: [(zone.clone(), contents)].into(),
        ..Federation::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_no_problem() {
        let zone = "waggle.test".parse().unwrap();
        for (address, dns) in [("192.168.1.5", "127.0.0.1:5353"), ("2001:db8::5", "[::1]:53")] {
            let federation = default(&zone, address.parse().unwrap(), dns.parse().unwrap()).unwrap();
            assert_eq!(federation.problems(), []);
        }
    }
}
