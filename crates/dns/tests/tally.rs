//! Counters of questions and answers say what happened, and survive a change of snapshots.

mod support;

use std::net::{IpAddr, Ipv4Addr};
use support::{Query, Server, plan};
use waggle_dns::Transport;

fn server(pool: &str) -> Server {
    Server::new(&plan(&format!(
        "zones: {{z.example: {{nameservers: [ns.z.example], contact: c.z.example}}}}\n\
         clusters: {{a: {{}}, b: {{}}, c: {{}}}}\nclient_map: {{44.1.0.0/16: [b, a, c], 44.2.0.0/16: [c, b, a]}}\n\
         routes: {{w.z.example: {{pool: [{pool}]}}}}\n"
    )))
}

const POOL: &str =
    "{cluster: a, addresses: [192.0.2.1]}, {cluster: b, addresses: [192.0.2.2]}, {cluster: c, addresses: [192.0.2.3]}";

fn ask(server: &Server, client: &str, times: usize) {
    let query = Query::new("w.z.example", 1).subnet(client.parse().unwrap(), 24).bytes();
    for _ in 0..times {
        server.ask(&query, "192.0.2.53:5353".parse().unwrap(), Transport::Udp).unwrap();
    }
}

/// What was asked for, by the names of the ordered clusters.
fn asked(server: &Server) -> Vec<(String, u64)> {
    let route = &server.snapshot.routes()[0];
    let names = |placed: &[u8]| placed.iter().map(|bit| route.pool()[usize::from(*bit)].as_str()).collect::<String>();
    let orders = server.snapshot.orders(route);
    let figures = server.ledger.tally().read(&server.snapshot, 0);
    let mut asked: Vec<_> =
        orders.iter().zip(figures.asked).map(|(order, asked)| (names(&order.placed), asked)).collect();
    asked.sort();
    asked
}

fn pairs(wanted: &[(&str, u64)]) -> Vec<(String, u64)> {
    wanted.iter().map(|(order, count)| ((*order).to_owned(), *count)).collect()
}

#[test]
fn demand_is_by_wish_and_answers_by_what_was_given() {
    let server = server(POOL);
    ask(&server, "44.1.0.0", 3);
    ask(&server, "44.2.0.0", 2);
    ask(&server, "45.0.0.0", 4);
    // The second choice of those who would like b.
    server.health.set(0, 0b101, u32::MAX);
    ask(&server, "44.1.0.0", 5);
    // One cluster left: nothing to choose, but still a wish.
    server.health.set(0, 0b100, u32::MAX);
    ask(&server, "44.1.0.0", 7);
    assert_eq!(asked(&server), pairs(&[("", 4), ("bac", 15), ("cba", 2)]));
    let answers = server.ledger.tally().read(&server.snapshot, 0).answers;
    assert_eq!(answers.iter().sum::<u64>(), 21);
    assert!(answers[0] >= 5 && answers[1] >= 3 && answers[2] >= 9, "{answers:?}");
}

#[test]
fn what_was_counted_moves_to_the_next_snapshot_once() {
    let (old, new) = (server(POOL), server(POOL));
    ask(&old, "44.1.0.0", 3);
    for _ in 0..2 {
        new.ledger.tally().absorb(&new.snapshot, old.ledger.tally(), &old.snapshot);
        // A thread that still answers from the old one.
        ask(&old, "44.2.0.0", 1);
    }
    new.ledger.tally().absorb(&new.snapshot, old.ledger.tally(), &old.snapshot);
    assert_eq!(asked(&new), pairs(&[("", 0), ("bac", 3), ("cba", 2)]));
    assert_eq!(new.ledger.tally().read(&new.snapshot, 0).answers, [0, 3, 2]);
    assert_eq!(new.ledger.tally().clients(0)[0], ("44.1.0.0/24".parse().unwrap(), 3));

    let smaller = server("{cluster: b, addresses: [192.0.2.2]}, {cluster: c, addresses: [192.0.2.3]}");
    smaller.ledger.tally().absorb(&smaller.snapshot, new.ledger.tally(), &new.snapshot);
    assert_eq!(smaller.ledger.tally().read(&smaller.snapshot, 0).answers, [3, 2]);
    assert_eq!(asked(&smaller).iter().map(|(_, count)| count).sum::<u64>(), 0, "other orders");
}

#[test]
fn the_busiest_clients_are_found_in_the_noise() {
    let server = server(POOL);
    for n in 0..40_000u32 {
        ask(&server, &IpAddr::V4(Ipv4Addr::from(n.wrapping_mul(0x9e37_7900) & 0xffff_ff00)).to_string(), 1);
        if n % 10 == 0 {
            ask(&server, "198.51.100.0", 1);
            ask(&server, "203.0.113.0", 2);
        }
    }
    let clients = server.ledger.tally().clients(0);
    let found: Vec<_> = clients.iter().take(2).map(|(net, _)| net.to_string()).collect();
    assert_eq!(found, ["203.0.113.0/24", "198.51.100.0/24"], "{clients:?}");
    assert!(clients[0].1 <= 8_000, "a lower bound");
    server.ledger.tally().age();
    assert_eq!(server.ledger.tally().clients(0)[0].1, clients[0].1 / 2);
}

/// Threads count apart; what is read is the sum, and what is taken over too.
#[test]
fn threads_count_together() {
    let (old, new) = (server(POOL), server(POOL));
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| ask(&old, "44.1.0.0", 50));
        }
    });
    assert_eq!(asked(&old), pairs(&[("", 0), ("bac", 600), ("cba", 0)]));
    new.ledger.tally().absorb(&new.snapshot, old.ledger.tally(), &old.snapshot);
    assert_eq!(asked(&new), pairs(&[("", 0), ("bac", 600), ("cba", 0)]));
    assert_eq!(new.ledger.tally().read(&new.snapshot, 0).answers, [0, 600, 0]);
    // Two threads of one stripe may lose a count of these now and then, and a stripe that is taken over twice.
    assert_eq!(new.ledger.tally().clients(0)[0].0.to_string(), "44.1.0.0/24");
}
