//! TLS for probes: the roots this machine trusts, or none at all when the check says so.
//!
//! Sessions are never resumed: each probe is to see the certificate that a new user would see.

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Client configurations, each made when it is first needed.
#[derive(Default)]
pub struct Clients {
    trusting: OnceCell<Arc<ClientConfig>>,
    insecure: OnceCell<Arc<ClientConfig>>,
}

impl Clients {
    /// A handshake that names `host`, which may carry a port, and offers the protocol `alpn`.
    pub async fn handshake(
        &self,
        stream: TcpStream,
        host: &str,
        insecure: bool,
        alpn: &[u8],
    ) -> Result<TlsStream<TcpStream>, String> {
        let bare = without_port(host).to_owned();
        let name = ServerName::try_from(bare).map_err(|_| format!("{host} is no server name"))?;
        let config = if insecure { self.insecure().await } else { self.trusting().await }?;
        let connector = TlsConnector::from(config);
        connector.with_alpn(vec![alpn.to_vec()]).connect(name, stream).await.map_err(|error| told(&error))
    }

    /// Trusts these roots instead of the machine's.
    #[cfg(test)]
    pub fn of(roots: Vec<CertificateDer<'static>>) -> Clients {
        Clients { trusting: OnceCell::new_with(trust(roots).ok()), insecure: OnceCell::new() }
    }

    async fn trusting(&self) -> Result<Arc<ClientConfig>, String> {
        self.trusting
            .get_or_try_init(|| async {
                let load = || rustls_native_certs::load_native_certs().certs;
                let found = tokio::task::spawn_blocking(load).await.map_err(|error| error.to_string())?;
                trust(found)
            })
            .await
            .cloned()
    }

    async fn insecure(&self) -> Result<Arc<ClientConfig>, String> {
        self.insecure
            .get_or_try_init(|| async {
                let verifier = Arc::new(Anything { provider: provider() });
                let builder = builder()?.dangerous().with_custom_certificate_verifier(verifier);
                Ok(Arc::new(finish(builder.with_no_client_auth())))
            })
            .await
            .cloned()
    }
}

fn trust(roots: Vec<CertificateDer<'static>>) -> Result<Arc<ClientConfig>, String> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots);
    Ok(Arc::new(finish(builder()?.with_root_certificates(store).with_no_client_auth())))
}

/// Why a handshake failed, for people. What is wrong with a certificate is the commonest reason, and rustls tells it in terms
/// of seconds since 1970 and names of its own types.
fn told(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let Some(Error::InvalidCertificate(wrong)) = inner else { return format!("TLS failed: {error}") };
    let apart = |a: UnixTime, b: UnixTime| span(a.as_secs().abs_diff(b.as_secs()));
    let what = match wrong {
        CertificateError::Expired => "has expired".to_owned(),
        CertificateError::ExpiredContext { time, not_after } => format!("expired {} ago", apart(*time, *not_after)),
        CertificateError::NotValidYet => "is not valid yet".to_owned(),
        CertificateError::NotValidYetContext { time, not_before } => {
            format!("is not valid for another {}", apart(*not_before, *time))
        }
        CertificateError::UnknownIssuer => "was signed by nobody this nameserver trusts".to_owned(),
        CertificateError::NotValidForName => "is for another name".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            // As `DnsName("www.shop.example")`.
            let bare = |name: &String| Some(name.strip_prefix("DnsName(\"")?.strip_suffix("\")")?.to_owned());
            let mut names: Vec<_> = presented.iter().filter_map(bare).take(NAMES_TOLD + 1).collect();
            if names.len() > NAMES_TOLD {
                names.truncate(NAMES_TOLD);
                names.push("…".to_owned());
            }
            let names = if names.is_empty() { "no host".to_owned() } else { names.join(", ") };
            format!("is not for {} but for {names}", expected.to_str())
        }
        CertificateError::Revoked => "was revoked".to_owned(),
        other => format!("is not valid: {other}"),
    };
    format!("TLS failed: the certificate {what}")
}

/// Names of a certificate that a reason tells.
const NAMES_TOLD: usize = 4;

fn span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds / 60, "minute"),
        7200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, String> {
    let builder = ClientConfig::builder_with_provider(provider());
    builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())
}

fn finish(mut config: ClientConfig) -> ClientConfig {
    config.resumption = Resumption::disabled();
    config
}

fn without_port(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').map_or(host, |(address, _)| address);
    }
    match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Takes any certificate, for checks with `tls_insecure`; that its holder has the key is still verified.
#[derive(Debug)]
struct Anything {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::without_port;

    #[test]
    fn a_port_is_no_part_of_a_server_name() {
        let cases = [
            ("www.shop.example", "www.shop.example"),
            ("www.shop.example:8443", "www.shop.example"),
            ("[::1]:443", "::1"),
            ("::1", "::1"),
            ("192.0.2.1:443", "192.0.2.1"),
        ];
        for (host, bare) in cases {
            assert_eq!(without_port(host), bare);
        }
    }
}
