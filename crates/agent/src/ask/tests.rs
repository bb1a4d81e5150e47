//! Questions to a desk over the simulated swarm.

use super::*;
use crate::engine::fake::Fake;
use crate::tests::fixture::soon;
use waggle_model::Timestamp;
use waggle_model::ask::{LogQuery, LogTarget, NodeChange, ObjectKind, Role, ServiceChange};
use waggle_model::desired::Desired;
use waggle_stack::objects::service::{Empty, Mode, Replicated, ServiceSpec};

struct Bed {
    fake: Arc<Fake>,
    desk: Desk,
    next: u64,
    _orders: watch::Sender<Option<Arc<Order>>>,
}

fn spec(stack: Option<&str>, name: &str, mode: Mode) -> ServiceSpec {
    let mut spec = ServiceSpec { name: name.into(), mode, ..ServiceSpec::default() };
    spec.labels.extend(stack.map(|stack| (labels::NAMESPACE.to_owned(), stack.to_owned())));
    spec.task_template.container_spec.image = "shop:1".into();
    spec
}

fn replicated(replicas: u64) -> Mode {
    Mode { replicated: Some(Replicated { replicas: Some(replicas) }), ..Mode::default() }
}

/// `shop` is a stack of the federation, `alone` is nobody's.
async fn bed() -> Bed {
    let fake = Arc::new(Fake::new("s", 2, 1, Timestamp(0)));
    fake.create_service(&spec(Some("shop"), "shop_web", replicated(2)), None).await.unwrap();
    let global = Mode { global: Some(Empty {}), ..Mode::default() };
    fake.create_service(&spec(Some("shop"), "shop_log", global), None).await.unwrap();
    fake.create_service(&spec(None, "alone", replicated(1)), None).await.unwrap();
    fake.advance(Timestamp(60_000));
    let desired = Desired { stacks: [("shop".parse().unwrap(), desired_stack())].into(), ..desired() };
    let logins = Default::default();
    let order = Order { desired, payloads: Default::default(), logins, sha256: [0; 32], traceparent: String::new() };
    let (keep, orders) = watch::channel(Some(Arc::new(order)));
    let desk = Desk::new(Asked { engine: fake.clone(), orders });
    Bed { fake, desk, next: 0, _orders: keep }
}

fn desired() -> Desired {
    serde_json::from_value(serde_json::json!({
        "cluster": "eu-1", "generation": 1, "stacks": {}, "nameservers": [], "beat": {"interval_ms": 100}
    }))
    .unwrap()
}

fn desired_stack() -> waggle_model::desired::DesiredStack {
    serde_json::from_value(serde_json::json!({
        "release": "0".repeat(64), "attempt": 1, "objects": "", "routes": {}, "progress_deadline_ms": 1, "monitor_ms": 1
    }))
    .unwrap()
}

impl Bed {
    fn start(&mut self, question: &Question) -> u64 {
        self.next += 1;
        let json = serde_json::to_vec(question).unwrap().into();
        self.desk.start(Ask { id: self.next, json, traceparent: String::new() });
        self.next
    }

    async fn message(&mut self) -> Message {
        soon("a message", self.desk.next()).await
    }

    async fn ask(&mut self, question: Question) -> Answer {
        let id = self.start(&question);
        let mut json = Vec::new();
        loop {
            let message = self.message().await;
            assert_eq!(message.id, id);
            json.extend(message.json);
            if !message.more {
                return serde_json::from_slice(&json).unwrap();
            }
            self.desk.took(id);
        }
    }

    async fn refused(&mut self, question: Question) -> Refusal {
        match self.ask(question).await {
            Answer::Refused(refusal) => refusal,
            other => panic!("{other:?}"),
        }
    }

