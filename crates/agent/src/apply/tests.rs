//! Passes over the simulated swarm: the bed, and the life of a release in one cluster.

use super::*;
use crate::engine::fake::{Behaviour, Fake};
use crate::engine::{Engine, Kind};
use bytes::Bytes;
use std::path::Path;
use std::time::Duration;
use waggle_model::Generation;
use waggle_model::desired::DesiredStack;
use waggle_model::fleet::BeatPolicy;
use waggle_model::observed::ObservedStack;
use waggle_model::release::ReleaseId;
use waggle_stack::labels;
use waggle_stack::objects::service::{
    Attachment, EndpointSpec, Mode, PortConfig, Replicated, RestartPolicy, SecretReference, ServiceSpec, UpdateConfig,
};
use waggle_stack::objects::{Network, NetworkSpec, Payload, PayloadSpec};
use waggle_wire::document::{digest, hex};
use waggle_wire::proto::agent::RegistryLogin;

mod failures;
mod logins;
mod memory;
mod refusals;
mod surroundings;
mod upkeep;

const STEP: Duration = Duration::from_millis(500);
const SECRET: &[u8] = b"swordfish";

struct Bed {
    fake: Fake,
    memory: Memory,
    desired: Desired,
    payloads: Payloads,
    logins: Logins,
    policy: Policy,
    now: Timestamp,
    writes: usize,
}

fn own(stack: &str) -> BTreeMap<String, String> {
    [(labels::NAMESPACE.into(), stack.into())].into()
}

fn service(image: &str, replicas: u64) -> ServiceSpec {
    let mut spec = ServiceSpec { name: "shop_web".into(), labels: own("shop"), ..ServiceSpec::default() };
    spec.labels.insert(labels::IMAGE.into(), image.into());
    let task = &mut spec.task_template;
    task.container_spec.image = format!("{image}@sha256:{}", "0".repeat(64));
    task.container_spec.secrets = vec![SecretReference { name: "shop_key".into(), ..SecretReference::default() }];
    task.networks = vec![Attachment { target: "shop_default".into(), ..Attachment::default() }];
    task.restart_policy = Some(RestartPolicy { delay: Some(1_000_000_000), ..RestartPolicy::default() });
    spec.mode = Mode { replicated: Some(Replicated { replicas: Some(replicas) }), ..Mode::default() };
    let port = PortConfig { target_port: 80, published_port: 8080, ..PortConfig::default() };
    spec.endpoint_spec = Some(EndpointSpec { ports: vec![port], ..EndpointSpec::default() });
    spec.update_config = Some(UpdateConfig {
        parallelism: 1,
        monitor: 1_000_000_000,
        failure_action: "rollback".into(),
        ..UpdateConfig::default()
    });
    spec
}

fn objects(spec: ServiceSpec) -> Objects {
    let network = NetworkSpec {
        name: "shop_default".into(),
        driver: "overlay".into(),
        labels: own("shop"),
        ..NetworkSpec::default()
    };
    let sha256 = hex(&digest(SECRET));
    let secret = Payload::Managed {
        sha256,
        spec: PayloadSpec { name: "shop_key".into(), labels: own("shop"), ..PayloadSpec::default() },
    };
    Objects {
        networks: [("shop_default".into(), Network::Managed(network))].into(),
        secrets: [("shop_key".into(), secret)].into(),
        configs: BTreeMap::new(),
        services: [("web".into(), spec)].into(),
    }
}

impl Bed {
    fn new() -> Bed {
        let now = Timestamp(1_000_000);
        let desired = Desired {
            cluster: "eu-1".parse().unwrap(),
            generation: Generation(1),
            stacks: BTreeMap::new(),
            nameservers: Vec::new(),
            beat: BeatPolicy::default(),
        };
        let payloads = Payloads::checked([(hex(&digest(SECRET)), Bytes::from_static(SECRET))]).unwrap();
        Bed {
            fake: Fake::new("swarm1", 3, 7, now),
            memory: Memory::default(),
            desired,
            payloads,
            logins: Logins::default(),
            policy: Policy::default(),
            now,
            writes: 0,
        }
    }

