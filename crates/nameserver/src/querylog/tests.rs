//! The log of a whole nameserver over loopback.

use crate::config::{Config, QueryLog, Secret};
use crate::tests::fixture::{ROUTE, ask, config, eventually, plan, query};
use crate::tests::{control, keep, run};
use hickory_proto::rr::RecordType;
use std::path::Path;
use waggle_model::Generation;
use waggle_model::plan::RoutePlan;

fn two() -> RoutePlan {
    plan(1, &[("eu-1", "192.0.2.1"), ("us-1", "192.0.2.2")])
}

fn lines(path: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn every_query_of_a_calm_nameserver_is_a_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queries.jsonl");
    keep(directory.path(), &two());
    let query_log = QueryLog { file: Some(path.clone()), ..QueryLog::default() };
    let running = run(crate::build(Config { query_log, ..config("ns-1", directory.path()) }).unwrap());
    for name in [ROUTE, "nothing.shop.example", ROUTE] {
        ask(running.dns, &query(name, RecordType::A)).await;
    }
    crate::tests::ask_tcp(running.dns, &query(ROUTE, RecordType::A)).await;
    eventually("four lines", || async { lines(&path).len() == 4 }).await;
    let said: Vec<String> = lines(&path)
        .iter()
        .map(|line| {
            format!("{} {} {} {} {}", line["source"], line["transport"], line["name"], line["rcode"], line["weight"])
        })
        .collect();
    let routed = |transport: &str| format!(r#""127.0.0.0/24" "{transport}" "{ROUTE}" "NOERROR" 1"#);
    let missing = r#""127.0.0.0/24" "udp" "nothing.shop.example" "NXDOMAIN" 1"#.to_owned();
    for (wanted, count) in [(routed("udp"), 2), (routed("tcp"), 1), (missing, 1)] {
        assert_eq!(said.iter().filter(|line| **line == wanted).count(), count, "{wanted} in {said:#?}");
    }
    let metrics = running.status.metrics().unwrap();
    for wanted in ["query_samples_total 4", "query_samples_lost_total 0", "query_log_entries_total 4"] {
        assert!(metrics.contains(&format!("waggle_{wanted}")), "{wanted} in\n{metrics}");
    }
    running.end().await;
}

#[tokio::test]
async fn a_full_disk_costs_lines_and_no_answer() {
    let directory = tempfile::tempdir().unwrap();
    keep(directory.path(), &two());
    let query_log = QueryLog { file: Some("/dev/full".into()), ..QueryLog::default() };
    let running = run(crate::build(Config { query_log, ..config("ns-1", directory.path()) }).unwrap());
    for _ in 0..5 {
        assert_eq!(ask(running.dns, &query(ROUTE, RecordType::A)).await.answers.len(), 1);
    }
    eventually("five lines are lost", || {
        let metrics = running.status.metrics().unwrap();
        async move { metrics.contains("waggle_query_log_entries_lost_total 5") }
    })
    .await;
    running.end().await;
}

#[tokio::test]
async fn control_is_told_who_asked_for_what() {
    let directory = tempfile::tempdir().unwrap();
    let mut control = control::start().await;
    let token = Some(Secret::new(control.token.expose()));
    let config = Config { control: vec![control.address.to_string()], token, ..config("ns-1", directory.path()) };
    let running = run(crate::build(config).unwrap());
    control.send(&two());
    control.reported(Generation(1)).await;
    for _ in 0..7 {
        ask(running.dns, &query(ROUTE, RecordType::A)).await;
    }
    let mut told = control.sampled().await;
    while told.samples < 7 {
        told = control.sampled().await;
    }
    let clients: Vec<String> = told.routes[0].clients.iter().map(|one| one.client.to_string()).collect();
    assert_eq!((told.routes[0].route.as_str(), clients), (ROUTE, vec!["127.0.0.0/24".to_owned()]));
    let seconds = told.window_ms as f64 / 1000.0;
    assert!((told.routes[0].clients[0].per_second * seconds - 7.0).abs() < 1e-6, "{told:?}");
    running.end().await;
    control.end().await;
}

#[test]
fn settings_that_cannot_be_are_named() {
    let text = |log: QueryLog| log.check().unwrap_err();
    assert!(text(QueryLog { files: 0, ..QueryLog::default() }).contains("query_log.files is 0, allowed are 1 to 100"));
    assert!(text(QueryLog { file_bytes: 1, ..QueryLog::default() }).contains("query_log.file_bytes is 1, allowed"));
    assert!(text(QueryLog { full_rate: 0, ..QueryLog::default() }).contains("query_log.sample = 0"));
}
