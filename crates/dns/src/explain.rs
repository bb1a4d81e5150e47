//! Why a client gets the answer it gets: the same choice as on the answer path, with every step written down.

use crate::answer::CHASE_MAX;
use crate::choose::{Client, Located, choose};
use crate::health::{Fit, Health};
use crate::name::{self, Folded};
use crate::places::Layer;
use crate::request::rtype;
use crate::snapshot::{Order, Route, Snapshot};
use crate::table::{Found, NONE};
use ipnet::IpNet;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::IpAddr;
use waggle_model::routing::{ClientKey, Rule, Share, V4_PREFIX, V6_PREFIX, weighted};
use waggle_model::{ClusterName, DomainName, Generation};

/// What one client would be answered now, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    pub name: DomainName,
    pub kind: u16,
    pub generation: Generation,
    pub outcome: Outcome,
    /// Present when a route decided.
    pub decided: Option<Decided>,
}

/// The kind of answer; for an alias within the zones, that of its target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// By a route; see `decided`.
    Routed,
    /// Fixed records, the same for everybody.
    Static,
    /// Delegated to other nameservers.
    Referral,
    /// The name exists, the type does not.
    NoData,
    NxDomain,
    /// Outside the zones.
    Refused,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decided {
    /// The route's own name: a wildcard for names it covers, the target for an alias.
    pub route: DomainName,
    pub client: ClientSource,
    pub basis: Basis,
    /// In the order they were tried.
    pub pool: Vec<PoolEntry>,
    /// Nothing may be answered: fallback addresses, or the pool that the plan does not drain.
    pub all_down: bool,
    /// Of HTTPS records, the hints of all.
    pub answer: Vec<IpAddr>,
    /// What an HTTPS record says beside its hints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Seconds.
    pub ttl: u32,
    /// Health shortened the route's own TTL.
    pub ttl_capped: bool,
    /// What a reply to a client subnet carries (RFC 7871): the answer holds for every address in this prefix.
    pub scope: u8,
}

/// Which address decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientSource {
    pub address: IpAddr,
    /// Prefix around it that is treated alike.
    pub prefix: IpNet,
    /// It is the client subnet of the query; otherwise the address the query came from.
    pub from_subnet: bool,
    /// A client subnet was there, but such addresses do not tell where a client is.
    pub subnet_ignored: bool,
}

/// What ordered the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    ClientMap,
    Location,
    Region,
    /// Nothing is known about the place: share of client prefixes by weight.
    Weight,
    /// Weighted policy: share of client prefixes.
    Share,
    /// Failover policy.
    Fixed,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PoolEntry {
    pub cluster: ClusterName,
    pub kept: bool,
    pub answered: bool,
    /// When it does not take everybody just now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
    pub why: String,
}

/// `ecs`: `client` is the address of a client subnet, otherwise the address a query comes from (it stands for both when a
/// subnet tells nothing). `reasons`: why endpoints of this route may not be answered, or not to everybody, as the caller's
/// health rules and the plan say; of a fit endpoint whatever else the caller knows.
pub fn explain(
    s: &Snapshot,
    h: &Health,
    name: &DomainName,
    qtype: u16,
    client: IpAddr,
    ecs: bool,
    reasons: &BTreeMap<ClusterName, String>,
) -> Explanation {
    let folded = Folded::parse(&name::wire(name));
    let (outcome, route) = folded.map_or((Outcome::Refused, None), |folded| outcome(s, &folded, qtype));
    let decided = route.and_then(|index| Some((index, s.routes.get(index as usize)?))).map(|(index, route)| {
        let client = Client::new(client, ecs.then_some(client));
        decide(s, h, route, index as usize, qtype, &client, reasons)
    });
    Explanation { name: name.clone(), kind: qtype, generation: s.generation, outcome, decided }
}

