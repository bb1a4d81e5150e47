//! When to let a few datagrams gather before they are taken: what network cards do with interrupts, done by a thread.
//!
//! A thread that is woken for each datagram pays for a sleep and a wake-up per query, more than for the answer; and the
//! faster it answers, the surer it sleeps again before the next one comes. So under steady load it sleeps for
//! [`PAUSE`] first and then takes what has come meanwhile. Below [`BUSY`] nothing waits, and under full load nothing
//! does either, since then there is always more to take. Spinning instead of sleeping was rejected: it takes a whole
//! processor away from the services beside the nameserver.

use std::time::{Duration, Instant};

/// How long datagrams may gather: a small part of what any way through a network takes.
pub const PAUSE: Duration = Duration::from_micros(50);
/// Datagrams per second and thread from which on gathering saves more than it costs: a little more than one per pause.
pub const BUSY: f64 = 24_000.0;
/// Weight of what came before, each time.
const MEMORY: f64 = 0.875;

/// Remembers the recent rate.
#[derive(Debug, Default)]
pub struct Pace {
    /// Datagrams and seconds, both fading.
    datagrams: f64,
    seconds: f64,
    last: Option<Instant>,
}

impl Pace {
    /// How long to sleep, now that `received` of at most `most` datagrams were taken.
    pub fn pause(&mut self, received: usize, most: usize, now: Instant) -> Option<Duration> {
        // What came first came in a time that nobody knows.
        let passed = now.saturating_duration_since(self.last.replace(now)?);
        self.datagrams = self.datagrams * MEMORY + received as f64;
        self.seconds = self.seconds * MEMORY + passed.as_secs_f64();
        let busy = self.datagrams > BUSY * self.seconds;
        (busy && received > 0 && received < most).then_some(PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pauses of a thread that takes what has come since the last time, at `rate` datagrams a second.
    fn pauses(rate: f64, cycles: usize) -> Vec<bool> {
        let (mut pace, mut now, mut owed) = (Pace::default(), Instant::now(), 0.0);
        let mut pauses = Vec::new();
        let mut pause = None;
        for _ in 0..cycles {
            // It sleeps, and then until there is one.
            let slept: Duration = pause.unwrap_or(Duration::from_micros(3));
            let until_one = Duration::from_secs_f64(f64::max(1.0 - owed, 0.0) / rate);
            let passed = slept.max(until_one);
            now += passed;
            owed += passed.as_secs_f64() * rate + 1e-9;
            let received = (owed as usize).min(32);
            owed -= received as f64;
            pause = pace.pause(received, 32, now);
            pauses.push(pause.is_some());
        }
        pauses
    }

    #[test]
    fn nothing_waits_when_little_comes() {
        for rate in [1.0, 100.0, 10_000.0, 20_000.0] {
            assert!(pauses(rate, 500).iter().all(|pause| !pause), "{rate}");
        }
    }

    #[test]
    fn under_steady_load_it_gathers_each_time() {
        for rate in [30_000.0, 60_000.0, 200_000.0, 500_000.0] {
            assert!(pauses(rate, 500).iter().skip(50).all(|pause| *pause), "{rate}");
        }
    }

    #[test]
    fn under_full_load_and_after_an_empty_wait_it_does_not() {
        assert!(pauses(20_000_000.0, 500).iter().skip(50).all(|pause| !pause));
        let (mut pace, now) = (Pace::default(), Instant::now());
        for at in 0..100 {
            pace.pause(10, 32, now + Duration::from_micros(at * 20));
        }
        assert_eq!(pace.pause(0, 32, now + Duration::from_millis(2)), None);
        assert_eq!(pace.pause(1, 32, now + Duration::from_millis(60)), None, "a calm second is noticed at once");
    }
}
