//! What is looked at.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;
use waggle_control::api::types::{RouteSummary, StatusView};
use waggle_model::DomainName;
use waggle_model::fleet::Federation;

/// Everything that [`examine`](super::examine) concludes from.
#[derive(Clone, Debug, Deserialize)]
pub struct Facts {
    pub status: StatusView,
    pub federation: Federation,
    pub routes: Vec<RouteSummary>,
    /// The zones that are examined.
    pub zones: BTreeMap<DomainName, ZoneFacts>,
}

/// What the DNS says of one zone. `Err` says why nothing is known.
#[derive(Clone, Debug, Deserialize)]
pub struct ZoneFacts {
    /// NS names that resolvers find, and what was asked.
    pub resolved: Result<Vec<DomainName>, String>,
    /// NS names in the parent's referral.
    pub delegated: Result<Vec<DomainName>, String>,
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
    pub udp: Result<u32, String>,
    pub tcp: Result<u32, String>,
}
