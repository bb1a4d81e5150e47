use super::*;
use std::time::Duration;

const MAX: usize = 12;
const NETWORK_MAX: usize = 5;

/// The same by brute force: seats with network and last activity, oldest first.
#[derive(Default)]
struct Naive(Vec<(u32, Network)>);

impl Naive {
    fn in_the_way(&self, network: Network) -> Option<u32> {
        let same: Vec<_> = self.0.iter().filter(|(_, other)| *other == network).collect();
        let longest = if same.len() >= NETWORK_MAX { same.first().copied() } else { None };
        longest.or(self.0.first().filter(|_| self.0.len() >= MAX)).map(|(seat, _)| *seat)
    }
}

fn network(number: u64) -> Network {
    Network::of(format!("192.0.{number}.7:53").parse().unwrap())
}

/// xorshift64, seeded.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

#[test]
fn it_agrees_with_brute_force_whatever_happens() {
    for seed in 1..=200 {
        let mut dice = Dice(seed * 0x9e37_79b9);
        let (mut crowd, mut naive) = (Crowd::new(MAX, NETWORK_MAX), Naive::default());
        let mut now = Instant::now();
        for _ in 0..300 {
            now += Duration::from_millis(1);
            let who = dice.below(naive.0.len().max(1) as u64) as usize;
            match dice.below(5) {
                0..=2 => {
                    let network = network(dice.below(4));
                    assert_eq!(crowd.in_the_way(network), naive.in_the_way(network), "seed {seed}");
                    if let Some(leaves) = crowd.in_the_way(network) {
                        crowd.leave(leaves);
                        naive.0.retain(|(seat, _)| *seat != leaves);
                    }
                    assert_eq!(crowd.in_the_way(network), None, "seed {seed}: one makes room");
                    naive.0.push((crowd.enter(network, now), network));
                }
                3 if !naive.0.is_empty() => {
                    let entry = naive.0.remove(who);
                    naive.0.push(entry);
                    crowd.touch(entry.0, now);
                }
                _ if !naive.0.is_empty() => crowd.leave(naive.0.remove(who).0),
                _ => {}
            }
            assert_eq!(crowd.len(), naive.0.len(), "seed {seed}");
            let longest = naive.0.first().map(|(seat, _)| *seat);
            assert_eq!(crowd.longest_silent().map(|(seat, _)| seat), longest, "seed {seed}");
        }
        assert!(crowd.seats.len() <= MAX && crowd.groups.len() <= MAX, "memory follows the limits");
    }
}

#[test]
fn a_network_is_a_24_or_a_56() {
    let of = |text: &str| Network::of(text.parse().unwrap());
    assert_eq!(of("192.0.2.1:5"), of("192.0.2.255:6"));
    assert_eq!(of("192.0.2.1:5"), of("[::ffff:192.0.2.9]:5"));
    assert_ne!(of("192.0.2.1:5"), of("192.0.3.1:5"));
    assert_eq!(of("[2001:db8:0:1200::1]:5"), of("[2001:db8:0:12ff::9]:5"));
    assert_ne!(of("[2001:db8:0:1200::1]:5"), of("[2001:db8:0:1300::1]:5"));
}
