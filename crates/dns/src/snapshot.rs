//! A route plan compiled for answering: immutable, replaced whole.
//!
//! Record sets are wire fragments whose owner is a pointer to the question; a reply is mostly copies of them.

use crate::places::Places;
use crate::request::rtype;
use crate::table::Table;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use waggle_model::release::Https;
use waggle_model::routing::Candidate;
use waggle_model::{ClusterName, DomainName, Generation};

/// Immutable, compiled from a [`waggle_model::plan::RoutePlan`] by [`Snapshot::compile`].
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) generation: Generation,
    pub(crate) table: Table,
    pub(crate) nodes: Vec<Node>,
    pub(crate) zones: Vec<ZoneData>,
    pub(crate) cuts: Vec<Cut>,
    pub(crate) sets: Vec<RecordSet>,
    /// What [`Wire`] points into.
    pub(crate) bytes: Vec<u8>,
    pub(crate) routes: Vec<Route>,
    pub(crate) shapes: Vec<Shape>,
    pub(crate) places: Arc<Places>,
}

impl Snapshot {
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// In the order of their names; the position is the route's index everywhere in this crate.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    pub fn route(&self, name: &DomainName) -> Option<(usize, &Route)> {
        let at = self.routes.binary_search_by(|route| route.name.cmp(name)).ok()?;
        Some((at, self.routes.get(at)?))
    }

    pub(crate) fn wire(&self, wire: Wire) -> &[u8] {
        self.bytes.get(wire.start as usize..wire.end as usize).unwrap_or_default()
    }

    pub(crate) fn sets_of(&self, node: &Node) -> &[RecordSet] {
        self.sets.get(node.sets.start as usize..node.sets.end as usize).unwrap_or_default()
    }
}

/// A range of the snapshot's bytes, or of its record sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wire {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// One name. Fields are indexes, `table::NONE` when there is no such thing.
#[derive(Debug)]
pub(crate) struct Node {
    /// Octets on the wire.
    pub(crate) name_len: u8,
    pub(crate) zone: u32,
    /// The delegation at or above this name.
    pub(crate) cut: u32,
    /// The `*` below this name.
    pub(crate) wildcard: u32,
    pub(crate) route: u32,
    pub(crate) sets: Wire,
}

#[derive(Debug)]
pub(crate) struct ZoneData {
    pub(crate) apex_len: u8,
    /// SOA record as negative answers carry it, TTL included (RFC 2308 §3).
    pub(crate) negative: Wire,
    /// Minimal answer to ANY (RFC 8482 §4.2).
    pub(crate) any: Wire,
}

/// A delegation: referral data (RFC 1034 §4.3.2 step 3b).
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) name_len: u8,
    pub(crate) ns: Wire,
    pub(crate) ns_count: u16,
    /// Address records with their owners written out (RFC 9471).
    pub(crate) glue: Wire,
    pub(crate) glue_count: u16,
}

/// A static RRset; each record begins with a pointer to the question.
#[derive(Debug)]
pub(crate) struct RecordSet {
    pub(crate) kind: u16,
    pub(crate) count: u16,
    pub(crate) wire: Wire,
    /// For CNAME: where the target is in our data.
    pub(crate) target: Option<Target>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) found: crate::table::Found,
    pub(crate) name_len: u8,
}

/// One steered record set.
#[derive(Debug)]
pub struct Route {
    pub(crate) name: DomainName,
    pub(crate) pool: Vec<ClusterName>,
    pub(crate) ttl: u32,
    pub(crate) order: Order,
    /// Per cluster, for what the client's prefix decides.
    pub(crate) candidates: Vec<Candidate>,
    /// Clusters answered at once.
    pub(crate) picks: u32,
    /// A bit for each cluster of the pool.
    pub(crate) full: u64,
    /// Not drained by the plan.
    pub(crate) undrained: u64,
    /// Per cluster, its A records, its AAAA records, and its HTTPS record if the route has any.
    pub(crate) addresses: Vec<Addresses>,
    pub(crate) types: Types,
    /// HTTPS records are answered.
    pub(crate) https: Option<Https>,
    pub(crate) fallback: Option<Addresses>,
    /// First ledger cell of this route.
    pub(crate) ledger: u32,
    /// First of its counters by order.
    pub(crate) counters: u32,
}

