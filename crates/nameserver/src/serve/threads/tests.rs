use super::*;

struct Broken;

impl Work for Broken {
    fn run(&self, stop: &AtomicBool) -> io::Result<()> {
        assert!(stop.load(Ordering::Relaxed), "a bug outside of an answer");
        Ok(())
    }
}

struct Ending;

impl Work for Ending {
    fn run(&self, _: &AtomicBool) -> io::Result<()> {
        Err(io::ErrorKind::NotConnected.into())
    }
}

fn is_restarted(worker: &(impl Work + Sync), traffic: &Traffic) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let supervised = scope.spawn(|| supervise(worker, traffic, &stop));
        while traffic.threads_restarted.load(Ordering::Relaxed) < 2 {
            thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
        supervised.join().unwrap();
    });
}

#[test]
fn a_thread_that_ends_is_started_again_and_counted() {
    is_restarted(&Ending, &Traffic::new(1));
}

#[test]
fn a_thread_that_panics_is_started_again_and_counted() {
    is_restarted(&Broken, &Traffic::new(1));
}
