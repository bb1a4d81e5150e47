use super::*;
use std::net::{IpAddr, Ipv4Addr};

fn name(text: &str) -> ClusterName {
    text.parse().unwrap()
}

fn cluster(region: &str, location: Option<(f64, f64)>, weight: u32) -> PlanCluster {
    let location = location.map(|(latitude, longitude)| Location { latitude, longitude });
    PlanCluster { region: (!region.is_empty()).then(|| region.to_owned()), location, weight, capacity: None }
}

fn fleet() -> BTreeMap<ClusterName, PlanCluster> {
    BTreeMap::from([
        (name("ams"), cluster("eu", Some((52.37, 4.90)), 1)),
        (name("fra"), cluster("eu", Some((50.11, 8.68)), 1)),
        (name("nyc"), cluster("us", Some((40.71, -74.01)), 1)),
        (name("lab"), cluster("eu", None, 1)),
        (name("big"), cluster("", None, 9)),
    ])
}

/// Clusters of which nothing is known for the place stand behind a bar.
fn order(place: Place<'_>) -> (String, Rule) {
    let fleet = fleet();
    let ranked = rank(place, &fleet);
    let mut names: Vec<_> = ranked.order.iter().map(|name| name.as_str()).collect();
    names.insert(ranked.placed, "|");
    (names.join(" "), ranked.rule)
}

#[test]
fn each_rule_in_turn() {
    let listed = [name("nyc"), name("lab")];
    let paris = Some(Location { latitude: 48.86, longitude: 2.35 });
    assert_eq!(order(Place { listed: &listed, location: None }), ("nyc lab ams fra | big".into(), Rule::ClientMap));
    assert_eq!(order(Place { listed: &[], location: paris }), ("ams fra nyc lab | big".into(), Rule::Location));
    assert_eq!(order(Place::default()), ("| big ams fra lab nyc".into(), Rule::Weight));
    let unknown = [name("gone")];
    assert_eq!(order(Place { listed: &unknown, location: None }).1, Rule::Weight);
}

#[test]
fn distances_are_right() {
    let (ams, nyc) = (fleet()[&name("ams")].location.unwrap(), fleet()[&name("nyc")].location.unwrap());
    assert!((kilometres(ams, nyc) - 5863.0).abs() < 10.0, "{}", kilometres(ams, nyc));
    assert_eq!(kilometres(ams, ams), 0.0);
    let (west, east) = (Location { latitude: 0.0, longitude: -179.9 }, Location { latitude: 0.0, longitude: 179.9 });
    assert!(kilometres(west, east) < 30.0);
}

#[test]
fn failover_keeps_the_order_given() {
    let pool = [name("a"), name("b"), name("c"), name("d")];
    assert_eq!(failover(&pool, &[name("c"), name("x"), name("a")]), [2, 0, 1, 3]);
    assert_eq!(failover(&pool, &[]), [0, 1, 2, 3]);
}

fn clients() -> impl Iterator<Item = ClientKey> {
    (0..20_000u32).map(|n| ClientKey::new(IpAddr::V4(Ipv4Addr::from(n << 8))))
}

#[test]
fn weights_are_shares() {
    let pool = [("a", 1), ("b", 2), ("c", 5), ("off", 0)].map(|(n, w)| Candidate::new(&name(n), w));
    let mut counts = [0u32; 4];
    for client in clients() {
        counts[weighted(client, &pool)[0]] += 1;
    }
    assert_eq!(counts[3], 0);
    for (at, share) in [(0, 1.0 / 8.0), (1, 2.0 / 8.0), (2, 5.0 / 8.0)] {
        let got = f64::from(counts[at]) / 20_000.0;
        assert!((got - share).abs() < 0.015, "{at}: {got} of {share}");
    }
}

#[test]
fn more_weight_only_attracts() {
    let before = [("a", 1), ("b", 2), ("c", 5)].map(|(n, w)| Candidate::new(&name(n), w));
    let after = [("a", 1), ("b", 4), ("c", 5)].map(|(n, w)| Candidate::new(&name(n), w));
    for client in clients() {
        let (was, is) = (weighted(client, &before)[0], weighted(client, &after)[0]);
        assert!(was == is || is == 1);
    }
}

#[test]
fn clients_of_one_prefix_stay_together() {
    let one = |text: &str| ClientKey::new(text.parse().unwrap());
    assert_eq!(one("192.0.2.1"), one("192.0.2.255"));
    assert_ne!(one("192.0.2.1"), one("192.0.3.1"));
    assert_eq!(one("2001:db8:0:12::1"), one("2001:db8:0:34:ffff::"));
    assert_ne!(one("2001:db8:0:100::1"), one("2001:db8:0:200::1"));
}

#[test]
fn a_share_takes_that_part_and_raising_it_only_attracts() {
    let cluster = Candidate::new(&name("a"), 3);
    for part in [0.0, 0.1, 0.5, 0.9, 1.0] {
        let share = Share::of(part);
        let taken = clients().filter(|client| share.admits(*client, &cluster, true)).count();
        assert!((taken as f64 / 20_000.0 - part).abs() < 0.015, "{taken} of {part}");
        let more = Share::of(part + 0.05);
        assert!(clients().all(|client| !share.admits(client, &cluster, false) || more.admits(client, &cluster, false)));
    }
}

/// Of the clients that one cluster refuses, the next takes the part that its share says: the hashes know nothing of each
/// other, nor of the weighted order.
#[test]
fn shares_of_two_clusters_and_weights_are_independent() {
    let pool = [("a", 1), ("b", 1)].map(|(n, w)| Candidate::new(&name(n), w));
    let half = Share::of(0.5);
    let refused: Vec<_> = clients().filter(|client| !half.admits(*client, &pool[0], true)).collect();
    let taken = refused.iter().filter(|client| half.admits(**client, &pool[1], true)).count();
    assert!((taken as f64 / refused.len() as f64 - 0.5).abs() < 0.02);
    let own: Vec<_> = clients().filter(|client| weighted(*client, &pool)[0] == 0).collect();
    let taken = own.iter().filter(|client| half.admits(**client, &pool[0], true)).count();
    assert!((taken as f64 / own.len() as f64 - 0.5).abs() < 0.02);
}

#[test]
fn a_share_is_one_word() {
    for share in [Share::FULL, Share::of(0.3), Share { home: 1, guests: 65_534 }] {
        assert_eq!(Share::from_word(share.to_word()), share);
    }
    assert_eq!(Share { home: 32_768, guests: 6_554 }.to_string(), "50 % of its clients and 10 % of others'");
}
