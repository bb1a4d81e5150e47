//! Looking after a stack that runs: versions, adoption, numbers by hand, drift.

use super::*;
use crate::engine::fake::Timing;
use waggle_model::desired::Override;
use waggle_model::release::{Drift, Prune, Upkeep};
use waggle_stack::objects::service::{Mount, VolumeOptions};

fn shop() -> StackName {
    "shop".parse().unwrap()
}

impl Bed {
    fn stack(&mut self) -> &mut DesiredStack {
        self.desired.stacks.get_mut(&shop()).unwrap()
    }

    fn upkeep(&mut self, upkeep: Upkeep) {
        self.stack().upkeep = upkeep;
    }

    fn change(&mut self, change: Override) {
        self.stack().overrides.insert("web".into(), change);
    }

    async fn pass_for(&mut self, time: Duration) {
        for _ in 0..time.as_millis() / STEP.as_millis() {
            self.pass().await;
        }
    }

    async fn task_ids(&self) -> Vec<String> {
        let tasks = self.fake.tasks().await.unwrap().into_iter();
        tasks.filter(|task| task.desired == "running").map(|task| task.id).collect()
    }

    async fn secrets(&self) -> Vec<String> {
        let mut names: Vec<_> = self.fake.stored(Kind::Secret).await.unwrap().into_iter().map(|s| s.name).collect();
        names.sort();
        names
    }

    /// As `docker stack deploy` does it.
    async fn by_docker(&self, objects: &Objects, secret: &'static [u8]) {
        for network in objects.networks.values() {
            let Network::Managed(spec) = network else { continue };
            self.fake.create_network(spec).await.unwrap();
        }
        let Payload::Managed { spec, .. } = &objects.secrets["shop_key"] else { unreachable!() };
        let id = self.fake.create_stored(Kind::Secret, spec, &Bytes::from_static(secret)).await.unwrap();
        for spec in objects.services.values() {
            let mut spec = spec.clone();
            spec.fill_ids(|_| id.clone(), |_| String::new());
            self.fake.create_service(&spec, None).await.unwrap();
        }
    }

    /// Passes until all is calm again, and a while longer.
    async fn calm(&mut self) -> ObservedStack {
        let stack = self.converge().await;
        for _ in 0..10 {
            self.pass().await;
        }
        stack
    }
}

/// The shop with another version of its secret, as control names it.
fn rotated(version: &str) -> (Objects, String, Bytes) {
    let bytes = Bytes::copy_from_slice(version.as_bytes());
    let sha256 = hex(&digest(&bytes));
    let name = format!("shop_key-{}", &sha256[..10]);
    let mut spec = service("shop:1", 1);
    spec.task_template.container_spec.secrets[0].name.clone_from(&name);
    let mut objects = objects(spec);
    let mut labels = own("shop");
    labels.insert(labels::NAME.into(), "shop_key".into());
    let payload = Payload::Managed {
        sha256: sha256.clone(),
        spec: PayloadSpec { name: name.clone(), labels, ..PayloadSpec::default() },
    };
    objects.secrets = [(name, payload)].into();
    (objects, sha256, bytes)
}

#[tokio::test]
async fn versions_are_kept_until_the_next_one_runs_and_as_many_as_wanted() {
    let mut bed = Bed::new();
    bed.want(1, 1, &objects(service("shop:1", 1)));
    bed.calm().await;
    let mut known = vec![(hex(&digest(SECRET)), Bytes::from_static(SECRET))];
    let mut names = vec!["shop_key".to_owned()];
    for release in 2..5u8 {
        let (objects, sha256, bytes) = rotated(&release.to_string());
        names.push(objects.secrets.keys().next().unwrap().clone());
        known.push((sha256, bytes));
        bed.payloads = Payloads::checked(known.clone()).unwrap();
        bed.want(release, 1, &objects);
        bed.pass().await;
        let during = bed.secrets().await;
        assert!(names.iter().rev().take(2).all(|name| during.contains(name)), "Swarm may go back: {during:?}");
        bed.calm().await;
        let mut newest: Vec<_> = names.iter().rev().take(2).cloned().collect();
        newest.sort();
        assert_eq!(bed.secrets().await, newest, "the one in use and one before");
    }
    let writes = bed.fake.writes();
    bed.calm().await;
    assert_eq!(bed.fake.writes(), writes);
}

