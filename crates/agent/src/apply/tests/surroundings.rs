//! What others do to the swarm meanwhile: drift, lost nodes, an engine that is away, other writers.

use super::*;

#[tokio::test]
async fn version_conflicts_are_met_by_looking_again() {
    let mut bed = Bed::new();
    bed.want(1, 1, &objects(service("shop:1", 1)));
    bed.converge().await;
    bed.fake.conflict(2);
    bed.want(2, 1, &objects(service("shop:2", 1)));
    let report = bed.pass().await;
    assert_eq!(report.error, None);
    assert!(bed.image().await.starts_with("shop:2"), "within one pass");
    bed.converge().await;
}

#[tokio::test]
async fn drift_is_mended() {
    let mut bed = Bed::new();
    bed.want(1, 1, &objects(service("shop:1", 2)));
    bed.converge().await;
    bed.fake.meddle("shop_web", |spec| spec.mode.replicated = Some(Replicated { replicas: Some(1) }));
    bed.pass().await;
    let stack = bed.converge().await;
    assert_eq!(stack.services["web"].running, 2);
}

#[tokio::test]
async fn lost_tasks_and_nodes_are_seen_and_are_no_failure() {
    let mut bed = Bed::new();
    bed.want(1, 1, &objects(service("shop:1", 1)));
    bed.converge().await;
    let writes = bed.fake.writes();
    assert_eq!(bed.fake.kill("shop_web", 1), 1);
    let glanced = glance(&bed.fake, &bed.desired, &mut bed.memory, bed.now).await.unwrap().unwrap();
    assert!(!serving(&glanced.stacks[&"shop".parse().unwrap()]), "seen by the next glance");
    let report = bed.pass().await;
    assert!(matches!(report.observed.stacks[&"shop".parse().unwrap()].phase, Phase::Applying(_)));
    assert!(serving(&bed.converge().await));
    for node in ["n2", "n3", "n1"] {
        bed.fake.set_node(node, false);
    }
    let report = bed.pass().await;
    assert!(!serving(&report.observed.stacks[&"shop".parse().unwrap()]));
    assert_eq!(report.observed.swarm.nodes_down, 3);
    for node in ["n1", "n2", "n3"] {
        bed.fake.set_node(node, true);
    }
    assert!(serving(&bed.converge().await));
    assert_eq!(bed.fake.writes(), writes, "Swarm mended it, not the agent");
}

#[tokio::test]
async fn an_engine_that_is_away_is_reported_and_waited_for() {
    let mut bed = Bed::new();
    bed.want(1, 1, &objects(service("shop:1", 1)));
    bed.converge().await;
    bed.fake.set_reachable(false);
    bed.want(2, 1, &objects(service("shop:2", 1)));
    let observed = bed.pass().await.observed;
    assert!(observed.swarm.error.unwrap().contains("is Docker running?"));
    let stack = &observed.stacks[&"shop".parse().unwrap()];
    assert_eq!((stack.release, serving(stack)), (Some(ReleaseId([2; 32])), true), "last known");
    bed.fake.set_reachable(true);
    bed.fake.set_leader(false);
    assert!(matches!(bed.pass().await.observed.stacks[&"shop".parse().unwrap()].phase, Phase::Applying(_)));
    bed.fake.set_leader(true);
    bed.converge().await;
}

#[tokio::test]
async fn what_is_not_ours_stays() {
    let mut bed = Bed::new();
    let mut foreign = service("blog:1", 1);
    foreign.name = "blog_web".into();
    foreign.labels = [(labels::NAMESPACE.into(), "blog".into())].into();
    foreign.task_template.networks.clear();
    foreign.task_template.container_spec.secrets.clear();
    bed.fake.create_service(&foreign, None).await.unwrap();
    for _ in 0..5 {
        assert_eq!(bed.pass().await.writes, 0);
    }
    assert_eq!(bed.fake.services().await.unwrap().len(), 1);
}
