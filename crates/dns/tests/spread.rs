//! What the hash of a client's prefix decides: clients whose place is unknown are spread over the clusters by weight,
//! shares take their part of the clients, and the scope of what they get is honest.

mod support;

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use support::{Query, Server, answered, plan};
use waggle_dns::Transport;
use waggle_model::routing::Share;

/// In the order of their indexes.
const ROUTES: [&str; 4] = ["near", "order", "share", "two"];
const SOURCE: &str = "192.0.2.53:5353";
const SUBNETS: u32 = 20_000;

fn server(map: &str) -> Server {
    let pool = "[{cluster: a, addresses: [192.0.2.1, \"2001:db8::1\"]}, {cluster: b, addresses: [192.0.2.2, \"2001:db8::2\"]}, \
                {cluster: c, addresses: [192.0.2.3, \"2001:db8::3\"]}]";
    Server::new(&plan(&format!(
        "zones: {{z.example: {{nameservers: [ns.z.example], contact: c.z.example}}}}\n\
         clusters: {{a: {{}}, b: {{weight: 2}}, c: {{weight: 5}}}}\nclient_map: {{{map}}}\n\
         routes:\n  near.z.example: {{pool: {pool}}}\n  two.z.example: {{policy: {{multivalue: 2}}, pool: {pool}}}\n  \
         share.z.example: {{policy: {{weighted: {{}}}}, pool: {pool}}}\n  \
         order.z.example: {{policy: {{failover: [c, a]}}, pool: {pool}}}\n"
    )))
}

fn clients() -> impl Iterator<Item = IpAddr> {
    (0..SUBNETS).map(|n| IpAddr::V4(Ipv4Addr::from((44 << 24) + (n << 8))))
}

/// Last octet of each address answered, and the scope.
fn ask(server: &Server, route: &str, client: IpAddr) -> (Vec<u8>, u8) {
    let kind = if client.is_ipv4() { 1 } else { 28 };
    let source = if client.is_ipv4() { 32 } else { 128 };
    let query = Query::new(&format!("{route}.z.example"), kind).subnet(client, source);
    let reply = server.ask(&query.bytes(), SOURCE.parse().unwrap(), Transport::Udp).unwrap();
    let (addresses, scope) = answered(&reply);
    let last = |address: &IpAddr| match address {
        IpAddr::V4(v4) => v4.octets()[3],
        IpAddr::V6(v6) => v6.octets()[15],
    };
    (addresses.iter().map(last).collect(), scope)
}

fn shares(server: &Server, route: &str) -> BTreeMap<u8, f64> {
    let mut counts = BTreeMap::new();
    for client in clients() {
        ask(server, route, client).0.iter().for_each(|cluster| *counts.entry(*cluster).or_insert(0.0) += 1.0);
    }
    counts.values_mut().for_each(|count| *count /= f64::from(SUBNETS));
    counts
}

fn close(got: f64, wanted: f64) -> bool {
    (got - wanted).abs() < 0.015
}

#[test]
fn unknown_clients_are_spread_by_weight() {
    let server = server("");
    let got = shares(&server, "near");
    assert!(close(got[&1], 1.0 / 8.0) && close(got[&2], 2.0 / 8.0) && close(got[&3], 5.0 / 8.0), "{got:?}");
    // The heaviest is lost: the others share its clients, and keep their own.
    let before: Vec<_> = clients().map(|client| ask(&server, "near", client).0).collect();
    server.health.set(0, 0b011, u32::MAX);
    let got = shares(&server, "near");
    assert!(close(got[&1], 1.0 / 3.0) && close(got[&2], 2.0 / 3.0), "{got:?}");
    for (client, before) in clients().zip(before) {
        assert!(before == [3] || before == ask(&server, "near", client).0);
    }
}

/// The first of two is drawn by weight, the second from the rest.
#[test]
fn also_where_several_are_answered() {
    let got = shares(&server(""), "two");
    let (a, b, c) = (1.0 / 8.0, 2.0 / 8.0, 5.0 / 8.0);
    let with_a = a + b * a / (a + c) + c * a / (a + b);
    assert!(close(got[&1], with_a), "{got:?} {with_a}");
    assert!(close(got.values().sum::<f64>(), 2.0));
}

#[test]
fn scope_is_the_client_prefix_exactly_where_it_decides() {
    let server = server("44.9.0.0/16: [a], 44.9.9.0/28: [b]");
    let scope = |client: &str| ask(&server, "near", client.parse().unwrap()).1;
    assert_eq!(scope("44.8.1.1"), 24);
    assert_eq!(scope("2001:db8:0:100::1"), 56);
    assert_eq!(scope("44.9.128.1"), 17);
    assert_eq!(scope("44.9.9.1"), 28);
    // The one on the map is gone: what is left for its clients is spread.
    server.health.set(0, 0b110, u32::MAX);
    assert_eq!(scope("44.9.128.1"), 24);
    assert_eq!(scope("44.9.9.1"), 28);
    server.health.set(0, 0b100, u32::MAX);
    assert_eq!(scope("44.8.1.1"), 0);
    let v6: BTreeSet<_> =
        (0..64u128).map(|n| ask(&server, "two", IpAddr::V6(Ipv6Addr::from((0x2001 << 112) + (n << 72)))).0).collect();
    assert!(v6.len() > 1);
}

