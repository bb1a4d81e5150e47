//! Rollouts for people.

use crate::output::{Cell, Style, Table, age, cut};
use crate::progress::{self, lines};
use waggle_control::api::types::RolloutView;
use waggle_model::Timestamp;
use waggle_model::rollout::State;

pub fn table(rollouts: &[RolloutView], now: Timestamp) -> Table {
    let mut table = Table::new(&["ROLLOUT", "STACK", "RELEASE", "STARTED", "STATE", "DONE", "NOTE"]);
    for view in rollouts {
        let rollout = &view.rollout;
        table.row([
            rollout.id.to_string().into(),
            rollout.stack.as_str().into(),
            rollout.release.short().into(),
            age::ago(now, rollout.created).into(),
            state(view),
            format!("{}%", view.percent).into(),
            cut(news(view)).into(),
        ]);
    }
    table
}

/// One rollout on many lines.
pub fn details(view: &RolloutView, now: Timestamp, colour: bool) -> String {
    let rollout = &view.rollout;
    let mut head = Table::plain();
    head.row(["Rollout:".into(), rollout.id.to_string().into()]);
    head.row(["Stack:".into(), rollout.stack.as_str().into()]);
    head.row(["Release:".into(), rollout.release.to_string().into()]);
    head.row(["Started:".into(), age::ago(now, rollout.created).into()]);
    head.row(["State:".into(), state(view)]);
    head.row(["Summary:".into(), view.summary.as_str().into()]);

    let mut clusters = Table::new(&["CLUSTER", "STAGE", "STEP", "SINCE", "NOTE"]);
    for line in lines(view) {
        let Some(cluster) = rollout.clusters.get(&line.cluster) else { continue };
        clusters.row([
            line.cluster.as_str().into(),
            (cluster.stage + 1).to_string().into(),
            Cell::new(line.step, line.style),
            age::ago(now, cluster.since).into(),
            line.note.into(),
        ]);
    }
    format!("{}\n{}", head.render(colour), clusters.render(colour))
}

/// What a summary says beyond the columns beside it.
fn news(view: &RolloutView) -> &str {
    match &view.rollout.state {
        State::Held { why } => why,
        _ => "",
    }
}

fn state(view: &RolloutView) -> Cell {
    let (text, style) = progress::state(&view.rollout.state);
    Cell::new(
        text,
        match style {
            Style::Faint => Style::Plain,
            style => style,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn view(state: serde_json::Value) -> RolloutView {
        serde_json::from_value(json!({
            "rollout": {"id": 7, "stack": "shop", "release": "ab".repeat(32), "promotion": {}, "state": state,
                        "created": 0, "clusters": {}},
            "report": {}, "summary": "rollout 7 of shop to abababababab", "percent": 50,
        }))
        .unwrap()
    }

    #[test]
    fn rows_say_a_thing_once() {
        let rollouts = [
            view(json!({"held": {"why": "eu-1: exit 1"}})),
            view(json!("running")),
            view(json!({"superseded": {"by": 8}})),
        ];
        let want = "\
            ROLLOUT   STACK   RELEASE        STARTED         STATE           DONE   NOTE\n\
            7         shop    abababababab   9 seconds ago   held            50%    eu-1: exit 1\n\
            7         shop    abababababab   9 seconds ago   running         50%\n\
            7         shop    abababababab   9 seconds ago   replaced by 8   50%\n";
        assert_eq!(table(&rollouts, Timestamp(9_000)).render(false), want);
    }
}
