//! Sampling takes no memory per query, and nothing that clients send makes what is remembered grow.

#![allow(unsafe_code, reason = "a global allocator can only be written with unsafe; it forwards to the system's")]

use serde_json::json;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use waggle_dns::{Snapshot, Transport};
use waggle_model::Timestamp;
use waggle_nameserver::config::QueryLog;
use waggle_nameserver::querylog::Samples;
use waggle_nameserver::querylog::recent::{KEPT_MAX, Recent};
use waggle_nameserver::serve::Asked;
use waggle_nameserver::state::Serving;

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
    /// Octets taken and not given back.
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: every call goes to `System` unchanged; counting touches only thread-local integers that need no allocation.
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

fn serving() -> Serving {
    let cluster = json!({ "region": null, "location": null, "weight": 1 });
    let endpoint = |cluster: &str, address: &str| json!({ "cluster": cluster, "addresses": [address], "drained": null, "release": null });
    let plan = json!({
        "generation": 1, "issued": 0, "nameservers": [], "health": {},
        "client_map": { "44.0.0.0/8": ["fra"], "45.0.0.0/8": ["nyc", "ams"] },
        "zones": { "z.example": { "nameservers": ["ns.z.example"], "contact": "c.z.example" } },
        "clusters": { "ams": cluster, "fra": cluster, "nyc": cluster },
        "routes": { "*.z.example": { "stack": "z", "policy": "nearest", "ttl": 5, "check": null, "all_down": "last_good",
            "pool": [endpoint("ams", "192.0.2.1"), endpoint("fra", "192.0.2.2"), endpoint("nyc", "192.0.2.3")] } },
    });
    let plan = serde_json::from_value(plan).unwrap();
    Serving::new(Snapshot::compile(&plan, None, [7; 16]).unwrap())
}

/// A for `xxxxxxxx.z.example` with the client subnet a.b.c.0/24, both out of `random`.
fn query(random: [u8; 4]) -> Vec<u8> {
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 8];
    query.extend(random.iter().flat_map(|octet| [b'a' + (octet >> 4), b'a' + (octet & 15)]));
    query.extend(b"\x01z\x07example\0\0\x01\0\x01");
    query.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 11, 0, 8, 0, 7, 0, 1, 24, 0, random[0], random[1], random[2]]);
    query
}

#[test]
fn a_million_clients_with_every_query_sampled_leave_less_than_a_mebibyte() {
    let (serving, mut recent) = (serving(), Recent::default());
    let samples = Samples::new(&QueryLog { sample: 1, ..QueryLog::default() }, 1);
    let mut sampler = samples.sampler(0);
    let source: SocketAddr = "192.0.2.53:5353".parse().unwrap();
    let mut out = [0; 1280];
    let (before, mut read) = (LIVE.get(), 0);
    for n in 0..1_000_000u32 {
        let now = Timestamp(1_000_000 + u64::from(n) / 100);
        let query = query(n.wrapping_mul(0x9e37_79b9).to_be_bytes());
        let taken = COUNT.get();
        let drawn = sampler.draw(now);
        let length = serving.answer(&query, source, Transport::Udp, now, &mut out).unwrap();
        let asked = Asked { query: &query, source, transport: Transport::Udp, now };
        sampler.keep(drawn.expect("each is sampled"), &asked, &out[..length]);
        assert_eq!(COUNT.get(), taken, "query {n}");
        if n % 100 == 99 {
            read += samples.drain().filter(|sampled| recent.take(&serving.snapshot, sampled).is_some()).count();
        }
    }
    let name = "ns-1".parse().unwrap();
    let told = recent.told(&name, Timestamp(1_010_000)).unwrap();
    assert_eq!((read, samples.counts(), told.samples), (1_000_000, (1_000_000, 0), KEPT_MAX as u64));
    drop(told);
    let grown = LIVE.get() - before;
    assert!(grown < 1 << 20, "{grown} octets more");
}
