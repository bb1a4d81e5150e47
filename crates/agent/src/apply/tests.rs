//! Passes over the simulated swarm.

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

fn logins(version: u64) -> Logins {
    let auth = Bytes::from_static(br#"{"username":"ann","password":"p"}"#);
    Logins::checked([RegistryLogin { registry: "docker.io".into(), version, auth }]).unwrap()
}

#[tokio::test]
async fn a_newer_login_is_handed_on_once_and_restarts_nothing() {
    let mut bed = Bed::new();
    bed.want(1, 1, &objects(service("shop:1", 2)));
    bed.converge().await;
    assert_eq!(bed.fake.login_of("shop_web"), None);
    let tasks = bed.fake.tasks().await.unwrap();
    for version in [3, 8] {
        let writes = bed.fake.writes();
        bed.logins = logins(version);
        let report = bed.pass().await;
        assert_eq!((report.writes, bed.fake.login_of("shop_web")), (1, Some(version)));
        assert_eq!(report.observed.stacks[&"shop".parse().unwrap()].phase, Phase::Converged);
        for _ in 0..10 {
            bed.pass().await;
        }
        assert_eq!(bed.fake.writes(), writes + 1, "once");
    }
    // An older one, as after control was set up anew, and none at all, change nothing.
    let writes = bed.fake.writes();
    for logins in [logins(5), Logins::default()] {
        bed.logins = logins;
        bed.pass().await;
    }
    assert_eq!(bed.fake.writes(), writes);
    assert_eq!(bed.fake.tasks().await.unwrap(), tasks, "no task was touched");
}

#[tokio::test]
async fn what_is_written_takes_the_login_along() {
    let mut bed = Bed::new();
    bed.logins = logins(3);
    bed.want(1, 1, &objects(service("shop:1", 2)));
    bed.converge().await;
    assert_eq!((bed.fake.login_of("shop_web"), bed.fake.writes()), (Some(3), 3), "network, secret, service");
    bed.logins = logins(4);
    bed.want(2, 1, &objects(service("shop:2", 2)));
    bed.converge().await;
    assert_eq!((bed.fake.login_of("shop_web"), bed.fake.writes()), (Some(4), 4), "with the update, not after it");
}

#[tokio::test]
async fn a_job_is_never_run_again_for_a_login() {
    let mut bed = Bed::new();
    let mut spec = service("shop:1", 1);
    spec.mode = Mode { replicated_job: Some(Default::default()), ..Mode::default() };
    spec.update_config = None;
    spec.endpoint_spec = None;
    bed.want(1, 1, &objects(spec));
    bed.converge().await;
    bed.logins = logins(3);
    for _ in 0..5 {
        bed.pass().await;
    }
    assert_eq!(bed.fake.services().await.unwrap()[0].job_iteration, Some(0));
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
