use super::*;
use crate::engine::Resolved;
use crate::engine::fake::Fake;
use crate::tests::fixture::{Ca, Control, soon};
use waggle_model::desired::Desired;
use waggle_model::fleet::BeatPolicy;
use waggle_model::{Timestamp, observed::Swarm};

struct Bed {
    control: Control,
    observed: watch::Sender<Option<Arc<Observed>>>,
    orders: watch::Receiver<Option<Arc<Order>>>,
    stop: CancellationToken,
    running: JoinSet<()>,
    _dir: tempfile::TempDir,
}

impl Bed {
    async fn start() -> Bed {
        let ca = Ca::new();
        let control = Control::start(&ca).await;
        let dir = tempfile::tempdir().unwrap();
        let (observed, observed_seen) = watch::channel(None);
        let (orders, orders_seen) = watch::channel(None);
        let fake = Fake::new("swarm1", 1, 1, Timestamp(0));
        let platforms = vec![("linux".to_owned(), "amd64".to_owned())];
        fake.publish("shop:1", Resolved { digest: "sha256:11".into(), platforms });
        let session = Session {
            cluster: "eu-1".parse().unwrap(),
            swarm_id: "swarm1".into(),
            // The first address leads nowhere: a port that was just free.
            control: vec!["127.0.0.1:1".into(), control.address.to_string()],
            data_dir: dir.path().to_owned(),
            current: ca.issue(&Identity::Agent("eu-1".parse().unwrap())),
            engine: Arc::new(fake),
            policy: Arc::default(),
            orders,
            observed: observed_seen,
            metrics: Metrics::default(),
            status: Status::new(),
        };
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn(run(Arc::new(session), stop.clone()));
        Bed { control, observed, orders: orders_seen, stop, running, _dir: dir }
    }

    async fn end(mut self) {
        self.stop.cancel();
        soon("the end", self.running.join_next()).await;
        self.control.stop().await;
    }
}

fn desired(generation: u64) -> heard::Kind {
    let desired = Desired {
        cluster: "eu-1".parse().unwrap(),
        generation: Generation(generation),
        stacks: Default::default(),
        nameservers: Vec::new(),
        beat: BeatPolicy::default(),
    };
    let document = document::encode(desired.generation, &desired).unwrap();
    heard::Kind::Desired(DesiredState { document: Some(document), payloads: Default::default(), logins: Vec::new() })
}

fn hello(kind: said::Kind) -> Option<Hello> {
    match kind {
        said::Kind::Hello(hello) => Some(hello),
        _ => None,
    }
}

fn observed(generation: u64) -> Observed {
    Observed {
        cluster: "eu-1".parse().unwrap(),
        generation: Generation(generation),
        at: Timestamp(1),
        agent_version: "0".into(),
        swarm: Swarm::default(),
        stacks: Default::default(),
    }
}

#[tokio::test]
async fn takes_orders_reports_and_resolves() {
    let mut bed = Bed::start().await;
    let mut talk = bed.control.session().await;
    assert_eq!(talk.from, Identity::Agent("eu-1".parse().unwrap()));
    let first = talk.hear("hello", hello).await;
    assert_eq!((first.generation, first.swarm_id.as_str()), (0, "swarm1"));
    assert_eq!(serde_json::from_slice::<Policy>(&first.policy).unwrap(), Policy::default());
    talk.say(desired(5)).await;
    let taken = soon("an order", bed.orders.wait_for(Option::is_some)).await.unwrap().clone().unwrap();
    assert_eq!(taken.desired.generation, Generation(5));
    talk.say(desired(4)).await;
    bed.observed.send_replace(Some(Arc::new(observed(5))));
    let report = |kind| match kind {
        said::Kind::Observed(document) => Some(document::decode::<Observed>(&document).unwrap()),
        _ => None,
    };
    assert_eq!(talk.hear("a report", report).await, observed(5));
    let images = vec!["shop:1".to_owned(), "shop:9".to_owned()];
    talk.say(heard::Kind::Resolve(Resolve { id: 3, images, traceparent: String::new(), logins: Vec::new() })).await;
    let resolved = |kind| match kind {
        said::Kind::Resolved(resolved) => Some(resolved),
        _ => None,
    };
    let answer = talk.hear("digests", resolved).await;
    assert_eq!((answer.id, answer.images[0].digest.as_str()), (3, "sha256:11"));
    assert_eq!(answer.images[0].platforms[0].architecture, "amd64");
    assert!(answer.images[1].error.contains("not found"));
    assert_eq!(bed.orders.borrow().as_ref().unwrap().desired.generation, Generation(5), "the older one was refused");
    drop(talk);
    let again = bed.control.session().await.hear("hello again", hello).await;
    assert_eq!(again.generation, 5);
    bed.end().await;
}

#[tokio::test]
async fn a_silent_control_is_left() {
    let mut bed = Bed::start().await;
    let mut silent = bed.control.session().await;
    // Keeps its connection and reads nothing: only the agent's own deadline can tell.
    let mut talk = bed.control.session().await;
    talk.hear("hello", hello).await;
    soon("its end", async { while let Some(Ok(_)) = silent.inbound.message().await.transpose() {} }).await;
    bed.end().await;
}
