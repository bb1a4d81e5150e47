//! The federation's own certificate authority. Its key never leaves the data directory; everything it signs lives a day
//! at most, so that there is no revocation list to distribute: who is forgotten is not renewed.
//!
//! Of a signing request only the public key is used. What a certificate says about its holder is decided here.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::pki_types::CertificateSigningRequestDer;
use std::path::Path;
use std::time::Duration;
use time::OffsetDateTime;
use waggle_daemon::file::{WriteError, write_atomic};
use waggle_model::Timestamp;
use waggle_wire::credentials::{Credentials, InvalidCredentials, signing_request};
use waggle_wire::document::digest;
use waggle_wire::identity::Identity;
use zeroize::Zeroizing;

/// From not-before to not-after, together. Agents and nameservers renew after a day ([`waggle_wire::credentials::RENEW_AFTER`]);
/// the rest is how long they can go on talking to each other while control is away.
pub const LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);
/// Certificates are valid from this long before now: clocks differ.
pub const SKEW: Duration = Duration::from_secs(5 * 60);
const CA_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Bytes of a signing request.
pub const CSR_BYTES_MAX: usize = 16 * 1024;

const KEY_FILE: &str = "ca.key";
const CERTIFICATE_FILE: &str = "ca.pem";

#[derive(Debug, thiserror::Error)]
pub enum CaError {
    #[error("{path} cannot be read")]
    Read { path: String, source: std::io::Error },
    #[error("the certificate authority cannot be written")]
    Write(#[from] WriteError),
    #[error(
        "{path} is there but the key {key} is not; restore it from a backup, or remove both and join everything anew"
    )]
    KeyMissing { path: String, key: String },
    #[error("the certificate authority cannot be used")]
    Unusable(#[source] rcgen::Error),
    #[error("the signing request is not valid")]
    Request(#[source] rcgen::Error),
    #[error("the signing request is too large or its key is not P-256")]
    RequestForm,
    #[error("the new certificate cannot be used")]
    Credentials(#[from] InvalidCredentials),
    #[error("the clock of this machine is out of range")]
    Clock,
}

/// The certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: Vec<u8>,
    pem: String,
}

impl Authority {
    /// Reads the authority of `dir`, or makes one there.
    pub fn open(dir: &Path, now: Timestamp) -> Result<Authority, CaError> {
        let (key_path, path) = (dir.join(KEY_FILE), dir.join(CERTIFICATE_FILE));
        match (read(&key_path)?, read(&path)?) {
            (Some(key), Some(pem)) => Authority::load(&key, pem.to_string()),
            (None, Some(_)) => {
                let text = |path: &Path| path.display().to_string();
                Err(CaError::KeyMissing { path: text(&path), key: text(&key_path) })
            }
            (key, None) => {
                // The key first: a crash in between leaves a key without a certificate, and that is made again.
                let key = match key {
                    Some(key) => key,
                    None => {
                        let key = new_key()?;
                        write_atomic(&key_path, key.as_bytes(), 0o600)?;
                        key
                    }
                };
                let pem = self_signed(&key, now)?;
                write_atomic(&path, pem.as_bytes(), 0o644)?;
                Authority::load(&key, pem)
            }
        }
    }

    /// An authority that is forgotten with the process.
    pub fn in_memory(now: Timestamp) -> Result<Authority, CaError> {
        let key = new_key()?;
        let pem = self_signed(&key, now)?;
        Authority::load(&key, pem)
    }

    fn load(key: &str, pem: String) -> Result<Authority, CaError> {
        let key = KeyPair::from_pem(key).map_err(CaError::Unusable)?;
        let issuer = Issuer::from_ca_cert_pem(&pem, key).map_err(CaError::Unusable)?;
        let der = rustls_der(&pem).ok_or(CaError::Unusable(rcgen::Error::CouldNotParseCertificate))?;
        Ok(Authority { issuer, der, pem })
    }

    /// SHA-256 of the CA certificate: what tokens pin.
    pub fn digest(&self) -> [u8; 32] {
        digest(&self.der)
    }

    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A chain (leaf, CA) for the key of a signing request (PKCS#10, DER), whose signature is checked.
    pub fn issue(&self, identity: &Identity, csr: &[u8], now: Timestamp) -> Result<Vec<Vec<u8>>, CaError> {
        if csr.len() > CSR_BYTES_MAX {
            return Err(CaError::RequestForm);
        }
        let request = CertificateSigningRequestDer::from(csr.to_vec());
        let request = CertificateSigningRequestParams::from_der(&request).map_err(CaError::Request)?;
        if request.public_key.algorithm() != &PKCS_ECDSA_P256_SHA256 {
            return Err(CaError::RequestForm);
        }
        let leaf = leaf(identity, now)?.signed_by(&request.public_key, &self.issuer).map_err(CaError::Unusable)?;
        Ok(vec![leaf.der().to_vec(), self.der.clone()])
    }

    /// Fresh credentials of control itself.
    pub fn own(&self, now: Timestamp) -> Result<Credentials, CaError> {
        let (key, csr) = signing_request()?;
        Ok(Credentials::new(key, self.issue(&Identity::Control, &csr, now)?)?)
    }
}

fn read(path: &Path) -> Result<Option<Zeroizing<String>>, CaError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CaError::Read { path: path.display().to_string(), source }),
    }
}

fn new_key() -> Result<Zeroizing<String>, CaError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(CaError::Unusable)?;
    Ok(Zeroizing::new(key.serialize_pem()))
}

fn self_signed(key: &str, now: Timestamp) -> Result<String, CaError> {
    let key = KeyPair::from_pem(key).map_err(CaError::Unusable)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = name("waggle federation");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = (moment(now, SKEW, false)?, moment(now, CA_LIFETIME, true)?);
    Ok(params.self_signed(&key).map_err(CaError::Unusable)?.pem())
}

fn leaf(identity: &Identity, now: Timestamp) -> Result<CertificateParams, CaError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(&identity.to_string());
    let text = |text: String| text.try_into().map_err(CaError::Unusable);
    params.subject_alt_names = vec![SanType::URI(text(identity.uri())?), SanType::DnsName(text(identity.dns_name())?)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = (moment(now, SKEW, false)?, moment(now, LIFETIME - SKEW, true)?);
    Ok(params)
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

fn moment(now: Timestamp, by: Duration, later: bool) -> Result<OffsetDateTime, CaError> {
    let seconds = i64::try_from(now.0 / 1000).map_err(|_| CaError::Clock)?;
    let by = by.as_secs() as i64;
    let seconds = if later { seconds.saturating_add(by) } else { seconds.saturating_sub(by) };
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| CaError::Clock)
}

fn rustls_der(pem: &str) -> Option<Vec<u8>> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    CertificateDer::from_pem_slice(pem.as_bytes()).ok().map(|der| der.to_vec())
}

#[cfg(test)]
mod tests;