    /// A new desired state: `release` of the shop, whose objects are `objects`.
    fn want(&mut self, release: u8, attempt: u32, objects: &Objects) {
        let stack = DesiredStack {
            release: ReleaseId([release; 32]),
            attempt,
            objects: objects.canonical_json(),
            routes: [("www.shop.example".parse().unwrap(), "web".to_owned())].into(),
            progress_deadline: Duration::from_secs(60),
            monitor: Duration::from_secs(2),
            upkeep: Default::default(),
            overrides: Default::default(),
        };
        self.desired.generation = self.desired.generation.next();
        self.desired.stacks.insert("shop".parse().unwrap(), stack);
    }

    async fn pass(&mut self) -> Report {
        self.now = self.now.after(STEP);
        self.fake.advance(self.now);
        let report = {
            let given = Given { payloads: &self.payloads, logins: &self.logins, policy: &self.policy };
            apply(&self.fake, &self.desired, given, &mut self.memory, self.now).await
        };
        self.writes += report.writes;
        report
    }

    /// Passes until the shop is as wanted; its report.
    async fn until(&mut self, wanted: impl Fn(&ObservedStack) -> bool) -> ObservedStack {
        let mut last = None;
        for _ in 0..400 {
            let report = self.pass().await;
            last = report.observed.stacks.get(&"shop".parse().unwrap()).cloned();
            if let Some(stack) = last.as_ref().filter(|stack| wanted(stack)) {
                return stack.clone();
            }
        }
        panic!("never so; last: {last:#?}");
    }

    async fn converge(&mut self) -> ObservedStack {
        self.until(|stack| stack.phase == Phase::Converged).await
    }

    async fn fail(&mut self) -> String {
        let failed = self.until(|stack| matches!(stack.phase, Phase::Failed(_))).await;
        let Phase::Failed(why) = failed.phase else { unreachable!() };
        why
    }

    async fn image(&self) -> String {
        self.fake.services().await.unwrap()[0].spec.task_template.container_spec.image.clone()
    }

    /// As after a restart of the agent's process, from what is on disk.
    fn restart(&mut self, dir: &Path) {
        self.memory = Memory::load(dir).unwrap();
    }
}

fn serving(stack: &ObservedStack) -> bool {
    stack.serving.values().all(|serving| *serving)
}

#[tokio::test]
async fn deploys_and_then_writes_nothing() {
    let mut bed = Bed::new();
    bed.want(1, 1, &objects(service("shop:1", 3)));
    let first = bed.pass().await;
    assert_eq!(first.writes, 3, "network, secret, service");
    assert!(!serving(&first.observed.stacks[&"shop".parse().unwrap()]));
    let began = bed.now;
    let stack = bed.converge().await;
    assert!(bed.now.since(began) >= Duration::from_secs(2), "watched for the monitor time");
    assert!(serving(&stack));
    assert_eq!((stack.services["web"].running, stack.services["web"].desired), (3, 3));
    assert_eq!(stack.services["web"].ports, ["8080->80/tcp"]);
    let writes = bed.fake.writes();
    for _ in 0..10 {
        assert!(!bed.pass().await.is_busy());
    }
    assert_eq!(bed.fake.writes(), writes, "a reconciler may run any number of times");
}

#[tokio::test]
async fn updates_and_goes_back_by_a_new_attempt() {
    let mut bed = Bed::new();
    bed.want(1, 1, &objects(service("shop:1", 2)));
    bed.converge().await;
    bed.want(2, 1, &objects(service("shop:2", 2)));
    let stack = bed.pass().await.observed.stacks[&"shop".parse().unwrap()].clone();
    assert_eq!((stack.release, stack.attempt), (Some(ReleaseId([2; 32])), 1));
    bed.converge().await;
    assert!(bed.image().await.starts_with("shop:2"));
    bed.want(1, 2, &objects(service("shop:1", 2)));
    bed.converge().await;
    assert!(bed.image().await.starts_with("shop:1"));
}

