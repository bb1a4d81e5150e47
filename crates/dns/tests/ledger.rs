//! The ledger survives a change of snapshots.

mod support;

use support::{NOW, Query, Server, plan};
use waggle_dns::{Ledger, Transport};

/// Whoever caches an HTTPS answer comes to the cluster it names, so a drain waits for it.
#[test]
fn an_https_answer_counts_with_its_ttl() {
    let server = Server::new(&plan(
        "zones: {z.example: {nameservers: [ns.z.example], contact: c.z.example}}\nclusters: {a: {}, b: {}}\n\
         routes:\n  w.z.example: {ttl: 30, https: {}, policy: {failover: [b, a]}, pool: [\
         {cluster: a, addresses: [192.0.2.1]}, {cluster: b, addresses: [192.0.2.2]}]}\n",
    ));
    assert!(server.ledger.entries(&server.snapshot).is_empty());
    server.ask(&Query::new("w.z.example", 65).bytes(), "192.0.2.9:53".parse().unwrap(), Transport::Udp).unwrap();
    let entries = server.ledger.entries(&server.snapshot);
    let show: Vec<_> = entries.iter().map(|e| (e.cluster.as_str(), e.cached_until.since(NOW).as_secs())).collect();
    assert_eq!(show, [("b", 30)]);
}

#[test]
fn entries_move_to_the_next_snapshot() {
    let zone = "zones: {z.example: {nameservers: [ns.z.example], contact: c.z.example}}\nclusters: {a: {}, b: {}}\n";
    let before = Server::new(&plan(&format!(
        "{zone}routes:\n  w.z.example: {{ttl: 30, pool: [{{cluster: b, addresses: [192.0.2.2]}}]}}\n  \
         x.z.example: {{pool: [{{cluster: b, addresses: [192.0.2.2]}}]}}\n"
    )));
    for name in ["w.z.example", "x.z.example"] {
        before.ask(&Query::new(name, 1).bytes(), "192.0.2.9:53".parse().unwrap(), Transport::Udp).unwrap();
    }
    let old = before.ledger.entries(&before.snapshot);
    assert_eq!(old.len(), 2);

    let after = Server::new(&plan(&format!(
        "{zone}routes:\n  w.z.example: {{pool: [{{cluster: a, addresses: [192.0.2.1]}}, \
         {{cluster: b, addresses: [192.0.2.2], drained: rollout}}]}}\n"
    )));
    let ledger: &Ledger = &after.ledger;
    let homeless = ledger.absorb(&after.snapshot, &old);
    assert_eq!(homeless.len(), 1);
    assert_eq!(homeless[0].route.as_str(), "x.z.example");
    let _ = ledger.absorb(&after.snapshot, &old);
    after.ask(&Query::new("w.z.example", 1).bytes(), "192.0.2.9:53".parse().unwrap(), Transport::Udp).unwrap();
    let entries = ledger.entries(&after.snapshot);
    let show: Vec<_> = entries.iter().map(|e| (e.cluster.as_str(), e.cached_until.since(NOW).as_secs())).collect();
    assert_eq!(show, [("a", 5), ("b", 30)]);
}
