//! Which queries are sampled: all of them while there are few, then one in so many.
//!
//! Each answering thread decides for itself, by counting down a gap. Gaps are drawn at random around the present interval,
//! so that no client who asks in a rhythm of its own is met always or never. The interval follows the rate of the last
//! second, and doubles within a second that brings more; each sample says for how many queries it stands, so sums over
//! samples stay true at any rate.

use super::ring::{Exchange, Ring};
use crate::serve::Asked;
use std::sync::Arc;
use std::time::Instant;
use waggle_model::Timestamp;

/// A thread's side of the query log.
#[derive(Debug)]
pub struct Sampler {
    pace: Pace,
    ring: Arc<Ring>,
}

/// A query that is to be kept once it is answered.
#[derive(Clone, Copy, Debug)]
pub struct Drawn {
    weight: u32,
    began: Instant,
}

impl Sampler {
    /// `ring` must have no other writer.
    pub fn new(pace: Pace, ring: Arc<Ring>) -> Sampler {
        Sampler { pace, ring }
    }

    /// Samples nothing.
    pub fn off() -> Sampler {
        Sampler::new(Pace::new(0, 1, 0), Arc::new(Ring::none()))
    }

    /// Whether the query that is to be answered now is sampled.
    #[inline]
    pub fn draw(&mut self, now: Timestamp) -> Option<Drawn> {
        self.pace.draw(now).map(|weight| Drawn { weight, began: Instant::now() })
    }

    /// Keeps a drawn query with its reply.
    pub fn keep(&self, drawn: Drawn, asked: &Asked<'_>, reply: &[u8]) {
        let took = u32::try_from(drawn.began.elapsed().as_nanos()).unwrap_or(u32::MAX);
        let Asked { query, source, transport, now } = *asked;
        self.ring.push(&Exchange { at: now, source, transport, weight: drawn.weight, took, query, reply });
    }
}

/// A second, in milliseconds.
const SECOND: u64 = 1000;

/// When to sample next. Takes the time, reads no clock.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Longest interval; 0: nothing is sampled.
    sample: u32,
    /// Samples per second up to which the interval is 1.
    full_rate: u32,
    /// Queries per sample at present.
    every: u32,
    /// Queries until the next sample, that one included, and what that was in the beginning.
    left: u32,
    gap: u32,
    /// Samples of this second at this interval, and queries of this second up to the last sample.
    taken: u32,
    asked: u64,
    /// When this second began and ends.
    since: Timestamp,
    until: Timestamp,
    random: u64,
}

impl Pace {
    /// `sample`: one query in so many at most; 0 switches sampling off. `full_rate`: samples per second up to which every
    /// query is one. `seed` should differ from thread to thread.
    pub fn new(sample: u32, full_rate: u32, seed: u64) -> Pace {
        Pace {
            sample,
            full_rate: full_rate.max(1),
            every: 1,
            left: 1,
            gap: 1,
            taken: 0,
            asked: 0,
            since: Timestamp(0),
            until: Timestamp(0),
            random: seed | 1,
        }
    }

    /// For how many queries this one stands if it is sampled.
    #[inline]
    pub fn draw(&mut self, now: Timestamp) -> Option<u32> {
        if self.left > 1 && now < self.until {
            self.left -= 1;
            return None;
        }
        self.turn(now)
    }

    #[cold]
    fn turn(&mut self, now: Timestamp) -> Option<u32> {
        if self.sample == 0 {
            (self.left, self.until) = (u32::MAX, Timestamp(u64::MAX));
            return None;
        }
        if now >= self.until || now < self.since {
            self.begin(now);
        }
        self.left -= 1;
        if self.left > 0 {
            return None;
        }
        let weight = self.every;
        self.taken += 1;
        self.asked += u64::from(self.gap);
        if self.taken >= self.full_rate && self.every < self.sample {
            (self.every, self.taken) = (self.every.saturating_mul(2).min(self.sample), 0);
        }
        self.again();
        Some(weight)
    }

    /// Begins a second with the interval that suits the rate since the last one began.
    fn begin(&mut self, now: Timestamp) {
        let asked = self.asked + u64::from(self.gap - self.left);
        // A clock that was set back says nothing about time that passed.
        let passed = if now < self.since { SECOND } else { (now.0 - self.since.0).max(1) };
        let rate = asked.saturating_mul(SECOND) / passed;
        let every = u32::try_from(rate / u64::from(self.full_rate)).unwrap_or(u32::MAX);
        (self.every, self.taken, self.asked) = (every.clamp(1, self.sample), 0, 0);
        (self.since, self.until) = (now, Timestamp(now.0.saturating_add(SECOND)));
        self.again();
    }

    /// The next gap. It has no memory, so drawing it anew at any time favours nobody.
    fn again(&mut self) {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.gap = match self.every {
            0 | 1 => 1,
            every => {
                let unit = ((self.random >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
                let gap = unit.ln() / (1.0 - 1.0 / f64::from(every)).ln();
                1 + gap.min(f64::from(u32::MAX / 2)) as u32
            }
        };
        self.left = self.gap;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds with so many queries each; samples and the sum of their weights, per second.
    fn run(pace: &mut Pace, seconds: u64, start: u64, rate: u64) -> Vec<(u64, u64)> {
        (start..start + seconds)
            .map(|second| {
                let drawn = (0..rate).filter_map(|n| pace.draw(Timestamp(second * SECOND + n * SECOND / rate)));
                drawn.fold((0, 0), |(count, sum), weight| (count + 1, sum + u64::from(weight)))
            })
            .collect()
    }

    #[test]
    fn every_query_while_there_are_few() {
        let mut pace = Pace::new(1000, 20, 7);
        assert_eq!(run(&mut pace, 5, 100, 19), [(19, 19); 5]);
    }

    #[test]
    fn one_in_so_many_when_there_are_many_and_the_weights_add_up() {
        for (rate, most) in [(200, 60), (5_000, 60), (300_000, 400)] {
            let mut pace = Pace::new(1000, 20, 7);
            // A jump from silence costs little more than a calm second.
            let first = run(&mut pace, 1, 100, rate)[0];
            assert!(first.0 < most + 220, "{rate}: {first:?}");
            let seconds = run(&mut pace, 100, 101, rate);
            assert!(seconds.iter().all(|(count, _)| *count < most), "{rate}: {seconds:?}");
            let sum: u64 = seconds.iter().map(|(_, sum)| sum).sum();
            let true_sum = (rate * 100) as f64;
            assert!((sum as f64 - true_sum).abs() < 0.1 * true_sum, "{rate}: {sum} instead of {true_sum}");
        }
    }

    #[test]
    fn a_rate_that_falls_is_sampled_whole_again_within_two_seconds() {
        let mut pace = Pace::new(1000, 20, 7);
        run(&mut pace, 3, 100, 300_000);
        let calm = run(&mut pace, 5, 103, 10);
        assert_eq!(calm[1..], [(10, 10); 4], "{calm:?}");
    }

    #[test]
    fn nothing_when_switched_off_and_a_clock_that_is_set_back_stops_nothing() {
        let mut off = Pace::new(0, 20, 7);
        assert_eq!(run(&mut off, 3, 100, 1000), [(0, 0); 3]);
        let mut pace = Pace::new(1000, 20, 7);
        run(&mut pace, 3, 1_000_000, 10);
        assert_eq!(run(&mut pace, 3, 100, 10), [(10, 10); 3]);
    }
}