#[tokio::test]
async fn a_rollback_of_swarm_is_a_failure_and_is_not_fought() {
    let mut bed = Bed::new();
    bed.want(1, 1, &objects(service("shop:1", 2)));
    bed.converge().await;
    bed.fake.script("shop:2", Behaviour::Unhealthy);
    bed.want(2, 1, &objects(service("shop:2", 2)));
    let why = bed.fail().await;
    assert!(why.contains("rolling web back") && why.contains("unhealthy container"), "{why}");
    let writes = bed.fake.writes();
    for _ in 0..60 {
        bed.pass().await;
    }
    assert_eq!(bed.fake.writes(), writes, "the failed attempt is left alone");
    assert!(bed.image().await.starts_with("shop:1"), "Swarm's own rollback stands");
    // Going back to what Swarm went back to already is no new trouble.
    bed.want(1, 2, &objects(service("shop:1", 2)));
    bed.converge().await;
}

#[tokio::test]
async fn a_paused_update_is_a_failure_and_a_new_attempt_sets_it_going() {
    let mut bed = Bed::new();
    let with = |image: &str| {
        let mut spec = service(image, 2);
        spec.update_config.as_mut().unwrap().failure_action = "pause".into();
        objects(spec)
    };
    bed.want(1, 1, &with("shop:1"));
    bed.converge().await;
    bed.fake.script("shop:2", Behaviour::Exits { after: Duration::from_millis(300), code: 3 });
    bed.want(2, 1, &with("shop:2"));
    let why = bed.fail().await;
    assert!(why.contains("paused the update of web") && why.contains("(3)"), "{why}");
    bed.fake.script("shop:2", Behaviour::Runs);
    bed.want(2, 2, &with("shop:2"));
    bed.converge().await;
    assert!(bed.image().await.starts_with("shop:2"));
}

#[tokio::test]
async fn what_cannot_converge_fails_at_its_deadline_and_says_why() {
    for (behaviour, said) in [(Behaviour::Missing, "No such image"), (Behaviour::Unhealthy, "unhealthy container")] {
        let mut bed = Bed::new();
        bed.fake.script("shop:1", behaviour);
        bed.want(1, 1, &objects(service("shop:1", 1)));
        let began = bed.now;
        let why = bed.fail().await;
        assert!(why.contains("60 s") && why.contains(said), "{why}");
        assert!(bed.now.since(began) >= Duration::from_secs(60));
    }
    let mut bed = Bed::new();
    let mut spec = service("shop:1", 1);
    spec.task_template.placement.get_or_insert_default().constraints = vec!["node.hostname == nowhere".into()];
    bed.want(1, 1, &objects(spec));
    assert!(bed.fail().await.contains("no suitable node"));
}

#[tokio::test]
async fn a_stack_that_is_not_desired_is_removed_whole() {
    let mut bed = Bed::new();
    bed.want(1, 1, &objects(service("shop:1", 2)));
    bed.converge().await;
    bed.desired.stacks.clear();
    bed.desired.generation = bed.desired.generation.next();
    let report = bed.pass().await;
    assert_eq!(report.observed.stacks.get(&"shop".parse().unwrap()).map(|s| &s.phase), Some(&Phase::Removing));
    for _ in 0..10 {
        bed.pass().await;
    }
    assert!(bed.pass().await.observed.stacks.is_empty());
    assert!(bed.fake.services().await.unwrap().is_empty());
    assert!(bed.fake.networks().await.unwrap().is_empty());
    assert!(bed.fake.stored(Kind::Secret).await.unwrap().is_empty());
}

#[tokio::test]
async fn jobs_run_once() {
    let mut bed = Bed::new();
    let mut spec = service("shop:1", 1);
    spec.mode = Mode { replicated_job: Some(Default::default()), ..Mode::default() };
    spec.update_config = None;
    spec.endpoint_spec = None;
    bed.want(1, 1, &objects(spec.clone()));
    bed.converge().await;
    bed.want(1, 2, &objects(spec));
    bed.converge().await;
    assert_eq!(bed.fake.services().await.unwrap()[0].job_iteration, Some(0), "an unchanged job is not run again");
}
