//! What is remembered between passes and over a restart of the agent.

use super::*;

#[tokio::test]
async fn an_older_generation_is_refused() {
    let mut bed = Bed::new();
    bed.want(1, 1, &objects(service("shop:1", 1)));
    bed.converge().await;
    let newest = bed.desired.generation;
    bed.want(2, 1, &objects(service("shop:2", 1)));
    bed.desired.generation = Generation(newest.0 - 1);
    let writes = bed.fake.writes();
    let report = bed.pass().await;
    assert!(report.error.unwrap().contains("older"));
    assert_eq!(report.observed.generation, newest);
    assert_eq!(bed.fake.writes(), writes);
}

#[tokio::test]
async fn a_failed_attempt_is_remembered_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut bed = Bed::new();
    bed.restart(dir.path());
    bed.want(1, 1, &objects(service("shop:1", 2)));
    bed.converge().await;
    bed.fake.script("shop:2", Behaviour::Unhealthy);
    bed.want(2, 1, &objects(service("shop:2", 2)));
    let why = bed.fail().await;
    let writes = bed.fake.writes();
    bed.restart(dir.path());
    bed.payloads = Payloads::default();
    for _ in 0..20 {
        bed.pass().await;
    }
    assert_eq!(bed.fail().await, why);
    assert_eq!(bed.fake.writes(), writes);
}

#[tokio::test]
async fn a_restart_in_calm_finds_all_converged_without_payloads() {
    let dir = tempfile::tempdir().unwrap();
    let mut bed = Bed::new();
    bed.restart(dir.path());
    bed.want(1, 1, &objects(service("shop:1", 2)));
    bed.converge().await;
    bed.restart(dir.path());
    bed.payloads = Payloads::default();
    let report = bed.pass().await;
    assert_eq!(report.observed.stacks[&"shop".parse().unwrap()].phase, Phase::Converged);
    assert_eq!(report.writes, 0);
}
