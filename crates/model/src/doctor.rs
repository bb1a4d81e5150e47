//! What a person would check by hand before trusting a federation with users: from facts, which the command line gathers
//! from control and from the DNS, to findings with the way out.

pub mod facts;
mod federation;
#[cfg(test)]
mod tests;
mod zones;

use facts::Facts;
use serde::Serialize;
use std::fmt;

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

/// As people read it, with the way out on a line of its own.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.level {
            Level::Problem => "problem",
            Level::Warning => "warning",
            Level::Ok => "ok",
        };
        write!(f, "{word}: {}: {}", self.place, self.text)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "\n  {help}"))
    }
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

    /// Worth knowing, and in order.
    fn fine(&mut self, place: impl ToString, text: impl Into<String>) {
        self.push(Level::Ok, place, text, None);
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