/// Entries of the map down to single addresses, within 44.0.0.0/22.
fn map() -> impl Strategy<Value = String> {
    let entry = (0u32..1024, 20u8..=32, prop::sample::subsequence(vec!["a", "b", "c"], 1..=3));
    prop::collection::vec(entry, 0..8).prop_map(|entries| {
        let nets = entries.into_iter().map(|(low, len, list)| (low & (u32::MAX << (32 - len)), len, list));
        let nets: BTreeMap<_, _> = nets.map(|(low, len, list)| ((low, len), list.join(", "))).collect();
        let line =
            |((low, len), list): (&(u32, u8), &String)| format!("{}/{len}: [{list}]", Ipv4Addr::from((44 << 24) + low));
        nets.iter().map(line).collect::<Vec<_>>().join(", ")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// By brute force: every address of a /21 against the scopes of all the others.
    #[test]
    fn scopes_are_honest_address_by_address(map in map(), mask in 0u64..8, shares in shares_of_pool()) {
        let server = server(&map);
        for (index, route) in ROUTES.into_iter().enumerate() {
            server.health.set(index, mask, u32::MAX);
            server.health.limit(index, &shares);
            honest(&server, route)?;
        }
    }

    /// Raising a share only moves clients to that cluster, so lowering it only moves them away from it; and there always is
    /// an answer, of fit clusters alone, as many as without shares.
    #[test]
    fn shares_are_monotone_and_never_leave_nothing(
        map in map(), mask in 1u64..8, shares in shares_of_pool(), raised in 0usize..3, higher in share(),
    ) {
        let server = server(&map);
        let max = |a: Share, b: Share| Share { home: a.home.max(b.home), guests: a.guests.max(b.guests) };
        let mut after = shares.clone();
        after[raised] = max(shares[raised], higher);
        for (index, route) in ROUTES.into_iter().enumerate() {
            server.health.set(index, mask, u32::MAX);
            for client in clients().step_by(97).chain((0..1024).step_by(31).map(|low| Ipv4Addr::from((44u32 << 24) + low).into())) {
                server.health.limit(index, &[]);
                let free = ask(&server, route, client).0;
                server.health.limit(index, &shares);
                let was: BTreeSet<u8> = ask(&server, route, client).0.into_iter().collect();
                server.health.limit(index, &after);
                let is: BTreeSet<u8> = ask(&server, route, client).0.into_iter().collect();
                prop_assert!(!is.is_empty() && is.len() == free.len());
                prop_assert!(is.iter().all(|cluster| mask & 1 << (cluster - 1) != 0));
                prop_assert!(is.difference(&was).all(|new| usize::from(*new) == raised + 1), "{:?} to {:?}", was, is);
            }
        }
    }
}

fn share() -> impl Strategy<Value = Share> {
    let part = || prop_oneof![Just(u16::MAX), Just(0u16), any::<u16>()];
    prop_oneof![Just(Share::FULL), (part(), part()).prop_map(|(home, guests)| Share { home, guests })]
}

fn shares_of_pool() -> impl Strategy<Value = Vec<Share>> {
    prop::collection::vec(share(), 3)
}

#[test]
fn a_share_takes_its_part_and_the_rest_goes_on_in_order() {
    let server = server("44.0.0.0/8: [a, b, c]");
    server.health.limit(0, &[Share::of(0.25), Share { home: u16::MAX, guests: 0 }, Share::FULL]);
    let got = shares(&server, "near");
    assert!(close(got[&1], 0.25) && close(got[&3], 0.75) && !got.contains_key(&2), "{got:?}");
    let scope = |client: &str| ask(&server, "near", client.parse().unwrap()).1;
    assert_eq!(scope("44.8.1.1"), 24);
    // None takes anybody: the first does. The last one left does, whatever its share.
    server.health.limit(0, &[Share::of(0.0); 3]);
    assert_eq!(shares(&server, "near"), BTreeMap::from([(1, 1.0)]));
    server.health.set(0, 0b100, u32::MAX);
    assert_eq!(shares(&server, "near"), BTreeMap::from([(3, 1.0)]));
    assert_eq!(scope("44.8.1.1"), 0);
    // A share that is not consulted leaves the scope alone.
    server.health.set(0, 0b111, u32::MAX);
    server.health.limit(0, &[Share::FULL, Share::of(0.5), Share::of(0.5)]);
    assert_eq!(scope("44.8.1.1"), 8);
}

/// Within a scope that an answer names, every answer is the same.
fn honest(server: &Server, route: &str) -> Result<(), TestCaseError> {
    let first = 44 << 24;
    let all: Vec<_> = (first..first + 2048).map(|bits: u32| ask(server, route, IpAddr::V4(bits.into()))).collect();
    // Where each run of equal answers begins.
    let mut runs = vec![0];
    for at in 1..all.len() {
        runs.push(if all[at].0 == all[at - 1].0 { runs[at - 1] } else { at });
    }
    for (at, (_, scope)) in all.iter().enumerate() {
        let size = 1usize.checked_shl(32 - u32::from(*scope)).unwrap_or(usize::MAX).min(all.len());
        let start = at / size * size;
        prop_assert!(
            runs[start + size - 1] <= start,
            "{route} {at:x} has scope {scope}, others there get something else"
        );
    }
    Ok(())
}
