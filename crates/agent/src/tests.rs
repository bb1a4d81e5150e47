//! A whole agent: a control and a nameserver on loopback, a simulated swarm.

pub mod fixture;

use super::*;
use crate::config::TokenText;
use crate::engine::fake::Fake;
use crate::identity::IdentityError;
use crate::tests::fixture::{Ca, Control, Nameserver, soon};
use bytes::Bytes;
use std::path::Path;
use std::time::Duration;
use waggle_model::Generation;
use waggle_model::desired::{Desired, DesiredStack};
use waggle_model::fleet::{BeatPolicy, NameserverPeer};
use waggle_model::observed::{Observed, Phase};
use waggle_model::release::ReleaseId;
use waggle_stack::labels;
use waggle_stack::objects::service::{Mode, Replicated, SecretReference, ServiceSpec};
use waggle_stack::objects::{Objects, Payload, PayloadSpec};
use waggle_wire::document::{self, digest, hex};
use waggle_wire::proto::agent::{DesiredState, agent_message, control_message};

const SECRET: &[u8] = b"swordfish";

fn config(dir: &Path, control: SocketAddr, token: Option<String>) -> Config {
    Config {
        cluster: "eu-1".parse().unwrap(),
        control: vec![control.to_string()],
        token: token.map(TokenText::new),
        token_file: None,
        data_dir: dir.to_owned(),
        docker_socket: PathBuf::new(),
        docker_config: None,
        allow: Policy::default(),
        status_listen: Some(([127, 0, 0, 1], 0).into()),
        telemetry: Default::default(),
    }
}

fn desired(nameserver: &Nameserver) -> DesiredState {
    let own = [(labels::NAMESPACE.to_owned(), "shop".to_owned()), (labels::MANAGED.to_owned(), "true".to_owned())];
    let mut spec = ServiceSpec { name: "shop_web".into(), labels: own.clone().into(), ..ServiceSpec::default() };
    spec.task_template.container_spec.image = "shop:1".into();
    spec.task_template.container_spec.secrets = vec![SecretReference { name: "shop_key".into(), ..Default::default() }];
    spec.mode = Mode { replicated: Some(Replicated { replicas: Some(2) }), ..Mode::default() };
    let sha256 = hex(&digest(SECRET));
    let secret = PayloadSpec { name: "shop_key".into(), labels: own.into(), ..PayloadSpec::default() };
    let objects = Objects {
        secrets: [("shop_key".into(), Payload::Managed { sha256: sha256.clone(), spec: secret })].into(),
        services: [("web".into(), spec)].into(),
        ..Objects::default()
    };
    let stack = DesiredStack {
        release: ReleaseId([1; 32]),
        attempt: 1,
        objects: objects.canonical_json(),
        routes: [("www.shop.example".parse().unwrap(), "web".to_owned())].into(),
        progress_deadline: Duration::from_secs(60),
        monitor: Duration::from_millis(200),
        upkeep: Default::default(),
        overrides: Default::default(),
    };
    let desired = Desired {
        cluster: "eu-1".parse().unwrap(),
        generation: Generation(3),
        stacks: [("shop".parse().unwrap(), stack)].into(),
        nameservers: vec![NameserverPeer { name: "ns1".parse().unwrap(), address: nameserver.address }],
        beat: BeatPolicy { interval: Duration::from_millis(100) },
    };
    let document = document::encode(desired.generation, &desired).unwrap();
    DesiredState {
        document: Some(document),
        payloads: [(sha256, Bytes::from_static(SECRET))].into(),
        logins: Vec::new(),
    }
}

/// Pushes the swarm's time along the wall clock, until `tasks` end.
fn let_time_pass(fake: &Arc<Fake>, tasks: &Tasks) {
    let (fake, stop) = (fake.clone(), tasks.token());
    tasks.spawn("swarm's time", async move {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while !stop.is_cancelled() {
            tick.tick().await;
            fake.advance(Timestamp(waggle_daemon::time::now()));
        }
    });
}

async fn start(config: Config, fake: &Arc<Fake>) -> Tasks {
    let status = Status::new();
    let metrics = Metrics::registered(&status);
    let agent = build_with(config, fake.clone(), status, metrics).await.unwrap();
    assert!(agent.status_addr().is_some());
    let tasks = Tasks::new();
    let_time_pass(fake, &tasks);
    agent.spawn(&tasks);
    tasks
}

