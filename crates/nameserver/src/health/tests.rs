use super::*;
use crate::tests::fixture::{ROUTE, cluster, domain, plan, query, spawn, tcp_check, with_check};
use hickory_proto::op::Message;
use hickory_proto::rr::{RData, RecordType};
use prometheus_client::registry::Registry;
use std::net::IpAddr;
use std::path::Path;
use tokio::task::JoinHandle;
use waggle_dns::{Snapshot, Transport};
use waggle_model::Generation;
use waggle_model::health::{BeatStack, ProbeResult};
use waggle_model::routing::Limit;

struct Running {
    state: Arc<State>,
    probes: mpsc::Sender<Report>,
    heard: mpsc::Sender<Heard>,
    plans: mpsc::Sender<News>,
    status: watch::Receiver<Option<Arc<NameserverStatus>>>,
    view: watch::Receiver<Option<Arc<View>>>,
    ready: Status,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

fn start(directory: &Path) -> Running {
    let state = Arc::new(State::default());
    let (plan, _) = watch::channel(None);
    let (status_send, status) = watch::channel(None);
    let (view_send, view) = watch::channel(None);
    let ready = Status::new();
    let outputs = Outputs { plan, status: status_send, view: view_send, ready: ready.clone() };
    let file = VerdictFile(directory.join("verdicts.json"));
    let metrics = IntakeMetrics::register(&mut Registry::default());
    let name = "ns-1".parse().unwrap();
    let health = HealthLoop::new(name, state.clone(), file, outputs, Arc::default(), metrics, now());
    let (probes, probes_in) = mpsc::channel(16);
    let (heard, heard_in) = mpsc::channel(16);
    let (plans, plans_in) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let (_, overrides) = mpsc::channel(1);
    let inputs = Inputs { probes: probes_in, heard: heard_in, plans: plans_in, overrides };
    let task = spawn(health.run(inputs, stop.clone()));
    Running { state, probes, heard, plans, status, view, ready, stop, task }
}

impl Running {
    async fn take(&mut self, generation: u64) {
        self.take_with(generation, None).await;
    }

    /// With a capacity of eu-1, answers per second.
    async fn take_with(&mut self, generation: u64, capacity: Option<u32>) {
        let clusters = [("eu-1", "192.0.2.1"), ("us-1", "192.0.2.2")];
        let mut plan = with_check(plan(generation, &clusters), tcp_check(80));
        plan.clusters.get_mut(&cluster("eu-1")).unwrap().capacity = capacity;
        let snapshot = Snapshot::compile(&plan, None, [3; 16]).unwrap();
        self.plans.send(News::Compiled(Compiled { plan: Arc::new(plan), snapshot })).await.unwrap();
        self.until(|status| status.generation == Generation(generation)).await;
    }

    async fn until(&mut self, check: impl Fn(&NameserverStatus) -> bool) -> Arc<NameserverStatus> {
        let met = self.status.wait_for(|status| status.as_deref().is_some_and(&check));
        tokio::time::timeout(Duration::from_secs(10), met).await.expect("such a status").unwrap().clone().unwrap()
    }

    async fn probe(&self, name: &str, up: bool) {
        self.probe_at(now(), name, up).await;
    }

    async fn probe_at(&self, at: Timestamp, name: &str, up: bool) {
        let outcome = if up { Ok(()) } else { Err("refused".to_owned()) };
        let result = ProbeResult { at, took: Duration::from_millis(7), outcome };
        self.probes.send(Report { route: domain(ROUTE), cluster: cluster(name), result }).await.unwrap();
    }

    fn answers(&self) -> IpAddr {
        let mut out = [0; 1280];
        let query = query(ROUTE, RecordType::A).to_vec().unwrap();
        let source = "192.0.2.99:1000".parse().unwrap();
        let length = self.state.get().unwrap().answer(&query, source, Transport::Udp, now(), &mut out).unwrap();
        let reply = Message::from_vec(&out[..length]).unwrap();
        match reply.answers[0].data {
            RData::A(address) => IpAddr::V4(address.0),
            ref other => panic!("{other:?}"),
        }
    }

    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(5), self.task).await.expect("it ends").unwrap();
    }
}

fn is(status: &NameserverStatus, name: &str, kind: &Verdict) -> bool {
    let found = status.verdicts.iter().find(|entry| entry.cluster == cluster(name));
    found.is_some_and(|entry| std::mem::discriminant(&entry.verdict) == std::mem::discriminant(kind))
}

fn unfit() -> Verdict {
    Verdict::Unfit(String::new())
}

fn beat(seq: u64, serving: bool) -> Beat {
    let serving = [(domain(ROUTE), serving)].into();
    let stack = BeatStack { release: None, converged: true, serving };
    let stacks = [("shop".parse().unwrap(), stack)].into();
    Beat { cluster: cluster("eu-1"), boot: 1, seq, engine_ok: true, stacks }
}

#[tokio::test]
async fn not_ready_before_the_first_plan() {
    let directory = tempfile::tempdir().unwrap();
    let mut running = start(directory.path());
    assert!(running.ready.readiness().reasons["plan"].contains("no plan yet"));
    running.take(1).await;
    assert!(running.ready.readiness().ready);
    running.end().await;
}

#[tokio::test]
async fn an_agent_that_says_down_moves_answers_at_once_and_only_with_newer_beats() {
    let directory = tempfile::tempdir().unwrap();
    let mut running = start(directory.path());
    running.take(1).await;
    assert_eq!(running.answers().to_string(), "192.0.2.1");
    running.heard.send(Heard::Beat(beat(2, false))).await.unwrap();
    running.until(|status| is(status, "eu-1", &unfit())).await;
    assert_eq!(running.answers().to_string(), "192.0.2.2");
    running.heard.send(Heard::Beat(beat(1, true))).await.unwrap();
    running.heard.send(Heard::Beat(Beat { cluster: cluster("zz-1"), ..beat(9, true) })).await.unwrap();
    running.until(|status| is(status, "eu-1", &unfit())).await;
    assert_eq!(running.answers().to_string(), "192.0.2.2");
    running.end().await;
}

