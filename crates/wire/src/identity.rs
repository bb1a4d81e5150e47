//! Who a peer is. A certificate names exactly one identity in its subject alternative names: as a URI for our own
//! checks (`waggle://cluster/eu-1`) and as a DNS name for TLS (`eu-1.cluster.waggle.internal`). Addresses never matter:
//! clients dial an address but verify the name of the identity they mean to reach.

use std::fmt;
use tonic::{Request, Status};
use waggle_model::{ClusterName, NameserverName, Timestamp};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identity {
    Control,
    Agent(ClusterName),
    Nameserver(NameserverName),
}

impl Identity {
    /// `waggle://control`, `waggle://cluster/NAME` or `waggle://nameserver/NAME`.
    pub fn uri(&self) -> String {
        match self {
            Identity::Control => "waggle://control".into(),
            Identity::Agent(name) => format!("waggle://cluster/{name}"),
            Identity::Nameserver(name) => format!("waggle://nameserver/{name}"),
        }
    }

    /// Server name for TLS.
    pub fn dns_name(&self) -> String {
        match self {
            Identity::Control => "control.waggle.internal".into(),
            Identity::Agent(name) => format!("{name}.cluster.waggle.internal"),
            Identity::Nameserver(name) => format!("{name}.nameserver.waggle.internal"),
        }
    }

    fn from_uri(uri: &str) -> Option<Identity> {
        let rest = uri.strip_prefix("waggle://")?;
        match rest.split_once('/') {
            None if rest == "control" => Some(Identity::Control),
            Some(("cluster", name)) => Some(Identity::Agent(name.parse().ok()?)),
            Some(("nameserver", name)) => Some(Identity::Nameserver(name.parse().ok()?)),
            _ => None,
        }
    }

    /// Identity of a DER certificate; `None` unless it names exactly one.
    pub fn of_certificate(der: &[u8]) -> Option<Identity> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let names = certificate.subject_alternative_name().ok()??;
        let mut found = names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) => Identity::from_uri(uri),
            _ => None,
        });
        match (found.next(), found.next()) {
            (Some(identity), None) => Some(identity),
            _ => None,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Identity::Control => f.write_str("control"),
            Identity::Agent(name) => write!(f, "agent of {name}"),
            Identity::Nameserver(name) => write!(f, "nameserver {name}"),
        }
    }
}

/// Identity of a request's peer, from its verified certificate.
pub fn of_peer<T>(request: &Request<T>) -> Result<Identity, Status> {
    of_peer_since(request).map(|(identity, _)| identity)
}

/// As [`of_peer`], with the time from which the certificate is valid: it tells apart those issued before and after the
/// identity was given to somebody else.
pub fn of_peer_since<T>(request: &Request<T>) -> Result<(Identity, Timestamp), Status> {
    let refuse = || Status::unauthenticated("a certificate of this federation is needed; join first");
    let certificates = request.peer_certs().ok_or_else(refuse)?;
    let leaf = certificates.first().ok_or_else(refuse)?;
    let identity = Identity::of_certificate(leaf).ok_or_else(refuse)?;
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| refuse())?;
    let seconds = u64::try_from(parsed.validity().not_before.timestamp()).unwrap_or(0);
    Ok((identity, Timestamp(seconds.saturating_mul(1000))))
}

/// When the certificate of a request's peer runs out.
pub fn expiry_of_peer<T>(request: &Request<T>) -> Option<Timestamp> {
    expiry(request.peer_certs()?.first()?)
}

/// When a DER certificate runs out; `None` if it is none.
pub fn expiry(der: &[u8]) -> Option<Timestamp> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
    Some(Timestamp(seconds.saturating_mul(1000)))
}
