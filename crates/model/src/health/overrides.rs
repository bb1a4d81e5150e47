//! Break-glass overrides: an operator's word on a cluster, signed, told to a nameserver directly when control is gone.
//!
//! The signature is the authority. The public keys are in the federation file and travel in the route plan, so a nameserver
//! has them on disk; whoever holds a private key needs no certificate, no token and no control. One nameserver is told, and
//! passes the document on to the others in its views; each checks it for itself.
//!
//! * An override ends by itself, after [`OVERRIDE_MAX`] at the latest, by each nameserver's own clock.
//! * For one target (a route or all, and a cluster) only a document issued later than the last one counts. That a document
//!   came is remembered until everything issued before it has run out, so an old one cannot be played again, neither over a
//!   newer one nor after it was revoked.
//! * Where two targets cover one endpoint, what was issued last counts.
//! * A key that leaves the plan takes its overrides along.
//!
//! Signatures are made and checked by the caller: this crate does no cryptography. Rejected: agreement among nameservers
//! before an override counts, since it is for the day when little works; and overrides without an end.

use super::forced::Forced;
use crate::plan::RoutePlan;
use crate::{ClusterName, DomainName, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Longest time between issue and expiry.
pub const OVERRIDE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Documents that a nameserver keeps and passes on; one per target.
pub const OVERRIDES_MAX: usize = 16;
/// Targets of which it is remembered when the last document was issued.
pub const TARGETS_REMEMBERED: usize = 256;
/// A document may be issued so far in a nameserver's future.
pub const CLOCKS_APART_MAX: Duration = Duration::from_secs(5 * 60);
/// Public keys of a federation.
pub const KEYS_MAX: usize = 16;
/// Bytes of a reason.
pub const REASON_MAX: usize = 500;

/// Bytes that people see as hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hex<const N: usize>(pub [u8; N]);

/// Of Ed25519. Written `ed25519:` and 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey(pub Hex<32>);

/// Which endpoints are meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// `None`: all routes.
    pub route: Option<DomainName>,
    pub cluster: ClusterName,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    Fit,
    Unfit,
    Drained,
    /// What was said before is revoked.
    None,
}

/// What is signed: its canonical JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    pub target: Target,
    pub effect: Effect,
    pub reason: String,
    /// Also its serial number: of two for one target the later one counts.
    pub issued: Timestamp,
    pub expires: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    pub order: Order,
    pub key: PublicKey,
    pub signature: Hex<64>,
}

/// Why a document changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("key {0} is not among override_keys of the route plan")]
    UnknownKey(PublicKey),
    #[error("the signature is not that of key {0} for this text: it was changed on the way")]
    Signature(PublicKey),
    #[error("it ran out at {} UTC; by this nameserver's clock it is {} UTC", .expires.utc(), .now.utc())]
    Expired { expires: Timestamp, now: Timestamp },
    #[error("it is issued at {} UTC, in the future; by this nameserver's clock it is {} UTC", .issued.utc(), .now.utc())]
    FromTheFuture { issued: Timestamp, now: Timestamp },
    #[error("it is to hold for more than {} hours, or ends before it begins", OVERRIDE_MAX.as_secs() / 3600)]
    TooLong,
    #[error("its reason is empty or longer than {REASON_MAX} bytes")]
    Reason,
    #[error("there is no route {0} in the route plan")]
    UnknownRoute(DomainName),
    #[error("there is no cluster {0} in the route plan, or the route does not have it")]
    UnknownCluster(ClusterName),
    #[error("it is not newer than the last one for {target}, which was issued at {} UTC", .have.utc())]
    NotNewer { target: Target, have: Timestamp },
    #[error("{OVERRIDES_MAX} overrides are kept already; revoke one, or wait until one runs out")]
    TooMany,
}

/// What a nameserver knows of overrides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Overrides {
    /// One per target; revocations too, so that they are passed on.
    held: Vec<Signed>,
    /// When the last document for a target was issued, held or not.
    last: Vec<(Target, Timestamp)>,
}

