//! What somebody changed behind a release's back: how long it is told, and how often it is written again.
//!
//! Another program that keeps writing its own idea of a service would be answered each time, and every answer restarts
//! tasks; so the pause between two answers doubles, until nothing was found for a while.

use std::collections::BTreeMap;
use std::time::Duration;
use waggle_model::observed::DRIFT_REPORTED_MAX;
use waggle_model::{StackName, Timestamp};

/// How long a change is told after it was last seen.
pub const SHOWN: Duration = Duration::from_secs(600);
/// Shortest time between two writes of the same stack.
const PAUSE: Duration = Duration::from_secs(1);
/// The pause doubles so many times.
const DOUBLINGS_MAX: u32 = 6;

/// Of all stacks.
#[derive(Debug, Default)]
pub struct Drifts(BTreeMap<StackName, Drift>);

#[derive(Debug, Default)]
struct Drift {
    /// Change → when it was last seen.
    changes: BTreeMap<String, Timestamp>,
    healed: Option<Healed>,
}

#[derive(Clone, Copy, Debug)]
struct Healed {
    at: Timestamp,
    times: u32,
}

impl Drifts {
    pub fn note(&mut self, stack: &StackName, changes: Vec<String>, now: Timestamp) {
        let drift = self.0.entry(stack.clone()).or_default();
        for change in changes {
            drift.changes.insert(change, now);
        }
        drift.changes.retain(|_, at| now.since(*at) < SHOWN);
        while drift.changes.len() > DRIFT_REPORTED_MAX {
            let oldest = drift.changes.iter().min_by_key(|(_, at)| **at).map(|(change, _)| change.clone());
            oldest.and_then(|change| drift.changes.remove(&change));
        }
    }

    /// In words, for the report.
    pub fn said(&self, stack: &StackName, now: Timestamp) -> Vec<String> {
        let changes = self.0.get(stack).into_iter().flat_map(|drift| &drift.changes);
        changes.filter(|(_, at)| now.since(**at) < SHOWN).map(|(change, _)| change.clone()).collect()
    }

    /// How long the next writing has to wait; zero: now.
    pub fn pause(&self, stack: &StackName, now: Timestamp) -> Duration {
        let healed = self.0.get(stack).and_then(|drift| drift.healed);
        let pause = |healed: Healed| PAUSE * 2u32.pow(healed.times.saturating_sub(1).min(DOUBLINGS_MAX));
        healed.map_or(Duration::ZERO, |healed| pause(healed).saturating_sub(now.since(healed.at)))
    }

    /// Written in this very pass; a write that met somebody else's is repeated at once.
    pub fn is_healing(&self, stack: &StackName, now: Timestamp) -> bool {
        self.0.get(stack).and_then(|drift| drift.healed).is_some_and(|healed| healed.at == now)
    }

    pub fn healed(&mut self, stack: &StackName, now: Timestamp) {
        let drift = self.0.entry(stack.clone()).or_default();
        let before = drift.healed.filter(|healed| now.since(healed.at) < SHOWN).map_or(0, |healed| healed.times);
        drift.healed = Some(Healed { at: now, times: before.saturating_add(1) });
    }

    pub fn forget(&mut self, stack: &StackName) {
        self.0.remove(stack);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp(1_000_000 + seconds * 1000)
    }

    #[test]
    fn changes_are_told_for_a_while_and_are_bounded() {
        let (stack, mut drifts) = ("shop".parse().unwrap(), Drifts::default());
        drifts.note(&stack, vec!["one".into()], at(0));
        drifts.note(&stack, vec!["two".into()], at(500));
        assert_eq!(drifts.said(&stack, at(599)), ["one", "two"]);
        assert_eq!(drifts.said(&stack, at(600)), ["two"]);
        drifts.note(&stack, (0..200).map(|n| n.to_string()).collect(), at(601));
        assert_eq!(drifts.said(&stack, at(601)).len(), DRIFT_REPORTED_MAX);
        drifts.forget(&stack);
        assert!(drifts.said(&stack, at(601)).is_empty());
    }

    #[test]
    fn whoever_keeps_changing_is_answered_less_and_less_often() {
        let (stack, mut drifts, mut now, mut pauses) = ("shop".parse().unwrap(), Drifts::default(), 0, Vec::new());
        for _ in 0..9 {
            let pause = drifts.pause(&stack, at(now)).as_secs();
            pauses.push(pause);
            now += pause;
            assert!(drifts.pause(&stack, at(now)).is_zero());
            drifts.healed(&stack, at(now));
        }
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 32, 64, 64]);
        drifts.healed(&stack, at(now + 600));
        assert_eq!(drifts.pause(&stack, at(now + 600)).as_secs(), 1, "calm for a while");
    }
}