#[tokio::test]
async fn a_version_in_use_elsewhere_stays_and_fails_nothing() {
    let mut bed = Bed::new();
    bed.want(1, 1, &objects(service("shop:1", 1)));
    bed.calm().await;
    let secret = bed.fake.stored(Kind::Secret).await.unwrap().remove(0);
    let mut other = service("other:1", 1);
    other.name = "other_web".into();
    other.labels = own("other");
    other.endpoint_spec = None;
    other.task_template.networks.clear();
    other.fill_ids(|_| secret.id.clone(), |_| String::new());
    bed.fake.create_service(&other, None).await.unwrap();
    let (objects, sha256, bytes) = rotated("2");
    bed.payloads = Payloads::checked([(sha256, bytes)]).unwrap();
    bed.want(2, 1, &objects);
    bed.upkeep(Upkeep { versions_kept: 0, ..Upkeep::default() });
    bed.calm().await;
    assert_eq!(bed.secrets().await.len(), 2);
    let writes = bed.fake.writes();
    for _ in 0..4 {
        assert_eq!(bed.pass().await.observed.stacks[&shop()].phase, Phase::Converged);
    }
    assert!(bed.fake.writes() <= writes + 1, "tried again once in a while");
    let other = bed.fake.services().await.unwrap().into_iter().find(|s| s.spec.name == "other_web").unwrap();
    bed.fake.remove_service(&other.id).await.unwrap();
    for _ in 0..25 {
        bed.pass().await;
    }
    assert_eq!(bed.secrets().await.len(), 1);
}

#[tokio::test]
async fn what_docker_deployed_is_taken_over_without_a_restart_and_removed_whole() {
    let mut bed = Bed::new();
    let wanted = objects(service("shop:1", 2));
    bed.by_docker(&wanted, SECRET).await;
    for _ in 0..6 {
        bed.pass().await;
    }
    let before = bed.task_ids().await;
    bed.want(1, 1, &wanted);
    bed.calm().await;
    assert_eq!(bed.task_ids().await, before, "no task was replaced");
    assert_eq!(bed.writes, 2, "labels of the secret and of the service");
    let service = bed.fake.services().await.unwrap().remove(0);
    assert_eq!(service.spec.labels[labels::MANAGED], "true");
    assert!(!bed.fake.networks().await.unwrap()[0].labels.contains_key(labels::MANAGED), "cannot be labelled");
    bed.desired.stacks.clear();
    for _ in 0..10 {
        bed.pass().await;
    }
    assert!(bed.fake.networks().await.unwrap().is_empty() && bed.secrets().await.is_empty());
    assert!(bed.pass().await.observed.stacks.is_empty());
}

#[tokio::test]
async fn a_leaving_stack_is_remembered_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut bed = Bed::new();
    bed.restart(dir.path());
    let wanted = objects(service("shop:1", 1));
    bed.by_docker(&wanted, SECRET).await;
    bed.want(1, 1, &wanted);
    bed.calm().await;
    bed.desired.stacks.clear();
    bed.pass().await;
    bed.restart(dir.path());
    for _ in 0..10 {
        bed.pass().await;
    }
    assert!(bed.fake.networks().await.unwrap().is_empty(), "never labelled, and gone all the same");
}

#[tokio::test]
async fn a_secret_of_others_with_other_bytes_is_not_taken_over() {
    let mut bed = Bed::new();
    let wanted = objects(service("shop:1", 1));
    bed.by_docker(&wanted, b"another").await;
    bed.want(1, 1, &wanted);
    let why = bed.fail().await;
    assert!(
        why.contains("secret shop_key is there with other content") && why.contains("`name: shop_key_v2`"),
        "{why}"
    );
}

#[tokio::test]
async fn numbers_by_hand_restart_nothing_and_restarts_happen_once() {
    let mut bed = Bed::new();
    bed.want(1, 1, &objects(service("shop:1", 2)));
    bed.calm().await;
    let before = bed.task_ids().await;
    bed.change(Override { replicas: Some(3), force: 0 });
    let stack = bed.calm().await;
    assert_eq!((stack.services["web"].running, stack.drift.len()), (3, 0), "no drift");
    let scaled = bed.task_ids().await;
    assert!(before.iter().all(|task| scaled.contains(task)));
    bed.change(Override { replicas: Some(3), force: 1 });
    let stack = bed.calm().await;
    assert_eq!(stack.drift, [""; 0]);
    let restarted = bed.task_ids().await;
    assert!(restarted.len() == 3 && scaled.iter().all(|task| !restarted.contains(task)));
    let writes = bed.fake.writes();
    bed.calm().await;
    assert_eq!(bed.fake.writes(), writes);
}

