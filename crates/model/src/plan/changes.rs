//! What one route plan changes against another, in words for people.
//!
//! A rollout that drains a cluster changes every route of its stack in the same way; so what is said of all routes of a
//! stack is said once, of the stack. Paths of the document with old and new values were rejected: they repeat what
//! belongs together, and nobody knows a plan by its paths.

mod federation;
mod routes;
#[cfg(test)]
mod tests;

use super::RoutePlan;
use crate::{DomainName, StackName};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Routes that one change names; the rest is counted.
pub const ROUTES_NAMED_MAX: usize = 8;
/// Characters of one change.
const TEXT_CHARS_MAX: usize = 300;

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Whose routes; `None`: it is about the whole federation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<StackName>,
    /// The first [`ROUTES_NAMED_MAX`] routes that it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<DomainName>,
    /// Further routes.
    #[serde(default)]
    pub more: usize,
    /// These are all routes of the stack.
    #[serde(default)]
    pub whole_stack: bool,
    pub text: String,
}

impl Change {
    fn whole(text: String) -> Change {
        let text = text.chars().take(TEXT_CHARS_MAX).collect();
        Change { stack: None, routes: Vec::new(), more: 0, whole_stack: false, text }
    }

    /// Whether it can matter to a route, which belongs to `stack` if anybody knows.
    pub fn concerns(&self, route: &DomainName, stack: Option<&StackName>) -> bool {
        let unnamed = self.whole_stack || self.more > 0;
        self.stack.is_none() || self.routes.contains(route) || (unnamed && self.stack.as_ref() == stack)
    }
}

/// `shop: eu-1 drained (rollout)`
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.stack, self.routes.as_slice()) {
            (Some(stack), _) if self.whole_stack => write!(f, "{stack}: ")?,
            (Some(stack), [first, others @ ..]) if !others.is_empty() => {
                write!(f, "{first} and {} more of {stack}: ", others.len() + self.more)?;
            }
            (Some(_), [only, ..]) => write!(f, "{only}: ")?,
            _ => {}
        }
        f.write_str(&self.text)
    }
}

/// From `before` to `after`; without a plan before, everything is new. Generation and time of issue do not count.
pub fn changes(before: Option<&RoutePlan>, after: &RoutePlan) -> Vec<Change> {
    let nothing = RoutePlan::default();
    let before = before.unwrap_or(&nothing);
    let mut found = federation::changes(before, after);
    found.extend(routes::changes(before, after));
    found
}

/// `a → b`, where they differ.
fn moved<T: PartialEq + fmt::Display>(what: &str, before: &T, after: &T) -> Option<String> {
    (before != after).then(|| format!("{what} {before} → {after}"))
}

fn list<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { "none".into() } else { items.join(", ") }
}
