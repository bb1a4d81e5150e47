//! The simulated swarm by itself.

use super::*;
use waggle_stack::objects::service::{Empty, Mode, Replicated, UpdateConfig};

fn spec(image: &str, replicas: u64) -> ServiceSpec {
    let mut spec = ServiceSpec { name: "web".into(), ..ServiceSpec::default() };
    spec.task_template.container_spec.image = image.into();
    spec.mode = Mode { replicated: Some(Replicated { replicas: Some(replicas) }), ..Mode::default() };
    spec.update_config =
        Some(UpdateConfig { parallelism: 1, failure_action: "rollback".into(), ..UpdateConfig::default() });
    spec
}

fn at(seconds: u64) -> Timestamp {
    Timestamp(seconds * 1000)
}

async fn running(fake: &Fake, image: &str) -> usize {
    let tasks = fake.tasks().await.unwrap();
    tasks.iter().filter(|task| task.image == image && task.state == "running" && task.desired == "running").count()
}

/// Everything that can be seen, as text.
async fn history(seed: u64) -> String {
    let fake = Fake::new("s", 3, seed, at(0));
    fake.script("b", Behaviour::Unhealthy);
    let id = fake.create_service(&spec("a", 3), None).await.unwrap();
    let mut out = String::new();
    for second in 1..60 {
        fake.advance(Timestamp(second * 700));
        if second == 10 {
            let version = fake.services().await.unwrap()[0].version;
            fake.update_service(&id, version, &spec("b", 3), None).await.unwrap();
        }
        out += &format!("{:?}\n{:?}\n", fake.services().await.unwrap(), fake.tasks().await.unwrap());
    }
    out
}

#[tokio::test]
async fn the_same_seed_gives_the_same_history() {
    assert_eq!(history(1).await, history(1).await);
    assert_ne!(history(1).await, history(2).await);
}

#[tokio::test]
async fn a_failing_update_rolls_back_and_the_rest_keeps_running() {
    let fake = Fake::new("s", 3, 1, at(0));
    let id = fake.create_service(&spec("a", 3), None).await.unwrap();
    fake.advance(at(5));
    assert_eq!(running(&fake, "a").await, 3);
    fake.script("b", Behaviour::Unhealthy);
    let version = fake.services().await.unwrap()[0].version;
    fake.update_service(&id, version, &spec("b", 3), None).await.unwrap();
    let mut states = Vec::new();
    for tenth in 50..400 {
        fake.advance(Timestamp(tenth * 100));
        let state = fake.services().await.unwrap()[0].update.clone().unwrap().state;
        if states.last() != Some(&state) {
            states.push(state);
        }
        assert!(running(&fake, "a").await >= 2, "one slot at a time");
    }
    assert_eq!(states, ["updating", "rollback_started", "rollback_completed"]);
    assert_eq!(running(&fake, "a").await, 3);
    assert_eq!(fake.services().await.unwrap()[0].spec.task_template.container_spec.image, "a");
}

#[tokio::test]
async fn start_first_never_serves_with_less() {
    let fake = Fake::new("s", 3, 1, at(0));
    let with = |image: &str| {
        let mut spec = spec(image, 2);
        spec.update_config.as_mut().unwrap().order = "start-first".into();
        spec
    };
    let id = fake.create_service(&with("a"), None).await.unwrap();
    fake.advance(at(5));
    let version = fake.services().await.unwrap()[0].version;
    fake.update_service(&id, version, &with("b"), None).await.unwrap();
    for tenth in 50..250 {
        fake.advance(Timestamp(tenth * 100));
        assert!(running(&fake, "a").await + running(&fake, "b").await >= 2);
    }
    assert_eq!(running(&fake, "b").await, 2);
    assert_eq!(fake.services().await.unwrap()[0].update.clone().unwrap().state, "completed");
    assert_eq!(fake.tasks_up_to_date().await.unwrap().len(), 2);
}

#[tokio::test]
async fn tasks_move_off_lost_and_drained_nodes() {
    let fake = Fake::new("s", 3, 1, at(0));
    fake.create_service(&spec("a", 3), None).await.unwrap();
    let mut global = spec("g", 0);
    global.name = "global".into();
    global.mode = Mode { global: Some(Empty {}), ..Mode::default() };
    fake.create_service(&global, None).await.unwrap();
    fake.advance(at(5));
    assert_eq!(running(&fake, "g").await, 3);
    fake.set_node("n2", false);
    fake.drain_node("n3", true);
    fake.advance(at(20));
    let tasks = fake.tasks().await.unwrap();
    let on_first = tasks.iter().filter(|t| t.desired == "running" && t.state == "running" && t.node == "node1");
    assert_eq!(on_first.count(), 4);
    assert_eq!((running(&fake, "a").await, running(&fake, "g").await), (3, 1));
    fake.drain_node("n3", false);
    fake.advance(at(40));
    assert_eq!(running(&fake, "g").await, 2);
}

#[tokio::test]
async fn crashes_are_restarted_and_versions_are_checked() {
    let fake = Fake::new("s", 1, 1, at(0));
    let id = fake.create_service(&spec("a", 1), None).await.unwrap();
    fake.advance(at(5));
    assert_eq!(fake.kill("web", 1), 1);
    assert_eq!(running(&fake, "a").await, 0);
    fake.advance(at(20));
    assert_eq!(running(&fake, "a").await, 1);
    assert!(matches!(fake.update_service(&id, 1, &spec("a", 2), None).await, Err(EngineError::Conflict(_))));
    let version = fake.services().await.unwrap()[0].version;
    fake.update_service(&id, version, &spec("a", 2), None).await.unwrap();
    fake.advance(at(30));
    assert_eq!(running(&fake, "a").await, 2);
    assert_eq!(fake.services().await.unwrap()[0].update, None, "scaling alone is no rolling update");
}
