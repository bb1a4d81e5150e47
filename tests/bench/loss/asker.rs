//! Asks one server the same question every 5 ms, and remembers when it first named another cluster, and whether it named
//! the victim again after that.

use super::VICTIM;
use anyhow::Result;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use waggle_tests::bed::federation::ROUTE;
use waggle_tests::dns_client::{self, Subnet};

const PAUSE: Duration = Duration::from_millis(5);
/// A server that does not answer for so long is asked again.
const PATIENCE: Duration = Duration::from_millis(250);

pub struct Asker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    elsewhere: OnceLock<Instant>,
    back: AtomicBool,
}

impl Asker {
    pub fn start(server: SocketAddr, subnet: Option<Subnet>, victim: Ipv4Addr) -> Asker {
        let shared = Arc::new(Shared::default());
        let own = shared.clone();
        let thread = std::thread::spawn(move || {
            while !own.stop.load(Ordering::Relaxed) {
                let answer = dns_client::ask(server, ROUTE, subnet, PATIENCE).ok();
                match answer.and_then(|answer| answer.addresses.first().copied()) {
                    Some(address) if address != IpAddr::V4(victim) => drop(own.elsewhere.set(Instant::now())),
                    Some(_) if own.elsewhere.get().is_some() => own.back.store(true, Ordering::Relaxed),
                    _ => {}
                }
                std::thread::sleep(PAUSE);
            }
        });
        Asker { shared, thread: Some(thread) }
    }

    /// When another cluster was named first. `None`: the answers stayed.
    pub fn elsewhere(&self) -> Option<Instant> {
        self.shared.elsewhere.get().copied()
    }

    /// The victim was named again after that.
    pub fn came_back(&self) -> bool {
        self.shared.back.load(Ordering::Relaxed)
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It only asks; a panic in it has been printed.
            let _ = thread.join();
        }
    }
}

/// One question without a client subnet.
pub fn ask(server: SocketAddr) -> Result<IpAddr> {
    let answer = dns_client::ask(server, ROUTE, None, 2 * PATIENCE)?;
    answer.addresses.first().copied().ok_or_else(|| anyhow::anyhow!("{server} answers nothing of {VICTIM}"))
}
