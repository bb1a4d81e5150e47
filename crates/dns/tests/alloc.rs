//! The answer path allocates nothing.

#![allow(unsafe_code, reason = "a global allocator can only be written with unsafe; it forwards to the system's")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use support::{NOW, Query, Server, plan};
use waggle_dns::{Transport, answer};

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to `System` unchanged; counting touches only a thread-local integer that needs no allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
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
