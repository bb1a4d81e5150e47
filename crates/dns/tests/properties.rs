//! Properties of answers: honest scopes, never empty, never a panic, and the same as a naive look at the plan.

mod support;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::HTTPS;
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::rdata::svcb::SvcParamValue;
use hickory_proto::rr::{RData, RecordType};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use support::{Query, Server, plan};
use waggle_dns::Transport;
use waggle_model::plan::RoutePlan;
use waggle_model::routing::{Candidate, ClientKey, Share, weighted};

const SOURCE: &str = "192.0.2.53:5353";

/// Clusters a to d; the map works on the second octet of 44/8 (public) and of 10/8 (private).
fn map() -> impl Strategy<Value = String> {
    let entry = (
        prop::sample::select(vec![44u8, 10]),
        any::<u8>(),
        8u8..=16,
        prop::sample::subsequence(vec!["a", "b", "c", "d"], 1..4),
    );
    prop::collection::vec(entry, 0..10).prop_map(|entries| {
        let mut seen = BTreeSet::new();
        let mut yaml = String::new();
        for (first, second, len, list) in entries {
            let net = u32::from(Ipv4Addr::new(first, second, 0, 0)) & (u32::MAX << (32 - len));
            if seen.insert((net, len)) {
                yaml.push_str(&format!("  {}/{len}: [{}]\n", Ipv4Addr::from(net), list.join(", ")));
            }
        }
        yaml
    })
}

fn steered(map: &str) -> RoutePlan {
    let pool = |names: &str| {
        let endpoint = |name: char| {
            let last = name as u8 - b'a' + 1;
            format!("{{cluster: {name}, addresses: [192.0.2.{last}, '2001:db8::{last}']}}")
        };
        names.chars().map(endpoint).collect::<Vec<_>>().join(", ")
    };
    let map = if map.is_empty() { "client_map: {}\n".to_owned() } else { format!("client_map:\n{map}") };
    plan(&format!(
        "zones: {{z.example: {{nameservers: [ns.z.example], contact: c.z.example}}}}\n\
         clusters: {{a: {{}}, b: {{weight: 3}}, c: {{region: eu}}, d: {{region: eu}}}}\n{map}\
         routes:\n  \
         near.z.example: {{{https}, pool: [{all}]}}\n  \
         some.z.example: {{{https}, pool: [{some}]}}\n  \
         two.z.example: {{{https}, policy: {{multivalue: 2}}, pool: [{all}]}}\n  \
         share.z.example: {{{https}, policy: {{weighted: {{}}}}, pool: [{all}]}}\n  \
         order.z.example: {{{https}, policy: {{failover: [c, a]}}, pool: [{all}]}}\n  \
         sorry.z.example: {{{https}, all_down: {{fallback: [198.51.100.1, '2001:db8::99']}}, pool: [{all}]}}\n",
        https = "https: {alpn: [h2, h3]}",
        all = pool("abcd"),
        some = pool("bd"),
    ))
}

const ROUTES: [&str; 6] = ["near", "some", "two", "share", "order", "sorry"];

#[derive(Debug, PartialEq)]
struct Answered<T = Ipv4Addr> {
    addresses: BTreeSet<T>,
    scope: u8,
}

fn ask(server: &Server, route: &str, client: Ipv4Addr, source: u8) -> Answered {
    ask_from(server, SOURCE.parse().unwrap(), route, client, source)
}

fn ask_from(server: &Server, from: SocketAddr, route: &str, client: Ipv4Addr, source: u8) -> Answered {
    let Answered { addresses, scope } = ask_kind(server, from, route, RecordType::A, client, source);
    let v4 = |address: IpAddr| if let IpAddr::V4(v4) = address { v4 } else { panic!("{address}") };
    Answered { addresses: addresses.into_iter().map(v4).collect(), scope }
}