impl Route {
    pub fn name(&self) -> &DomainName {
        &self.name
    }

    /// Sorted; the position is the cluster's bit.
    pub fn pool(&self) -> &[ClusterName] {
        &self.pool
    }

    /// Seconds.
    pub fn ttl(&self) -> u32 {
        self.ttl
    }

    /// The clusters of the pool as the hash of a client's prefix sees them.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// Clusters answered at once.
    pub fn picks(&self) -> u32 {
        self.picks
    }

    /// Bits of all clusters of the pool.
    pub fn full_mask(&self) -> u64 {
        self.full
    }

    /// Bits of the clusters that the plan does not drain.
    pub fn undrained_mask(&self) -> u64 {
        self.undrained
    }

    /// Whether records of this type are chosen per client.
    pub(crate) fn routes(&self, kind: u16) -> bool {
        match kind {
            rtype::A => self.types.a,
            rtype::AAAA => self.types.aaaa,
            rtype::HTTPS => self.https.is_some(),
            _ => false,
        }
    }

    /// What is answered when nothing may be: fallback addresses excepted, the undrained pool, else the whole pool.
    pub(crate) fn resting(&self) -> u64 {
        if self.undrained == 0 { self.full } else { self.undrained }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Types {
    pub(crate) a: bool,
    pub(crate) aaaa: bool,
}

/// Address records as fragments; TTLs are patched in.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    pub(crate) list: Vec<IpAddr>,
    pub(crate) a: Wire,
    pub(crate) aaaa: Wire,
    /// Empty unless the route answers HTTPS queries.
    pub(crate) https: Wire,
}

impl Addresses {
    /// Records of a type that the route routes.
    pub(crate) fn wire(&self, kind: u16) -> Wire {
        match kind {
            rtype::A => self.a,
            rtype::AAAA => self.aaaa,
            _ => self.https,
        }
    }
}

/// How a route orders its pool.
#[derive(Debug)]
pub(crate) enum Order {
    /// By the client's ranking, through the pool's shape.
    Place { shape: u32 },
    /// By the client's prefix.
    Weighted,
    /// Same for every client.
    Fixed(Vec<u8>),
}

/// Pools with the same clusters share one table: for each ranking, the pool's bits in that order.
///
/// Many rankings give a small pool the same order, so orders are kept once, as *classes*.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    pub(crate) width: usize,
    /// Per ranking, its class.
    pub(crate) of_ranking: Vec<u32>,
    /// Per class, all bits of the pool.
    pub(crate) orders: Vec<u8>,
    /// Per class, how many bits at the front have something to do with the clients' place.
    pub(crate) placed: Vec<u8>,
    /// Per class, the counter of its questions.
    pub(crate) counters: Vec<u32>,
    /// Per counter, the class that stands for all that it counts.
    pub(crate) counted: Vec<u32>,
}

impl Shape {
    pub(crate) fn class(&self, ranking: u32) -> u32 {
        self.of_ranking.get(ranking as usize).copied().unwrap_or(0)
    }

    /// Bits that the place of a class's clients orders, in that order.
    pub(crate) fn placed(&self, class: u32) -> &[u8] {
        let start = class as usize * self.width;
        let count = self.placed.get(class as usize).map_or(0, |count| usize::from(*count));
        self.orders.get(start..start + count).unwrap_or_default()
    }

    /// Gives each class a counter, `max` at most: the first half of them go one each, from there on classes share one by
    /// their first cluster.
    pub(crate) fn count(&mut self, max: usize) {
        let mut by_first: BTreeMap<Option<u8>, u32> = BTreeMap::new();
        for class in 0..self.placed.len() as u32 {
            let first = self.placed(class).first().copied();
            let known = by_first.get(&first).copied();
            let full = self.counted.len() >= max;
            let counter = match known {
                Some(known) if class as usize >= max / 2 => known,
                _ if full => known.unwrap_or(0),
                _ => {
                    self.counted.push(class);
                    self.counted.len() as u32 - 1
                }
            };
            by_first.entry(first).or_insert(counter);
            self.counters.push(counter);
        }
    }

    /// All clients have the same class.
    pub(crate) fn uniform(&self) -> bool {
        self.placed.len() <= 1
    }
}
