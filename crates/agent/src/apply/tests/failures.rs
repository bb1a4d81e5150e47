//! Releases that cannot work: each ends within its deadline and says what, where, why, and the way out.

use super::*;
use waggle_stack::objects::service::{Reservation, Resources};

/// What a release of the shop fails with.
async fn failure(bed: &mut Bed, spec: ServiceSpec) -> String {
    bed.want(1, 1, &objects(spec));
    let began = bed.now;
    let why = bed.fail().await;
    assert!(bed.now.since(began) <= Duration::from_secs(62), "{why}");
    why
}

fn says(why: &str, parts: &[&str]) {
    for part in parts {
        assert!(why.contains(part), "{part:?} is not in: {why}");
    }
}

#[tokio::test]
async fn tasks_that_do_not_run() {
    let exits = Behaviour::Exits { after: Duration::from_millis(10), code: 7 };
    for (behaviour, parts) in [
        (Behaviour::Missing, ["web: 0 of 1 tasks running", "No such image: shop:1", "reach the registry"]),
        (Behaviour::Unhealthy, ["unhealthy container", Fake::HEALTH_OUTPUT.lines().next().unwrap(), "`start_period`"]),
        (exits, ["web: 0 of 1", "non-zero exit (7)", "see the service's log"]),
    ] {
        let mut bed = Bed::new();
        bed.fake.script("shop:1", behaviour);
        says(&failure(&mut bed, service("shop:1", 1)).await, &parts);
    }
}

#[tokio::test]
async fn tasks_that_fit_nowhere() {
    let mut bed = Bed::new();
    let mut nowhere = service("shop:1", 1);
    nowhere.task_template.placement.get_or_insert_default().constraints = vec!["node.hostname == nowhere".into()];
    let parts = ["scheduling constraints not satisfied on 3 nodes", "`deploy.placement.constraints`"];
    says(&failure(&mut bed, nowhere).await, &parts);

    let mut bed = Bed::new();
    ["n1", "n2", "n3"].iter().for_each(|node| bed.fake.set_memory(node, 1 << 20));
    let mut large = service("shop:1", 4);
    let reservations = Some(Reservation { memory_bytes: 1 << 20, ..Reservation::default() });
    large.task_template.resources = Some(Resources { reservations, ..Resources::default() });
    let parts = ["web: 3 of 4 tasks running", "insufficient resources on 3 nodes", "`deploy.resources.reservations`"];
    says(&failure(&mut bed, large).await, &parts);

    let mut bed = Bed::new();
    let mut limited = service("shop:1", 4);
    limited.task_template.placement.get_or_insert_default().max_replicas = 1;
    says(&failure(&mut bed, limited).await, &["max replicas per node", "`deploy.placement.max_replicas_per_node`"]);

    let mut bed = Bed::new();
    let mut host = service("shop:1", 4);
    host.endpoint_spec.as_mut().unwrap().ports[0].publish_mode = "host".into();
    says(&failure(&mut bed, host).await, &["host-mode port already in use on 3 nodes", "free it"]);
}

#[tokio::test]
async fn a_port_of_another_service_fails_at_once() {
    let mut bed = Bed::new();
    let mut other = service("other:1", 1);
    other.name = "other_web".into();
    other.labels = own("other");
    other.task_template.networks.clear();
    other.task_template.container_spec.secrets.clear();
    bed.fake.create_service(&other, None).await.unwrap();
    let began = bed.now;
    let why = failure(&mut bed, service("shop:1", 1)).await;
    says(
        &why,
        &["create service shop_web", "port '8080' is already in use by service 'other_web'", "publish another port"],
    );
    assert!(bed.now.since(began) <= Duration::from_secs(1));
}

#[tokio::test]
async fn tasks_of_an_older_spec_are_not_blamed() {
    let mut bed = Bed::new();
    bed.fake.script("shop:1", Behaviour::Exits { after: Duration::from_secs(20), code: 9 });
    bed.want(1, 1, &objects(service("shop:1", 2)));
    bed.converge().await;
    bed.fake.script("shop:2", Behaviour::Hangs);
    bed.want(2, 1, &objects(service("shop:2", 2)));
    let why = bed.fail().await;
    assert!(!why.contains("(9)"), "{why}");
}
