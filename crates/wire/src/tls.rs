//! TLS configurations. TLS 1.3 only, ring only, one CA only: the federation's own.
//!
//! A newcomer has a token but no CA certificate yet. It pins the CA's hash ([`pinned`]): the server sends its CA as the
//! last certificate of its chain, the hash must match the token's, and the leaf must be signed by it.

use crate::credentials::Current;
use crate::document::digest;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use std::sync::Arc;

/// Application protocols offered: gRPC speaks HTTP/2 only, the API both.
pub const ALPN_GRPC: &[&[u8]] = &[b"h2"];
pub const ALPN_API: &[&[u8]] = &[b"h2", b"http/1.1"];

#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up")]
pub struct TlsError(#[source] Box<dyn std::error::Error + Send + Sync>);

fn tls_error(error: impl std::error::Error + Send + Sync + 'static) -> TlsError {
    TlsError(Box::new(error))
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn alpn(protocols: &[&[u8]]) -> Vec<Vec<u8>> {
    protocols.iter().map(|p| p.to_vec()).collect()
}

fn roots(ca: Option<&CertificateDer<'static>>) -> Result<Arc<RootCertStore>, TlsError> {
    let mut store = RootCertStore::empty();
    let ca = ca.ok_or_else(|| tls_error(std::io::Error::other("the chain has no CA")))?;
    store.add(ca.clone()).map_err(tls_error)?;
    Ok(Arc::new(store))
}

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// Shown certificates are verified, none is needed: for the listener that newcomers join through. Every call but
    /// `Join` asks for the identity itself.
    MayBeAnonymous,
    MustBeKnown,
    /// Not asked for: the HTTP API, whose callers hold bearer tokens.
    NotAsked,
}

pub fn server(current: &Arc<Current>, clients: Clients, protocols: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(tls_error)?;
    let verifier = || -> Result<_, TlsError> {
        let builder = WebPkiClientVerifier::builder_with_provider(roots(current.get().ca())?, provider());
        Ok(builder)
    };
    let builder = match clients {
        Clients::NotAsked => builder.with_no_client_auth(),
        Clients::MustBeKnown => builder.with_client_cert_verifier(verifier()?.build().map_err(tls_error)?),
        Clients::MayBeAnonymous => {
            builder.with_client_cert_verifier(verifier()?.allow_unauthenticated().build().map_err(tls_error)?)
        }
    };
    let mut config = builder.with_cert_resolver(current.clone());
    config.alpn_protocols = alpn(protocols);
    Ok(Arc::new(config))
}

/// A client that has credentials: mutual TLS, trusting the CA of its own chain.
pub fn client(current: &Arc<Current>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(tls_error)?
        .with_root_certificates(roots(current.get().ca())?)
        .with_client_cert_resolver(current.clone());
    config.alpn_protocols = alpn(ALPN_GRPC);
    Ok(Arc::new(config))
}

/// A client that knows only the CA's hash.
pub fn pinned(ca: [u8; 32], protocols: &[&[u8]]) -> Result<Arc<ClientConfig>, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(tls_error)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PinnedCa { ca, provider: provider() }))
        .with_no_client_auth();
    config.alpn_protocols = alpn(protocols);
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct PinnedCa {
    ca: [u8; 32],
    provider: Arc<rustls::crypto::CryptoProvider>,
}

impl ServerCertVerifier for PinnedCa {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let ca = intermediates.last().filter(|ca| digest(ca) == self.ca);
        let ca = ca.ok_or_else(|| {
            rustls::Error::General("the server's CA is not the one the token was made for".to_owned())
        })?;
        let mut store = RootCertStore::empty();
        store.add(ca.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), self.provider.clone())
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        verifier.verify_server_cert(leaf, &[], name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not offered".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
