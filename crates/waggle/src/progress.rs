//! A rollout while one waits for it: each event becomes lines, and an outcome once there is one. The words a cluster waits
//! with are the planner's own.

mod display;
#[cfg(test)]
mod tests;

use crate::exit::{Exit, Failure};
use crate::output::{Style, table::clean};
pub use display::Display;
use waggle_control::api::types::RolloutView;
use waggle_model::ClusterName;
use waggle_model::rollout::{State, Step};

/// What the planner says of clusters that wait because another one failed.
const HELD: &str = "rollout is held";

/// One cluster of a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub cluster: ClusterName,
    pub step: &'static str,
    pub style: Style,
    /// 0 to 100.
    pub percent: u64,
    /// What it waits for, or why it failed.
    pub note: String,
}

/// Whether there is more to wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Running,
    Done(String),
    Stopped(Failure),
}

/// All clusters, in the order of their stages.
pub fn lines(view: &RolloutView) -> Vec<Line> {
    let mut clusters: Vec<_> = view.rollout.clusters.iter().collect();
    clusters.sort_by_key(|(_, cluster)| cluster.stage);
    clusters
        .into_iter()
        .map(|(name, cluster)| {
            let (step, percent, style) = step(&cluster.step);
            let reported = view.report.get(name).map(|text| without(step, &clean(text)));
            let note = reported.or_else(|| why(&cluster.step).map(clean)).unwrap_or_default();
            let note = if repeats(&view.rollout.state, &note) { HELD.to_owned() } else { note };
            Line { cluster: name.clone(), step, style, percent, note }
        })
        .collect()
}

/// A report without the step in front, which has a place of its own, and without brackets around all of the rest.
fn without(step: &str, report: &str) -> String {
    let rest = report.strip_prefix(step).unwrap_or(report);
    let rest = rest.strip_prefix(':').unwrap_or(rest).trim_start();
    let inner = rest.strip_prefix('(').and_then(|inner| inner.strip_suffix(')'));
    let encloses = |inner: &&str| {
        let depths = inner.chars().scan(0i32, |depth, c| {
            *depth += i32::from(c == '(') - i32::from(c == ')');
            Some(*depth)
        });
        !depths.into_iter().any(|depth| depth < 0)
    };
    inner.filter(encloses).unwrap_or(rest).to_owned()
}

/// Whether a note says again why the whole rollout is held: that is shown once, for the cluster where it happened.
fn repeats(state: &State, note: &str) -> bool {
    let State::Held { why } = state else { return false };
    note.strip_prefix(HELD).and_then(|rest| rest.strip_prefix(": ")).is_some_and(|rest| rest == clean(why))
}

fn step(step: &Step) -> (&'static str, u64, Style) {
    match step {
        Step::Waiting => ("waiting", 0, Style::Faint),
        Step::Draining { .. } => ("draining", 10, Style::Plain),
        Step::Proving { .. } => ("proving", 25, Style::Plain),
        Step::Updating => ("updating", 45, Style::Plain),
        Step::Verifying => ("verifying", 75, Style::Plain),
        Step::Readmitting { .. } => ("readmitting", 90, Style::Plain),
        Step::Done => ("done", 100, Style::Good),
        Step::Failed { .. } => ("failed", 100, Style::Bad),
        Step::Reverting { .. } => ("reverting", 50, Style::Warning),
        Step::Reverted { .. } => ("reverted", 100, Style::Bad),
    }
}

fn why(step: &Step) -> Option<&str> {
    match step {
        Step::Failed { why } | Step::Reverting { why } | Step::Reverted { why } => Some(why),
        _ => None,
    }
}

/// A rollout's state in words.
pub fn state(state: &State) -> (String, Style) {
    match state {
        State::Running => ("running".into(), Style::Plain),
        State::Paused { by } => (format!("paused by {by}"), Style::Warning),
        State::Held { .. } => ("held".into(), Style::Bad),
        State::Aborting { by } => (format!("being aborted by {by}"), Style::Warning),
        State::Aborted { by } => (format!("aborted by {by}"), Style::Bad),
        State::Done => ("done".into(), Style::Good),
        State::Superseded { by } => (format!("replaced by {by}"), Style::Faint),
    }
}

/// A rollout that is held ends the wait once no cluster is on its way back: whoever waits then sees what came of it.
pub fn outcome(view: &RolloutView) -> Outcome {
    let rollout = &view.rollout;
    let stopped = |message: String| Failure::new(Exit::Held, message);
    let id = rollout.id;
    match &rollout.state {
        State::Running | State::Paused { .. } | State::Aborting { .. } => Outcome::Running,
        State::Held { .. } if rollout.clusters.values().any(|c| matches!(c.step, Step::Reverting { .. })) => {
            Outcome::Running
        }
        State::Held { why } => {
            let failed = lines(view).into_iter().filter(|line| line.style == Style::Bad);
            let failed = failed.map(|line| match line.note.as_str() {
                known if why.contains(known) => format!("{}: {}", line.cluster, line.step),
                _ => format!("{}: {}: {}", line.cluster, line.step, line.note),
            });
            let help = format!(
                "`waggle rollout resume {id}` tries again, `waggle rollout abort {id}` gives up, a new deploy replaces it"
            );
            Outcome::Stopped(stopped(format!("rollout {id} is held: {why}")).with_problems(failed).with_help(help))
        }
        State::Aborted { by } => Outcome::Stopped(stopped(format!("rollout {id} was aborted by {by}"))),
        State::Superseded { by } => {
            let failure = stopped(format!("rollout {id} was replaced by rollout {by} of the same stack"));
            Outcome::Stopped(failure.with_help(format!("follow that one with `waggle rollout watch {by}`")))
        }
        State::Done => {
            let count = rollout.clusters.len();
            let clusters = if count == 1 { "1 cluster".to_owned() } else { format!("{count} clusters") };
            Outcome::Done(format!("{} is on release {} in {clusters}.", rollout.stack, rollout.release.short()))
        }
    }
}