/// The kind of answer for a name and type, and the route that decides it, if one does.
pub(crate) fn outcome(s: &Snapshot, name: &Folded, qtype: u16) -> (Outcome, Option<u32>) {
    let mut found = s.table.deepest(name);
    for _ in 0..=CHASE_MAX {
        match at(s, found, qtype) {
            Step::Done(outcome, route) => return (outcome, route),
            Step::Alias(target) => found = target,
        }
    }
    (Outcome::Static, None)
}

enum Step {
    Done(Outcome, Option<u32>),
    Alias(Found),
}

/// What one name says: the same order of questions as on the answer path.
fn at(s: &Snapshot, found: Found, qtype: u16) -> Step {
    let node = s.nodes.get(found.node as usize).filter(|node| s.zones.get(node.zone as usize).is_some());
    let Some(node) = node else { return Step::Done(Outcome::Refused, None) };
    if let Some(cut) = s.cuts.get(node.cut as usize)
        && !(found.exact && node.name_len == cut.name_len && qtype == rtype::DS)
    {
        return Step::Done(Outcome::Referral, None);
    }
    let node = if found.exact { Some(node) } else { s.nodes.get(node.wildcard as usize) };
    let Some(node) = node else { return Step::Done(Outcome::NxDomain, None) };
    let sets = s.sets_of(node);
    if let Some(route) = s.routes.get(node.route as usize)
        && route.routes(qtype)
    {
        return Step::Done(Outcome::Routed, Some(node.route));
    }
    if qtype == rtype::ANY && (!sets.is_empty() || node.route != NONE) {
        return Step::Done(Outcome::Static, None);
    }
    let set = sets.iter().find(|set| set.kind == qtype || set.kind == rtype::CNAME);
    let alias = set.filter(|set| set.kind != qtype).and_then(|set| set.target);
    match (set, alias) {
        (None, _) => Step::Done(Outcome::NoData, None),
        // A target outside the zones is the resolver's to follow.
        (Some(_), Some(target)) if s.nodes.get(target.found.node as usize).is_some_and(|node| node.zone != NONE) => {
            Step::Alias(target.found)
        }
        (Some(_), _) => Step::Done(Outcome::Static, None),
    }
}

fn decide(
    s: &Snapshot,
    h: &Health,
    route: &Route,
    index: usize,
    qtype: u16,
    client: &Client,
    reasons: &BTreeMap<ClusterName, String>,
) -> Decided {
    let (mask, cap) = h.get(index);
    let mask = mask & route.full;
    let fit = h.fit(index);
    let choice = choose(s, route, &fit, client);
    let located = client.locate(&s.places);
    let wanted = |address: &&IpAddr| match qtype {
        rtype::A => address.is_ipv4(),
        rtype::AAAA => address.is_ipv6(),
        _ => {
            if address.is_ipv4() {
                route.types.a
            } else {
                route.types.aaaa
            }
        }
    };
    let chosen = choice.bits().iter().filter_map(|bit| route.addresses.get(usize::from(*bit)));
    let sets: Vec<_> = if choice.bits().is_empty() { route.fallback.iter().collect() } else { chosen.collect() };
    let mut answer: Vec<IpAddr> = Vec::new();
    for address in sets.iter().flat_map(|set| &set.list).filter(wanted) {
        if !answer.contains(address) {
            answer.push(*address);
        }
    }
    let hashed = match route.order {
        Order::Weighted => Hashed::Alone,
        _ if choice.by_hash => Hashed::Too,
        _ => Hashed::No,
    };
    Decided {
        route: route.name.clone(),
        client: client_source(client, &located, hashed),
        basis: basis(s, route, &located),
        pool: pool(s, route, &fit, choice.bits(), &located, reasons),
        all_down: mask == 0,
        answer,
        service: route.https.as_ref().filter(|_| qtype == rtype::HTTPS).map(ToString::to_string),
        ttl: route.ttl.min(cap),
        ttl_capped: cap < route.ttl,
        scope: choice.scope,
    }
}

/// What the hash of the client's prefix had to do with an answer.
enum Hashed {
    No,
    /// Beside its place.
    Too,
    /// The place had no say.
    Alone,
}

