//! Progress on standard error: a bar per cluster on a terminal, a line per change elsewhere (logs of pipelines).

use crate::progress::{Line, Outcome, lines, outcome, state};
use crate::terminal;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use waggle_control::api::types::RolloutView;
use waggle_model::ClusterName;
use waggle_model::rollout::State;

pub struct Display {
    /// `None`: not on a terminal.
    bars: Option<(MultiProgress, BTreeMap<ClusterName, ProgressBar>)>,
    /// What was last said about each cluster.
    said: BTreeMap<ClusterName, (&'static str, String)>,
    state: Option<State>,
    colour: bool,
}

impl Display {
    pub fn new() -> Display {
        let err = std::io::stderr();
        let bars = err.is_terminal().then(|| (MultiProgress::new(), BTreeMap::new()));
        Display { bars, said: BTreeMap::new(), state: None, colour: terminal::has_colour(&err) }
    }

    pub fn show(&mut self, view: &RolloutView) {
        let lines = lines(view);
        let changed: Vec<&Line> = lines.iter().filter(|line| self.has_changed(line)).collect();
        match &mut self.bars {
            Some((multi, bars)) => show_bars(multi, bars, &lines, self.colour),
            None => changed.into_iter().for_each(|line| terminal::note(&plain(line))),
        }
        for line in lines {
            self.said.insert(line.cluster, (line.step, line.note));
        }
        let before = self.state.replace(view.rollout.state.clone());
        let is_news = before.as_ref() != Some(&view.rollout.state) && view.rollout.state != State::Running;
        if is_news && outcome(view) == Outcome::Running {
            self.note(&format!("Rollout {} is {}.", view.rollout.id, state(&view.rollout.state).0));
        }
    }

    /// A line above the bars.
    pub fn note(&self, text: &str) {
        match &self.bars {
            Some((multi, _)) => multi.suspend(|| terminal::note(text)),
            None => terminal::note(text),
        }
    }

    /// Leaves the bars as they are.
    pub fn finish(&mut self) {
        if let Some((_, bars)) = &mut self.bars {
            bars.values().for_each(ProgressBar::abandon);
        }
    }

    fn has_changed(&self, line: &Line) -> bool {
        self.said.get(&line.cluster).is_none_or(|(step, note)| *step != line.step || !same(note, &line.note))
    }
}

/// Whether two notes differ in numbers at most: a countdown is no news.
fn same(a: &str, b: &str) -> bool {
    let words = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    words(a) == words(b)
}

fn show_bars(multi: &MultiProgress, bars: &mut BTreeMap<ClusterName, ProgressBar>, lines: &[Line], colour: bool) {
    let width = lines.iter().map(|line| line.cluster.as_str().len()).max().unwrap_or(0);
    for line in lines {
        let bar = bars.entry(line.cluster.clone()).or_insert_with(|| {
            let bar = multi.add(ProgressBar::new(100));
            bar.set_style(style());
            bar.set_prefix(format!("{:width$}", line.cluster.as_str()));
            bar
        });
        bar.set_position(line.percent);
        bar.set_message(format!("{} {}", line.style.paint(&format!("{:11}", line.step), colour), line.note));
        bar.tick();
    }
}

fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{prefix} [{bar:20}] {wide_msg}");
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

fn plain(line: &Line) -> String {
    match line.note.as_str() {
        "" => format!("{}: {}", line.cluster, line.step),
        note => format!("{}: {}: {note}", line.cluster, line.step),
    }
}
