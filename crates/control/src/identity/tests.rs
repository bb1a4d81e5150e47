use super::*;
use crate::store::redb::Redb;
use crate::tokens;
use std::time::Duration;
use waggle_wire::credentials::{Credentials, signing_request};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

struct Fixture {
    store: Redb,
    ca: Authority,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture { store: Redb::in_memory().unwrap(), ca: Authority::in_memory(NOW).unwrap() }
    }

    async fn token(&self, kind: TokenKind, name: Option<&str>) -> String {
        let made = tokens::create(&self.store, &self.ca, kind, name.map(str::to_owned), NOW).await.unwrap();
        made.0.expose()
    }

    async fn join(
        &self,
        token: &str,
        name: &str,
        swarm: &str,
        advertise: &str,
        now: Timestamp,
    ) -> Result<Identity, Refused> {
        let (key, csr) = signing_request().unwrap();
        let request = JoinRequest {
            token: token.into(),
            name: name.into(),
            csr: csr.into(),
            advertise: advertise.into(),
            swarm_id: swarm.into(),
        };
        let chain = join(&self.store, &self.ca, &request, now).await?;
        Ok(Credentials::new(key, chain).unwrap().identity)
    }

    async fn forget(&self, cluster: &str) {
        let mut edit = Edit::new();
        edit.delete(keys::agent(&cluster.parse().unwrap()));
        edit.commit(&self.store).await.unwrap();
    }

    async fn agent(&self, token: &str, name: &str, swarm: &str) -> Result<Identity, Refused> {
        self.join(token, name, swarm, "", NOW).await
    }
}

#[tokio::test]
async fn a_token_is_good_for_one_join() {
    let at = Fixture::new();
    let token = at.token(TokenKind::Cluster, None).await;
    assert_eq!(at.agent(&token, "eu-1", "swarm-a").await.unwrap(), Identity::Agent("eu-1".parse().unwrap()));
    let again = at.agent(&token, "eu-2", "swarm-b").await.unwrap_err();
    assert!(matches!(&again, Refused::Reused(used) if used.by == "eu-1"));
    assert_eq!(Status::from(again).code(), tonic::Code::Unauthenticated);
    assert!(!is_member(&at.store, &Identity::Agent("eu-2".parse().unwrap()), NOW).await.unwrap());
}

#[tokio::test]
async fn expired_wrong_and_foreign_tokens_say_so() {
    let at = Fixture::new();
    let token = at.token(TokenKind::Cluster, Some("eu-1")).await;
    let late = NOW.after(tokens::JOIN_LIFETIME);
    assert!(matches!(at.join(&token, "eu-1", "s", "", late).await, Err(Refused::Expired(_))));
    assert!(matches!(at.agent(&token, "eu-2", "s").await, Err(Refused::WrongName { .. })));
    assert!(matches!(at.join(&token, "eu-1", "", "127.0.0.1:7000", NOW).await, Err(Refused::WrongKind { .. })));
    assert!(matches!(at.agent(&token, "eu-1", "").await, Err(Refused::SwarmId)));
    assert!(matches!(at.agent("waggle1.nonsense", "eu-1", "s").await, Err(Refused::Token(_))));
    let elsewhere = Fixture::new();
    let foreign = elsewhere.token(TokenKind::Cluster, None).await;
    assert!(matches!(at.agent(&foreign, "eu-1", "s").await, Err(Refused::OtherFederation)));
    let unknown = Token::generate(Kind::Cluster, at.ca.digest()).unwrap().expose();
    assert!(matches!(at.agent(&unknown, "eu-1", "s").await, Err(Refused::Unknown)));
    let api = Token::generate(Kind::Api, at.ca.digest()).unwrap();
    assert!(matches!(at.agent(&api.expose(), "eu-1", "s").await, Err(Refused::ApiToken(_))));
    // None of these refusals used it up.
    at.agent(&token, "eu-1", "s").await.unwrap();
}

#[tokio::test]
async fn another_swarm_does_not_take_over_a_name() {
    let at = Fixture::new();
    let first = at.token(TokenKind::Cluster, None).await;
    at.agent(&first, "eu-1", "swarm-a").await.unwrap();
    let second = at.token(TokenKind::Cluster, None).await;
    let refused = Status::from(at.agent(&second, "eu-1", "swarm-b").await.unwrap_err());
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    assert!(refused.message().contains("waggle cluster rm eu-1"), "{}", refused.message());
    // The same swarm may join again, with the token that was not used up.
    at.agent(&second, "eu-1", "swarm-a").await.unwrap();
}

#[tokio::test]
async fn nameservers_must_say_how_they_are_reached() {
    let at = Fixture::new();
    let token = at.token(TokenKind::Nameserver, None).await;
    for bad in ["0.0.0.0:53", "127.0.0.1:0", "ns1", "[::]:7000"] {
        assert!(matches!(at.join(&token, "ns-1", "", bad, NOW).await, Err(Refused::Advertise(_))), "{bad}");
    }
    let joined = at.join(&token, "ns-1", "", "127.0.0.1:7000", NOW).await.unwrap();
    assert_eq!(joined, Identity::Nameserver("ns-1".parse().unwrap()));
}

#[tokio::test]
async fn renewal_keeps_the_identity_and_needs_membership() {
    let at = Fixture::new();
    let token = at.token(TokenKind::Cluster, None).await;
    let identity = at.agent(&token, "eu-1", "swarm-a").await.unwrap();
    let (key, csr) = signing_request().unwrap();
    let later = NOW.after(Duration::from_secs(12 * 3600));
    let chain = renew(&at.store, &at.ca, (&identity, NOW), &csr, later).await.unwrap();
    let renewed = Credentials::new(key, chain).unwrap();
    assert_eq!(renewed.identity, identity);
    assert!(renewed.not_after > later);
    at.forget("eu-1").await;
    assert!(matches!(renew(&at.store, &at.ca, (&identity, NOW), &csr, later).await, Err(Refused::Forgotten(_))));
}

#[tokio::test]
async fn who_was_forgotten_does_not_come_back_when_another_gets_the_name() {
    let at = Fixture::new();
    let (first, second) = (at.token(TokenKind::Cluster, None).await, at.token(TokenKind::Cluster, None).await);
    let identity = at.agent(&first, "eu-1", "swarm-a").await.unwrap();
    let old = Timestamp(NOW.0 - 1000 * crate::ca::SKEW.as_secs());
    assert!(is_member(&at.store, &identity, old).await.unwrap());
    at.forget("eu-1").await;
    let later = NOW.after(Duration::from_secs(60));
    at.join(&second, "eu-1", "swarm-b", "", later).await.unwrap();
    assert!(!is_member(&at.store, &identity, old).await.unwrap(), "a certificate of swarm-a");
    let (_, csr) = signing_request().unwrap();
    assert!(matches!(renew(&at.store, &at.ca, (&identity, old), &csr, later).await, Err(Refused::Forgotten(_))));
    assert!(is_member(&at.store, &identity, old.after(Duration::from_secs(60))).await.unwrap());
}