#[tokio::test]
async fn a_forced_restart_that_swarm_takes_back_is_a_failure() {
    let mut bed = Bed::new();
    bed.want(1, 1, &objects(service("shop:1", 2)));
    bed.calm().await;
    bed.fake.script("shop:1", Behaviour::Unhealthy);
    bed.change(Override { replicas: None, force: 1 });
    let why = bed.fail().await;
    assert!(why.contains("rolling web back"), "{why}");
    let writes = bed.fake.writes();
    for _ in 0..60 {
        bed.pass().await;
    }
    assert_eq!(bed.fake.writes(), writes, "never fought");
}

#[tokio::test]
async fn kept_replicas_stay_over_a_release() {
    let mut bed = Bed::new();
    let keep = Upkeep { keep_replicas: ["web".to_owned()].into(), ..Upkeep::default() };
    bed.want(1, 1, &objects(service("shop:1", 2)));
    bed.upkeep(keep.clone());
    assert_eq!(bed.calm().await.services["web"].desired, 2, "created with the file's number");
    bed.fake.meddle("shop_web", |spec| spec.mode.replicated = Some(Replicated { replicas: Some(4) }));
    let stack = bed.calm().await;
    assert_eq!((stack.services["web"].desired, stack.drift.len()), (4, 0));
    bed.want(2, 1, &objects(service("shop:2", 2)));
    bed.upkeep(keep);
    assert_eq!(bed.calm().await.services["web"].desired, 4);
    assert!(bed.image().await.starts_with("shop:2"));
}

#[tokio::test]
async fn drift_is_told_and_written_again() {
    let mut bed = Bed::new();
    bed.want(1, 1, &objects(service("shop:1", 2)));
    bed.calm().await;
    bed.fake.meddle("shop_web", |spec| spec.mode.replicated = Some(Replicated { replicas: Some(5) }));
    let stack = bed.calm().await;
    assert_eq!(stack.services["web"].desired, 2);
    assert_eq!(stack.drift.len(), 1, "{:?}", stack.drift);
    assert!(stack.drift[0].contains("service shop_web") && stack.drift[0].ends_with("the release was written again"));
    let secret = bed.fake.services().await.unwrap().remove(0);
    bed.fake.remove_service(&secret.id).await.unwrap();
    let stack = bed.calm().await;
    assert_eq!(stack.services["web"].running, 2, "made anew");
    assert!(stack.drift.iter().any(|drift| drift.starts_with("service shop_web was removed")), "{:?}", stack.drift);
    bed.now = bed.now.after(Duration::from_secs(600));
    assert_eq!(bed.converge().await.drift, [""; 0], "told for a while");
}

#[tokio::test]
async fn observed_drift_is_told_and_left_alone() {
    let mut bed = Bed::new();
    bed.want(1, 1, &objects(service("shop:1", 2)));
    bed.upkeep(Upkeep { drift: Drift::Observe, ..Upkeep::default() });
    bed.calm().await;
    bed.fake.meddle("shop_web", |spec| spec.mode.replicated = Some(Replicated { replicas: Some(5) }));
    let writes = bed.fake.writes();
    let stack = bed.calm().await;
    assert_eq!((bed.fake.writes(), stack.services["web"].desired), (writes, 5));
    assert_eq!(stack.drift.len(), 1);
}

#[tokio::test]
async fn whoever_keeps_changing_is_not_fought_at_every_turn() {
    let mut bed = Bed::new();
    bed.want(1, 1, &objects(service("shop:1", 1)));
    bed.calm().await;
    let writes = bed.fake.writes();
    for round in 0..120 {
        bed.fake.meddle("shop_web", |spec| {
            spec.labels.insert("theirs".into(), round.to_string());
        });
        bed.pass().await;
    }
    // A minute: at once, then after 1, 2, 4, 8, 16 and 32 seconds.
    assert!(bed.fake.writes() - writes <= 7, "{}", bed.fake.writes() - writes);
}

