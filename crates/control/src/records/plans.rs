//! The last route plans: one record that lists them, and each plan's bytes under a key of its own, so that the list can
//! be read and written without them.

use serde::{Deserialize, Serialize};
use waggle_model::plan::RoutePlan;
use waggle_model::plan::changes::Change;
use waggle_model::plan::hold::Hold;
use waggle_model::{Generation, Timestamp};

/// Route plans kept, the present one included.
pub const PLANS_KEPT: usize = 64;
/// Bytes of all of them together; the oldest go first.
const BYTES_MAX: usize = 64 << 20;
/// Bytes of one that is kept; of a larger one only the entry is.
const ONE_BYTES_MAX: usize = 16 << 20;
/// Changes listed of one plan; the rest is counted.
const CHANGES_KEPT: usize = 40;

/// Newest last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlanLog {
    pub plans: Vec<KeptPlan>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptPlan {
    pub generation: Generation,
    pub at: Timestamp,
    /// Whose change led to it; empty: nobody's.
    pub by: String,
    /// That change in words; may be empty.
    pub what: String,
    /// W3C trace context of that change; may be empty.
    pub traceparent: String,
    /// The generation whose content was held then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Generation>,
    /// Against the plan before.
    pub changes: Vec<Change>,
    /// Further changes.
    pub more: usize,
    /// 0: the plan itself is not kept.
    pub bytes: usize,
}

/// A plan that a person put back in force; the record goes when the hold is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldPlan {
    pub hold: Hold,
    pub plan: RoutePlan,
}

impl PlanLog {
    /// Adds an entry and returns the generations whose bytes are no longer kept.
    pub fn add(&mut self, mut entry: KeptPlan) -> Vec<Generation> {
        entry.more += entry.changes.len().saturating_sub(CHANGES_KEPT);
        entry.changes.truncate(CHANGES_KEPT);
        if entry.bytes > ONE_BYTES_MAX {
            entry.bytes = 0;
        }
        self.plans.retain(|plan| plan.generation < entry.generation);
        self.plans.push(entry);
        let mut bytes = 0;
        let fits = |plan: &&KeptPlan| {
            bytes += plan.bytes;
            bytes <= BYTES_MAX
        };
        let kept = self.plans.iter().rev().take(PLANS_KEPT).take_while(fits).count().max(1);
        let gone = self.plans.drain(..self.plans.len() - kept);
        gone.filter(|plan| plan.bytes > 0).map(|plan| plan.generation).collect()
    }

    pub fn get(&self, generation: Generation) -> Option<&KeptPlan> {
        self.plans.iter().find(|plan| plan.generation == generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(generation: u64, bytes: usize) -> KeptPlan {
        let text = |text: &str| text.to_owned();
        KeptPlan {
            generation: Generation(generation),
            at: Timestamp(generation),
            by: text("ann"),
            what: text("federation applied"),
            traceparent: String::new(),
            held: None,
            changes: Vec::new(),
            more: 0,
            bytes,
        }
    }

    #[test]
    fn the_list_has_limits() {
        let mut log = PlanLog::default();
        for generation in 1..=PLANS_KEPT as u64 {
            assert_eq!(log.add(entry(generation, 10)), []);
        }
        assert_eq!(log.add(entry(100, 10)), [Generation(1)], "too many");
        assert_eq!((log.plans.len(), log.get(Generation(1))), (PLANS_KEPT, None));
        assert_eq!(log.add(entry(101, ONE_BYTES_MAX + 1)), [Generation(2)]);
        assert_eq!(log.get(Generation(101)).map(|plan| plan.bytes), Some(0), "too large to be kept");
        assert_eq!(log.add(entry(102, ONE_BYTES_MAX)).len(), 1);
        assert_eq!(log.add(entry(103, ONE_BYTES_MAX)).len(), 1);
        assert_eq!(log.add(entry(104, ONE_BYTES_MAX)).len(), 1);
        let gone = log.add(entry(105, ONE_BYTES_MAX));
        assert_eq!((gone.len(), log.plans.len()), (PLANS_KEPT - 4, 5), "together too large");
        assert_eq!(log.add(entry(106, 1)), [Generation(102)]);
    }

    #[test]
    fn an_entry_lists_so_many_changes() {
        let change = Change { stack: None, routes: Vec::new(), more: 0, whole_stack: false, text: "x".into() };
        let mut log = PlanLog::default();
        log.add(KeptPlan { changes: vec![change; CHANGES_KEPT + 2], ..entry(1, 1) });
        assert_eq!((log.plans[0].changes.len(), log.plans[0].more), (CHANGES_KEPT, 2));
    }
}
