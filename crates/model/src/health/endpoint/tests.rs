use super::*;
use proptest::prelude::*;

fn feed(endpoint: &mut Endpoint, at: &mut u64, outcomes: &str) {
    for outcome in outcomes.chars() {
        *at += 500;
        let outcome = if outcome == '+' { Ok(()) } else { Err("timeout".to_owned()) };
        endpoint.record(&ProbeResult { at: Timestamp(*at), took: Duration::ZERO, outcome }, &HealthPolicy::default());
    }
}

fn up_after(outcomes: &str) -> Option<bool> {
    let (mut endpoint, mut at) = (Endpoint::default(), 0);
    feed(&mut endpoint, &mut at, outcomes);
    endpoint.up(Timestamp(at), &HealthPolicy::default())
}

#[test]
fn failures_within_the_window_count_even_when_apart() {
    assert_eq!(up_after(""), None);
    assert_eq!(up_after("-"), None, "one failure of an unknown endpoint is no verdict");
    assert_eq!(up_after("--"), Some(false));
    assert_eq!(up_after("+"), Some(true));
    assert_eq!(up_after("+-++"), Some(true));
    assert_eq!(up_after("+-++-"), Some(false), "slow flapping counts");
    assert_eq!(up_after("+-++++-"), Some(true), "the first failure left the window");
}

#[test]
fn the_hold_down_keeps_it_down_and_doubles() {
    let policy = HealthPolicy::default();
    let (mut endpoint, mut at) = (Endpoint::default(), 0);
    feed(&mut endpoint, &mut at, "+--+++");
    assert_eq!(endpoint.up(Timestamp(at), &policy), Some(false), "1.5 s of 2 s have passed");
    feed(&mut endpoint, &mut at, "+");
    assert_eq!(endpoint.up(Timestamp(at), &policy), Some(true));
    feed(&mut endpoint, &mut at, "--+++++++");
    assert_eq!(endpoint.up(Timestamp(at), &policy), Some(false), "3.5 s of 4 s have passed");
    assert_eq!(endpoint.up(Timestamp(at + 500), &policy), Some(true), "no further probe is needed");
}

#[test]
fn flaps_are_forgotten_while_it_is_stable() {
    let policy = HealthPolicy::default();
    let (mut endpoint, mut at) = (Endpoint::default(), 0);
    feed(&mut endpoint, &mut at, "+--++++");
    at += 120_000;
    feed(&mut endpoint, &mut at, "+--++++");
    assert_eq!(endpoint.up(Timestamp(at), &policy), Some(true), "held for 2 s again, not for 4 s");
}

#[test]
fn one_failure_makes_it_suspect_and_names_the_next_change() {
    let policy = HealthPolicy::default();
    let (mut endpoint, mut at) = (Endpoint::default(), 0);
    feed(&mut endpoint, &mut at, "++");
    let interval = Duration::from_millis(500);
    assert_eq!(endpoint.reading(Timestamp(at), &policy, interval).next_change, None);
    feed(&mut endpoint, &mut at, "-");
    let reading = endpoint.reading(Timestamp(at), &policy, interval);
    assert!(reading.suspect);
    assert_eq!(reading.next_change, Some(Timestamp(at + 500)));
}

proptest! {
    #[test]
    fn it_never_rises_inside_the_hold_down(outcomes in "[+-]{1,60}") {
        let policy = HealthPolicy::default();
        let (mut endpoint, mut at) = (Endpoint::default(), 0);
        let mut fell: Option<u64> = None;
        for outcome in outcomes.chars() {
            feed(&mut endpoint, &mut at, &outcome.to_string());
            match (endpoint.up(Timestamp(at), &policy), fell) {
                (Some(false), None) => fell = Some(at),
                (Some(true), Some(since)) => {
                    prop_assert!(at - since >= 2000);
                    fell = None;
                }
                _ => {}
            }
        }
    }
}

#[test]
fn a_drained_endpoint_neither_is_held_down_nor_flaps() {
    let policy = HealthPolicy::default();
    let (mut endpoint, mut at) = (Endpoint::default(), 0);
    feed(&mut endpoint, &mut at, "+");
    for _ in 0..5 {
        for failed in [true, true, false, false] {
            at += 500;
            let outcome = if failed { Err("refused".to_owned()) } else { Ok(()) };
            endpoint.record_drained(&ProbeResult { at: Timestamp(at), took: Duration::ZERO, outcome }, &policy);
        }
        assert_eq!(endpoint.up(Timestamp(at), &policy), Some(true), "risen by the counts alone");
    }
    feed(&mut endpoint, &mut at, "--+++++");
    assert_eq!(endpoint.up(Timestamp(at), &policy), Some(true), "2.5 s of the first hold-down of 2 s have passed");
}
