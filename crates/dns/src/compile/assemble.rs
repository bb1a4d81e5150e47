//! Puts the parts together: names get numbers, records become wire fragments.

use super::route::{OrderDraft, RouteDraft};
use super::zone::CutDraft;
use super::{Draft, Entry, NAMES_MAX, Problems, RRSET_BYTES_MAX, Set, TTL_MAX};
use crate::name::{self, Folded};
use crate::places::Places;
use crate::request::rtype;
use crate::snapshot::{Addresses, Cut, Node, Order, RecordSet, Route, Shape, Snapshot, Target, Types, Wire, ZoneData};
use crate::table::{NONE, Table};
use crate::tally::orders_counted;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use waggle_model::ClusterName;
use waggle_model::plan::RoutePlan;
use waggle_model::release::Https;

/// Octets of all ranking tables together.
const ORDERS_BYTES_MAX: usize = 256 << 20;
/// Keys of service parameters (RFC 9460 §14.3.2), and the port that need not be told.
const ALPN: u16 = 1;
const PORT: u16 = 3;
const IPV4_HINT: u16 = 4;
const IPV6_HINT: u16 = 6;
const HTTPS_PORT: u16 = 443;
/// Pointer to the question's name (RFC 1035 §4.1.4).
const QUESTION: [u8; 2] = [0xc0, 12];

pub(super) fn snapshot(
    plan: &RoutePlan,
    mut draft: Draft,
    routes: Vec<RouteDraft>,
    cuts: Vec<CutDraft>,
    places: Arc<Places>,
    key: [u8; 16],
    problems: &mut Problems,
) -> Snapshot {
    complete(&mut draft, problems);
    let table = Table::new(key, draft.nodes.keys().map(Vec::as_slice));
    let mut build = Build { bytes: Vec::new(), sets: Vec::new(), table: &table };
    let zones = plan.zones.keys().map(|zone| build.zone(&draft, &name::wire(zone))).collect();
    let cuts = cuts.iter().map(|cut| build.cut(&draft, cut)).collect();
    let nodes: Vec<Node> =
        draft.nodes.iter().map(|(owner, entry)| build.node(&draft, owner, entry, problems)).collect();
    let counted = orders_counted(routes.len());
    let mut shapes = Shapes { plan, places: &places, list: Vec::new(), known: BTreeMap::new(), octets: 0, counted };
    let (mut cells, mut counters) = (0, 0);
    let mut finished = Vec::with_capacity(routes.len());
    for route in routes {
        let width = route.pool.len() as u32;
        let mut route = build.route(route, &mut shapes, cells);
        route.counters = counters;
        cells += width;
        counters += match &route.order {
            Order::Place { shape } => shapes.list.get(*shape as usize).map_or(0, |shape| shape.counted.len() as u32),
            Order::Weighted | Order::Fixed(_) => 1,
        };
        finished.push(route);
    }
    if shapes.octets > ORDERS_BYTES_MAX {
        problems
            .add("routes", format!("ranking tables would take {} octets, at most {ORDERS_BYTES_MAX}", shapes.octets));
    }
    if build.bytes.len() > NONE as usize {
        problems.add("zones", "more than 4 GiB of records");
    }
    let (bytes, sets, shapes) = (build.bytes, build.sets, shapes.list);
    Snapshot { generation: plan.generation, nodes, zones, cuts, sets, bytes, routes: finished, shapes, places, table }
}

/// Adds every name between an owner and the root: empty non-terminals, and the names above the zones.
fn complete(draft: &mut Draft, problems: &mut Problems) {
    let mut missing: BTreeMap<Vec<u8>, Option<u32>> = BTreeMap::from([(vec![0], None)]);
    for owner in draft.nodes.keys().chain(draft.apexes.keys()) {
        for (at, suffix) in name::ancestors(owner).enumerate().skip(1) {
            let known = draft.nodes.contains_key(suffix);
            if known || missing.contains_key(suffix) && suffix != [0] {
                break;
            }
            let inside = name::ancestors(suffix).take_while(|up| !draft.apexes.contains_key(*up));
            let cut = inside.filter_map(|up| draft.nodes.get(up)).find_map(|entry| entry.cut);
            missing.insert(suffix.to_vec(), cut);
            if draft.nodes.len() + missing.len() > NAMES_MAX {
                problems.add("zones", format!("more than {NAMES_MAX} names (at label {at} of {})", name::text(owner)));
                return;
            }
        }
    }
    for (owner, cut) in missing {
        draft.nodes.entry(owner).or_insert_with(|| Entry { cut, ..Entry::default() });
    }
}

