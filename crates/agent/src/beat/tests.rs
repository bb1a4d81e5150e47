use super::*;
use crate::order::Payloads;
use crate::tests::fixture::{Ca, Nameserver};
use waggle_model::Generation;
use waggle_model::desired::Desired;

fn order(nameservers: &[(&str, &Nameserver)], interval: Duration) -> Option<Arc<Order>> {
    let peer =
        |(name, server): &(&str, &Nameserver)| NameserverPeer { name: name.parse().unwrap(), address: server.address };
    let desired = Desired {
        cluster: "eu-1".parse().unwrap(),
        generation: Generation(1),
        stacks: BTreeMap::new(),
        nameservers: nameservers.iter().map(peer).collect(),
        beat: BeatPolicy { interval },
    };
    Some(Arc::new(Order {
        desired,
        payloads: Payloads::default(),
        logins: Default::default(),
        sha256: [0; 32],
        traceparent: String::new(),
    }))
}

struct Bed {
    pulse: watch::Sender<Pulse>,
    orders: watch::Sender<Option<Arc<Order>>>,
    stop: CancellationToken,
    running: JoinSet<()>,
}

impl Bed {
    fn start(ca: &Ca) -> Bed {
        let (pulse, pulse_seen) = watch::channel(Pulse::default());
        let (orders, orders_seen) = watch::channel(None);
        let cluster: ClusterName = "eu-1".parse().unwrap();
        let beater = Beater {
            current: ca.issue(&Identity::Agent(cluster.clone())),
            cluster,
            boot: 7,
            pulse: pulse_seen,
            metrics: Metrics::default(),
            seq: AtomicU64::new(0),
        };
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn(run(Arc::new(beater), orders_seen, stop.clone()));
        Bed { pulse, orders, stop, running }
    }

    fn say(&self, converged: bool) {
        let stack = BeatStack { release: None, converged, serving: BTreeMap::new() };
        self.pulse.send_modify(|pulse| {
            pulse.stacks = [("shop".parse().unwrap(), stack)].into();
            pulse.engine_at = Some(Instant::now());
        });
    }
}

fn converged(beat: &Beat) -> bool {
    beat.stacks.values().any(|stack| stack.converged)
}

#[tokio::test]
async fn beats_reach_every_nameserver_and_changes_do_not_wait_for_the_interval() {
    let ca = Ca::new();
    let (mut one, mut two) = (Nameserver::start(&ca, "ns1", None).await, Nameserver::start(&ca, "ns2", None).await);
    let mut bed = Bed::start(&ca);
    let long = Duration::from_secs(10);
    bed.orders.send_replace(order(&[("ns1", &one), ("ns2", &two)], long));
    let first = one.beat("a first beat", |_| true).await;
    assert!(!first.engine_ok, "the engine has not answered yet");
    two.beat("a first beat", |_| true).await;
    let said = Instant::now();
    bed.say(true);
    for nameserver in [&mut one, &mut two] {
        let beat = nameserver.beat("the change", converged).await;
        assert!(beat.engine_ok && beat.boot == 7 && beat.seq > first.seq);
    }
    assert!(said.elapsed() < long / 2, "took {:?}", said.elapsed());
    let who = one.beats.borrow().clone().unwrap().0;
    assert_eq!(who, Identity::Agent("eu-1".parse().unwrap()));
    bed.stop.cancel();
    bed.running.join_next().await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_nameserver_that_comes_back_is_beaten_to_again_and_an_impostor_is_not() {
    let ca = Ca::new();
    let mut first = Nameserver::start(&ca, "ns1", None).await;
    let mut bed = Bed::start(&ca);
    bed.orders.send_replace(order(&[("ns1", &first)], Duration::from_millis(50)));
    let seen = first.beat("a beat", |_| true).await;
    let address = first.address;
    first.stop().await;
    let impostor = Nameserver::start(&ca, "ns9", Some(address)).await;
    let mut other = Nameserver::start(&ca, "ns2", None).await;
    bed.orders.send_replace(order(&[("ns1", &impostor), ("ns2", &other)], Duration::from_millis(50)));
    let later = other.beat("beats go on to another", |beat| beat.seq > seen.seq + 5).await;
    assert_eq!(*impostor.beats.borrow(), None);
    impostor.stop().await;
    let mut again = Nameserver::start(&ca, "ns1", Some(address)).await;
    again.beat("beats after the return", |beat| beat.seq > later.seq).await;
    bed.stop.cancel();
    bed.running.join_next().await;
    again.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn an_engine_that_falls_silent_is_told() {
    let ca = Ca::new();
    let mut nameserver = Nameserver::start(&ca, "ns1", None).await;
    let mut bed = Bed::start(&ca);
    bed.orders.send_replace(order(&[("ns1", &nameserver)], Duration::from_millis(50)));
    bed.say(true);
    nameserver.beat("a good engine", |beat| beat.engine_ok).await;
    let silent = nameserver.beat("a silent engine", |beat| !beat.engine_ok).await;
    assert!(converged(&silent), "the last word stands");
    bed.stop.cancel();
    bed.running.join_next().await;
    nameserver.stop().await;
}
