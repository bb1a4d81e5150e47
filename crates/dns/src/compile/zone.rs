//! Zones: their records, what is generated at the apex, and delegations.

use super::records::{self, Static};
use super::{Draft, Memo, Problems, Set, TTL_MAX};
use crate::name;
use crate::request::rtype;
use std::collections::BTreeSet;
use waggle_model::fleet::{RECORDS_MAX, Zone};
use waggle_model::plan::RoutePlan;
use waggle_model::{DomainName, Generation};

/// SOA timers for secondaries, seconds (RIPE-203).
const REFRESH: u32 = 86_400;
const RETRY: u32 = 7_200;
const EXPIRE: u32 = 3_600_000;

pub(super) fn fill(plan: &RoutePlan, draft: &mut Draft, problems: &mut Problems, memo: &mut Memo) {
    memo.keep_zones_of(plan);
    let mut left = RECORDS_MAX;
    for ((name, zone), number) in plan.zones.iter().zip(0..) {
        let found = memo.records(name, zone, problems);
        if found.len() > left {
            problems.add(format!("zones.{name}"), format!("more than {RECORDS_MAX} records in all zones"));
            return;
        }
        left -= found.len();
        let apex = name::wire(name);
        for (at, record) in found.iter() {
            place(draft, &apex, number, at, record, problems);
        }
        generated(draft, &apex, zone, plan.generation, problems, name);
    }
    for (owner, entry) in &draft.nodes {
        if let Some(alias) = entry.sets.get(&rtype::CNAME)
            && (entry.sets.len() > 1 || alias.data.len() > 1)
        {
            let why = format!("{} has a CNAME, so it must have no other record (RFC 2181 §10.1)", name::text(owner));
            problems.add(alias.at.clone(), why);
        }
    }
}

/// The records that are written in a zone, in order.
pub(super) fn text(name: &DomainName, zone: &Zone, problems: &mut Problems) -> Vec<(String, Static)> {
    let mut found = Vec::new();
    for (number, record) in zone.records.iter().enumerate() {
        let at = format!("zones.{name}.records[{number}]");
        match records::listed(name, record, zone.ttl) {
            Ok(records) => found.extend(records.into_iter().map(|record| (at.clone(), record))),
            Err(why) => problems.add(at, why),
        }
    }
    match records::master(name, zone.master.as_deref().unwrap_or_default(), zone.ttl) {
        Ok(records) => {
            let apex = name::wire(name);
            // A zone file brings its own SOA and NS; those of the federation document stand.
            let ours = |record: &Static| record.owner == apex && matches!(record.kind, rtype::SOA | rtype::NS);
            let records = records.into_iter().filter(|(_, record)| !ours(record));
            found.extend(records.map(|(line, record)| (format!("zones.{name}.master:{line}"), record)));
        }
        Err((line, why)) => problems.add(format!("zones.{name}.master:{line}"), why),
    }
    found
}

fn place(draft: &mut Draft, apex: &[u8], zone: u32, at: &str, record: &Static, problems: &mut Problems) {
    let at_apex = record.owner == apex;
    let wildcard = record.owner.starts_with(b"\x01*");
    let owner = name::text(&record.owner);
    let why = match draft.zone_of(&record.owner) {
        Some(deepest) if deepest == zone => match record.kind {
            rtype::SOA => Some("SOA is generated; remove it".to_owned()),
            rtype::NS if at_apex => Some("NS of the zone comes from its `nameservers`".to_owned()),
            rtype::NS if wildcard => Some("a wildcard cannot be delegated".to_owned()),
            rtype::DS if at_apex => Some("DS belongs in the parent zone".to_owned()),
            _ => None,
        },
        Some(_) if name::ancestors(&record.owner).any(|suffix| suffix == apex) => {
            Some(format!("{owner} belongs to another zone of this plan"))
        }
        _ => Some(format!("{owner} is outside the zone")),
    };
    match why {
        Some(why) => problems.add(at, why),
        None => insert(draft, at, record),
    }
}

fn insert(draft: &mut Draft, at: &str, record: &Static) {
    let sets = match draft.nodes.get_mut(&record.owner) {
        Some(entry) => &mut entry.sets,
        None => &mut draft.nodes.entry(record.owner.clone()).or_default().sets,
    };
    let new = || Set { ttl: record.ttl, data: Vec::new(), at: at.to_owned() };
    let set = sets.entry(record.kind).or_insert_with(new);
    // RFC 2181 §5.2: all TTLs of an RRset are equal; where they were not, the lowest is safe.
    set.ttl = set.ttl.min(record.ttl);
    if !set.data.contains(&record.data) {
        set.data.push(record.data.clone());
    }
}

