//! What is looked at.

use crate::fleet::Federation;
use crate::traffic::ClientTraffic;
use crate::{ClusterName, DomainName, Generation, NameserverName, Timestamp};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Everything that [`examine`](super::examine) concludes from.
#[derive(Clone, Debug, Deserialize)]
pub struct Facts {
    pub now: Timestamp,
    /// Version of control.
    pub version: String,
    pub plan_generation: Generation,
    /// What needs a person, in control's words.
    pub attention: Vec<String>,
    pub agents: BTreeMap<ClusterName, ProcessFacts>,
    pub nameservers: BTreeMap<NameserverName, ProcessFacts>,
    pub federation: Federation,
    pub routes: BTreeMap<DomainName, RouteFacts>,
    /// The zones that are examined.
    pub zones: BTreeMap<DomainName, ZoneFacts>,
}

/// An agent or a nameserver, as control sees it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ProcessFacts {
    pub connected: bool,
    /// `None`: never heard of.
    pub version: Option<String>,
    /// Milliseconds by which its clock is ahead of control's.
    pub skew_ms: Option<i64>,
    /// When the newest certificate that control knows of runs out; `None`: it knows of none.
    pub certificate_until: Option<Timestamp>,
    /// Networks that ask it most, busiest first; of nameservers.
    pub clients: Vec<ClientTraffic>,
}

/// A route as nameservers answer it.
#[derive(Clone, Debug, Deserialize)]
pub struct RouteFacts {
    /// Seconds.
    pub ttl: u32,
    /// Nameservers probe it.
    pub checked: bool,
    /// No cluster is in and fit.
    pub all_down: bool,
    /// Its pool.
    pub clusters: BTreeMap<ClusterName, ShareFacts>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct ShareFacts {
    /// The route plan keeps it out.
    pub drained: bool,
    /// Answers per second that named it; `None`: nobody told.
    pub answers: Option<f64>,
}

/// What the DNS says of one zone. `Err` says why nothing is known.
#[derive(Clone, Debug, Deserialize)]
pub struct ZoneFacts {
    /// NS names that resolvers find, and what was asked.
    pub resolved: Result<Vec<DomainName>, String>,
    /// NS names in the parent's referral.
    pub delegated: Result<Vec<DomainName>, String>,
    /// Seconds for which the NS records of that referral may be kept.
    #[serde(default)]
    pub delegated_ttl: Option<u32>,
    /// Addresses in the parent's referral, by name.
    pub glue: BTreeMap<DomainName, Vec<IpAddr>>,
    /// Each name of the zone's `nameservers`.
    pub servers: BTreeMap<DomainName, ServerFacts>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct ServerFacts {
    pub addresses: Result<Vec<IpAddr>, String>,
    /// Serials of the SOA, asked directly.
    pub answers: Vec<Direct>,
}

/// What is said at one address.
#[derive(Clone, Debug, Deserialize)]
pub struct Direct {
    /// The machine that asks has no way to addresses of this kind.
    #[serde(default)]
    pub no_way: bool,
    pub udp: Result<u32, String>,
    pub tcp: Result<u32, String>,
}
