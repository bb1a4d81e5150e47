//! When to let a few datagrams gather before they are taken: what network cards do with interrupts, done by a thread.
//!
//! A thread that is woken for each datagram pays for a sleep and a wake-up per query, more than for the answer; and the
//! faster it answers, the surer it sleeps again before the next one comes. So under steady load it may sleep for one of
//! [`PAUSES`] first and then take what has come meanwhile. Below [`BUSY`] nothing waits, and under full load nothing
//! does either, since then there is always more to take.
//!
//! What a timer and a wake-up cost is a matter of the machine: on one virtual machine a pause of 50 µs saved a quarter of
//! the processor time per query, on the next it cost a third more, and 100 µs broke even. So no pause is assumed to pay: a
//! thread reads its own processor time every [`WINDOW`] datagrams, uses the pause that costs least, and tries another one
//! now and then. Spinning instead of sleeping was rejected: it takes a whole processor away from the services beside the
//! nameserver.

use std::time::{Duration, Instant};

/// How long datagrams may gather, shortest first: all of it a small part of what any way through a network takes.
pub const PAUSES: [Duration; 4] =
    [Duration::ZERO, Duration::from_micros(50), Duration::from_micros(100), Duration::from_micros(150)];
/// Datagrams per second and thread from which on gathering can save more than it costs: a little more than one per
/// shortest pause.
pub const BUSY: f64 = 24_000.0;
/// Weight of what came before, each time.
const MEMORY: f64 = 0.875;

/// Datagrams after which the processor time is read. Some ten milliseconds of it, so that a disturbance is a small part.
pub const WINDOW: u64 = 2_048;
/// Windows between two tries of pauses that are not in use.
const TRY_EVERY: u32 = 48;
/// A longer pause must be so much cheaper than the one before it: waiting is a price too.
const WORTH: f64 = 0.97;
/// Weight of a new measurement of a pause.
const FRESH: f64 = 0.5;

/// Remembers the recent rate, and what each pause was seen to cost.
#[derive(Debug, Default)]
pub struct Pace {
    /// Datagrams and seconds, both fading.
    datagrams: f64,
    seconds: f64,
    last: Option<Instant>,
    costs: Costs,
    window: Window,
}

/// Datagrams taken in a row under load, all with the same pause.
#[derive(Debug, Default)]
struct Window {
    datagrams: u64,
    /// Processor time of the thread when it began.
    began: Option<Duration>,
}

impl Pace {
    /// How long to sleep, now that `received` of at most `most` datagrams were taken. `spent` reads the processor time that
    /// the thread has used so far; it is called once per [`WINDOW`].
    pub fn pause(
        &mut self,
        received: usize,
        most: usize,
        now: Instant,
        spent: impl FnOnce() -> Option<Duration>,
    ) -> Option<Duration> {
        // What came first came in a time that nobody knows.
        let passed = now.saturating_duration_since(self.last.replace(now)?);
        self.datagrams = self.datagrams * MEMORY + received as f64;
        self.seconds = self.seconds * MEMORY + passed.as_secs_f64();
        if self.datagrams <= BUSY * self.seconds {
            self.window = Window::default();
            return None;
        }
        self.window.datagrams += received as u64;
        if self.window.began.is_none() || self.window.datagrams >= WINDOW {
            let spent = spent();
            if let (Some(began), Some(spent)) = (self.window.began, spent) {
                let cost = spent.saturating_sub(began).as_secs_f64() / self.window.datagrams as f64;
                self.costs.note(cost);
            }
            self.window = Window { datagrams: 0, began: spent };
        }
        let pause = self.costs.pause();
        (received > 0 && received < most && !pause.is_zero()).then_some(pause)
    }
}

/// Processor seconds per datagram by pause, and which pause is in use.
#[derive(Debug, Default)]
struct Costs {
    seen: [Option<f64>; PAUSES.len()],
    used: usize,
    /// Windows since the last try, and which pause was tried then.
    since: u32,
    tried: usize,
}

impl Costs {
    fn pause(&self) -> Duration {
        PAUSES.get(self.used).copied().unwrap_or_default()
    }

    /// The window that used the present pause cost `cost`; decides about the next one.
    fn note(&mut self, cost: f64) {
        if let Some(seen) = self.seen.get_mut(self.used) {
            *seen = Some(seen.map_or(cost, |old| old + (cost - old) * FRESH));
        }
        self.since += 1;
        if let Some(unknown) = self.seen.iter().position(Option::is_none) {
            self.used = unknown;
        } else if self.since >= TRY_EVERY {
            self.since = 0;
            self.tried = (self.tried + 1) % PAUSES.len();
            self.used = self.tried;
        } else {
            self.used = self.cheapest();
        }
    }

    fn cheapest(&self) -> usize {
        let mut best = (0, f64::INFINITY);
        for (at, cost) in self.seen.iter().enumerate() {
            let cost = cost.unwrap_or(f64::INFINITY);
            if cost < best.1 * WORTH.powi((at - best.0) as i32) {
                best = (at, cost);
            }
        }
        best.0
    }
}

#[cfg(test)]
mod tests;
