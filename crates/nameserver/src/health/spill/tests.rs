use super::*;
use crate::tests::fixture::{ROUTE, cluster, plan, query};
use hickory_proto::rr::RecordType;
use std::time::Duration;
use tokio::time::Instant;
use waggle_dns::{Snapshot, Transport};
use waggle_model::Timestamp;
use waggle_model::health::judge::Judge;
use waggle_model::plan::RoutePlan;

/// Every client likes ap-1, eu-1, us-1 in this order.
fn three(capacities: [Option<u32>; 3]) -> RoutePlan {
    let mut plan = plan(1, &[("ap-1", "192.0.2.1"), ("eu-1", "192.0.2.2"), ("us-1", "192.0.2.3")]);
    plan.clusters.values_mut().zip(capacities).for_each(|(cluster, capacity)| cluster.capacity = capacity);
    plan
}

struct Bed {
    plan: RoutePlan,
    serving: Serving,
    meter: Meter,
    judgement: Judgement,
    spill: Spill,
    now: Instant,
}

impl Bed {
    fn new(plan: RoutePlan) -> Bed {
        let mut judge = Judge::new("ns-1".parse().unwrap(), 1, Timestamp(1));
        judge.plan(&plan).unwrap();
        let (judgement, now) = (judge.judge(Timestamp(1)), Instant::now());
        let serving = Serving::new(Snapshot::compile(&plan, None, [7; 16]).unwrap());
        let mut meter = Meter::default();
        meter.turn(&serving, now);
        Bed { plan, serving, meter, judgement, spill: Spill::default(), now }
    }

    /// A second with `rate` questions from as many networks.
    fn second(&mut self, rate: u32, elsewhere: &[(&str, f64)]) {
        let query = query(ROUTE, RecordType::A).to_vec().unwrap();
        for network in 0..rate {
            let source = std::net::SocketAddr::from((std::net::Ipv4Addr::from(44 << 24 | network << 8), 1000));
            self.serving.answer(&query, source, Transport::Udp, Timestamp(1), &mut [0; 1280]).unwrap();
        }
        self.now += Duration::from_secs(1);
        self.meter.turn(&self.serving, self.now);
        let elsewhere = elsewhere.iter().map(|(name, rate)| (cluster(name), *rate)).collect();
        self.spill.turn(&self.plan.clusters, &self.serving, &self.meter, &self.judgement, &elsewhere);
        let pool = self.serving.snapshot.routes()[0].pool();
        let shares: Vec<_> = pool.iter().map(|cluster| self.spill.share(cluster)).collect();
        self.serving.health.limit(0, &shares);
    }

    fn home(&self, name: &str) -> f64 {
        f64::from(self.spill.share(&cluster(name)).home) / 65_535.0
    }

    /// Answers of one more second, in the order of the pool.
    fn answers(&mut self, rate: u32, elsewhere: &[(&str, f64)]) -> Vec<u64> {
        let before = self.serving.ledger.tally().read(&self.serving.snapshot, 0).answers;
        self.second(rate, elsewhere);
        let after = self.serving.ledger.tally().read(&self.serving.snapshot, 0).answers;
        after.iter().zip(before).map(|(after, before)| after - before).collect()
    }
}

#[test]
fn what_a_cluster_has_no_room_for_goes_to_the_next() {
    let mut bed = Bed::new(three([Some(250), Some(100), None]));
    bed.second(1000, &[]);
    let answers = bed.answers(1000, &[]);
    let close = |got: u64, wanted: i64| (got as i64 - wanted).abs() < 50;
    assert!(close(answers[0], 250) && close(answers[1], 100) && close(answers[2], 650), "{answers:?}");
    // When it is calm again everybody is back within seconds, and what is told to others stays what clients like.
    assert_eq!(bed.spill.demand().clone(), BTreeMap::from([(cluster("ap-1"), 1000.0)]));
    for _ in 0..60 {
        bed.second(100, &[]);
    }
    assert_eq!(bed.answers(100, &[]), [100, 0, 0]);
}

#[test]
fn without_capacities_nobody_is_refused_and_nothing_is_told() {
    let mut bed = Bed::new(three([None; 3]));
    bed.second(1000, &[("ap-1", 1000.0)]);
    assert_eq!(bed.home("ap-1"), 1.0);
    assert!(bed.spill.demand().is_empty());
}

/// Half of the questions arrive at another nameserver: both come to the same shares.
#[test]
fn demand_at_other_nameservers_counts() {
    let mut bed = Bed::new(three([Some(250), None, None]));
    bed.second(500, &[("ap-1", 500.0)]);
    assert!((bed.home("ap-1") - 0.25).abs() < 0.01, "{}", bed.home("ap-1"));
    // Its own clients of a cluster that only others' clients like leave the less room there.
    let mut bed = Bed::new(three([Some(250), Some(300), None]));
    bed.second(500, &[("eu-1", 200.0)]);
    let guests = f64::from(bed.spill.share(&cluster("eu-1")).guests) / 65_535.0;
    assert!((bed.home("ap-1") - 0.5).abs() < 0.01 && (guests - 0.4).abs() < 0.01, "{guests}");
}