#[tokio::test]
async fn deploys_beats_and_goes_on_without_control_also_after_a_restart() {
    let ca = Ca::new();
    let mut control = Control::start(&ca).await;
    let mut nameserver = Nameserver::start(&ca, "ns1", None).await;
    let dir = tempfile::tempdir().unwrap();
    let fake = Arc::new(Fake::new("swarm1", 2, 1, Timestamp(waggle_daemon::time::now())));
    let tasks = start(config(dir.path(), control.address, Some(ca.token().expose())), &fake).await;

    let mut talk = control.session().await;
    talk.say(control_message::Kind::Desired(desired(&nameserver))).await;
    let converged = |kind| match kind {
        agent_message::Kind::Observed(report) => {
            let observed: Observed = document::decode(&report).unwrap();
            let stack = observed.stacks.values().next().cloned()?;
            (observed.generation == Generation(3) && stack.phase == Phase::Converged).then_some(stack)
        }
        _ => None,
    };
    let stack = talk.hear("a converged report", converged).await;
    assert_eq!(stack.services["web"].running, 2);
    let shop = "shop".parse().unwrap();
    let good = |beat: &waggle_model::health::Beat| {
        beat.engine_ok
            && beat.stacks.get(&shop).is_some_and(|s| s.converged && s.serving.values().all(|serving| *serving))
    };
    let beat = nameserver.beat("a good beat", good).await;
    assert_eq!(beat.stacks[&shop].release, Some(ReleaseId([1; 32])));

    drop(talk);
    let address = control.address;
    control.stop().await;
    tasks.shutdown(Duration::from_secs(3)).await.unwrap();
    let writes = fake.writes();
    let tasks = start(config(dir.path(), address, None), &fake).await;
    let later = nameserver.beat("a good beat of the next life", |b| b.boot > beat.boot && good(b)).await;
    assert!(later.seq > 0);
    fake.kill("shop_web", 9);
    nameserver
        .beat("the loss", |beat| beat.stacks.get(&shop).is_some_and(|s| s.serving.values().any(|serving| !*serving)))
        .await;
    assert_eq!(fake.writes(), writes);
    for (entry, text) in files(dir.path()) {
        assert!(!text.contains("swordfish"), "{entry}");
    }
    tasks.shutdown(Duration::from_secs(3)).await.unwrap();
    nameserver.stop().await;
}

fn files(dir: &Path) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|e| (e.path().display().to_string(), String::from_utf8_lossy(&std::fs::read(e.path()).unwrap()).into()))
        .collect()
}

#[tokio::test]
async fn the_identity_is_got_once_and_belongs_to_one_cluster() {
    use std::os::unix::fs::PermissionsExt;
    let ca = Ca::new();
    let control = Control::start(&ca).await;
    let dir = tempfile::tempdir().unwrap();
    let now = Timestamp(waggle_daemon::time::now());
    let without = config(dir.path(), control.address, None);
    assert!(matches!(identity::load_or_join(&without, "s", now).await, Err(IdentityError::NoToken)));
    let with = config(dir.path(), control.address, Some(ca.token().expose()));
    let got = identity::load_or_join(&with, "s", now).await.unwrap();
    let mode = std::fs::metadata(dir.path().join("identity")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    control.stop().await;
    let again = identity::load_or_join(&without, "s", now).await.unwrap();
    assert_eq!(again.get().key_der, got.get().key_der);
    let other = Config { cluster: "us-1".parse().unwrap(), ..without };
    assert!(matches!(identity::load_or_join(&other, "s", now).await, Err(IdentityError::Other { .. })));
}

#[tokio::test]
async fn a_certificate_past_half_of_its_life_is_renewed() {
    let ca = Ca::new();
    let control = Control::start(&ca).await;
    let dir = tempfile::tempdir().unwrap();
    let with = config(dir.path(), control.address, Some(ca.token().expose()));
    let current = identity::load_or_join(&with, "s", Timestamp(waggle_daemon::time::now())).await.unwrap();
    let before = current.get().key_der.clone();
    // The CA of the tests issues for many years around now: made old by a validity that began and ends long ago.
    let mut old = waggle_wire::credentials::Credentials::clone(&current.get());
    (old.not_before, old.not_after) = (Timestamp(0), Timestamp(1));
    current.replace(old);
    let tasks = Tasks::new();
    let data_dir = dir.path().to_owned();
    tasks.spawn("renewal", identity::renew(current.clone(), with.control.clone(), data_dir, tasks.token()));
    soon("a new key", async {
        while current.get().key_der == before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    tasks.shutdown(Duration::from_secs(2)).await.unwrap();
    let kept = identity::load_or_join(&with, "s", Timestamp(waggle_daemon::time::now())).await.unwrap();
    assert_eq!(kept.get().key_der, current.get().key_der);
    control.stop().await;
}

#[tokio::test]
async fn starting_without_docker_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path(), ([127, 0, 0, 1], 1).into(), None);
    config.docker_socket = dir.path().join("docker.sock");
    let error = build(config).await.err().unwrap().to_string();
    assert!(error.contains("is Docker running?"), "{error}");
}