    async fn done(&mut self, question: Question) -> String {
        match self.ask(question).await {
            Answer::Done(text) => text,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn rows_of_everything() {
    let mut bed = bed().await;
    let Answer::Services(services) = bed.ask(Question::Services { stack: None }).await else { panic!() };
    let row = |row: &waggle_model::ask::ServiceRow| {
        format!("{} {} {}/{} {}", row.name, row.mode, row.running, row.desired, row.managed)
    };
    let want = ["alone replicated 1/1 false", "shop_log global 2/2 true", "shop_web replicated 2/2 true"];
    assert_eq!(services.rows.iter().map(row).collect::<Vec<_>>(), want);
    let shop = Some("shop".parse().unwrap());
    let Answer::Services(of_shop) = bed.ask(Question::Services { stack: shop.clone() }).await else { panic!() };
    assert_eq!(of_shop.rows.len(), 2);
    let tasks = |stack, service: Option<&str>, node: Option<&str>| Question::Tasks {
        stack,
        service: service.map(str::to_owned),
        node: node.map(str::to_owned),
    };
    let Answer::Tasks(of_shop) = bed.ask(tasks(shop, None, None)).await else { panic!() };
    let names: Vec<_> = of_shop.rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["shop_log.node1", "shop_log.node2", "shop_web.1", "shop_web.2"]);
    let Answer::Tasks(of_service) = bed.ask(tasks(None, Some("alone"), None)).await else { panic!() };
    assert_eq!((of_service.rows.len(), of_service.rows[0].state.as_str()), (1, "running"));
    let Answer::Tasks(on_node) = bed.ask(tasks(None, None, Some("n2"))).await else { panic!() };
    assert!(!on_node.rows.is_empty() && on_node.rows.iter().all(|row| row.node == "n2"), "{on_node:?}");
    assert_eq!(bed.refused(tasks(None, Some("nothing"), None)).await.kind, RefusalKind::NotFound);
    let Answer::Nodes(nodes) = bed.ask(Question::Nodes).await else { panic!() };
    let managers: Vec<_> = nodes.rows.iter().map(|row| row.manager.as_deref()).collect();
    assert_eq!(managers, [Some("leader"), None]);
    let inspect = Question::Inspect { kind: ObjectKind::Node, name: "n2".into() };
    let Answer::Object(node) = bed.ask(inspect).await else { panic!() };
    assert_eq!(node["Description"]["Hostname"], "n2");
}

#[tokio::test]
async fn what_belongs_to_the_federation_is_not_changed_here() {
    let mut bed = bed().await;
    let update = |service: &str, change| Question::UpdateService { service: service.into(), change };
    let refusal = bed.refused(update("shop_web", ServiceChange::Scale(5))).await;
    assert!(refusal.kind == RefusalKind::Conflict && refusal.help.is_some(), "{refusal:?}");
    let writes = bed.fake.writes();
    assert_eq!(bed.done(update("alone", ServiceChange::Scale(3))).await, "service alone is scaled to 3");
    bed.fake.advance(Timestamp(120_000));
    let Answer::Services(services) = bed.ask(Question::Services { stack: None }).await else { panic!() };
    assert_eq!((services.rows[0].running, services.rows[0].desired), (3, 3));
    bed.done(update("alone", ServiceChange::Rollback)).await;
    bed.done(update("alone", ServiceChange::Force)).await;
    let alone = bed.fake.services().await.unwrap().into_iter().find(|one| one.spec.name == "alone").unwrap();
    assert_eq!(alone.spec.task_template.force_update, 1);
    assert_eq!(alone.spec.mode.replicated.unwrap().replicas, Some(1), "rolled back first");
    assert_eq!(bed.fake.writes() - writes, 3);
}

#[tokio::test]
async fn the_last_manager_stays() {
    let mut bed = bed().await;
    let update = |node: &str, change| Question::UpdateNode { node: node.into(), change };
    let refusal = bed.refused(update("n1", NodeChange::Demote)).await;
    assert!(refusal.message.contains("last manager"), "{refusal:?}");
    bed.done(update("n2", NodeChange::Drain)).await;
    let refusal = bed.refused(update("n1", NodeChange::Drain)).await;
    assert!(refusal.message.contains("nothing else"), "{refusal:?}");
    bed.done(update("n2", NodeChange::Active)).await;
    bed.done(update("n2", NodeChange::Promote)).await;
    // Of two managers neither can go: the other alone would be no majority of the two.
    bed.done(update("n1", NodeChange::Drain)).await;
    assert!(bed.done(update("n1", NodeChange::Drain)).await.contains("already"));
}

#[tokio::test]
async fn tokens_and_images() {
    let mut bed = bed().await;
    let Answer::JoinToken { token, managers } = bed.ask(Question::JoinToken { role: Role::Worker }).await else {
        panic!()
    };
    assert_eq!((token.as_str(), managers.as_slice()), ("SWMTKN-1-s-worker", &["192.0.2.1:2377".to_owned()][..]));
    bed.fake.leave_images(&[100, 20]);
    let pruned = bed.ask(Question::PruneImages { all: true }).await;
    assert_eq!(pruned, Answer::Pruned { node: "n1".into(), images: 2, bytes: 120 });
}

fn logs(target: LogTarget, follow: bool, tail: Option<u64>) -> Question {
    Question::Logs(LogQuery { target, follow, tail, since: None })
}

fn chunk(message: &Message) -> waggle_model::ask::LogChunk {
    match serde_json::from_slice(&message.json).unwrap() {
        Answer::Logs(chunk) => chunk,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn logs_of_a_stack_are_merged_and_end() {
    let mut bed = bed().await;
    bed.fake.say("shop_web", "one");
    bed.fake.say("shop_log", "two");
    bed.fake.say("alone", "not of the stack");
    let id = bed.start(&logs(LogTarget::Stack("shop".parse().unwrap()), false, None));
    let mut lines = Vec::new();
    loop {
        let message = bed.message().await;
        lines
            .extend(chunk(&message).lines.into_iter().map(|line| format!("{}@{} {}", line.task, line.node, line.text)));
        bed.desk.took(id);
        if !message.more {
            break;
        }
    }
    lines.sort();
    assert_eq!(lines.len(), 4);
    assert!(lines[0].starts_with("shop_log.node1@n1 two"), "{lines:?}");
    assert_eq!(bed.refused(logs(LogTarget::Service("none".into()), false, None)).await.kind, RefusalKind::NotFound);
}

/// All messages of one question about logs, until its end.
async fn whole_log(bed: &mut Bed, question: &Question) -> Vec<waggle_model::ask::LogChunk> {
    let id = bed.start(question);
    let mut chunks = Vec::new();
    loop {
        let message = bed.message().await;
        chunks.push(chunk(&message));
        bed.desk.took(id);
        if !message.more {
            return chunks;
        }
    }
}

#[tokio::test]
async fn what_never_ran_is_told_where_its_log_would_be() {
    let mut bed = bed().await;
    let mut nowhere = spec(None, "nowhere", replicated(1));
    nowhere.task_template.placement =
        Some(serde_json::from_value(serde_json::json!({ "Constraints": ["node.labels.moon==full"] })).unwrap());
    bed.fake.create_service(&nowhere, None).await.unwrap();
    bed.fake.create_service(&spec(None, "empty", replicated(0)), None).await.unwrap();
    bed.fake.advance(Timestamp(120_000));
    let of = |name: &str, follow| logs(LogTarget::Service(name.into()), follow, None);
    let notes =
        |chunks: &[waggle_model::ask::LogChunk]| chunks.iter().flat_map(|one| one.notes.clone()).collect::<Vec<_>>();
    let said = notes(&whole_log(&mut bed, &of("nowhere", false)).await);
    assert!(
        said.len() == 1 && said[0].starts_with("nowhere has no log: its newest task nowhere.1 is pending: "),
        "{said:?}"
    );
    let said = notes(&whole_log(&mut bed, &of("empty", false)).await);
    assert_eq!(said, ["empty has no log: it has no task"]);
    assert!(notes(&whole_log(&mut bed, &of("alone", false)).await).is_empty(), "it runs and is silent");
    // Who follows is told at once.
    let id = bed.start(&of("nowhere", true));
    let first = bed.message().await;
    assert!(first.more && chunk(&first).notes[0].contains("is pending"), "{first:?}");
    bed.desk.withdraw(id);
}

#[tokio::test]
async fn following_a_flood_without_reading_drops_and_counts() {
    let mut bed = bed().await;
    bed.fake.say("alone", "first");
    let id = bed.start(&logs(LogTarget::Service("alone".into()), true, Some(1)));
    let first = bed.message().await;
    assert_eq!(chunk(&first).lines[0].text, "first");
    // Nobody takes more than the first: the rest waits up to a limit, and other questions are answered.
    const LINES: u64 = 30_000;
    for n in 0..LINES {
        bed.fake.say("alone", &n.to_string());
        if n % 1000 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let (mut got, mut dropped, mut last) = (0, 0, String::new());
    while got + dropped < LINES {
        let message = bed.message().await;
        assert!(message.more);
        let chunk = chunk(&message);
        (got, dropped) = (got + chunk.lines.len() as u64, dropped + chunk.dropped);
        last = chunk.lines.last().map_or(last, |line| line.text.clone());
        bed.desk.took(id);
    }
    assert!(dropped > 0 && got >= logs::WAITING_LINES_MAX as u64, "{got} {dropped}");
    assert_eq!(last, (LINES - 1).to_string(), "the newest stays");
    bed.desk.withdraw(id);
    assert!(matches!(bed.ask(Question::Nodes).await, Answer::Nodes(_)));
}

#[tokio::test]
async fn a_slow_reader_of_what_was_written_loses_nothing() {
    let mut bed = bed().await;
    const LINES: usize = 20_000;
    (0..LINES).for_each(|n| bed.fake.say("alone", &n.to_string()));
    let id = bed.start(&logs(LogTarget::Service("alone".into()), false, None));
    let mut texts = Vec::new();
    loop {
        tokio::task::yield_now().await;
        let message = bed.message().await;
        let chunk = chunk(&message);
        assert_eq!(chunk.dropped, 0);
        texts.extend(chunk.lines.into_iter().map(|line| line.text));
        bed.desk.took(id);
        if !message.more {
            break;
        }
    }
    assert_eq!(texts, (0..LINES).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn questions_are_bounded_and_end_when_withdrawn() {
    let mut bed = bed().await;
    let follow = logs(LogTarget::Service("alone".into()), true, Some(0));
    let ids: Vec<u64> = (0..QUESTIONS_MAX).map(|_| bed.start(&follow)).collect();
    assert_eq!(bed.refused(Question::Nodes).await.kind, RefusalKind::Unavailable);
    bed.desk.withdraw(ids[0]);
    soon("room", async {
        while bed.desk.tasks.try_join_next().is_none() {
            tokio::task::yield_now().await
        }
    })
    .await;
    assert!(matches!(bed.ask(Question::Nodes).await, Answer::Nodes(_)));
    // What is not understood is refused with words.
    bed.desk.start(Ask { id: 999, json: Bytes::from_static(b"{\"dance\":{}}"), traceparent: String::new() });
    let message = bed.message().await;
    assert!(String::from_utf8_lossy(&message.json).contains("does not understand"), "{message:?}");
}

/// What docker would have deployed: a network, a secret, a config and a service that uses them.
async fn docker_stack(fake: &Fake) {
    use crate::engine::Kind;
    use waggle_stack::objects::service::{Attachment, ConfigReference, SecretReference};
    use waggle_stack::objects::{NetworkSpec, PayloadSpec};
    let own: BTreeMap<String, String> = [(labels::NAMESPACE.to_owned(), "blog".to_owned())].into();
    let network = NetworkSpec { name: "blog_default".into(), driver: "overlay".into(), ..NetworkSpec::default() };
    fake.create_network(&NetworkSpec { labels: own.clone(), ..network }).await.unwrap();
    let stored = |name: &str| PayloadSpec { name: name.into(), labels: own.clone(), ..PayloadSpec::default() };
    let bytes = Bytes::from_static(b"listen 80");
    let secret = fake.create_stored(Kind::Secret, &stored("blog_key"), &bytes).await.unwrap();
    let config = fake.create_stored(Kind::Config, &stored("blog_conf"), &bytes).await.unwrap();
    let mut service = spec(Some("blog"), "blog_web", replicated(2));
    service.task_template.networks = vec![Attachment { target: "blog_default".into(), ..Default::default() }];
    let container = &mut service.task_template.container_spec;
    container.image = format!("blog:1@sha256:{}", "ab".repeat(32));
    container.secrets = vec![SecretReference { id: secret, name: "blog_key".into(), ..Default::default() }];
    container.configs = vec![ConfigReference { id: config, name: "blog_conf".into(), ..Default::default() }];
    fake.create_service(&service, None).await.unwrap();
    fake.advance(Timestamp(120_000));
}

impl Bed {
    async fn export(&mut self) -> waggle_model::ask::Export {
        match self.ask(Question::Export { stack: "blog".parse().unwrap() }).await {
            Answer::Export(export) => export,
            other => panic!("{other:?}"),
        }
    }

    async fn plan(&mut self, objects: &str) -> waggle_model::ask::ClusterPlan {
        let (stack, objects) = ("blog".parse().unwrap(), objects.to_owned());
        match self.ask(Question::Plan { stack, objects, upkeep: Default::default() }).await {
            Answer::Plan(plan) => plan,
            other => panic!("{other:?}"),
        }
    }

    async fn verify(&mut self) -> waggle_model::ask::Verified {
        match self.ask(Question::Verify { stack: "blog".parse().unwrap() }).await {
            Answer::Verified(verified) => verified,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_exported_stack_changes_nothing_where_it_comes_from() {
    let mut bed = bed().await;
    docker_stack(&bed.fake).await;
    let exported = bed.export().await;
    assert_eq!(exported.configs.len(), 1, "bytes of the config");
    assert!(exported.notes.iter().any(|note| note.contains("secret blog_key")), "{:?}", exported.notes);
    let here = bed.plan(&exported.objects).await;
    assert!(here.problems.is_empty(), "{here:?}");
    let kept =
        |change: &waggle_model::ask::ObjectChange| change.verb == waggle_model::ask::Verb::Adopt && !change.restarts;
    assert!(here.changes.iter().all(kept), "taken over as it is: {here:?}");
    // Elsewhere the secret is missing, which is a problem; with it everything else is made.
    let elsewhere = Arc::new(Fake::new("other", 1, 1, Timestamp(0)));
    let (_keep, orders) = watch::channel(None);
    bed.desk = Desk::new(Asked { engine: elsewhere.clone(), orders });
    let missing = bed.plan(&exported.objects).await;
    assert!(missing.problems[0].contains("secret blog_key"), "{missing:?}");
    let secret = waggle_stack::objects::PayloadSpec { name: "blog_key".into(), ..Default::default() };
    elsewhere.create_stored(crate::engine::Kind::Secret, &secret, &Bytes::from_static(b"x")).await.unwrap();
    let there = bed.plan(&exported.objects).await;
    let made: Vec<_> = there.changes.iter().map(|change| format!("{:?} {}", change.verb, change.name)).collect();
    assert_eq!(made, ["Create blog_default", "Create blog_conf", "Create blog_web"]);
    let gone = bed.refused(Question::Export { stack: "blog".parse().unwrap() }).await;
    assert_eq!(gone.kind, RefusalKind::NotFound);
}

#[tokio::test]
async fn plans_name_fields_and_restarts() {
    let mut bed = bed().await;
    docker_stack(&bed.fake).await;
    let exported = bed.export().await;
    let mut objects = waggle_stack::Objects::from_json(&exported.objects).unwrap();
    objects.services.get_mut("web").unwrap().task_template.container_spec.env = vec!["TZ=UTC".into()];
    let writes = bed.fake.writes();
    let planned = bed.plan(&objects.canonical_json()).await;
    // The config is only taken over.
    let updated = |plan: &waggle_model::ask::ClusterPlan| -> Vec<waggle_model::ask::ObjectChange> {
        plan.changes.iter().filter(|change| change.verb == waggle_model::ask::Verb::Update).cloned().collect()
    };
    let changes = updated(&planned);
    let change = &changes[0];
    assert_eq!((change.name.as_str(), change.restarts, changes.len()), ("blog_web", true, 1));
    let field = &change.fields[0];
    assert_eq!((&*field.field, field.from.as_deref(), field.to.as_deref()), ("environment.TZ", None, Some("UTC")));
    let web = objects.services.get_mut("web").unwrap();
    web.task_template.container_spec.env.clear();
    web.mode = replicated(3);
    let planned = bed.plan(&objects.canonical_json()).await;
    let changes = updated(&planned);
    assert!(changes.len() == 1 && !changes[0].restarts, "{planned:?}");
    assert_eq!(bed.fake.writes(), writes, "nothing is written");
}

#[tokio::test]
async fn what_is_as_told_has_the_same_hashes_in_every_cluster() {
    let mut bed = bed().await;
    docker_stack(&bed.fake).await;
    let exported = bed.export().await;
    let stack = waggle_model::desired::DesiredStack { objects: exported.objects, ..desired_stack() };
    let desired = Desired { stacks: [("blog".parse().unwrap(), stack)].into(), ..desired() };
    let order = Order {
        desired,
        payloads: Default::default(),
        logins: Default::default(),
        sha256: [0; 32],
        traceparent: String::new(),
    };
    let (_keep, orders) = watch::channel(Some(Arc::new(order)));
    let mut hashes = Vec::new();
    for seed in [1, 2] {
        let fake = Arc::new(Fake::new("other", 1, seed, Timestamp(0)));
        // So that ids differ between the two.
        for n in 0..seed {
            fake.create_service(&spec(None, &format!("other{n}"), replicated(1)), None).await.unwrap();
        }
        docker_stack(&fake).await;
        bed.desk = Desk::new(Asked { engine: fake.clone(), orders: orders.clone() });
        let verified = bed.verify().await;
        assert_eq!((verified.objects.len(), verified.differences.len()), (4, 0), "{verified:?}");
        hashes.push(verified.objects);
        fake.meddle("blog_web", |spec| spec.task_template.container_spec.env = vec!["TZ=UTC".into()]);
        let verified = bed.verify().await;
        assert_eq!(verified.differences[0].name, "blog_web");
        assert_ne!(verified.objects["service blog_web"], hashes[0]["service blog_web"]);
    }
    assert_eq!(hashes[0], hashes[1]);
    let untold = bed.refused(Question::Verify { stack: "shop".parse().unwrap() }).await;
    assert_eq!(untold.kind, RefusalKind::NotFound);
}