/// Addresses of A and AAAA records, or the hints of HTTPS records.
fn ask_kind(
    server: &Server,
    from: SocketAddr,
    route: &str,
    kind: RecordType,
    client: Ipv4Addr,
    source: u8,
) -> Answered<IpAddr> {
    let query = Query::new(&format!("{route}.z.example"), kind.into()).subnet(IpAddr::V4(client), source);
    let reply = server.ask(&query.bytes(), from, Transport::Udp).unwrap();
    let message = Message::from_vec(&reply).unwrap();
    assert_eq!(message.metadata.response_code, ResponseCode::NoError);
    let addresses = message.answers.iter().flat_map(|record| match &record.data {
        RData::A(a) => vec![IpAddr::V4(a.0)],
        RData::AAAA(aaaa) => vec![IpAddr::V6(aaaa.0)],
        RData::HTTPS(https) => hints(https),
        other => panic!("{other}"),
    });
    let listed: Vec<_> = addresses.collect();
    let addresses: BTreeSet<_> = listed.iter().copied().collect();
    assert_eq!(addresses.len(), listed.len(), "no record twice");
    let Some(EdnsOption::Subnet(subnet)) = message.edns.as_ref().and_then(|edns| edns.option(EdnsCode::Subnet)) else {
        panic!("the subnet is echoed");
    };
    assert_eq!((subnet.addr(), subnet.source_prefix()), (IpAddr::V4(client), source));
    Answered { addresses, scope: subnet.scope_prefix() }
}

fn hints(https: &HTTPS) -> Vec<IpAddr> {
    assert_eq!((https.svc_priority, https.target_name.is_root()), (1, true));
    assert!(https.svc_params.is_sorted_by_key(|(key, _)| u16::from(*key)), "{https}");
    let hints = https.svc_params.iter().flat_map(|(_, value)| match value {
        SvcParamValue::Ipv4Hint(hints) => hints.0.iter().map(|a| IpAddr::V4(a.0)).collect(),
        SvcParamValue::Ipv6Hint(hints) => hints.0.iter().map(|aaaa| IpAddr::V6(aaaa.0)).collect(),
        _ => Vec::new(),
    });
    hints.collect()
}

