//! Keys and signatures of break-glass overrides.
//!
//! What is signed is the canonical JSON of the order behind a line that says what it is, so that a signature made for
//! something else can never be taken for one of these.

use crate::document::canonical;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use waggle_model::health::overrides::{Hex, Order, PublicKey, Signed};

const PURPOSE: &[u8] = b"waggle override v1\n";
const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";
const LINE: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the system's random source failed")]
    Random,
    #[error("this is no private key in PEM (PKCS#8), as `waggle override key` writes it")]
    Pem,
    #[error("the key in it is not one of Ed25519")]
    Kind,
}

/// Signs overrides.
pub struct OverrideKey {
    pair: Ed25519KeyPair,
    pem: String,
}

impl OverrideKey {
    pub fn generate() -> Result<OverrideKey, KeyError> {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyError::Random)?;
        let text = STANDARD.encode(pkcs8.as_ref());
        let mut pem = format!("{BEGIN}\n");
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, tail) = rest.split_at(rest.len().min(LINE));
            pem += &format!("{line}\n");
            rest = tail;
        }
        OverrideKey::read(&format!("{pem}{END}\n"))
    }

    /// Of the text of a PEM file.
    pub fn read(pem: &str) -> Result<OverrideKey, KeyError> {
        let body = pem.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).ok_or(KeyError::Pem)?.0;
        let body: String = body.split_whitespace().collect();
        let der = STANDARD.decode(body).map_err(|_| KeyError::Pem)?;
        // OpenSSL writes keys without the public half.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| KeyError::Kind)?;
        Ok(OverrideKey { pair, pem: pem.to_owned() })
    }

    /// The private key, for a file that nobody else can read.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey(Hex(bytes))
    }

    pub fn sign(&self, order: Order) -> Result<Signed, crate::document::InvalidDocument> {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(&text(&order)?).as_ref());
        Ok(Signed { order, key: self.public(), signature: Hex(signature) })
    }
}

/// Whether the signature is that of the key it names, over this order.
pub fn is_genuine(signed: &Signed) -> bool {
    let Ok(text) = text(&signed.order) else { return false };
    UnparsedPublicKey::new(&ED25519, signed.key.0.0).verify(&text, &signed.signature.0).is_ok()
}

fn text(order: &Order) -> Result<Vec<u8>, crate::document::InvalidDocument> {
    Ok([PURPOSE, &canonical(order)?].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use waggle_model::Timestamp;
    use waggle_model::health::overrides::{Effect, Target};

    fn order() -> Order {
        let target = Target { route: None, cluster: "eu-1".parse().unwrap() };
        let (issued, expires) = (Timestamp(1000), Timestamp(2000));
        Order { target, effect: Effect::Drained, reason: "fire".into(), issued, expires }
    }

    #[test]
    fn a_signature_holds_for_what_was_signed_and_for_nothing_else() {
        let key = OverrideKey::generate().unwrap();
        let signed = key.sign(order()).unwrap();
        assert!(is_genuine(&signed));
        let json = serde_json::to_string(&signed).unwrap();
        let back: Signed = serde_json::from_str(&json).unwrap();
        assert!(is_genuine(&back) && back == signed);
        let changed = |change: &dyn Fn(&mut Signed)| {
            let mut bent = signed.clone();
            change(&mut bent);
            is_genuine(&bent)
        };
        assert!(!changed(&|bent| bent.order.expires = Timestamp(3000)));
        assert!(!changed(&|bent| bent.order.effect = Effect::Fit));
        assert!(!changed(&|bent| bent.order.target.cluster = "us-1".parse().unwrap()));
        assert!(!changed(&|bent| bent.signature.0[3] ^= 1));
        assert!(!changed(&|bent| bent.key = OverrideKey::generate().unwrap().public()));
    }

    #[test]
    fn keys_are_read_back_and_others_refused() {
        let key = OverrideKey::generate().unwrap();
        let again = OverrideKey::read(key.pem()).unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(key.public().to_string().parse::<PublicKey>().unwrap(), key.public());
        // As `openssl genpkey -algorithm ed25519` writes it (RFC 8410 §10.3).
        let openssl = format!("{BEGIN}\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n{END}\n");
        let known = "ed25519:19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";
        assert_eq!(OverrideKey::read(&openssl).unwrap().public().to_string(), known);
        assert!(matches!(OverrideKey::read("nothing"), Err(KeyError::Pem)));
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        assert!(matches!(OverrideKey::read(&other), Err(KeyError::Kind)));
    }
}
