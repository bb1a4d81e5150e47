//! A process's key and certificate chain, replaceable while it runs.

use crate::identity::Identity;
use arc_swap::ArcSwap;
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;
use std::time::Duration;
use waggle_model::Timestamp;
use x509_parser::prelude::{FromDer, X509Certificate};

#[derive(Debug, thiserror::Error)]
pub enum InvalidCredentials {
    #[error("the private key cannot be used")]
    Key(#[source] rustls::Error),
    #[error("the certificate chain is empty or cannot be read")]
    Chain,
    #[error("the certificate names no identity of this federation")]
    Identity,
    #[error("a new key could not be made")]
    Generate(#[source] rcgen::Error),
}

/// Age at which a certificate is renewed.
pub const RENEW_AFTER: Duration = Duration::from_secs(24 * 3600);

/// A private key (PKCS#8 DER) and its chain: leaf first, CA last. `Debug` shows the identity only.
#[derive(Clone)]
pub struct Credentials {
    pub key_der: Vec<u8>,
    pub chain: Vec<CertificateDer<'static>>,
    pub identity: Identity,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    certified: Arc<CertifiedKey>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({})", self.identity)
    }
}

impl Credentials {
    pub fn new(key_der: Vec<u8>, chain: Vec<Vec<u8>>) -> Result<Credentials, InvalidCredentials> {
        let chain: Vec<CertificateDer<'static>> = chain.into_iter().map(CertificateDer::from).collect();
        let leaf = chain.first().ok_or(InvalidCredentials::Chain)?;
        let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| InvalidCredentials::Chain)?;
        let seconds = |t: i64| Timestamp(u64::try_from(t).unwrap_or(0).saturating_mul(1000));
        let not_before = seconds(parsed.validity().not_before.timestamp());
        let not_after = seconds(parsed.validity().not_after.timestamp());
        let identity = Identity::of_certificate(leaf).ok_or(InvalidCredentials::Identity)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key_der.clone()));
        let signing = any_ecdsa_type(&key).map_err(InvalidCredentials::Key)?;
        let certified = Arc::new(CertifiedKey::new(chain.clone(), signing));
        Ok(Credentials { key_der, chain, identity, not_before, not_after, certified })
    }

    /// The CA this process trusts: the last certificate of its own chain.
    pub fn ca(&self) -> Option<&CertificateDer<'static>> {
        self.chain.last()
    }

    /// A day of the lifetime has passed, or half of a shorter one.
    pub fn is_due(&self, now: Timestamp) -> bool {
        now >= self.not_before.after(RENEW_AFTER.min(self.not_after.since(self.not_before) / 2))
    }

    pub fn is_expired(&self, now: Timestamp) -> bool {
        now >= self.not_after
    }
}

/// A fresh P-256 key (PKCS#8 DER) and a signing request for it (PKCS#10 DER).
pub fn signing_request() -> Result<(Vec<u8>, Vec<u8>), InvalidCredentials> {
    let key = rcgen::KeyPair::generate().map_err(InvalidCredentials::Generate)?;
    let params = rcgen::CertificateParams::new(Vec::new()).map_err(InvalidCredentials::Generate)?;
    let request = params.serialize_request(&key).map_err(InvalidCredentials::Generate)?;
    Ok((key.serialize_der(), request.der().to_vec()))
}

/// The current credentials of a process; TLS handshakes read them, renewal replaces them.
#[derive(Debug)]
pub struct Current(ArcSwap<Credentials>);

impl Current {
    pub fn new(credentials: Credentials) -> Arc<Current> {
        Arc::new(Current(ArcSwap::from_pointee(credentials)))
    }

    pub fn get(&self) -> Arc<Credentials> {
        self.0.load_full()
    }

    pub fn replace(&self, credentials: Credentials) {
        self.0.store(Arc::new(credentials));
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get().certified.clone())
    }
}

impl rustls::client::ResolvesClientCert for Current {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.get().certified.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