impl Overrides {
    /// Takes a document whose signature was checked by `genuine`. `false`: it is here already.
    pub fn offer(
        &mut self,
        signed: &Signed,
        plan: &RoutePlan,
        genuine: impl FnOnce(&Signed) -> bool,
        now: Timestamp,
    ) -> Result<bool, Refused> {
        if self.held.contains(signed) {
            return Ok(false);
        }
        check(signed, plan, now)?;
        let target = &signed.order.target;
        if let Some((_, have)) = self.last.iter().find(|(known, have)| known == target && signed.order.issued <= *have)
        {
            return Err(Refused::NotNewer { target: target.clone(), have: *have });
        }
        if !genuine(signed) {
            return Err(Refused::Signature(signed.key));
        }
        self.forget(now);
        let replaces = self.held.iter().any(|held| held.order.target == *target);
        if !replaces && self.held.len() >= OVERRIDES_MAX {
            // What only says that something is over makes room: that it came is remembered.
            let revoked = self.held.iter().position(|held| held.order.effect == Effect::None);
            self.held.remove(revoked.ok_or(Refused::TooMany)?);
        }
        self.held.retain(|held| held.order.target != *target);
        self.held.push(signed.clone());
        self.last.retain(|(known, _)| known != target);
        self.last.push((target.clone(), signed.order.issued));
        if self.last.len() > TARGETS_REMEMBERED {
            self.last.remove(0);
        }
        Ok(true)
    }

    /// Everything that is passed on.
    pub fn held(&self) -> &[Signed] {
        &self.held
    }

    /// Documents that have an effect at `now`.
    pub fn active<'a>(&'a self, keys: &'a [PublicKey], now: Timestamp) -> impl Iterator<Item = &'a Signed> {
        let holds = move |signed: &&Signed| {
            let order = &signed.order;
            order.effect != Effect::None && now < order.expires && keys.contains(&signed.key)
        };
        self.held.iter().filter(holds)
    }

    /// The one that counts for an endpoint.
    pub fn on<'a>(
        &'a self,
        route: &DomainName,
        cluster: &ClusterName,
        keys: &'a [PublicKey],
        now: Timestamp,
    ) -> Option<&'a Signed> {
        let covers = |signed: &&Signed| {
            let target = &signed.order.target;
            target.cluster == *cluster && target.route.as_ref().is_none_or(|only| only == route)
        };
        self.active(keys, now)
            .filter(covers)
            .max_by_key(|signed| (signed.order.issued, signed.order.target.route.is_some()))
    }

    /// Drops what has run out, and what can no longer be played again.
    pub fn forget(&mut self, now: Timestamp) {
        self.held.retain(|held| now < held.order.expires);
        self.last.retain(|(_, issued)| now < issued.after(OVERRIDE_MAX));
    }
}

fn check(signed: &Signed, plan: &RoutePlan, now: Timestamp) -> Result<(), Refused> {
    let order = &signed.order;
    if !plan.override_keys.contains(&signed.key) {
        return Err(Refused::UnknownKey(signed.key));
    }
    if order.issued > now.after(CLOCKS_APART_MAX) {
        return Err(Refused::FromTheFuture { issued: order.issued, now });
    }
    if order.expires <= order.issued || order.expires.since(order.issued) > OVERRIDE_MAX {
        return Err(Refused::TooLong);
    }
    if now >= order.expires {
        return Err(Refused::Expired { expires: order.expires, now });
    }
    if order.reason.trim().is_empty() || order.reason.len() > REASON_MAX {
        return Err(Refused::Reason);
    }
    let cluster = &order.target.cluster;
    let known = match &order.target.route {
        None => plan.clusters.contains_key(cluster),
        Some(name) => {
            let route = plan.routes.get(name).ok_or_else(|| Refused::UnknownRoute(name.clone()))?;
            route.pool.iter().any(|endpoint| endpoint.cluster == *cluster)
        }
    };
    if known { Ok(()) } else { Err(Refused::UnknownCluster(cluster.clone())) }
}

