//! A route plan becomes a [`Snapshot`]. Everything that may fail, fails here, off the answer path, and all problems are
//! reported at once.

mod assemble;
mod lexer;
mod memo;
mod records;
mod route;
mod zone;

pub use memo::Memo;

use crate::geo::Geo;
use crate::name;
use crate::snapshot::Snapshot;
use std::collections::BTreeMap;
use waggle_model::fleet::{CLIENT_MAP_MAX, CLUSTERS_MAX, ZONES_MAX};
use waggle_model::plan::{ROUTES_MAX, RoutePlan};

/// Names of one plan, those between owners and apex included.
pub const NAMES_MAX: usize = 2_000_000;
/// Octets of one static RRset on the wire: it must fit a TCP answer with room to spare.
pub const RRSET_BYTES_MAX: usize = 16_384;
/// Addresses of one endpoint, and of one fallback.
pub const ADDRESSES_MAX: usize = 16;
/// Problems that are listed at most.
pub const ERRORS_MAX: usize = 100;
/// Largest TTL, seconds (RFC 2181 §8).
pub const TTL_MAX: u32 = i32::MAX as u32;

/// Why a plan cannot be answered from. `at` is a path such as `zones.shop.example.master:12`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {why}")]
pub struct CompileError {
    pub at: String,
    pub why: String,
}

impl Snapshot {
    /// `key`: for the hash table, from the process's random source. `geo` is read only here.
    pub fn compile(plan: &RoutePlan, geo: Option<&dyn Geo>, key: [u8; 16]) -> Result<Snapshot, Vec<CompileError>> {
        Snapshot::compile_with(plan, geo, key, &mut Memo::default())
    }

    /// The same snapshot, sooner: parts that are as they were at the last compilation with `memo` come from there.
    pub fn compile_with(
        plan: &RoutePlan,
        geo: Option<&dyn Geo>,
        key: [u8; 16],
        memo: &mut Memo,
    ) -> Result<Snapshot, Vec<CompileError>> {
        let mut problems = Problems::default();
        limits(plan, &mut problems);
        problems.check()?;
        let places = memo.places(plan, geo, &mut problems);
        let mut draft = Draft::new(plan);
        zone::fill(plan, &mut draft, &mut problems, memo);
        let routes = route::fill(plan, &mut draft, &mut problems);
        let cuts = zone::delegate(&mut draft, &mut problems);
        problems.check()?;
        let snapshot = assemble::snapshot(plan, draft, routes, cuts, places, key, &mut problems);
        problems.check()?;
        Ok(snapshot)
    }
}

fn limits(plan: &RoutePlan, problems: &mut Problems) {
    let counts = [
        ("zones", plan.zones.len(), ZONES_MAX),
        ("clusters", plan.clusters.len(), CLUSTERS_MAX),
        ("client_map", plan.client_map.len(), CLIENT_MAP_MAX),
        ("routes", plan.routes.len(), ROUTES_MAX),
    ];
    for (at, count, max) in counts {
        if count > max {
            problems.add(at, format!("{count} entries, at most {max} are allowed"));
        }
    }
}

#[derive(Default)]
struct Problems(Vec<CompileError>);

impl Problems {
    fn add(&mut self, at: impl Into<String>, why: impl Into<String>) {
        if self.0.len() < ERRORS_MAX {
            self.0.push(CompileError { at: at.into(), why: why.into() });
        }
    }

    fn check(&mut self) -> Result<(), Vec<CompileError>> {
        if self.0.is_empty() { Ok(()) } else { Err(std::mem::take(&mut self.0)) }
    }
}

/// All names while they are collected.
struct Draft {
    /// Wire apex → zone, in the order of the plan.
    apexes: BTreeMap<Vec<u8>, u32>,
    nodes: BTreeMap<Vec<u8>, Entry>,
}

#[derive(Default)]
struct Entry {
    sets: BTreeMap<u16, Set>,
    route: Option<u32>,
    cut: Option<u32>,
}

struct Set {
    ttl: u32,
    data: Vec<Vec<u8>>,
    /// Where the first record of it was written, for messages.
    at: String,
}

impl Draft {
    fn new(plan: &RoutePlan) -> Draft {
        let apexes = plan.zones.keys().zip(0..).map(|(zone, at)| (name::wire(zone), at)).collect();
        Draft { apexes, nodes: BTreeMap::new() }
    }

    /// The deepest zone that holds `owner`.
    fn zone_of(&self, owner: &[u8]) -> Option<u32> {
        name::ancestors(owner).find_map(|suffix| self.apexes.get(suffix).copied())
    }
}
