use super::*;
use crate::querylog::entry::tests::{sampled, with_subnet};
use crate::state::Serving;
use crate::tests::fixture::{ROUTE, plan, query};
use hickory_proto::rr::RecordType;

fn serving() -> Serving {
    let mut plan = plan(1, &[("eu-1", "192.0.2.1"), ("us-1", "192.0.2.2")]);
    let us = ["us-1".parse().unwrap()].to_vec();
    plan.client_map = [("198.51.100.0/24".parse().unwrap(), us)].into();
    plan.routes.values_mut().for_each(|route| route.policy = Default::default());
    Serving::new(Snapshot::compile(&plan, None, [7; 16]).unwrap())
}

fn ask(serving: &Serving, recent: &mut Recent, at: u64, subnet: &str, weight: u32) {
    let query = with_subnet(query(ROUTE, RecordType::A), subnet);
    let sampled = Sampled { at: Timestamp(at), weight, ..sampled(serving, &query, "203.0.113.53:4711") };
    assert!(recent.take(&serving.snapshot, &sampled).is_some());
}

fn told(recent: &mut Recent, at: u64) -> Option<QuerySamples> {
    recent.told(&"ns-1".parse().unwrap(), Timestamp(at))
}

#[test]
fn clients_are_told_with_their_order_and_their_rate() {
    let (serving, mut recent) = (serving(), Recent::default());
    assert_eq!(told(&mut recent, 0), None);
    for (at, subnet, weight) in [(0, "198.51.100.0/24", 1), (1000, "44.1.2.77/32", 10), (2000, "198.51.100.0/24", 7)] {
        ask(&serving, &mut recent, at, subnet, weight);
    }
    let said = told(&mut recent, 4000).unwrap();
    assert_eq!((said.window_ms, said.samples, said.routes.len()), (4000, 3, 1));
    let route = &said.routes[0];
    let mut lines: Vec<String> = route
        .clients
        .iter()
        .map(|one| format!("{} {:?} {}", one.client, route.orders[one.order as usize], one.per_second))
        .collect();
    lines.sort();
    let order: Vec<ClusterName> = ["us-1", "eu-1"].map(|name| name.parse().unwrap()).into();
    assert_eq!(lines, [format!("198.51.100.0/24 {order:?} 2"), "44.1.2.0/24 [] 2.5".to_owned()]);
    // What is too old to say anything goes, and its keys with it.
    assert_eq!(told(&mut recent, 2000 + 600_001), None);
    assert!(recent.keys.is_empty());
}

#[test]
fn however_many_clients_there_are_the_sum_is_told_within_bounds() {
    let (serving, mut recent) = (serving(), Recent::default());
    for n in 0..2 * KEPT_MAX as u32 {
        ask(&serving, &mut recent, u64::from(n), &format!("44.{}.{}.0/24", n >> 8, n & 255), 1 + n % 3);
    }
    ask(&serving, &mut recent, 9000, "198.51.100.0/24", 100_000);
    let said = told(&mut recent, 9000).unwrap();
    assert_eq!((said.samples as usize, said.routes[0].clients.len()), (KEPT_MAX, SAMPLED_CLIENTS_MAX));
    let heavy = said.routes[0].clients.iter().find(|one| one.client.to_string() == "198.51.100.0/24").unwrap();
    let seconds = said.window_ms as f64 / 1000.0;
    assert!((heavy.per_second * seconds - 100_000.0).abs() < 1.0, "{heavy:?}");
    let rest: f64 = said.routes[0].clients.iter().map(|one| one.per_second * seconds).sum::<f64>() - 100_000.0;
    assert!((rest - 2.0 * KEPT_MAX as f64).abs() < 0.1 * 2.0 * KEPT_MAX as f64, "{rest}");
    let json = serde_json::to_vec(&said).unwrap();
    assert!(json.len() < waggle_model::traffic::SAMPLES_BYTES_MAX / 8, "{} octets", json.len());
    assert_eq!(recent.keys.len(), 2);
}
