//! Asks one server the same question every 5 ms, and remembers when it first named another cluster.

use super::VICTIM;
use anyhow::Result;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use waggle_tests::bed::federation::ROUTE;
use waggle_tests::dns_client::{self, Subnet};

const PAUSE: Duration = Duration::from_millis(5);
/// A server that does not answer for so long is asked again.
const PATIENCE: Duration = Duration::from_millis(250);

pub struct Asker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Option<Instant>>>,
}

impl Asker {
    pub fn start(server: SocketAddr, subnet: Option<Subnet>, victim: Ipv4Addr) -> Asker {
        let stop = Arc::new(AtomicBool::new(false));
        let halt = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut first = None;
            while !halt.load(Ordering::Relaxed) {
                let answer = dns_client::ask(server, ROUTE, subnet, PATIENCE).ok();
                let address = answer.and_then(|answer| answer.addresses.first().copied());
                if address.is_some_and(|address| address != IpAddr::V4(victim)) {
                    first.get_or_insert_with(Instant::now);
                }
                std::thread::sleep(PAUSE);
            }
            first
        });
        Asker { stop, thread: Some(thread) }
    }

    /// Ends asking. `None`: the answers stayed.
    pub fn first_elsewhere(mut self) -> Option<Instant> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take()?.join().ok()?
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// One question without a client subnet.
pub fn ask(server: SocketAddr) -> Result<IpAddr> {
    let answer = dns_client::ask(server, ROUTE, None, 2 * PATIENCE)?;
    answer.addresses.first().copied().ok_or_else(|| anyhow::anyhow!("{server} answers nothing of {VICTIM}"))
}