fn set_mask(server: &Server, mask: u64) {
    for index in 0..server.snapshot.routes().len() {
        server.health.set(index, mask, u32::MAX);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whoever else lies within the scope of an answer gets that very RRset. Map entries end on /16, so addresses that
    /// differ in the second octet, plus probes right outside of each block, are all there is to try. The resolver itself is
    /// often on the map: it stands in for clients in networks without a place.
    #[test]
    fn scopes_are_honest(map in map(), mask in 0u64..16, resolver in any::<u8>(), first in prop::sample::select(vec![44u8, 10, 9, 11, 45, 192])) {
        let server = Server::new(&steered(&map));
        set_mask(&server, mask);
        let from = SocketAddr::from(([44, resolver, 0, 53], 5353));
        for (route, kind) in ROUTES.into_iter().flat_map(|route| [(route, RecordType::A), (route, RecordType::HTTPS)]) {
            let all: Vec<(u32, Answered<IpAddr>)> = [0u8, 9, 10, 11, 43, 44, 45, 127, 128, 192, first, 255]
                .iter()
                .flat_map(|first| (0..=255u8).step_by(if matches!(first, 10 | 44) { 1 } else { 51 }).map(move |second| (*first, second)))
                .map(|(first, second)| Ipv4Addr::new(first, second, 3, 0))
                .map(|client| (u32::from(client), ask_kind(&server, from, route, kind, client, 24)))
                .collect();
            for (client, answered) in all.iter().filter(|(client, _)| client >> 24 == u32::from(first)) {
                let mask = u32::MAX.checked_shl(32 - u32::from(answered.scope)).unwrap_or(0);
                for (other, given) in all.iter().filter(|(other, _)| other & mask == client & mask) {
                    prop_assert_eq!(
                        &given.addresses, &answered.addresses, "{} {} and {} scope {}",
                        route, Ipv4Addr::from(*client), Ipv4Addr::from(*other), answered.scope
                    );
                }
            }
        }
    }

    /// A, AAAA and HTTPS of one client name the same clusters, for the same prefix, whatever health and shares say. Scopes of
    /// HTTPS are then as honest as those of A.
    #[test]
    fn types_agree(map in map(), mask in 0u64..16, clients in prop::collection::vec(any::<u32>(), 24), part in 0.0..1.0f64) {
        let server = Server::new(&steered(&map));
        set_mask(&server, mask);
        for index in 0..server.snapshot.routes().len() {
            server.health.limit(index, &[Share::of(part), Share::FULL]);
        }
        let from: SocketAddr = SOURCE.parse().unwrap();
        for (bits, route) in clients.into_iter().flat_map(|bits| ROUTES.map(|route| (bits, route))) {
            // Half of them near the map's networks.
            let client = Ipv4Addr::from(if bits & 1 == 0 { bits } else { 44 << 24 | bits >> 8 });
            let [a, aaaa, https] = [RecordType::A, RecordType::AAAA, RecordType::HTTPS]
                .map(|kind| ask_kind(&server, from, route, kind, client, 32));
            let clusters = |answered: &Answered<IpAddr>| -> BTreeSet<u16> {
                let last = |address: &IpAddr| match address {
                    IpAddr::V4(v4) if v4.octets()[0] == 192 => u16::from(v4.octets()[3]),
                    IpAddr::V4(_) => 0x99,
                    IpAddr::V6(v6) => v6.segments()[7],
                };
                answered.addresses.iter().map(last).collect()
            };
            prop_assert_eq!(clusters(&a), clusters(&aaaa), "{} {}", route, client);
            prop_assert_eq!(&https.addresses, &a.addresses.union(&aaaa.addresses).copied().collect(), "{} {}", route, client);
            prop_assert_eq!((a.scope, a.scope), (aaaa.scope, https.scope));
            let name = format!("{route}.z.example").parse().unwrap();
            let why = waggle_dns::explain(&server.snapshot, &server.health, &name, 65, client.into(), true, &Default::default());
            let decided = why.decided.unwrap();
            prop_assert_eq!((decided.scope, decided.service.as_deref()), (https.scope, Some("1 . alpn=h2,h3")));
            if !decided.client.subnet_ignored {
                prop_assert_eq!(decided.answer.into_iter().collect::<BTreeSet<_>>(), https.addresses);
            }
        }
    }

    /// Shorter and longer source prefixes of one client agree, and /0 has scope 0.
    #[test]
    fn sources_of_any_length(map in map(), client in any::<u32>(), source in 0u8..=32) {
        let server = Server::new(&steered(&map));
        let client = Ipv4Addr::from(client & u32::MAX.checked_shl(32 - u32::from(source)).unwrap_or(0));
        for route in ROUTES {
            let answered = ask(&server, route, client, source);
            prop_assert!(!answered.addresses.is_empty());
            if source == 0 {
                prop_assert_eq!(answered.scope, 0);
            } else {
                prop_assert_eq!(answered.addresses, ask(&server, route, client, 32).addresses);
            }
        }
    }

    /// Whatever health says, a route has an answer, and it names only clusters whose bit is set unless none is.
    #[test]
    fn never_empty(map in map(), mask in any::<u64>(), client in any::<u32>()) {
        let server = Server::new(&steered(&map));
        set_mask(&server, mask);
        for route in ROUTES {
            let (index, compiled) = server.snapshot.route(&format!("{route}.z.example").parse().unwrap()).unwrap();
            prop_assert_eq!(server.health.get(index).0, mask);
            let answered = ask(&server, route, Ipv4Addr::from(client), 32).addresses;
            prop_assert!(!answered.is_empty());
            let fit = mask & compiled.full_mask();
            for address in &answered {
                let cluster = compiled.pool().iter().position(|name| name.as_str().as_bytes()[0] - b'a' + 1 == address.octets()[3]);
                if fit == 0 {
                    prop_assert_eq!(route == "sorry", *address == Ipv4Addr::new(198, 51, 100, 1));
                } else {
                    prop_assert!(fit & 1 << cluster.unwrap() != 0);
                }
            }
        }
    }
}

fn zone() -> Server {
    let text = include_str!("../testdata/zone.txt");
    let yaml = text.split("--- plan\n").nth(1).unwrap().split("=== ").next().unwrap();
    Server::new(&plan(yaml))
}

/// `None`, or a reply that decodes, echoes the id, fits, and is a response.
fn well_formed(server: &Server, query: &[u8], transport: Transport) -> Option<Message> {
    let reply = server.ask(query, SOURCE.parse::<SocketAddr>().unwrap(), transport)?;
    assert!(reply.len() <= 1232 || transport == Transport::Tcp);
    assert_eq!(reply[..2], query[..2]);
    assert!(reply[2] & 0x80 != 0);
    Some(Message::from_vec(&reply).unwrap_or_else(|error| panic!("{error}: {reply:02x?} to {query:02x?}")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn noise_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let server = &*ZONE;
        let reply = well_formed(server, &bytes, Transport::Udp);
        prop_assert_eq!(reply.is_none(), bytes.len() < 12 || bytes[2] & 0x80 != 0);
    }

    #[test]
    fn mutants_are_survived(
        name in prop::sample::select(vec!["alias.shop.example", "x.y.wild.shop.example", "a.sub.shop.example", "no.er.shop.example"]),
        kind in prop::sample::select(vec![1u16, 5, 6, 16, 28, 255, 252, 43]),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
        tcp in any::<bool>(),
    ) {
        let mut query = Query::new(name, kind).subnet(Ipv4Addr::new(10, 1, 2, 0).into(), 24).bytes();
        for (at, value) in edits {
            let at = at.index(query.len());
            query[at] = value;
        }
        if let Some(cut) = cut {
            query.truncate(cut.index(query.len()));
        }
        if query.len() >= 2 {
            well_formed(&ZONE, &query, if tcp { Transport::Tcp } else { Transport::Udp });
        }
    }

    /// A buffer of any size is enough or leads to a shorter reply, never to a panic.
    #[test]
    fn small_buffers(len in 0usize..200) {
        let query = Query::new("alias.shop.example", 28).bytes();
        let mut out = vec![0; len];
        let server = &*ZONE;
        let source = SOURCE.parse().unwrap();
        let got = waggle_dns::answer(
            &server.snapshot, &server.health, &server.ledger, &query, source, Transport::Tcp, support::NOW, &mut out,
        );
        if let Some(got) = got {
            prop_assert!(Message::from_vec(&out[..got]).is_ok());
        }
    }
}

static ZONE: std::sync::LazyLock<Server> = std::sync::LazyLock::new(zone);

/// Owner names of a small random zone: labels from a short alphabet, wildcards, some delegations.
fn names() -> impl Strategy<Value = Vec<(Vec<&'static str>, bool)>> {
    let label = prop::sample::select(vec!["a", "b", "c"]);
    let first = prop::sample::select(vec!["a", "b", "c", "*"]);
    let name = (first, prop::collection::vec(label, 0..3)).prop_map(|(first, rest)| {
        let mut name = vec![first];
        name.extend(rest);
        name
    });
    prop::collection::vec((name, prop::bool::weighted(0.15)), 0..8)
}

/// RFC 1034 §4.3.2 as one would write it down, over lists of labels relative to the apex.
fn naive(records: &[(Vec<&str>, bool)], asked: &[&str]) -> &'static str {
    let cut = |name: &[&str]| records.iter().any(|(owner, cut)| *cut && owner.as_slice() == name);
    if (0..asked.len()).any(|at| cut(&asked[at..])) {
        return "referral";
    }
    let exists = |name: &[&str]| name.is_empty() || records.iter().any(|(owner, _)| owner.ends_with(name));
    let has = |name: &[&str]| records.iter().any(|(owner, cut)| !*cut && owner.as_slice() == name);
    if exists(asked) {
        return if has(asked) { "answer" } else { "nodata" };
    }
    let encloser = (0..=asked.len()).map(|at| &asked[at..]).find(|name| exists(name)).unwrap();
    let wildcard = [&["*"], encloser].concat();
    match (exists(&wildcard), has(&wildcard)) {
        (_, true) => "answer",
        (true, false) => "nodata",
        (false, _) => "nxdomain",
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn same_as_the_naive_lookup(
        records in names(),
        asked in prop::collection::vec(prop::collection::vec(prop::sample::select(vec!["a", "B", "c", "d", "*"]), 0..6), 20),
    ) {
        let below_cut = |name: &[&str]| (1..name.len()).any(|at| records.iter().any(|(owner, cut)| *cut && owner[..] == name[at..]));
        let mut kept: Vec<(Vec<&str>, bool)> = Vec::new();
        for (name, cut) in &records {
            let cut = *cut && name[0] != "*";
            let clash = kept.iter().any(|(owner, _)| owner == name);
            if !clash && !below_cut(name) && !records.iter().any(|(other, is_cut)| *is_cut && other == name && !cut) {
                kept.push((name.clone(), cut));
            }
        }
        let mut yaml = "zones:\n  z.example:\n    nameservers: [ns.other.example]\n    contact: c.other.example\n    records:\n      - {name: z.example, type: TXT, values: [x]}\n".to_owned();
        for (name, cut) in &kept {
            let (kind, value) = if *cut { ("NS", "ns.other.example.") } else { ("A", "192.0.2.1") };
            yaml.push_str(&format!("      - {{name: \"{}.z.example\", type: {kind}, values: [{value}]}}\n", name.join(".")));
        }
        let server = Server::new(&plan(&yaml));
        for asked in &asked {
            let name = asked.iter().copied().chain(["Z", "example"]).collect::<Vec<_>>().join(".");
            let query = Query::new(&name, 1).bytes();
            let message = well_formed(&server, &query, Transport::Udp).unwrap();
            let got = match (message.metadata.response_code, message.answers.len(), message.metadata.authoritative) {
                (ResponseCode::NXDomain, 0, true) => "nxdomain",
                (ResponseCode::NoError, 0, true) => "nodata",
                (ResponseCode::NoError, 0, false) => "referral",
                (ResponseCode::NoError, 1, true) => "answer",
                other => panic!("{other:?}"),
            };
            let folded: Vec<String> = asked.iter().map(|label| label.to_ascii_lowercase()).collect();
            let folded: Vec<&str> = folded.iter().map(String::as_str).collect();
            prop_assert_eq!(got, naive(&kept, &folded), "{} in {:?}", name, kept);
            let authority = message.authorities.first().map(|record| (record.record_type(), record.name.to_ascii().to_lowercase()));
            if matches!(got, "nxdomain" | "nodata") {
                prop_assert_eq!(authority, Some((RecordType::SOA, "z.example.".to_owned())));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The answer of `nearest` and `multivalue` is the naive one: longest entry of the map, ranking, first fit ones. And
    /// what `explain` says is what was answered.
    #[test]
    fn routes_follow_the_plan(map in map(), mask in 1u64..16, clients in prop::collection::vec(any::<u16>(), 32), first in prop::sample::select(vec![44u8, 10])) {
        let plan = steered(&map);
        let server = Server::new(&plan);
        set_mask(&server, mask);
        for bits in clients {
            let client = Ipv4Addr::from(u32::from(first) << 24 | u32::from(bits) << 8);
            let entry = |address: Ipv4Addr| {
                let hits = plan.client_map.iter().filter(|(net, _)| net.contains(&IpAddr::V4(address)));
                hits.max_by_key(|(net, _)| net.prefix_len()).map(|(_, list)| list.as_slice())
            };
            // The source of the queries is on no map, so a private client without an entry knows nothing either.
            let place = waggle_model::routing::Place { listed: entry(client).unwrap_or_default(), location: None };
            let ranked = waggle_model::routing::rank(place, &plan.clusters);
            let (placed, others) = ranked.order.split_at(ranked.placed);
            for (name, picks) in [("near", 1), ("two", 2)] {
                let route = &plan.routes[&format!("{name}.z.example").parse().unwrap()];
                // A private client without an entry is spread as the resolver, which stands in for it.
                let key = if entry(client).is_none() && client.is_private() { "192.0.2.53".parse().unwrap() } else { client };
                let candidates: Vec<_> = others.iter().map(|name| Candidate::new(name, plan.clusters[*name].weight)).collect();
                let spread = weighted(ClientKey::new(key.into()), &candidates).into_iter().map(|at| others[at]);
                let fit = placed.iter().copied().chain(spread).filter_map(|cluster| {
                    let bit = route.pool.iter().position(|endpoint| endpoint.cluster == *cluster)?;
                    (mask & 1 << bit != 0).then(|| route.pool[bit].addresses[0])
                });
                let expected: BTreeSet<IpAddr> = fit.take(picks).collect();
                let got: BTreeSet<IpAddr> = ask(&server, name, client, 24).addresses.into_iter().map(IpAddr::V4).collect();
                prop_assert_eq!(got, expected);
            }
            for route in ROUTES {
                let answered = ask(&server, route, client, 24);
                let name = format!("{route}.z.example").parse().unwrap();
                let why = waggle_dns::explain(&server.snapshot, &server.health, &name, 1, client.into(), true, &Default::default());
                let decided = why.decided.unwrap();
                prop_assert_eq!(decided.scope, answered.scope);
                if !decided.client.subnet_ignored {
                    let explained: BTreeSet<IpAddr> = decided.answer.into_iter().collect();
                    prop_assert_eq!(explained, answered.addresses.into_iter().map(IpAddr::V4).collect::<BTreeSet<_>>());
                }
            }
        }
    }
}

/// The largest pool: every bit counts, and what does not fit a datagram sets TC.
#[test]
fn a_pool_of_64() {
    let names: Vec<String> = (0..64).map(|n| format!("c{n:02}")).collect();
    let clusters: String = names.iter().map(|name| format!("  {name}: {{}}\n")).collect();
    let pool: Vec<String> =
        names.iter().enumerate().map(|(n, name)| format!("{{cluster: {name}, addresses: [192.0.2.{n}]}}")).collect();
    let server = Server::new(&plan(&format!(
        "zones: {{z.example: {{nameservers: [ns.z.example], contact: c.z.example}}}}\nclusters:\n{clusters}\
         routes:\n  w.z.example: {{pool: [{}]}}\n",
        pool.join(", ")
    )));
    for bit in 0..64u8 {
        server.health.set(0, 1 << bit, u32::MAX);
        let answered = ask(&server, "w", Ipv4Addr::new(44, 0, 0, 0), 24);
        assert_eq!(answered.addresses, BTreeSet::from([Ipv4Addr::new(192, 0, 2, bit)]));
    }
    server.health.set(0, 0, u32::MAX);
    assert_eq!(ask(&server, "w", Ipv4Addr::new(44, 0, 0, 0), 24).addresses.len(), 64);
    let plain = Query { edns: None, ..Query::new("w.z.example", 1) };
    let message = well_formed(&server, &plain.bytes(), Transport::Udp).unwrap();
    assert!(message.metadata.truncation && message.answers.is_empty());
    assert_eq!(well_formed(&server, &plain.bytes(), Transport::Tcp).unwrap().answers.len(), 64);
}
