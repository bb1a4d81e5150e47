//! What is not written: it waits, or it fails first.

use super::*;
use waggle_stack::ApiVersion;
use waggle_stack::objects::service::Healthcheck;

#[tokio::test]
async fn a_secret_without_its_bytes_is_waited_for_before_anything_is_written() {
    let mut bed = Bed::new();
    let payloads = std::mem::take(&mut bed.payloads);
    bed.want(1, 1, &objects(service("shop:1", 1)));
    let report = bed.pass().await;
    let phase = &report.observed.stacks[&"shop".parse().unwrap()].phase;
    assert!(matches!(phase, Phase::Applying(why) if why.contains("secret shop_key")), "{phase:?}");
    assert_eq!(bed.fake.writes(), 0);
    bed.payloads = payloads;
    bed.converge().await;
}

#[tokio::test]
async fn what_no_write_can_bring_about_fails_at_once_with_nothing_written() {
    let mut bed = Bed::new();
    let mut wanted = objects(service("shop:1", 1));
    wanted.networks.insert("dmz".into(), Network::External);
    bed.want(1, 1, &wanted);
    assert!(bed.fail().await.contains("external network dmz does not exist"));
    assert_eq!(bed.fake.writes(), 0);
}

#[tokio::test]
async fn what_the_engine_is_too_old_for_fails_before_the_first_write() {
    let mut bed = Bed::new();
    let mut spec = service("shop:1", 1);
    spec.task_template.container_spec.healthcheck =
        Some(Healthcheck { test: vec!["CMD".into()], start_interval: 1_000_000_000, ..Healthcheck::default() });
    bed.want(1, 1, &objects(spec.clone()));
    let why = bed.fail().await;
    for part in ["service web: healthcheck.start_interval", "API 1.44", "has 1.41", "leave it out"] {
        assert!(why.contains(part), "{why}");
    }
    assert_eq!(bed.fake.writes(), 0);
    bed.fake.set_api_version(ApiVersion(1, 44));
    bed.want(1, 2, &objects(spec));
    bed.converge().await;
    let writes = bed.fake.writes();
    bed.pass().await;
    assert_eq!(bed.fake.writes(), writes, "as wanted");
}

#[tokio::test]
async fn what_the_cluster_does_not_allow_fails_before_the_first_write() {
    let mut bed = Bed::new();
    let mut spec = service("shop:1", 1);
    spec.task_template.container_spec.capability_add = vec!["CAP_SYS_ADMIN".into()];
    bed.want(1, 1, &objects(spec.clone()));
    let why = bed.fail().await;
    assert!(why.contains("service web: cap_add: CAP_SYS_ADMIN") && why.contains("[\"CAP_SYS_ADMIN\"]"), "{why}");
    assert_eq!(bed.fake.writes(), 0);
    bed.policy.capabilities = vec!["SYS_ADMIN".into()];
    bed.want(1, 2, &objects(spec));
    bed.converge().await;
    // What runs goes on when the policy becomes stricter; only a change is refused.
    bed.policy = Policy::default();
    for _ in 0..5 {
        bed.pass().await;
    }
    bed.converge().await;
}
