//! Rollouts for people.

use crate::output::{Cell, Style, Table, age, cut};
use crate::progress::{self, lines};
use waggle_control::api::types::RolloutView;
use waggle_model::Timestamp;

pub fn table(rollouts: &[RolloutView], now: Timestamp) -> Table {
    let mut table = Table::new(&["ROLLOUT", "STACK", "RELEASE", "STARTED", "STATE", "DONE", "SUMMARY"]);
    for view in rollouts {
        let rollout = &view.rollout;
        table.row([
            rollout.id.to_string().into(),
            rollout.stack.as_str().into(),
            rollout.release.short().into(),
            age::ago(now, rollout.created).into(),
            state(view),
            format!("{}%", view.percent).into(),
            cut(&view.summary).into(),
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
