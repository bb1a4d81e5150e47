//! Getting credentials with a token, keeping them on disk, and renewing them every day.

use crate::channel;
use crate::credentials::{Credentials, Current, InvalidCredentials, signing_request};
use crate::identity::Identity;
use crate::proto::identity::identity_client::IdentityClient;
use crate::proto::identity::{Certificate, JoinRequest, RenewRequest};
use crate::tls::{self, TlsError};
use crate::token::Token;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Pause between attempts to renew.
pub const RENEW_RETRY: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    #[error("cannot reach control at {address}")]
    Connect { address: String, source: tonic::transport::Error },
    #[error("control refused: {}", .0.message())]
    Refused(#[source] Box<tonic::Status>),
    #[error("control sent a certificate that cannot be used")]
    Credentials(#[from] InvalidCredentials),
    #[error("control sent a certificate for {got} instead of {wanted}")]
    WrongIdentity { got: Identity, wanted: Identity },
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Control must answer within this once it is connected.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// What a newcomer says of itself.
#[derive(Clone, Debug, Default)]
pub struct Newcomer {
    /// Nameservers: `ADDRESS:PORT` for beats and views.
    pub advertise: String,
    /// Agents: id of the swarm.
    pub swarm_id: String,
}

/// Joins control at `address` (`HOST:PORT`, gRPC) as `identity`.
pub async fn join(
    address: &str,
    token: &Token,
    identity: &Identity,
    newcomer: &Newcomer,
) -> Result<Credentials, EnrollError> {
    let (key, csr) = signing_request()?;
    let name = match identity {
        Identity::Control => String::new(),
        Identity::Agent(name) => name.to_string(),
        Identity::Nameserver(name) => name.to_string(),
    };
    let request = JoinRequest {
        token: token.expose(),
        name,
        csr: csr.into(),
        advertise: newcomer.advertise.clone(),
        swarm_id: newcomer.swarm_id.clone(),
    };
    let mut client = identity_client(address, tls::pinned(token.ca, tls::ALPN_GRPC)?).await?;
    accept(key, in_time(client.join(request)).await?, identity)
}

/// A new certificate, with a new key, for the identity of `current`.
pub async fn renew(address: &str, current: &Arc<Current>) -> Result<Credentials, EnrollError> {
    let (key, csr) = signing_request()?;
    let mut client = identity_client(address, tls::client(current)?).await?;
    let answer = in_time(client.renew(RenewRequest { csr: csr.into() })).await?;
    accept(key, answer, &current.get().identity)
}

async fn in_time<T>(call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>) -> Result<T, EnrollError> {
    let late =
        |_| tonic::Status::deadline_exceeded("no answer within 15 s; look whether it was done before trying again");
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, call).await.map_err(late).flatten();
    answer.map(tonic::Response::into_inner).map_err(|status| EnrollError::Refused(Box::new(status)))
}

async fn identity_client(
    address: &str,
    config: Arc<rustls::ClientConfig>,
) -> Result<IdentityClient<tonic::transport::Channel>, EnrollError> {
    let channel = channel::connect(address, Identity::Control, config).await;
    let channel = channel.map_err(|source| EnrollError::Connect { address: address.to_owned(), source })?;
    Ok(IdentityClient::new(channel))
}

fn accept(key: Vec<u8>, answer: Certificate, wanted: &Identity) -> Result<Credentials, EnrollError> {
    let chain = answer.chain.into_iter().map(|der| der.to_vec()).collect();
    let credentials = Credentials::new(key, chain)?;
    if credentials.identity != *wanted {
        return Err(EnrollError::WrongIdentity { got: credentials.identity, wanted: wanted.clone() });
    }
    Ok(credentials)
}

/// Form on disk; the file holds a private key and must be readable by its owner only (mode 0600).
#[derive(Serialize, Deserialize)]
pub struct Saved {
    pub version: u32,
    /// PKCS#8 DER.
    pub key: Vec<u8>,
    pub chain: Vec<Vec<u8>>,
}

impl From<&Credentials> for Saved {
    fn from(credentials: &Credentials) -> Self {
        let chain = credentials.chain.iter().map(|der| der.to_vec()).collect();
        Saved { version: 1, key: credentials.key_der.clone(), chain }
    }
}

impl TryFrom<Saved> for Credentials {
    type Error = InvalidCredentials;
    fn try_from(saved: Saved) -> Result<Self, InvalidCredentials> {
        Credentials::new(saved.key, saved.chain)
    }
}
