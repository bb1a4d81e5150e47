//! Steering by a GeoIP database: read through maxminddb from a small database made here.

mod support;

use ipnet::IpNet;
use maxminddb::Reader;
use std::collections::BTreeMap;
use std::net::IpAddr;
use support::{KEY, plan};
use waggle_dns::{Basis, Geo, Health, Snapshot, explain};

/// A MaxMind DB (format 2.0) with 24-bit records, IP version 4 and one `location` map per network.
fn database(networks: &[(&str, f64, f64)]) -> Vec<u8> {
    let mut tree: Vec<[Option<Edge>; 2]> = vec![[None; 2]];
    for (index, (network, _, _)) in networks.iter().enumerate() {
        let IpNet::V4(net) = network.parse().unwrap() else { panic!("IPv4") };
        let bits = u32::from(net.network());
        let mut node = 0;
        for depth in 0..net.prefix_len() {
            let side = (bits >> (31 - depth) & 1) as usize;
            if depth + 1 == net.prefix_len() {
                tree[node][side] = Some(Edge::Data(index));
            } else {
                node = match tree[node][side] {
                    Some(Edge::Node(next)) => next,
                    _ => {
                        tree.push([None; 2]);
                        let next = tree.len() - 1;
                        tree[node][side] = Some(Edge::Node(next));
                        next
                    }
                };
            }
        }
    }
    let mut data = Vec::new();
    let mut offsets = Vec::new();
    for (_, latitude, longitude) in networks {
        offsets.push(data.len());
        data.push(7 << 5 | 1);
        text(&mut data, "location");
        data.push(7 << 5 | 2);
        for (key, value) in [("latitude", latitude), ("longitude", longitude)] {
            text(&mut data, key);
            data.push(3 << 5 | 8);
            data.extend(value.to_be_bytes());
        }
    }
    let count = tree.len();
    let mut file = Vec::new();
    for edge in tree.iter().flatten() {
        let value = match edge {
            None => count,
            Some(Edge::Node(next)) => *next,
            Some(Edge::Data(index)) => count + 16 + offsets[*index],
        };
        file.extend(&(value as u32).to_be_bytes()[1..]);
    }
    file.extend([0; 16]);
    file.extend(data);
    metadata(&mut file, count as u32);
    file
}

fn metadata(file: &mut Vec<u8>, nodes: u32) {
    file.extend(b"\xab\xcd\xefMaxMind.com");
    file.push(7 << 5 | 9);
    for (key, value) in [
        ("binary_format_major_version", 2u16),
        ("binary_format_minor_version", 0),
        ("ip_version", 4),
        ("record_size", 24),
    ] {
        text(file, key);
        file.push(5 << 5 | 2);
        file.extend(value.to_be_bytes());
    }
    text(file, "node_count");
    file.push(6 << 5 | 4);
    file.extend(nodes.to_be_bytes());
    text(file, "build_epoch");
    file.extend([8, 2]);
    file.extend(1u64.to_be_bytes());
    text(file, "database_type");
    text(file, "Test");
    text(file, "languages");
    file.extend([0, 4]);
    text(file, "description");
    file.push(7 << 5);
}

#[derive(Clone, Copy)]
enum Edge {
    Node(usize),
    Data(usize),
}

fn text(out: &mut Vec<u8>, text: &str) {
    if text.len() < 29 {
        out.push(2 << 5 | text.len() as u8);
    } else {
        out.extend([2 << 5 | 29, text.len() as u8 - 29]);
    }
    out.extend(text.as_bytes());
}

#[test]
fn clients_go_to_the_nearest_cluster() {
    let reader = Reader::from_source(database(&[
        ("44.0.0.0/10", 48.86, 2.35),
        ("44.64.0.0/10", 41.9, -87.6),
        ("44.128.0.0/12", 48.1, 11.6),
    ]))
    .unwrap();
    let (network, place) = Geo::lookup(&reader, "44.65.0.1".parse().unwrap()).unwrap();
    assert_eq!((network.to_string().as_str(), place.latitude), ("44.64.0.0/10", 41.9));
    assert!(Geo::lookup(&reader, "45.0.0.1".parse().unwrap()).is_none());

    let plan = plan(
        "zones: {z.example: {nameservers: [ns.z.example], contact: c.z.example}}\n\
         clusters:\n  ams: {location: {latitude: 52.37, longitude: 4.90}}\n  fra: {location: {latitude: 50.11, longitude: 8.68}}\n  \
         nyc: {location: {latitude: 40.71, longitude: -74.01}}\n\
         client_map: {44.0.7.0/24: [nyc]}\n\
         routes:\n  w.z.example: {pool: [{cluster: ams, addresses: [192.0.2.1]}, {cluster: fra, addresses: [192.0.2.2]}, {cluster: nyc, addresses: [192.0.2.3]}]}\n",
    );
    let snapshot = Snapshot::compile(&plan, Some(&reader), KEY).unwrap();
    let health = Health::new(&snapshot);
    let ask = |client: &str| {
        let client: IpAddr = client.parse().unwrap();
        let why = explain(&snapshot, &health, &"w.z.example".parse().unwrap(), 1, client, true, &BTreeMap::new());
        let decided = why.decided.unwrap();
        (decided.pool[0].cluster.to_string(), decided.basis, decided.scope)
    };
    assert_eq!(ask("44.32.0.1"), ("ams".into(), Basis::Location, 11));
    assert_eq!(ask("44.65.0.1"), ("nyc".into(), Basis::Location, 10));
    assert_eq!(ask("44.130.0.1"), ("fra".into(), Basis::Location, 12));
    assert_eq!(ask("44.0.7.9"), ("nyc".into(), Basis::ClientMap, 24));
    assert_eq!(ask("44.0.6.9"), ("ams".into(), Basis::Location, 24));
    assert_eq!(ask("45.0.0.1").1, Basis::Weight);
}
