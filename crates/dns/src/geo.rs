//! GeoIP: networks and their coordinates. The caller opens and maps the database; here it is only read.

use ipnet::IpNet;
use maxminddb::{PathElement, Reader, WithinOptions};
use std::net::IpAddr;
use waggle_model::fleet::Location;

/// Networks of a database that are read at most; the largest public city database has about 8 million.
pub const NETWORKS_MAX: usize = 20_000_000;

/// Knows where networks are.
pub trait Geo {
    /// The network of `ip` and its coordinates.
    fn lookup(&self, ip: IpAddr) -> Option<(IpNet, Location)>;

    /// Calls `visit` with every network that has coordinates, until it returns false.
    fn networks(&self, visit: &mut dyn FnMut(IpNet, Location) -> bool);
}

impl<S: AsRef<[u8]>> Geo for Reader<S> {
    fn lookup(&self, ip: IpAddr) -> Option<(IpNet, Location)> {
        entry(&Reader::lookup(self, ip).ok()?)
    }

    fn networks(&self, visit: &mut dyn FnMut(IpNet, Location) -> bool) {
        let Ok(all) = Reader::networks(self, WithinOptions::default()) else { return };
        for (network, location) in all.take(NETWORKS_MAX).filter_map(|found| entry(&found.ok()?)) {
            if !visit(network, location) {
                return;
            }
        }
    }
}

fn entry<S: AsRef<[u8]>>(found: &maxminddb::LookupResult<'_, S>) -> Option<(IpNet, Location)> {
    let coordinate = |key| -> Option<f64> {
        found.decode_path(&[PathElement::Key("location"), PathElement::Key(key)]).ok().flatten()
    };
    let (latitude, longitude) = (coordinate("latitude")?, coordinate("longitude")?);
    if !(-90.0..=90.0).contains(&latitude) || !(-180.0..=180.0).contains(&longitude) {
        return None;
    }
    let network = found.network().ok()?;
    let network = IpNet::new(network.network(), network.prefix()).ok()?;
    Some((network.trunc(), Location { latitude, longitude }))
}
