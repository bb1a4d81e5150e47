use super::*;
use crate::tests::fixture::{ROUTE, cluster, domain, plan, query};
use hickory_proto::rr::RecordType;

const NOW: Timestamp = Timestamp(1_000_000);

fn serving(plan: &waggle_model::plan::RoutePlan) -> Arc<Serving> {
    Arc::new(Serving::new(Snapshot::compile(plan, None, [7; 16]).unwrap()))
}

fn ask(serving: &Serving) {
    let query = query(ROUTE, RecordType::A).to_vec().unwrap();
    let source = "192.0.2.1:1000".parse().unwrap();
    assert!(serving.answer(&query, source, Transport::Udp, NOW, &mut [0; 1280]).is_some());
}

fn entry(name: &str) -> LedgerEntry {
    LedgerEntry { route: domain(ROUTE), cluster: cluster(name), cached_until: Timestamp(NOW.0 + 30_000) }
}

#[test]
fn the_ledger_is_carried_over_by_names() {
    let state = Arc::new(State::default());
    let mut swapper = Swapper::new(state.clone());
    let now = Instant::now();
    swapper.swap(serving(&plan(1, &[("eu-1", "192.0.2.1"), ("us-1", "192.0.2.2")])), now);
    ask(&state.get().unwrap());
    assert_eq!(swapper.ledger(), [entry("eu-1")]);

    // A new first cluster shifts every position.
    swapper.swap(serving(&plan(2, &[("us-1", "192.0.2.2"), ("ap-1", "192.0.2.3"), ("eu-1", "192.0.2.1")])), now);
    assert_eq!(swapper.ledger(), [entry("eu-1")]);

    // The cluster leaves the plan and comes back; meanwhile its entry is still true.
    swapper.swap(serving(&plan(3, &[("us-1", "192.0.2.2")])), now);
    assert_eq!(swapper.ledger(), [entry("eu-1")]);
    swapper.swap(serving(&plan(4, &[("us-1", "192.0.2.2"), ("eu-1", "192.0.2.1")])), now);
    assert_eq!(swapper.ledger(), [entry("eu-1")]);
    assert_eq!(swapper.in_force(), Generation(4));
}

#[test]
fn what_a_late_thread_notes_is_not_lost() {
    let state = Arc::new(State::default());
    let mut swapper = Swapper::new(state.clone());
    let now = Instant::now();
    swapper.swap(serving(&plan(1, &[("eu-1", "192.0.2.1"), ("us-1", "192.0.2.2")])), now);
    let late = state.get().unwrap();
    swapper.swap(serving(&plan(2, &[("us-1", "192.0.2.2")])), now);
    assert_eq!(swapper.in_force(), Generation(1), "a thread still answers from it");
    ask(&late);
    assert_eq!(swapper.ledger(), [entry("eu-1")]);
    drop(late);
    assert!(swapper.settle(now));
    assert!(swapper.is_settled());
    assert_eq!(swapper.in_force(), Generation(2));
    assert_eq!(swapper.ledger(), [entry("eu-1")]);
}

#[test]
fn a_stuck_thread_does_not_hold_a_generation_up_for_ever() {
    let state = Arc::new(State::default());
    let mut swapper = Swapper::new(state.clone());
    let now = Instant::now();
    swapper.swap(serving(&plan(1, &[("eu-1", "192.0.2.1")])), now);
    let _stuck = state.get().unwrap();
    swapper.swap(serving(&plan(2, &[("eu-1", "192.0.2.1")])), now);
    assert!(!swapper.settle(now));
    assert!(swapper.settle(now + RETIRE_MAX));
    assert_eq!(swapper.in_force(), Generation(2));
}

#[test]
fn entries_without_a_place_are_forgotten_when_caches_are_empty() {
    let state = Arc::new(State::default());
    let mut swapper = Swapper::new(state.clone());
    swapper.swap(serving(&plan(1, &[("eu-1", "192.0.2.1"), ("us-1", "192.0.2.2")])), Instant::now());
    ask(&state.get().unwrap());
    swapper.swap(serving(&plan(2, &[("us-1", "192.0.2.2")])), Instant::now());
    swapper.forget(NOW);
    assert_eq!(swapper.ledger(), [entry("eu-1")]);
    swapper.forget(Timestamp(NOW.0 + 30_000));
    assert_eq!(swapper.ledger(), []);
}
