//! The answer path allocates nothing, and nothing that clients send makes its counters grow.

#![allow(unsafe_code, reason = "a global allocator can only be written with unsafe; it forwards to the system's")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use support::{NOW, Query, Server, plan};
use waggle_dns::{Transport, answer};

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
    /// Octets taken and not given back.
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: every call goes to `System` unchanged; counting touches only a thread-local integers that need no allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        LIVE.set(LIVE.get() + layout.size() as isize);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get() - layout.size() as isize);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn no_allocation_per_query() {
    let server = Server::new(&plan(
        r#"
zones:
  shop.example:
    nameservers: [ns1.shop.example]
    contact: hostmaster.shop.example
    records:
      - {name: mail.shop.example, type: A, values: [192.0.2.25]}
      - {name: alias.shop.example, type: CNAME, values: [www]}
clusters: {ams: {}, fra: {}, nyc: {}}
client_map: {10.1.0.0/16: [fra], 10.1.7.0/24: [nyc]}
routes:
  www.shop.example:
    https: {alpn: [h2, h3]}
    pool: [{cluster: ams, addresses: [192.0.2.1]}, {cluster: fra, addresses: [192.0.2.2]}]
  share.shop.example:
    policy: {weighted: {ams: 2}}
    pool: [{cluster: ams, addresses: [192.0.2.1]}, {cluster: nyc, addresses: [192.0.2.2]}]
"#,
    ));
    let many_labels = "a.".repeat(110) + "shop.example";
    let subnet = "10.1.7.0".parse().unwrap();
    let mut queries: Vec<Vec<u8>> = ["www", "share", "mail", "alias", "nothing"]
        .map(|name| format!("{name}.shop.example"))
        .iter()
        .map(|name| Query::new(name, 1).subnet(subnet, 24).bytes())
        .collect();
    queries.push(Query::new(&many_labels, 1).bytes());
    queries.push(Query::new("www.shop.example", 15).bytes());
    queries.push(Query::new("www.shop.example", 65).subnet(subnet, 24).bytes());
    queries.push(Query::new("other.example", 1).bytes());
    queries.push(vec![0; 40]);
    let source = "192.0.2.53:5353".parse().unwrap();
    let mut out = [0; 1500];
    for query in &queries {
        let before = COUNT.get();
        let len =
            answer(&server.snapshot, &server.health, &server.ledger, query, source, Transport::Udp, NOW, &mut out);
        let after = COUNT.get();
        assert!(len.is_some());
        assert_eq!(after - before, 0, "{query:?}");
    }
    let before = COUNT.get();
    drop(std::hint::black_box(vec![1u8]));
    assert!(COUNT.get() > before, "the counter counts");
}

/// A million client subnets, each asking for a name of its own, and everything that is known about them read at the end.
#[test]
fn a_million_clients_leave_less_than_a_mebibyte() {
    let server = Server::new(&plan(
        r#"
zones: {z.example: {nameservers: [ns.z.example], contact: c.z.example}}
clusters: {ams: {}, fra: {}, nyc: {weight: 2}}
client_map: {44.0.0.0/8: [fra], 45.0.0.0/8: [nyc, ams]}
routes:
  "*.z.example":
    pool: [{cluster: ams, addresses: [192.0.2.1]}, {cluster: fra, addresses: [192.0.2.2]}, {cluster: nyc, addresses: [192.0.2.3]}]
"#,
    ));
    let source = "192.0.2.53:5353".parse().unwrap();
    let mut out = [0; 1500];
    let before = LIVE.get();
    let mut query = Query::new("00000000.z.example", 1).subnet("44.0.0.0".parse().unwrap(), 24).bytes();
    let subnet = query.len() - 3;
    for n in 0..1_000_000u32 {
        let random = n.wrapping_mul(0x9e37_79b9).to_be_bytes();
        for (at, octet) in random.iter().enumerate() {
            query[13 + 2 * at] = b'a' + (octet >> 4);
            query[14 + 2 * at] = b'a' + (octet & 15);
        }
        query[subnet..].copy_from_slice(&random[..3]);
        let Server { snapshot, health, ledger } = &server;
        assert!(answer(snapshot, health, ledger, &query, source, Transport::Udp, NOW, &mut out).is_some());
    }
    let tally = server.ledger.tally();
    let (figures, clients) = (tally.read(&server.snapshot, 0), tally.clients(0));
    let grown = LIVE.get() - before;
    assert!(grown < 1 << 20, "{grown} octets more");
    assert_eq!(figures.answers.iter().sum::<u64>(), 1_000_000);
    assert_eq!(figures.asked.iter().sum::<u64>(), 1_000_000);
    assert!(clients.len() <= 64 * 8, "{}", clients.len());
}