struct Build<'a> {
    bytes: Vec<u8>,
    sets: Vec<RecordSet>,
    table: &'a Table,
}

impl Build<'_> {
    fn write(&mut self, parts: impl FnOnce(&mut Vec<u8>)) -> Wire {
        let start = self.bytes.len() as u32;
        parts(&mut self.bytes);
        Wire { start, end: self.bytes.len() as u32 }
    }

    fn zone(&mut self, draft: &Draft, apex: &[u8]) -> ZoneData {
        let soa = draft.nodes.get(apex).and_then(|entry| entry.sets.get(&rtype::SOA));
        let (ttl, data) = soa.and_then(|set| Some((set.ttl, set.data.first()?.as_slice()))).unwrap_or_default();
        let minimum = data.last_chunk::<4>().map_or(0, |minimum| u32::from_be_bytes(*minimum));
        let negative = self.write(|bytes| record(bytes, &QUESTION, rtype::SOA, ttl.min(minimum), data));
        let any = self.write(|bytes| record(bytes, &QUESTION, rtype::HINFO, ttl, b"\x07RFC8482\x00"));
        ZoneData { apex_len: apex.len() as u8, negative, any }
    }

    fn cut(&mut self, draft: &Draft, cut: &CutDraft) -> Cut {
        let servers = draft.nodes.get(&cut.owner).and_then(|entry| entry.sets.get(&rtype::NS));
        let ns = self.write(|bytes| servers.into_iter().for_each(|set| records(bytes, &QUESTION, rtype::NS, set)));
        let mut count = 0;
        let glue = self.write(|bytes| {
            for (owner, entry) in cut.glue.iter().filter_map(|owner| draft.nodes.get_key_value(owner)) {
                for kind in [rtype::A, rtype::AAAA] {
                    if let Some(set) = entry.sets.get(&kind) {
                        records(bytes, owner, kind, set);
                        count += set.data.len() as u16;
                    }
                }
            }
        });
        let ns_count = servers.map_or(0, |set| set.data.len() as u16);
        Cut { name_len: cut.owner.len() as u8, ns, ns_count, glue, glue_count: count }
    }

    fn node(&mut self, draft: &Draft, owner: &[u8], entry: &Entry, problems: &mut Problems) -> Node {
        let start = self.sets.len() as u32;
        for (kind, set) in &entry.sets {
            let wire = self.write(|bytes| records(bytes, &QUESTION, *kind, set));
            if (wire.end - wire.start) as usize > RRSET_BYTES_MAX {
                problems.add(set.at.clone(), format!("the records take more than {RRSET_BYTES_MAX} octets"));
            }
            let target = set.data.first().filter(|_| *kind == rtype::CNAME).and_then(|data| Folded::parse(data));
            let target = target.map(|name| Target { found: self.table.deepest(&name), name_len: name.len() as u8 });
            self.sets.push(RecordSet { kind: *kind, count: set.data.len() as u16, wire, target });
        }
        let wildcard = [b"\x01*", owner].concat();
        Node {
            name_len: owner.len() as u8,
            zone: draft.zone_of(owner).unwrap_or(NONE),
            cut: entry.cut.unwrap_or(NONE),
            wildcard: self.table.find(&wildcard).unwrap_or(NONE),
            route: entry.route.unwrap_or(NONE),
            sets: Wire { start, end: self.sets.len() as u32 },
        }
    }

    fn route(&mut self, draft: RouteDraft, shapes: &mut Shapes<'_>, ledger: u32) -> Route {
        let full = u64::MAX >> (64 - draft.pool.len().clamp(1, 64));
        let order = match draft.order {
            OrderDraft::Place => Order::Place { shape: shapes.of(&draft.pool) },
            OrderDraft::Weighted => Order::Weighted,
            OrderDraft::Fixed(order) => Order::Fixed(order),
        };
        let https = draft.https.as_ref();
        Route {
            order,
            candidates: draft.candidates,
            full,
            undrained: draft.undrained,
            addresses: draft.addresses.into_iter().map(|list| self.addresses(list, draft.types, https)).collect(),
            fallback: draft.fallback.map(|list| self.addresses(list, draft.types, https)),
            name: draft.name,
            pool: draft.pool,
            ttl: draft.ttl,
            picks: draft.picks,
            types: draft.types,
            https: draft.https.clone(),
            ledger,
            counters: 0,
        }
    }

    /// `types`: what the route answers; hints must not say more.
    fn addresses(&mut self, mut list: Vec<IpAddr>, types: Types, https: Option<&Https>) -> Addresses {
        list.sort();
        list.dedup();
        let a = self.write(|bytes| {
            for v4 in list.iter().filter_map(|address| if let IpAddr::V4(v4) = address { Some(v4) } else { None }) {
                record(bytes, &QUESTION, rtype::A, 0, &v4.octets());
            }
        });
        let aaaa = self.write(|bytes| {
            for v6 in list.iter().filter_map(|address| if let IpAddr::V6(v6) = address { Some(v6) } else { None }) {
                record(bytes, &QUESTION, rtype::AAAA, 0, &v6.octets());
            }
        });
        let https = self.write(|bytes| {
            if let Some(https) = https {
                record(bytes, &QUESTION, rtype::HTTPS, 0, &service(https, &list, types));
            }
        });
        Addresses { list, a, aaaa, https }
    }
}

