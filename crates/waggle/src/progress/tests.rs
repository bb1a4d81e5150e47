use super::*;
use serde_json::json;

fn view(state: serde_json::Value, eu: serde_json::Value, us: serde_json::Value) -> RolloutView {
    let cluster = |stage: u16, step| json!({"stage": stage, "step": step, "since": 0, "previous": null, "attempt": 1});
    serde_json::from_value(json!({
        "rollout": {
            "id": 7, "stack": "shop", "release": "ab".repeat(32), "promotion": {}, "state": state, "created": 0,
            "clusters": {"eu-1": cluster(1, eu), "us-1": cluster(0, us)},
        },
        "report": {"eu-1": "waiting: for us-1\u{1b}"}, "summary": "", "percent": 50,
    }))
    .unwrap()
}

#[test]
fn lines_stand_in_the_order_of_stages() {
    let lines = lines(&view(json!("running"), json!("waiting"), json!({"draining": {"plan": null}})));
    let shown: Vec<_> = lines.iter().map(|l| (l.cluster.as_str(), l.step, l.percent, l.note.as_str())).collect();
    assert_eq!(shown, [("us-1", "draining", 10, ""), ("eu-1", "waiting", 0, "for us-1 ")]);
}

#[test]
fn outcomes() {
    let failed = json!({"failed": {"why": "exit 1"}});
    let at = |state| outcome(&view(state, json!("done"), failed.clone()));
    for state in [json!("running"), json!({"paused": {"by": "ann"}}), json!({"aborting": {"by": "ann"}})] {
        assert_eq!(at(state), Outcome::Running);
    }
    assert_eq!(at(json!("done")), Outcome::Done("shop is on release abababababab in 2 clusters.".into()));
    let Outcome::Stopped(held) = at(json!({"held": {"why": "us-1 failed"}})) else { panic!("not stopped") };
    assert_eq!(held.exit, Exit::Held);
    assert_eq!(held.problems, ["us-1: failed: exit 1"]);
    for state in [json!({"aborted": {"by": "ann"}}), json!({"superseded": {"by": 8}})] {
        assert!(matches!(at(state), Outcome::Stopped(Failure { exit: Exit::Held, .. })));
    }
}

#[test]
fn a_held_rollout_is_watched_until_nothing_is_on_its_way_back() {
    let held = json!({"held": {"why": "us-1 failed"}});
    let reverting = json!({"reverting": {"why": "exit 1"}});
    assert_eq!(outcome(&view(held.clone(), json!("waiting"), reverting)), Outcome::Running);
    let reverted = json!({"reverted": {"why": "exit 1"}});
    assert!(matches!(outcome(&view(held, json!("waiting"), reverted)), Outcome::Stopped(_)));
}

#[test]
fn notes_say_a_thing_once() {
    let mut held =
        view(json!({"held": {"why": "us-1: exit 1"}}), json!("waiting"), json!({"reverted": {"why": "exit 1"}}));
    held.report.insert("eu-1".parse().unwrap(), "waiting: rollout is held: us-1: exit 1".into());
    held.report.insert("us-1".parse().unwrap(), "reverted: (exit 1 (on 1 node))".into());
    let notes: Vec<String> = lines(&held).into_iter().map(|line| line.note).collect();
    assert_eq!(notes, ["exit 1 (on 1 node)", "rollout is held"]);
    assert_eq!(without("reverting", "reverting: (a): web: (b)"), "(a): web: (b)");
}