#[tokio::test]
async fn an_update_of_others_that_swarm_takes_back_is_no_failure_of_ours() {
    let mut bed = Bed::new();
    bed.want(1, 1, &objects(service("shop:1", 2)));
    bed.upkeep(Upkeep { drift: Drift::Observe, ..Upkeep::default() });
    bed.calm().await;
    bed.fake.script("evil:1", Behaviour::Unhealthy);
    bed.fake.meddle("shop_web", |spec| spec.task_template.container_spec.image = "evil:1".into());
    for _ in 0..60 {
        let phase = bed.pass().await.observed.stacks[&shop()].phase.clone();
        assert!(!matches!(phase, Phase::Failed(_)), "{phase:?}");
    }
    assert!(bed.image().await.starts_with("shop:1"));
    assert_eq!(bed.converge().await.services["web"].update.as_deref(), Some("rollback_completed"));
}

#[tokio::test]
async fn unused_volumes_go_when_asked_for_and_only_those_that_the_release_lacks() {
    let mut bed = Bed::new();
    let with = |volumes: &[&str]| {
        let mut spec = service("shop:1", 1);
        let mount = |source: &&str| Mount {
            source: format!("shop_{source}"),
            target: format!("/{source}"),
            kind: "volume".into(),
            volume_options: Some(VolumeOptions { labels: own("shop"), ..VolumeOptions::default() }),
            ..Mount::default()
        };
        spec.task_template.container_spec.mounts = volumes.iter().map(mount).collect();
        objects(spec)
    };
    bed.want(1, 1, &with(&["data", "cache"]));
    bed.calm().await;
    bed.want(2, 1, &with(&["data"]));
    bed.calm().await;
    assert_eq!(bed.fake.volumes(&shop(), false).await.unwrap(), ["shop_cache"], "data stays unless asked");
    bed.want(3, 1, &with(&[]));
    bed.upkeep(Upkeep { prune: Prune::Volumes, ..Upkeep::default() });
    bed.calm().await;
    assert!(bed.fake.volumes(&shop(), false).await.unwrap().is_empty());
}

/// Swarm ends the tasks of a removed service after the service is gone, and until then they hold its volumes.
#[tokio::test]
async fn a_volume_goes_also_if_its_last_task_ends_after_the_release_has_converged() {
    let mut bed = Bed::new();
    let mut both = objects(service("shop:1", 1));
    let mut more = service("shop:1", 1);
    (more.name, more.endpoint_spec) = ("shop_more".into(), None);
    more.task_template.container_spec.mounts = vec![Mount {
        source: "shop_heap".into(),
        target: "/heap".into(),
        kind: "volume".into(),
        volume_options: Some(VolumeOptions { labels: own("shop"), ..VolumeOptions::default() }),
        ..Mount::default()
    }];
    both.services.insert("more".into(), more);
    bed.want(1, 1, &both);
    bed.calm().await;
    bed.fake.set_timing(Timing { stop: Duration::from_secs(5), ..Timing::default() });
    bed.want(2, 1, &objects(service("shop:1", 1)));
    bed.upkeep(Upkeep { prune: Prune::Volumes, ..Upkeep::default() });
    bed.converge().await;
    assert_eq!(bed.fake.volumes(&shop(), true).await.unwrap(), ["shop_heap"], "still in use");
    bed.pass_for(Duration::from_secs(20)).await;
    assert!(bed.fake.volumes(&shop(), false).await.unwrap().is_empty());
    let writes = bed.writes;
    bed.pass_for(Duration::from_secs(20)).await;
    assert_eq!(bed.writes, writes, "nothing is left to do");
}

#[tokio::test]
async fn a_redeploy_right_after_an_update_writes_nothing() {
    let mut bed = Bed::new();
    bed.want(1, 1, &objects(service("shop:1", 2)));
    bed.converge().await;
    bed.want(2, 1, &objects(service("shop:2", 2)));
    bed.converge().await;
    let writes = bed.fake.writes();
    bed.want(2, 2, &objects(service("shop:2", 2)));
    bed.converge().await;
    assert_eq!(bed.fake.writes(), writes);
}
