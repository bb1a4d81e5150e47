//! Names. Each kind is its own type; parsing is the only way in, so a name that exists is a valid one.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Why a text is not a name of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {text:?} is not valid: {why}")]
pub struct InvalidName {
    pub kind: &'static str,
    pub text: String,
    pub why: &'static str,
}

/// Longest cluster, nameserver or stack name, in bytes: it becomes a label of certificates' DNS names (RFC 1035 §2.3.4).
pub const NAME_BYTES_MAX: usize = 63;

fn check_label(kind: &'static str, text: &str) -> Result<(), InvalidName> {
    let bad = |why| Err(InvalidName { kind, text: text.to_owned(), why });
    if text.is_empty() {
        return bad("it is empty");
    }
    if text.len() > NAME_BYTES_MAX {
        return bad("it is longer than 63 characters");
    }
    if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return bad("only a-z, 0-9 and - are allowed");
    }
    if text.starts_with('-') || text.ends_with('-') {
        return bad("it must not start or end with -");
    }
    Ok(())
}

fn check_stack(kind: &'static str, text: &str) -> Result<(), InvalidName> {
    let bad = |why| Err(InvalidName { kind, text: text.to_owned(), why });
    if text.is_empty() {
        return bad("it is empty");
    }
    if text.len() > NAME_BYTES_MAX {
        return bad("it is longer than 63 characters");
    }
    if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        return bad("only letters, digits, - and _ are allowed");
    }
    if !text.as_bytes()[0].is_ascii_alphanumeric() {
        return bad("it must start with a letter or digit");
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $type {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                $check($kind, text)?;
                Ok($type(text.to_owned()))
            }
        }
        impl TryFrom<String> for $type {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }
        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(
    /// One Docker Swarm, reached through its agent.
    ClusterName, "cluster name", check_label
);
name!(
    /// One authoritative nameserver process.
    NameserverName, "nameserver name", check_label
);
name!(
    /// A Compose application, as in `docker stack`.
    StackName, "stack name", check_stack
);

/// Longest domain name in presentation form without the final dot (RFC 1035 §2.3.4: 255 octets on the wire).
pub const DOMAIN_BYTES_MAX: usize = 253;

/// An absolute domain name in lower case and without the final dot; the root is the empty text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DomainName(String);

impl DomainName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `self` is `zone` or lies below it.
    pub fn is_within(&self, zone: &DomainName) -> bool {
        zone.0.is_empty()
            || self.0 == zone.0
            || self.0.strip_suffix(zone.0.as_str()).is_some_and(|rest| rest.ends_with('.'))
    }

    /// Labels from the left.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.').filter(|label| !label.is_empty())
    }
}

impl FromStr for DomainName {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let bad = |why| Err(InvalidName { kind: "domain name", text: text.to_owned(), why });
        let bare = text.strip_suffix('.').unwrap_or(text);
        if bare.len() > DOMAIN_BYTES_MAX {
            return bad("it is longer than 253 characters");
        }
        for (at, label) in bare.split('.').enumerate() {
            if bare.is_empty() {
                break;
            }
            if label.is_empty() {
                return bad("it has an empty label");
            }
            if label.len() > 63 {
                return bad("a label is longer than 63 characters");
            }
            let ok = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            if !(label.bytes().all(ok) || (at == 0 && label == "*")) {
                return bad("only letters, digits, - and _ are allowed, and * as the first label");
            }
        }
        Ok(DomainName(bare.to_ascii_lowercase()))
    }
}

impl TryFrom<String> for DomainName {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<DomainName> for String {
    fn from(name: DomainName) -> String {
        name.0
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(if self.0.is_empty() { "." } else { &self.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!("eu-1".parse::<ClusterName>().is_ok());
        for bad in ["", "-a", "a-", "EU", "a.b", &"x".repeat(64)] {
            assert!(bad.parse::<ClusterName>().is_err(), "{bad:?}");
        }
        assert!("my_Shop-2".parse::<StackName>().is_ok());
        assert!("_x".parse::<StackName>().is_err());
    }

    #[test]
    fn domain_names_fold_and_nest() {
        let zone: DomainName = "Shop.Example.".parse().unwrap();
        assert_eq!(zone.as_str(), "shop.example");
        assert!("www.shop.example".parse::<DomainName>().unwrap().is_within(&zone));
        assert!(!"wwwshop.example".parse::<DomainName>().unwrap().is_within(&zone));
        assert!("*.shop.example".parse::<DomainName>().is_ok());
        for bad in ["a..b", "a b", "www.*.x"] {
            assert!(bad.parse::<DomainName>().is_err(), "{bad:?}");
        }
    }
}
