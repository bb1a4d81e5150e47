//! Pauses between attempts: doubling up to a limit, each drawn between half and all of it, so that many nameservers do
//! not come back in the same moment.

use ring::rand::{SecureRandom, SystemRandom};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub struct Backoff {
    pause: Duration,
    max: Duration,
}

impl Backoff {
    pub fn new(max: Duration) -> Backoff {
        Backoff { pause: FIRST.min(max), max }
    }

    /// The next pause.
    pub fn next(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(self.max);
        let mut byte = [0];
        // Without randomness all of it: late is better than together.
        let share = SystemRandom::new().fill(&mut byte).map_or(u32::from(u8::MAX), |()| u32::from(byte[0]));
        pause / 2 + pause / 2 * share / u32::from(u8::MAX)
    }

    pub fn reset(&mut self) {
        self.pause = FIRST.min(self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_limit_and_stay_within_it() {
        let max = Duration::from_secs(3);
        let mut backoff = Backoff::new(max);
        let pauses: Vec<_> = (0..10).map(|_| backoff.next()).collect();
        assert!(pauses.iter().all(|pause| *pause <= max));
        assert!(pauses[0] <= FIRST && pauses[9] >= max / 2);
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