#[tokio::test]
async fn a_probe_stamped_by_a_clock_that_was_wrong_outdates_no_later_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut running = start(directory.path());
    running.take(1).await;
    for name in ["eu-1", "us-1"] {
        running.probe_at(now().after(Duration::from_secs(3600)), name, true).await;
    }
    running.until(|status| is(status, "eu-1", &Verdict::Fit) && is(status, "us-1", &Verdict::Fit)).await;
    for _ in 0..5 {
        running.probe("eu-1", false).await;
    }
    running.until(|status| is(status, "eu-1", &unfit())).await;
    assert_eq!(running.answers().to_string(), "192.0.2.2");
    running.end().await;
}

#[tokio::test]
async fn probes_show_in_the_view_and_move_answers() {
    let directory = tempfile::tempdir().unwrap();
    let mut running = start(directory.path());
    running.take(1).await;
    for _ in 0..3 {
        running.probe("eu-1", true).await;
        running.probe("us-1", true).await;
    }
    running.until(|status| is(status, "eu-1", &Verdict::Fit) && is(status, "us-1", &Verdict::Fit)).await;
    for _ in 0..5 {
        running.probe("eu-1", false).await;
    }
    running.until(|status| is(status, "eu-1", &unfit())).await;
    assert_eq!(running.answers().to_string(), "192.0.2.2");
    let down = |view: &View| view.entries.iter().any(|entry| entry.cluster == cluster("eu-1") && !entry.up);
    let seen = running.view.wait_for(|view| view.as_deref().is_some_and(down));
    let first =
        tokio::time::timeout(Duration::from_secs(5), seen).await.expect("such a view").unwrap().clone().unwrap();
    running.view.mark_unchanged();
    let again = tokio::time::timeout(Duration::from_secs(5), running.view.changed()).await;
    again.expect("published every second even without a change").unwrap();
    let second = running.view.borrow().clone().unwrap();
    assert!((second.boot, second.seq) > (first.boot, first.seq));
    running.end().await;
}

#[tokio::test]
async fn verdicts_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut running = start(directory.path());
    running.take(1).await;
    running.heard.send(Heard::Beat(beat(1, false))).await.unwrap();
    running.until(|status| is(status, "eu-1", &unfit())).await;
    let boot = running.view.borrow().as_ref().unwrap().boot;
    running.end().await;

    let mut restarted = start(directory.path());
    restarted.take(1).await;
    assert_eq!(restarted.answers().to_string(), "192.0.2.2", "before anything was heard");
    assert!(restarted.view.borrow().as_ref().unwrap().boot > boot);
    restarted.end().await;

    std::fs::write(directory.path().join("verdicts.json"), "torn").unwrap();
    let _ = std::fs::remove_file(directory.path().join("verdicts.json.prev"));
    let mut fresh = start(directory.path());
    fresh.take(1).await;
    assert_eq!(fresh.answers().to_string(), "192.0.2.1");
    fresh.end().await;
}

#[tokio::test]
async fn one_that_comes_back_is_limited_for_a_while() {
    let directory = tempfile::tempdir().unwrap();
    let mut running = start(directory.path());
    running.take(1).await;
    running.heard.send(Heard::Beat(beat(1, false))).await.unwrap();
    running.until(|status| is(status, "eu-1", &unfit())).await;
    running.heard.send(Heard::Beat(beat(2, true))).await.unwrap();
    for _ in 0..3 {
        running.probe("eu-1", true).await;
        running.probe("us-1", true).await;
    }
    let limit = |status: &NameserverStatus| status.verdicts.iter().find_map(|entry| entry.limited);
    let status = running.until(|status| limit(status).is_some()).await;
    assert_eq!(limit(&status).unwrap().why, Limit::Returning);
    running.end().await;
}

#[tokio::test]
async fn a_capacity_limits_and_the_status_tells_the_traffic() {
    let directory = tempfile::tempdir().unwrap();
    let mut running = start(directory.path());
    running.take_with(1, Some(1)).await;
    let state = running.state.clone();
    let asking = spawn(async move {
        let query = query(ROUTE, RecordType::A).to_vec().unwrap();
        loop {
            for network in 0..20u8 {
                let source = std::net::SocketAddr::from(([44, 1, network, 1], 1000));
                state.get().unwrap().answer(&query, source, Transport::Udp, now(), &mut [0; 1280]).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let limited = |status: &NameserverStatus| {
        let why = status.verdicts.iter().find(|entry| entry.cluster == cluster("eu-1"))?.limited?;
        (why.why == Limit::Capacity && !status.traffic.is_empty()).then_some(why)
    };
    let status = running.until(|status| limited(status).is_some()).await;
    assert!(limited(&status).unwrap().share.home < u16::MAX / 10);
    let told = &status.traffic[0];
    assert_eq!(told.route, domain(ROUTE));
    assert!(told.clusters[&cluster("eu-1")].demand > 20.0, "{told:?}");
    let demand = |view: &View| view.demand.get(&cluster("eu-1")).is_some_and(|rate| *rate > 20.0);
    let seen = running.view.wait_for(|view| view.as_deref().is_some_and(demand));
    tokio::time::timeout(Duration::from_secs(5), seen).await.expect("peers are told").unwrap();
    asking.abort();
    running.end().await;
}
