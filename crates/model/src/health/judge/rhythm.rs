//! How long a silence of one agent is still normal, learnt from when its beats arrived.
//!
//! The deadline is the mean gap between beats, four deviations, and the time in which TCP sends a lost segment again: where
//! beats come like a clock, a silence is noticed soon; where packets are lost, one that is only late is not. It never exceeds
//! what the federation configures, and never falls below [`FLOOR`], since a pause of the agent's own machine is no loss of a
//! datacentre. An accrual detector, which says how improbable a silence is, was rejected: it assumes how gaps are
//! distributed, gaps of a TCP stream under loss have two humps, and nobody can predict by hand when it crosses its threshold.

use std::collections::VecDeque;
use std::time::Duration;

/// Shortest silence that is one.
pub const FLOOR: Duration = Duration::from_millis(400);
/// Gaps looked back at.
const WINDOW: usize = 50;
/// Gaps before anything is concluded from them.
const LEARNT: usize = 10;
const DEVIATIONS: f64 = 4.0;
/// Linux waits at least so long before it sends a segment again (`TCP_RTO_MIN`).
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// Arrivals of one agent's beats.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rhythm {
    /// Milliseconds between beats, oldest first.
    gaps: VecDeque<u32>,
    /// Longest silence that is normal by them.
    normal: Option<Duration>,
}

impl Rhythm {
    /// A beat came so long after the one before it.
    pub(super) fn arrived(&mut self, gap: Duration) {
        if self.gaps.len() >= WINDOW {
            self.gaps.pop_front();
        }
        self.gaps.push_back(u32::try_from(gap.as_millis()).unwrap_or(u32::MAX));
        if self.gaps.len() < LEARNT {
            return;
        }
        let count = self.gaps.len() as f64;
        let mean = self.gaps.iter().map(|gap| f64::from(*gap)).sum::<f64>() / count;
        let variance = self.gaps.iter().map(|gap| (f64::from(*gap) - mean).powi(2)).sum::<f64>() / count;
        let millis = (mean + DEVIATIONS * variance.sqrt()).ceil();
        self.normal = Some(Duration::from_millis(millis as u64) + RETRANSMISSION);
    }

    /// Silence beyond which the agent counts as silent; `longest` as the federation says.
    pub(super) fn deadline(&self, longest: Duration) -> Duration {
        self.normal.map_or(longest, |normal| normal.max(FLOOR).min(longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LONGEST: Duration = Duration::from_millis(900);

    fn after(gaps: impl IntoIterator<Item = u64>) -> Duration {
        let mut rhythm = Rhythm::default();
        gaps.into_iter().for_each(|gap| rhythm.arrived(Duration::from_millis(gap)));
        rhythm.deadline(LONGEST)
    }

    #[test]
    fn until_a_rhythm_is_known_the_configured_deadline_holds() {
        assert_eq!(after([]), LONGEST);
        assert_eq!(after([100; LEARNT - 1]), LONGEST);
        assert!(after([100; LEARNT]) < LONGEST);
    }

    #[test]
    fn one_late_beat_makes_the_next_one_less_suspect() {
        let calm = after([250; 50]);
        let (late, caught_up) = (450, 50);
        let shaken = after([[250; 48].as_slice(), &[late, caught_up]].concat());
        assert!(shaken > calm + Duration::from_millis(100), "{calm:?} {shaken:?}");
        assert_eq!(after([[late, caught_up].as_slice(), &[250; 50]].concat()), calm, "and is forgotten");
    }

    proptest! {
        #[test]
        fn the_deadline_keeps_its_bounds(gaps in prop::collection::vec(0..5000u64, 0..120), longest in 1..5000u64) {
            let mut rhythm = Rhythm::default();
            let longest = Duration::from_millis(longest);
            for gap in gaps {
                rhythm.arrived(Duration::from_millis(gap));
                let deadline = rhythm.deadline(longest);
                prop_assert!(deadline <= longest && deadline >= FLOOR.min(longest), "{deadline:?}");
            }
        }

        #[test]
        fn constant_gaps_converge(before in prop::collection::vec(0..900u64, 0..60), gap in 1..600u64) {
            let deadline = after(before.into_iter().chain(std::iter::repeat_n(gap, WINDOW)));
            prop_assert_eq!(deadline, Duration::from_millis((gap + 200).clamp(400, 900)));
        }
    }
}
