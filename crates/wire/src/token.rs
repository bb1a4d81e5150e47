//! Tokens: what a person hands to a new process or CLI. A token pins the CA by hash, so the first contact is already
//! authenticated: `waggle1.KIND.SHA256-OF-CA.SECRET`, both parts base64url without padding.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use std::fmt;
use std::str::FromStr;

const SECRET_BYTES: usize = 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Cluster,
    Nameserver,
    /// Bearer token of the HTTP API.
    Api,
}

impl Kind {
    fn text(self) -> &'static str {
        match self {
            Kind::Cluster => "cluster",
            Kind::Nameserver => "nameserver",
            Kind::Api => "api",
        }
    }
}

/// A token in clear. Its `Debug` hides the secret; `expose` is the one way to print it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    pub kind: Kind,
    /// SHA-256 of the CA certificate's DER.
    pub ca: [u8; 32],
    secret: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not a waggle token: {0}")]
pub struct InvalidToken(&'static str);

#[derive(Debug, thiserror::Error)]
#[error("the system's random source failed")]
pub struct NoRandom;

impl Token {
    pub fn generate(kind: Kind, ca: [u8; 32]) -> Result<Token, NoRandom> {
        let mut secret = [0; SECRET_BYTES];
        SystemRandom::new().fill(&mut secret).map_err(|_| NoRandom)?;
        Ok(Token { kind, ca, secret: URL_SAFE_NO_PAD.encode(secret) })
    }

    /// The token as people pass it on.
    pub fn expose(&self) -> String {
        format!("waggle1.{}.{}.{}", self.kind.text(), URL_SAFE_NO_PAD.encode(self.ca), self.secret)
    }

    /// What the store keeps: SHA-256 (hex) of the whole token. The secret has 192 random bits, so no slow hash is needed.
    pub fn hash(&self) -> String {
        crate::document::hex(&crate::document::digest(self.expose().as_bytes()))
    }
}

impl FromStr for Token {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let mut parts = text.trim().split('.');
        if parts.next() != Some("waggle1") {
            return Err(InvalidToken("it does not start with waggle1"));
        }
        let kind = match parts.next() {
            Some("cluster") => Kind::Cluster,
            Some("nameserver") => Kind::Nameserver,
            Some("api") => Kind::Api,
            _ => return Err(InvalidToken("its kind is unknown")),
        };
        let (Some(ca), Some(secret), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(InvalidToken("it does not have four parts; was it cut when copied?"));
        };
        let ca = URL_SAFE_NO_PAD.decode(ca).ok().and_then(|bytes| bytes.try_into().ok());
        let ca = ca.ok_or(InvalidToken("the hash of the CA is damaged; was it cut when copied?"))?;
        let length = URL_SAFE_NO_PAD.decode(secret).map(|bytes| bytes.len());
        if length != Ok(SECRET_BYTES) {
            return Err(InvalidToken("the secret is damaged; was it cut when copied?"));
        }
        Ok(Token { kind, ca, secret: secret.to_owned() })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, …)", self.kind.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_damage() {
        let token = Token::generate(Kind::Cluster, [9; 32]).unwrap();
        let text = token.expose();
        assert_eq!(text.parse::<Token>().unwrap(), token);
        assert!(!format!("{token:?}").contains(&token.secret));
        for cut in [10, 30, text.len() - 3] {
            assert!(text[..cut].parse::<Token>().is_err(), "{}", &text[..cut]);
        }
    }
}