fn generated(
    draft: &mut Draft,
    apex: &[u8],
    zone: &Zone,
    generation: Generation,
    problems: &mut Problems,
    name: &DomainName,
) {
    let at = format!("zones.{name}");
    let ttl = zone.ttl.min(TTL_MAX);
    let Some(primary) = zone.nameservers.first() else {
        problems.add(at, "a zone needs at least one nameserver name");
        return;
    };
    let soa = soa(primary, zone, generation);
    insert(draft, &at, &Static { owner: apex.to_vec(), kind: rtype::SOA, ttl, data: soa });
    for server in &zone.nameservers {
        let data = name::wire(server);
        insert(draft, &at, &Static { owner: apex.to_vec(), kind: rtype::NS, ttl, data });
    }
}

/// The serial is the generation modulo 2³²: it never goes back in serial arithmetic (RFC 1982).
fn soa(primary: &DomainName, zone: &Zone, generation: Generation) -> Vec<u8> {
    let mut data = name::wire(primary);
    data.extend(name::wire(&zone.contact));
    for number in [generation.0 as u32, REFRESH, RETRY, EXPIRE, zone.negative_ttl.min(TTL_MAX)] {
        data.extend(number.to_be_bytes());
    }
    data
}

/// A delegation while it is collected.
pub(super) struct CutDraft {
    pub(super) owner: Vec<u8>,
    /// Names of hosts whose addresses go into the additional section.
    pub(super) glue: Vec<Vec<u8>>,
}

/// Finds delegations, marks every name at or below one, and refuses what may not stand there.
pub(super) fn delegate(draft: &mut Draft, problems: &mut Problems) -> Vec<CutDraft> {
    let is_cut = |owner: &Vec<u8>, sets: &std::collections::BTreeMap<u16, Set>| {
        sets.contains_key(&rtype::NS) && !draft.apexes.contains_key(owner)
    };
    let delegated: BTreeSet<Vec<u8>> = draft
        .nodes
        .iter()
        .filter(|(owner, entry)| is_cut(owner, &entry.sets))
        .map(|(owner, _)| owner.clone())
        .collect();
    let topmost = |owner: &[u8]| {
        let inside = name::ancestors(owner).take_while(|suffix| !draft.apexes.contains_key(*suffix));
        inside.filter(|suffix| delegated.contains(*suffix)).last().map(<[u8]>::to_vec)
    };
    let covered: Vec<(Vec<u8>, Vec<u8>)> =
        draft.nodes.keys().filter_map(|owner| Some((owner.clone(), topmost(owner)?))).collect();

    let mut cuts: Vec<CutDraft> = Vec::new();
    for owner in covered.iter().filter(|(owner, cut)| owner == cut).map(|(owner, _)| owner) {
        cuts.push(CutDraft { owner: owner.clone(), glue: glue(draft, &covered, owner, problems) });
    }
    for (owner, cut) in &covered {
        let number = cuts.binary_search_by(|known| known.owner.cmp(cut)).ok().map(|at| at as u32);
        if let Some(entry) = draft.nodes.get_mut(owner) {
            entry.cut = number;
            for (kind, set) in &entry.sets {
                let fine =
                    matches!(*kind, rtype::A | rtype::AAAA) || owner == cut && matches!(*kind, rtype::NS | rtype::DS);
                if !fine {
                    let why = format!("{} is delegated away at {}", name::text(owner), name::text(cut));
                    problems.add(set.at.clone(), why);
                }
            }
        }
    }
    cuts
}

/// Addresses below this or a sibling delegation: nobody else can be asked for them (RFC 9471).
fn glue(draft: &Draft, covered: &[(Vec<u8>, Vec<u8>)], cut: &[u8], problems: &mut Problems) -> Vec<Vec<u8>> {
    let Some(servers) = draft.nodes.get(cut).and_then(|entry| entry.sets.get(&rtype::NS)) else { return Vec::new() };
    let mut hosts = Vec::new();
    for target in &servers.data {
        let target = target.to_ascii_lowercase();
        let known = covered.binary_search_by(|(owner, _)| owner.cmp(&target)).is_ok();
        if known {
            hosts.push(target);
        } else if name::ancestors(&target).any(|suffix| suffix == cut) {
            let why = format!("{} lies below the delegation, so its address must be given", name::text(&target));
            problems.add(servers.at.clone(), why);
        }
    }
    hosts
}