impl Signed {
    /// As a forced verdict, if its effect is one.
    pub fn forced(&self) -> Option<Forced> {
        let fit = match self.order.effect {
            Effect::Fit => true,
            Effect::Unfit => false,
            Effect::Drained | Effect::None => return None,
        };
        let by = format!("override with key {}", self.key.short());
        Some(Forced { fit, reason: self.order.reason.clone(), by, until: self.order.expires })
    }

    /// As a reason to be drained, if its effect is that.
    pub fn drained(&self) -> Option<String> {
        let order = &self.order;
        let text =
            || format!("override with key {} until {} UTC: {}", self.key.short(), order.expires.utc(), order.reason);
        (order.effect == Effect::Drained).then(text)
    }
}

impl PublicKey {
    /// Its first digits, enough to tell keys apart.
    pub fn short(&self) -> String {
        self.0.to_string().chars().take(8).collect()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.route {
            Some(route) => write!(f, "{} for {route}", self.cluster),
            None => write!(f, "{} for all routes", self.cluster),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Effect::Fit => "fit",
            Effect::Unfit => "unfit",
            Effect::Drained => "drained",
            Effect::None => "as observed",
        })
    }
}

/// `eu-1 for all routes: drained until 2026-11-21 12:00 UTC (key 1a2b3c4d): reason`
impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Order { target, effect, reason, expires, .. } = &self.order;
        write!(f, "{target}: {effect} until {} UTC (key {}): {reason}", expires.utc(), self.key.short())
    }
}

// === digits ===

/// Why a text is no key or signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct NotHex(&'static str);

impl<const N: usize> FromStr for Hex<N> {
    type Err = NotHex;

    fn from_str(text: &str) -> Result<Self, NotHex> {
        let wrong = NotHex("hexadecimal digits, two for each byte");
        let mut bytes = [0; N];
        if text.len() != 2 * N || !text.is_ascii() {
            return Err(wrong);
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong)?;
            let digits = pair.bytes().all(|digit| digit.is_ascii_hexdigit() && !digit.is_ascii_uppercase());
            *byte = u8::from_str_radix(pair, 16).ok().filter(|_| digits).ok_or(wrong)?;
        }
        Ok(Hex(bytes))
    }
}

impl<const N: usize> fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<const N: usize> fmt::Debug for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = NotHex;

    fn from_str(text: &str) -> Result<Self, NotHex> {
        let digits = text.strip_prefix("ed25519:").and_then(|digits| digits.parse().ok());
        digits
            .map(PublicKey)
            .ok_or(NotHex("`ed25519:` and 64 lower-case hexadecimal digits, as `waggle override key` prints"))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ed25519:{}", self.0)
    }
}

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What has an effect just now, for status and people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveOverride {
    pub target: Target,
    pub effect: Effect,
    pub reason: String,
    pub key: PublicKey,
    pub until: Timestamp,
}

impl From<&Signed> for ActiveOverride {
    fn from(signed: &Signed) -> Self {
        let Order { target, effect, reason, expires, .. } = signed.order.clone();
        ActiveOverride { target, effect, reason, key: signed.key, until: expires }
    }
}

impl fmt::Display for ActiveOverride {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (until, key) = (self.until.utc(), self.key.short());
        write!(f, "{}: {} until {until} UTC (key {key}): {}", self.target, self.effect, self.reason)
    }
}

/// Which targets of a nameserver's plan an order concerns, for people: `www.shop.example, …`.
pub fn routes_of<'a>(target: &'a Target, plan: &'a RoutePlan) -> impl Iterator<Item = &'a DomainName> {
    let has =
        |cluster: &ClusterName, route: &crate::plan::PlanRoute| route.pool.iter().any(|one| one.cluster == *cluster);
    let routes = plan.routes.iter().filter(move |(name, route)| {
        target.route.as_ref().is_none_or(|only| only == *name) && has(&target.cluster, route)
    });
    routes.map(|(name, _)| name)
}

#[cfg(test)]
mod tests;
