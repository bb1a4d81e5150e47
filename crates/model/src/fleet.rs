//! The federation as the operator describes it: clusters, zones, client map, default policies.

use crate::health::HealthPolicy;
use crate::health::overrides::{KEYS_MAX, PublicKey};
use crate::plan::intake::Safety;
use crate::time::millis;
use crate::{ClusterName, DomainName, NameserverName};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Limits of one federation; exceeding one is an error that names it.
pub const CLUSTERS_MAX: usize = 1024;
pub const ZONES_MAX: usize = 1024;
pub const RECORDS_MAX: usize = 100_000;
pub const CLIENT_MAP_MAX: usize = 1_000_000;

/// Everything of `federation.yaml`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Federation {
    pub clusters: BTreeMap<ClusterName, Cluster>,
    #[serde(default)]
    pub zones: BTreeMap<DomainName, Zone>,
    /// Operator's map from client prefix to clusters, most preferred first. The longest prefix wins.
    #[serde(default)]
    pub client_map: BTreeMap<IpNet, Vec<ClusterName>>,
    #[serde(default)]
    pub health: HealthPolicy,
    #[serde(default)]
    pub safety: Safety,
    /// Whose signed overrides nameservers obey, also when control is gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub override_keys: Vec<PublicKey>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    #[serde(default)]
    pub region: Option<String>,
    #[serde(default)]
    pub location: Option<Location>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Public addresses users reach; the A and AAAA data of every route that may answer with this cluster.
    pub addresses: Vec<IpAddr>,
    /// Relative share of clients this cluster can take where nothing else tells clusters apart; 1 unless set.
    #[serde(default = "one")]
    pub weight: u32,
    /// Answers per second, of all nameservers and routes together, that it should get at most; no limit unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
}

fn one() -> u32 {
    1
}

/// Degrees north and east.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Location {
    pub latitude: f64,
    pub longitude: f64,
}

/// One authoritative zone. Routes are added by stacks; everything here is static.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// NS targets, first one is the primary in the SOA.
    pub nameservers: Vec<DomainName>,
    /// Mailbox of the SOA in domain form.
    pub contact: DomainName,
    /// Seconds.
    #[serde(default = "zone_ttl")]
    pub ttl: u32,
    /// Seconds that resolvers may keep a negative answer (RFC 2308); short, because routes come and go.
    #[serde(default = "negative_ttl")]
    pub negative_ttl: u32,
    #[serde(default)]
    pub records: Vec<Record>,
    /// Text of a master file (RFC 1035 §5), read in addition to `records`.
    #[serde(default)]
    pub master: Option<String>,
}

fn zone_ttl() -> u32 {
    300
}

fn negative_ttl() -> u32 {
    5
}

/// A static record in presentation form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub name: DomainName,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub ttl: Option<u32>,
    /// One entry per record, e.g. `192.0.2.1` or `10 mail.shop.example.`.
    pub values: Vec<String>,
}

/// A nameserver as others reach it: learned when it joins, sent to agents and to its peers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameserverPeer {
    pub name: NameserverName,
    /// Where it takes beats and views (gRPC, mutual TLS).
    pub address: SocketAddr,
}

/// How often agents beat. The deadline after which silence counts is part of [`HealthPolicy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeatPolicy {
    #[serde(rename = "interval_ms", with = "millis")]
    pub interval: Duration,
}

impl Default for BeatPolicy {
    fn default() -> Self {
        BeatPolicy { interval: Duration::from_millis(200) }
    }
}

/// Why a federation document is refused. `at` is a path such as `zones.shop.example.records[2]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {why}")]
pub struct InvalidFederation {
    pub at: String,
    pub why: String,
}

impl Federation {
    /// Every problem at once, in document order; empty when the document can be used.
    pub fn problems(&self) -> Vec<InvalidFederation> {
        let mut found = Vec::new();
        let mut bad = |at: String, why: String| found.push(InvalidFederation { at, why });
        let limits = [
            ("clusters", self.clusters.len(), CLUSTERS_MAX),
            ("zones", self.zones.len(), ZONES_MAX),
            ("override_keys", self.override_keys.len(), KEYS_MAX),
            ("client_map", self.client_map.len(), CLIENT_MAP_MAX),
            ("zones.*.records", self.zones.values().map(|z| z.records.len()).sum(), RECORDS_MAX),
        ];
        for (at, count, max) in limits {
            if count > max {
                bad(at.into(), format!("{count} entries, at most {max} are allowed"));
            }
        }
        if self.clusters.is_empty() {
            bad("clusters".into(), "no cluster is listed; add at least one".into());
        }
        for (name, cluster) in &self.clusters {
            let at = |field: &str| format!("clusters.{name}.{field}");
            if cluster.addresses.is_empty() {
                bad(at("addresses"), "no public address; give the addresses users reach this cluster by".into());
            }
            if cluster.weight == 0 {
                bad(at("weight"), "0 would never answer; use `waggle cluster drain` to take a cluster out".into());
            }
            if cluster.capacity == Some(0) {
                bad(at("capacity"), "0 would never answer; use `waggle cluster drain` to take a cluster out".into());
            }
            if let Some(place) = cluster.location {
                let ok = (-90.0..=90.0).contains(&place.latitude) && (-180.0..=180.0).contains(&place.longitude);
                if !ok {
                    bad(at("location"), "latitude must be within ±90 and longitude within ±180 degrees".into());
                }
            }
        }
        if self.safety.max_loss_percent > 100 {
            bad("safety.max_loss_percent".into(), "more than 100 percent cannot be lost".into());
        }
        for (prefix, clusters) in &self.client_map {
            if *prefix != prefix.trunc() {
                bad(format!("client_map.{prefix}"), format!("host bits are set; did you mean {}?", prefix.trunc()));
            }
            for cluster in clusters {
                if !self.clusters.contains_key(cluster) {
                    bad(format!("client_map.{prefix}"), format!("cluster {cluster} is not listed under clusters"));
                }
            }
        }
        for (name, zone) in &self.zones {
            if zone.nameservers.is_empty() {
                bad(format!("zones.{name}.nameservers"), "a zone needs at least one nameserver name".into());
            }
            for (at, record) in zone.records.iter().enumerate() {
                if !record.name.is_within(name) {
                    let why = format!("{} is outside the zone {name}", record.name);
                    bad(format!("zones.{name}.records[{at}]"), why);
                }
                if record.values.is_empty() {
                    bad(format!("zones.{name}.records[{at}].values"), "no value".into());
                }
            }
        }
        found
    }
}