/// Data of an HTTPS record in service mode: priority 1, the owner itself as target, parameters in the order of their keys
/// (RFC 9460 §2.2, §7).
fn service(https: &Https, list: &[IpAddr], types: Types) -> Vec<u8> {
    let mut data = vec![0, 1, 0];
    let mut parameter = |key: u16, value: Vec<u8>| {
        if !value.is_empty() {
            data.extend(key.to_be_bytes());
            data.extend((value.len() as u16).to_be_bytes());
            data.extend(value);
        }
    };
    parameter(ALPN, https.alpn.iter().flat_map(|id| [&[id.len() as u8], id.as_bytes()].concat()).collect());
    let port = https.port.filter(|port| *port != HTTPS_PORT);
    parameter(PORT, port.map(|port| port.to_be_bytes().to_vec()).unwrap_or_default());
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for address in list {
        match address {
            IpAddr::V4(address) if types.a => v4.extend(address.octets()),
            IpAddr::V6(address) if types.aaaa => v6.extend(address.octets()),
            IpAddr::V4(_) | IpAddr::V6(_) => {}
        }
    }
    parameter(IPV4_HINT, v4);
    parameter(IPV6_HINT, v6);
    data
}

fn records(bytes: &mut Vec<u8>, owner: &[u8], kind: u16, set: &Set) {
    set.data.iter().for_each(|data| record(bytes, owner, kind, set.ttl, data));
}

fn record(bytes: &mut Vec<u8>, owner: &[u8], kind: u16, ttl: u32, data: &[u8]) {
    bytes.extend_from_slice(owner);
    bytes.extend(kind.to_be_bytes());
    bytes.extend(1u16.to_be_bytes());
    bytes.extend(ttl.min(TTL_MAX).to_be_bytes());
    bytes.extend((data.len() as u16).to_be_bytes());
    bytes.extend_from_slice(data);
}

struct Shapes<'a> {
    plan: &'a RoutePlan,
    places: &'a Places,
    list: Vec<Shape>,
    known: BTreeMap<Vec<ClusterName>, u32>,
    octets: usize,
    /// Classes of one shape that have counters of their own.
    counted: usize,
}

impl Shapes<'_> {
    fn of(&mut self, pool: &[ClusterName]) -> u32 {
        if let Some(shape) = self.known.get(pool) {
            return *shape;
        }
        let bits: Vec<Option<u8>> =
            self.plan.clusters.keys().map(|name| pool.binary_search(name).ok().map(|bit| bit as u8)).collect();
        let rankings = self.places.rankings();
        let mut shape = Shape { width: pool.len(), ..Shape::default() };
        let mut classes: BTreeMap<(Vec<u8>, u8), u32> = BTreeMap::new();
        self.octets += rankings.len() * size_of::<u32>();
        for ranking in rankings {
            let own = |at: &u16| *bits.get(usize::from(*at))?;
            let order: Vec<u8> = ranking.order.iter().filter_map(own).collect();
            let placed = ranking.order.iter().take(usize::from(ranking.placed)).filter_map(own).count() as u8;
            if self.octets > ORDERS_BYTES_MAX {
                break;
            }
            // A single one behind the others leaves nothing to choose.
            let placed = if usize::from(placed) + 1 >= order.len() { order.len() as u8 } else { placed };
            let class = *classes.entry((order, placed)).or_insert_with_key(|(order, placed)| {
                self.octets += order.len() + 1;
                shape.orders.extend(order);
                shape.placed.push(*placed);
                shape.placed.len() as u32 - 1
            });
            shape.of_ranking.push(class);
        }
        shape.count(self.counted);
        let at = self.list.len() as u32;
        self.list.push(shape);
        self.known.insert(pool.to_vec(), at);
        at
    }
}