fn client_source(client: &Client, located: &Located, hashed: Hashed) -> ClientSource {
    let width = if located.address.is_ipv4() { V4_PREFIX } else { V6_PREFIX };
    let len = match hashed {
        Hashed::No => located.own_prefix,
        Hashed::Too => located.own_prefix.max(width),
        Hashed::Alone => width,
    };
    let prefix = IpNet::new(located.address, len).unwrap_or_else(|_| IpNet::from(located.address)).trunc();
    ClientSource {
        address: located.address,
        prefix,
        from_subnet: located.by_subnet,
        subnet_ignored: client.subnet.is_some() && !located.by_subnet,
    }
}

fn basis(s: &Snapshot, route: &Route, located: &Located) -> Basis {
    let rule = s.places.rankings().get(located.ranking as usize).map(|ranking| ranking.rule);
    match (&route.order, rule) {
        (Order::Weighted, _) => Basis::Share,
        (Order::Fixed(_), _) => Basis::Fixed,
        (_, Some(Rule::ClientMap)) => Basis::ClientMap,
        (_, Some(Rule::Location)) if located.layer == Layer::Geo => Basis::Location,
        (_, Some(Rule::Location | Rule::Region)) => Basis::Region,
        (_, Some(Rule::Weight) | None) => Basis::Weight,
    }
}

fn pool(
    s: &Snapshot,
    route: &Route,
    fit: &Fit<'_>,
    answered: &[u8],
    located: &Located,
    reasons: &BTreeMap<ClusterName, String>,
) -> Vec<PoolEntry> {
    let placed = match &route.order {
        Order::Fixed(order) => order.as_slice(),
        Order::Weighted => &[],
        Order::Place { shape } => {
            s.shapes.get(*shape as usize).map_or(&[][..], |shape| shape.placed(shape.class(located.ranking)))
        }
    };
    let hashed = weighted(ClientKey::new(located.address), &route.candidates).into_iter().map(|at| at as u8);
    let order = placed.iter().copied().chain(hashed.filter(|bit| !placed.contains(bit)));
    let key = ClientKey::new(located.address);
    let mask = fit.mask & route.full;
    let mut tried = 0;
    let entry = |bit: u8| {
        let cluster = route.pool.get(usize::from(bit))?;
        let kept = mask & 1 << (bit & 63) != 0;
        let answered = answered.contains(&bit);
        let home = tried < route.picks;
        tried += u32::from(kept);
        let share = Some(fit.share(bit)).filter(|share| kept && !share.is_full());
        let taken = share.is_none_or(|share| {
            route.candidates.get(usize::from(bit)).is_some_and(|candidate| share.admits(key, candidate, home))
        });
        let reason = reasons.get(cluster);
        let why = match (reason, share) {
            (Some(reason), _) if !kept => reason.clone(),
            (None, _) if !kept && route.undrained & 1 << (bit & 63) == 0 => "drained by the plan".into(),
            (None, _) if !kept => "not fit".into(),
            (reason, Some(share)) => limited(share, reason, taken, answered),
            (reason, None) => {
                let outcome = if answered { "best of those that are fit" } else { "fit, but others come first" };
                reason.map_or_else(|| outcome.to_owned(), |reason| format!("{outcome} ({reason})"))
            }
        };
        Some(PoolEntry { cluster: cluster.clone(), kept, answered, share, why })
    };
    order.filter_map(entry).collect()
}

/// About a fit cluster that does not take everybody.
fn limited(share: Share, reason: Option<&String>, taken: bool, answered: bool) -> String {
    let because = reason.map_or_else(|| format!("takes {share} just now"), Clone::clone);
    let outcome = match (taken, answered) {
        (true, true) => "best of those that are fit",
        (true, false) => "fit, but others come first",
        (false, true) => "fit, and nothing else takes this client",
        (false, false) => "fit, but does not take this client",
    };
    format!("{outcome} ({because})")
}
