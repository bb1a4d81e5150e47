use super::*;
use crate::tests::fixture::{ROUTE, cluster, domain, plan, query};
use hickory_proto::rr::RecordType;
use std::sync::Arc;
use waggle_dns::{Snapshot, Transport};
use waggle_model::Timestamp;

fn serving(generation: u64, clusters: &[(&str, &str)]) -> Arc<Serving> {
    Arc::new(Serving::new(Snapshot::compile(&plan(generation, clusters), None, [7; 16]).unwrap()))
}

fn ask(serving: &Serving, times: usize) {
    let query = query(ROUTE, RecordType::A).to_vec().unwrap();
    for _ in 0..times {
        let source = "192.0.2.1:1000".parse().unwrap();
        serving.answer(&query, source, Transport::Udp, Timestamp(1), &mut [0; 1280]).unwrap();
    }
}

const TWO: [(&str, &str); 2] = [("eu-1", "192.0.2.1"), ("us-1", "192.0.2.2")];

#[test]
fn rates_follow_what_is_asked_and_tell_wish_from_answer() {
    let serving = serving(1, &TWO);
    let (mut meter, mut now) = (Meter::default(), Instant::now());
    meter.turn(&serving, now);
    assert!(meter.told(&serving).is_empty(), "nobody asked");
    for second in 0..40 {
        ask(&serving, 20);
        if second == 20 {
            serving.health.set(0, 0b10, u32::MAX);
        }
        now += Duration::from_secs(1);
        meter.turn(&serving, now);
    }
    let told = meter.told(&serving);
    let (eu, us) = (told[0].clusters[&cluster("eu-1")], told[0].clusters[&cluster("us-1")]);
    assert_eq!((told[0].route.clone(), eu.demand, us.demand), (domain(ROUTE), 20.0, 0.0));
    assert!(eu.answers < 4.0 && us.answers > 16.0, "{eu:?} {us:?}");
    assert_eq!(told[0].orders[0].clusters, [cluster("eu-1"), cluster("us-1")]);
    assert_eq!(told[0].clients[0].prefix.to_string(), "192.0.2.0/24");
}

#[test]
fn a_new_plan_with_another_pool_begins_anew() {
    let (old, new) = (serving(1, &TWO), serving(2, &[("ap-1", "192.0.2.3"), ("eu-1", "192.0.2.1")]));
    let (mut meter, now) = (Meter::default(), Instant::now());
    meter.turn(&old, now);
    ask(&old, 100);
    meter.turn(&old, now + Duration::from_secs(1));
    meter.turn(&old, now + Duration::from_secs(2));
    assert!(!meter.told(&old).is_empty());
    new.ledger.tally().absorb(&new.snapshot, old.ledger.tally(), &old.snapshot);
    meter.turn(&new, now + Duration::from_secs(3));
    assert!(meter.told(&new).is_empty(), "{:?}", meter.told(&new));
}
