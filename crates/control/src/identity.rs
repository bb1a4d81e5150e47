//! How agents and nameservers get and keep their certificates.
//!
//! A token decides the role, is used up in the same commit that writes the identity, and is not used up by a join that
//! is refused: whoever mistyped a name can try again.

use crate::ca::{Authority, CaError, SKEW};
use crate::records::{AgentIdentity, Edit, Epoch, Found, NameserverIdentity, TokenKind, TokenRecord, Used, get, keys};
use crate::sessions::Sessions;
use crate::store::{Key, Store, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use std::net::SocketAddr;
use std::sync::Arc;
use tonic::{Request, Response, Status};
use waggle_model::Timestamp;
use waggle_wire::identity::{Identity, expiry, of_peer_since};
use waggle_wire::proto::identity::identity_server::Identity as Service;
use waggle_wire::proto::identity::{Certificate, JoinRequest, RenewRequest};
use waggle_wire::token::{Kind, Token};

/// Bytes of a swarm id.
const SWARM_ID_MAX: usize = 128;

/// Serves `waggle.identity.v1.Identity`.
pub struct Join {
    pub store: Arc<dyn Store>,
    pub ca: Arc<Authority>,
    pub sessions: Arc<Sessions>,
}

#[async_trait]
impl Service for Join {
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<Certificate>, Status> {
        let request = request.into_inner();
        let now = Timestamp(waggle_daemon::time::now());
        let joined = join(&*self.store, &self.ca, &request, now).await;
        answer(joined, "join")
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<Certificate>, Status> {
        let (identity, since) = of_peer_since(&request)?;
        let now = Timestamp(waggle_daemon::time::now());
        let renewed = renew(&*self.store, &self.ca, (&identity, since), &request.get_ref().csr, now).await;
        if let Ok(chain) = &renewed {
            self.sessions.certified(&identity, chain.first().and_then(|leaf| expiry(leaf)));
        }
        answer(renewed, "renewal")
    }
}

fn answer(result: Result<Vec<Vec<u8>>, Refused>, what: &'static str) -> Result<Response<Certificate>, Status> {
    match result {
        Ok(chain) => Ok(Response::new(Certificate { chain: chain.into_iter().map(Bytes::from).collect() })),
        Err(refused) => {
            tracing::warn!(reason = %waggle_daemon::tasks::chain(&refused), "{what} refused");
            Err(refused.into())
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("{0}")]
    Token(#[from] waggle_wire::token::InvalidToken),
    #[error("this token was made by another federation")]
    OtherFederation,
    #[error("this is an API token; make one with `waggle {0} join-token NAME`")]
    ApiToken(&'static str),
    #[error("this token is unknown; make a new one with `waggle cluster join-token` or `waggle nameserver join-token`")]
    Unknown,
    #[error("this token ran out at {}; tokens live for 15 minutes, make a new one with `waggle cluster join-token` or `waggle nameserver join-token`", .0.clock())]
    Expired(Timestamp),
    #[error("this token was used already at {} by {}; each is good for one join, make a new one with `waggle cluster join-token` or `waggle nameserver join-token`", .0.at.clock(), .0.by)]
    Reused(Used),
    #[error("this token is for a {token}, but a {asked} asks")]
    WrongKind { token: &'static str, asked: &'static str },
    #[error("this token is for {bound}, but {asked} asks")]
    WrongName { bound: String, asked: String },
    #[error("{0}")]
    Name(#[from] waggle_model::name::InvalidName),
    #[error("{0:?} is not an address that others could reach; give ADDRESS:PORT")]
    Advertise(String),
    #[error("the id of the swarm is missing or too long")]
    SwarmId,
    #[error(
        "cluster {cluster} already has an agent, in another swarm ({known}); give this swarm another cluster name, or, if the \
         old swarm is gone, forget it with `waggle cluster rm {cluster}` and join again"
    )]
    OtherSwarm { cluster: String, known: String },
    #[error("{0} is not part of the federation any more; join again")]
    Forgotten(Identity),
    #[error("others joined at the same time; try again")]
    Contended,
    #[error("the signing request is refused")]
    Ca(#[from] CaError),
    #[error("the store failed")]
    Store(#[from] StoreError),
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Status {
        let text = refused.to_string();
        match refused {
            Refused::Token(_) | Refused::OtherFederation | Refused::ApiToken(_) | Refused::Unknown => {
                Status::unauthenticated(text)
            }
            Refused::Expired(_) | Refused::Reused(_) => Status::unauthenticated(text),
            Refused::WrongKind { .. } | Refused::WrongName { .. } | Refused::Forgotten(_) => {
                Status::permission_denied(text)
            }
            Refused::Name(_) | Refused::Advertise(_) | Refused::SwarmId => Status::invalid_argument(text),
            Refused::Ca(error @ (CaError::Request(_) | CaError::RequestForm)) => {
                Status::invalid_argument(waggle_daemon::tasks::chain(&error))
            }
            Refused::OtherSwarm { .. } => Status::failed_precondition(text),
            Refused::Contended => Status::aborted(text),
            Refused::Ca(_) => Status::internal(text),
            Refused::Store(StoreError::DiskFull(_)) => Status::resource_exhausted(text),
            Refused::Store(_) => Status::unavailable(text),
        }
    }
}

/// A certificate chain for a newcomer.
pub async fn join(
    store: &dyn Store,
    ca: &Authority,
    request: &JoinRequest,
    now: Timestamp,
) -> Result<Vec<Vec<u8>>, Refused> {
    let token: Token = request.token.parse()?;
    let asked = if request.advertise.is_empty() { TokenKind::Cluster } else { TokenKind::Nameserver };
    if token.ca != ca.digest() {
        return Err(Refused::OtherFederation);
    }
    if token.kind == Kind::Api {
        return Err(Refused::ApiToken(word(asked)));
    }
    let key = keys::token(&token.hash());
    let found = get::<TokenRecord>(store, &key).await?.ok_or(Refused::Unknown)?;
    admit(&found.value, asked, &request.name, now)?;
    let (identity, write) = newcomer(store, request, asked, now).await?;
    let chain = ca.issue(&identity, &request.csr, now)?;
    let used = Some(Used { at: now, by: request.name.clone() });
    let mut edit = Edit::new();
    edit.expect(key.clone(), Some(found.rev)).put(key, &TokenRecord { used, ..found.value })?;
    write(&mut edit)?;
    edit.touch_for(&Epoch { what: format!("{identity} joined"), ..Epoch::default() })?;
    edit.commit(store).await?.ok_or(Refused::Contended)?;
    tracing::info!(%identity, "joined");
    Ok(chain)
}

fn admit(token: &TokenRecord, asked: TokenKind, name: &str, now: Timestamp) -> Result<(), Refused> {
    if let Some(used) = &token.used {
        return Err(Refused::Reused(used.clone()));
    }
    if now >= token.expires {
        return Err(Refused::Expired(token.expires));
    }
    if token.kind != asked {
        return Err(Refused::WrongKind { token: word(token.kind), asked: word(asked) });
    }
    match &token.name {
        Some(bound) if bound != name => Err(Refused::WrongName { bound: bound.clone(), asked: name.to_owned() }),
        _ => Ok(()),
    }
}

fn word(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Cluster => "cluster",
        TokenKind::Nameserver => "nameserver",
    }
}

type Write = Box<dyn FnOnce(&mut Edit) -> Result<(), StoreError> + Send>;

/// Who asks, and the record of it.
async fn newcomer(
    store: &dyn Store,
    request: &JoinRequest,
    asked: TokenKind,
    now: Timestamp,
) -> Result<(Identity, Write), Refused> {
    match asked {
        TokenKind::Cluster => {
            let cluster: waggle_model::ClusterName = request.name.parse()?;
            if request.swarm_id.is_empty() || request.swarm_id.len() > SWARM_ID_MAX {
                return Err(Refused::SwarmId);
            }
            let key = keys::agent(&cluster);
            let known = get::<AgentIdentity>(store, &key).await?;
            if let Some(known) = &known
                && known.value.swarm_id != request.swarm_id
            {
                return Err(Refused::OtherSwarm { cluster: cluster.to_string(), known: known.value.swarm_id.clone() });
            }
            let value = AgentIdentity { cluster: cluster.clone(), swarm_id: request.swarm_id.clone(), joined: now };
            Ok((Identity::Agent(cluster), record(key, known, value)))
        }
        TokenKind::Nameserver => {
            let name: waggle_model::NameserverName = request.name.parse()?;
            let refuse = || Refused::Advertise(request.advertise.clone());
            let advertise: SocketAddr = request.advertise.parse().map_err(|_| refuse())?;
            if advertise.port() == 0 || advertise.ip().is_unspecified() {
                return Err(refuse());
            }
            let key = keys::nameserver(&name);
            let known = get::<NameserverIdentity>(store, &key).await?;
            let value = NameserverIdentity { name: name.clone(), advertise, joined: now };
            Ok((Identity::Nameserver(name), record(key, known, value)))
        }
    }
}

fn record<T: Serialize + Send + 'static>(key: Key, known: Option<Found<T>>, value: T) -> Write {
    let rev = known.map(|known| known.rev);
    Box::new(move |edit| edit.expect(key.clone(), rev).put(key, &value).map(|_| ()))
}

/// A new certificate for who has one, valid from `since`; not for who was forgotten.
pub async fn renew(
    store: &dyn Store,
    ca: &Authority,
    (identity, since): (&Identity, Timestamp),
    csr: &[u8],
    now: Timestamp,
) -> Result<Vec<Vec<u8>>, Refused> {
    if !is_member(store, identity, since).await? {
        return Err(Refused::Forgotten(identity.clone()));
    }
    Ok(ca.issue(identity, csr, now)?)
}

/// Whether the holder of a certificate that is valid from `since` has joined and was not forgotten. A certificate older
/// than the newest join under its name belongs to somebody who was forgotten, and whose name another one has now.
pub async fn is_member(store: &dyn Store, identity: &Identity, since: Timestamp) -> Result<bool, StoreError> {
    let joined = match identity {
        Identity::Control => None,
        Identity::Agent(cluster) => {
            get::<AgentIdentity>(store, &keys::agent(cluster)).await?.map(|known| known.value.joined)
        }
        Identity::Nameserver(name) => {
            get::<NameserverIdentity>(store, &keys::nameserver(name)).await?.map(|known| known.value.joined)
        }
    };
    // Certificates count in seconds.
    Ok(joined.is_some_and(|joined| since.after(SKEW).0 / 1000 >= joined.0 / 1000))
}

#[cfg(test)]
mod tests;
