//! From facts to findings. Pure.

mod federation;
#[cfg(test)]
mod tests;
mod zones;

use super::facts::Facts;
use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub level: Level,
    /// Stable word for programs.
    pub check: &'static str,
    pub place: String,
    pub text: String,
    /// The way out, where something should be done.
    pub help: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Ok,
    /// Works, but not as well as it could, or not known.
    Warning,
    /// Users are not served as they should be, or are not once one thing more fails.
    Problem,
}

/// Zones first, then the federation as a whole.
pub fn examine(facts: &Facts) -> Vec<Finding> {
    let mut found = Findings { check: "", list: Vec::new() };
    for (name, zone) in &facts.zones {
        zones::examine(facts, name, zone, &mut found);
    }
    federation::examine(facts, &mut found);
    found.list
}

struct Findings {
    check: &'static str,
    list: Vec<Finding>,
}

impl Findings {
    fn push(&mut self, level: Level, place: impl ToString, text: impl Into<String>, help: Option<&str>) {
        let (place, text, help) = (place.to_string(), text.into(), help.map(str::to_owned));
        self.list.push(Finding { level, check: self.check, place, text, help });
    }

    fn problem(&mut self, place: impl ToString, text: impl Into<String>, help: &str) {
        self.push(Level::Problem, place, text, Some(help));
    }

    fn warning(&mut self, place: impl ToString, text: impl Into<String>, help: &str) {
        self.push(Level::Warning, place, text, Some(help));
    }

    /// One check; if it finds nothing to say, that is said.
    fn check(&mut self, check: &'static str, place: &str, fine: &str, look: impl FnOnce(&mut Findings)) {
        self.check = check;
        let before = self.list.len();
        look(self);
        if self.list.len() == before {
            self.push(Level::Ok, place, fine, None);
        }
    }
}

/// `a, b and c`, for people.
fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    match items.as_slice() {
        [] => "nothing".into(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
