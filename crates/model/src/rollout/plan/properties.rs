//! What holds in every state that commands, failures and cut links can lead to.

use super::plan;
use super::world::{Fleet, stack};
use crate::federate::{DRAINED_BY_ROLLOUT, route_plan};
use crate::rollout::State;
use proptest::prelude::*;

const CLUSTERS: [&str; 3] = ["ap-1", "eu-1", "us-1"];
const NAMESERVERS: [&str; 2] = ["ns-1", "ns-2"];

fn event() -> impl Strategy<Value = String> {
    let cluster = prop::sample::select(CLUSTERS.to_vec());
    let nameserver = prop::sample::select(NAMESERVERS.to_vec());
    let plain =
        ["plan", "publish", "ack", "agents", "wait 1", "wait 30", "pause", "resume", "abort", "deploy B", "deploy C"];
    let verdict = prop::sample::select(vec!["fit", "fit", "unfit", "unknown"]);
    prop_oneof![
        3 => prop::sample::select(plain.to_vec()).prop_map(str::to_owned),
        4 => (1..8u8).prop_map(|seconds| format!("run {seconds}")),
        1 => cluster.clone().prop_map(|name| format!("agent {name} failed out of memory")),
        1 => cluster.clone().prop_map(|name| format!("agent {name} applying 1 of 2 tasks run")),
        1 => (prop::bool::ANY, cluster.clone()).prop_map(|(up, name)| link(up, name)),
        1 => (prop::bool::ANY, nameserver.clone()).prop_map(|(up, name)| link(up, name)),
        1 => (nameserver, cluster, verdict).prop_map(|(ns, name, says)| format!("says {ns} {name} {says}")),
    ]
}

fn link(up: bool, name: &str) -> String {
    format!("{} {name}", if up { "connect" } else { "disconnect" })
}

fn fleet(clusters: usize, nameservers: usize, promotion: &str) -> Fleet {
    let mut fleet = Fleet::new();
    fleet.command(&format!("clusters {}", CLUSTERS[..clusters].join(" ")));
    if nameservers > 0 {
        fleet.command(&format!("nameservers {}", NAMESERVERS[..nameservers].join(" ")));
    }
    for line in ["route www.shop.example ttl=5 check=80", "release A", "settled A"] {
        fleet.command(line);
    }
    for letter in ["B", "C"] {
        fleet.command(&format!("release {letter} {promotion}"));
    }
    fleet.command("deploy B");
    fleet
}

fn applies(event: &str, clusters: usize, nameservers: usize) -> bool {
    let knows = |names: &[&str]| !names.iter().any(|name| event.contains(name));
    knows(&CLUSTERS[clusters..]) && knows(&NAMESERVERS[nameservers..])
}

fn check(fleet: &Fleet, max_parallel: usize) -> Result<(), TestCaseError> {
    let facts = fleet.facts();
    let (once, _) = plan(fleet.rollout(), &facts, fleet.now);
    let (twice, report) = plan(&once, &facts, fleet.now);
    prop_assert_eq!(&once, &twice, "planning again changes something");
    prop_assert!(report.notes.is_empty() || report.notes.iter().all(|note| !note.to_string().contains("now ")));
    let under_way = once.clusters.values().filter(|cluster| cluster.is_under_way()).count();
    prop_assert!(under_way <= max_parallel, "{under_way} clusters are under way");
    let mut state = fleet.state.clone();
    state.stacks.get_mut(&stack()).unwrap().rollout = Some(once);
    for (name, route) in &route_plan(&state, fleet.now).0.routes {
        let drained = |at: &crate::plan::Endpoint| at.drained.as_deref() == Some(DRAINED_BY_ROLLOUT);
        prop_assert!(!route.pool.iter().all(drained), "no cluster is left in service for {}", name);
    }
    Ok(())
}

fn promotion(max_parallel: usize, in_place: bool, hold: bool, staged: bool) -> String {
    let mut text = format!("max_parallel={max_parallel} deadline=20");
    for (wanted, option) in
        [(in_place, " strategy=in_place"), (hold, " on_failure=hold"), (staged, " stages=eu-1/ap-1")]
    {
        text += if wanted { option } else { "" };
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_is_idempotent_honours_max_parallel_and_leaves_one_in_service(
        clusters in 1..=3usize,
        nameservers in 0..=2usize,
        max_parallel in 1..=3usize,
        (in_place, hold, staged) in any::<(bool, bool, bool)>(),
        events in prop::collection::vec(event(), 1..40),
    ) {
        let staged = staged && clusters > 1;
        let mut fleet = fleet(clusters, nameservers, &promotion(max_parallel, in_place, hold, staged));
        for event in events.iter().filter(|event| applies(event, clusters, nameservers)) {
            fleet.command(event);
            check(&fleet, max_parallel)?;
        }
    }

    #[test]
    fn whatever_happened_it_ends_when_all_is_well_again(
        clusters in 1..=3usize,
        nameservers in 0..=2usize,
        max_parallel in 1..=3usize,
        (in_place, hold, staged) in any::<(bool, bool, bool)>(),
        events in prop::collection::vec(event(), 1..30),
    ) {
        let staged = staged && clusters > 1;
        let mut fleet = fleet(clusters, nameservers, &promotion(max_parallel, in_place, hold, staged));
        for event in events.iter().filter(|event| applies(event, clusters, nameservers)) {
            fleet.command(event);
        }
        for name in CLUSTERS[..clusters].iter().chain(&NAMESERVERS[..nameservers]) {
            fleet.command(&format!("connect {name}"));
        }
        for (ns, name) in NAMESERVERS[..nameservers].iter().flat_map(|ns| CLUSTERS[..clusters].iter().map(move |c| (ns, c))) {
            fleet.command(&format!("says {ns} {name} fit"));
        }
        fleet.command("run 60");
        fleet.command("resume");
        fleet.command("run 120");
        let state = &fleet.rollout().state;
        prop_assert!(matches!(state, State::Done | State::Aborted { .. }), "{:?} {:?}", state, fleet.rollout().clusters);
    }
}
