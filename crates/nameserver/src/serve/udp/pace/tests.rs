use super::*;

/// What a machine takes for a wake-up by a datagram, for a wake-up by a timer, and for a datagram, seconds.
#[derive(Clone, Copy)]
struct Machine {
    wake: f64,
    timer: f64,
    datagram: f64,
}

/// Timers are cheap: gathering saves wake-ups.
const CHEAP_TIMERS: Machine = Machine { wake: 3e-6, timer: 3e-6, datagram: 1.7e-6 };
/// A timer costs five times what a datagram's wake-up costs.
const DEAR_TIMERS: Machine = Machine { wake: 2e-6, timer: 10e-6, datagram: 1.7e-6 };
/// So dear that no pause pays.
const NO_TIMERS: Machine = Machine { wake: 1e-6, timer: 40e-6, datagram: 1.7e-6 };

/// A thread that takes what has come since the last time, on a machine.
struct Thread {
    pace: Pace,
    now: Instant,
    spent: f64,
    owed: f64,
    pause: Option<Duration>,
}

impl Thread {
    fn new() -> Thread {
        Thread { pace: Pace::default(), now: Instant::now(), spent: 0.0, owed: 0.0, pause: None }
    }

    /// The pauses of so many turns at `rate` datagrams a second.
    fn run(&mut self, rate: f64, turns: usize, machine: Machine) -> Vec<Option<Duration>> {
        let mut pauses = Vec::new();
        for _ in 0..turns {
            // It sleeps, and then until there is one.
            let slept = self.pause.map_or(3e-6, |pause| pause.as_secs_f64());
            let until_one = f64::max(1.0 - self.owed, 0.0) / rate;
            self.spent += if self.pause.is_some() { machine.timer } else { 0.0 };
            self.spent += if until_one > slept { machine.wake } else { 0.0 };
            let passed = slept.max(until_one);
            self.now += Duration::from_secs_f64(passed);
            self.owed += passed * rate + 1e-9;
            let received = (self.owed as usize).min(32);
            self.owed -= received as f64;
            self.spent += machine.datagram * received as f64;
            let spent = Duration::from_secs_f64(self.spent);
            self.pause = self.pace.pause(received, 32, self.now, || Some(spent));
            pauses.push(self.pause);
        }
        pauses
    }

    /// The pause that most turns of a long run had, once it knows what they cost, and the share of those turns.
    fn settled(&mut self, rate: f64, machine: Machine) -> (Option<Duration>, f64) {
        self.run(rate, 30_000, machine);
        let pauses = self.run(rate, 100_000, machine);
        let count = |wanted: &Option<Duration>| pauses.iter().filter(|pause| *pause == wanted).count();
        let known: Vec<Option<Duration>> = PAUSES.map(|pause| (!pause.is_zero()).then_some(pause)).to_vec();
        let most = known.into_iter().max_by_key(count).unwrap();
        (most, count(&most) as f64 / pauses.len() as f64)
    }
}

#[test]
fn nothing_waits_when_little_comes() {
    for rate in [1.0, 100.0, 10_000.0, 20_000.0] {
        assert!(Thread::new().run(rate, 500, CHEAP_TIMERS).iter().all(Option::is_none), "{rate}");
    }
}

#[test]
fn under_steady_load_it_uses_what_costs_least() {
    for (machine, wanted) in [(CHEAP_TIMERS, Some(PAUSES[3])), (DEAR_TIMERS, Some(PAUSES[3])), (NO_TIMERS, None)] {
        let (most, share) = Thread::new().settled(60_000.0, machine);
        assert_eq!(most, wanted);
        assert!(share > 0.9, "{most:?} in {share} of the turns: tries cost more than they find");
    }
}

/// At 200,000 a second the shortest pause gathers ten: a longer one saves little more.
#[test]
fn it_waits_no_longer_than_it_pays() {
    let machine = Machine { wake: 3e-6, timer: 0.5e-6, datagram: 1.7e-6 };
    let (most, _) = Thread::new().settled(200_000.0, machine);
    assert_eq!(most, Some(PAUSES[1]));
}

#[test]
fn it_notices_that_the_machine_has_changed() {
    let mut thread = Thread::new();
    assert_eq!(thread.settled(60_000.0, NO_TIMERS).0, None);
    thread.run(60_000.0, 1_000_000, CHEAP_TIMERS);
    assert_eq!(thread.settled(60_000.0, CHEAP_TIMERS).0, Some(PAUSES[3]));
}

#[test]
fn without_a_clock_for_its_own_time_it_never_waits() {
    let (mut pace, now) = (Pace::default(), Instant::now());
    for at in 0..100_000 {
        assert_eq!(pace.pause(3, 32, now + Duration::from_micros(at * 50), || None), None);
    }
}

#[test]
fn under_full_load_and_after_an_empty_wait_it_does_not() {
    assert!(Thread::new().run(20_000_000.0, 5_000, CHEAP_TIMERS).iter().skip(50).all(Option::is_none));
    let mut thread = Thread::new();
    assert!(thread.settled(60_000.0, CHEAP_TIMERS).0.is_some());
    let now = thread.now;
    assert_eq!(thread.pace.pause(0, 32, now + Duration::from_millis(2), || None), None);
    assert_eq!(
        thread.pace.pause(1, 32, now + Duration::from_millis(60), || None),
        None,
        "a calm second is noticed at once"
    );
}
