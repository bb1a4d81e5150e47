//! What holds after any sequence of probes, beats, views, plans and restarts.

use super::world::Observer;
use super::{Judgement, Rule};
use proptest::prelude::*;

fn event() -> impl Strategy<Value = String> {
    let cluster = prop::sample::select(vec!["ap-1", "eu-1", "us-1"]);
    let peer = prop::sample::select(vec!["ns-2", "ns-3"]);
    let outcome = prop::sample::select(vec!["ok", "ok", "timeout"]);
    let seen = prop::sample::select(vec!["up", "down"]);
    let yes = prop::sample::select(vec!["yes", "yes", "no"]);
    let release = prop::sample::select(vec!["A", "B"]);
    let rule = prop::sample::select(vec!["last_good", "all", "fallback"]);
    let forced =
        prop::sample::select(vec!["none", "eu-1:unfit:3", "ap-1:unfit:9,eu-1:unfit:9,us-1:unfit:9", "us-1:fit:5"]);
    let drained = prop::sample::select(vec!["none", "eu-1", "ap-1,us-1", "ap-1,eu-1,us-1"]);
    prop_oneof![
        6 => (outcome.clone(), outcome.clone(), outcome, 1..5u8)
            .prop_map(|(ap, eu, us, times)| format!("round ap-1={ap} eu-1={eu} us-1={us} times={times}")),
        2 => (cluster, yes.clone(), yes.clone(), release.clone(), yes.clone()).prop_map(
            |(name, serving, converged, release, engine)| {
                format!("agent {name} serving={serving} converged={converged} release={release} engine={engine}")
            }
        ),
        2 => (peer, seen.clone(), seen.clone(), seen, yes).prop_map(|(peer, ap, eu, us, suspect)| {
            let suspect = if suspect == "no" { "yes" } else { "no" };
            format!("peer {peer} ap-1={ap} eu-1={eu} us-1={us} suspect={suspect}")
        }),
        1 => Just("silent ap-1 ns-2".to_owned()),
        1 => Just("silent eu-1 us-1 ns-3".to_owned()),
        1 => Just("restart 1".to_owned()),
        1 => Just("wait 5".to_owned()),
        1 => (rule, release, drained, forced).prop_map(|(rule, release, drained, forced)| {
            format!("route www.shop.example clusters=ap-1,eu-1,us-1 check=0.5 all_down={rule} release={release} drained={drained} forced={forced}")
        }),
    ]
}

fn check(observer: &Observer, judgement: &Judgement) -> Result<(), TestCaseError> {
    for (name, judged) in &judgement.routes {
        let pool = &observer.plan.routes[name].pool;
        let drained =
            pool.iter().enumerate().filter(|(_, e)| e.drained.is_some()).fold(0, |mask, (at, _)| mask | 1u64 << at);
        prop_assert_eq!(judged.mask & drained, 0, "a drained endpoint is answered");
        prop_assert!(judged.mask < 1 << pool.len());
        let chosen = matches!(judged.rule, Rule::Fallback | Rule::AllDrained);
        prop_assert_eq!(judged.mask == 0, chosen, "{}", judgement);
        let all_drained = drained == (1 << pool.len()) - 1;
        prop_assert!(judged.rule != Rule::AllDrained || all_drained);
        prop_assert!(judged.ttl_cap >= 1);
        let limited = |at: usize| judged.endpoints[at].limited.is_some();
        prop_assert!((0..pool.len()).all(|at| !limited(at) || judged.mask & 1 << at != 0));
        prop_assert!(
            judged.mask == 0 || (0..pool.len()).any(|at| judged.mask & 1 << at != 0 && !limited(at)),
            "somebody has all of its clients: {}",
            judgement
        );
    }
    prop_assert!(judgement.next.is_none_or(|next| next > judgement.at));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_route_is_never_left_without_endpoints(events in prop::collection::vec(event(), 1..40)) {
        let mut observer = Observer::new();
        observer.command("nameservers ns-1 ns-2 ns-3");
        observer.command("route www.shop.example clusters=ap-1,eu-1,us-1 check=0.5 release=A");
        observer.command("route api.shop.example clusters=eu-1,us-1 release=A");
        for event in &events {
            observer.command(event);
            let judgement = observer.judge();
            check(&observer, &judgement)?;
            prop_assert_eq!(&judgement, &observer.judge.judge(observer.now), "judging again changes something");
        }
    }

    #[test]
    fn nothing_moves_to_an_older_beat_or_view(numbers in prop::collection::vec((0..4u64, 0..6u64, prop::bool::ANY), 1..40)) {
        let mut observer = Observer::new();
        observer.command("nameservers ns-1 ns-2");
        observer.command("route www.shop.example clusters=eu-1 check=0.5");
        let (mut beat, mut view) = (None, None);
        for (boot, seq, is_beat) in numbers {
            let (last, line) = match is_beat {
                true => (&mut beat, format!("beat eu-1 boot={boot} seq={seq}")),
                false => (&mut view, format!("view ns-2 boot={boot} seq={seq}")),
            };
            let taken = observer.command(&line).is_empty();
            prop_assert_eq!(taken, last.is_none_or(|last| (boot, seq) > last));
            *last = if taken { Some((boot, seq)) } else { *last };
        }
    }
}
