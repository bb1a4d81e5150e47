//! A user who honours TTLs: resolves through the resolver, keeps an answer for its TTL, and makes one request after
//! another on fresh connections, all the while. It counts, and keeps the first reasons of failure.

use crate::{dns_client, http_client};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

#[derive(Clone, Debug)]
pub struct Target {
    pub resolver: SocketAddr,
    pub name: String,
    pub port: u16,
    pub path: String,
    /// Pause between two requests.
    pub pause: Duration,
}

/// What a client has seen so far.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub ok: u64,
    pub failed: u64,
    /// Body (e.g. a version) → how often.
    pub bodies: BTreeMap<String, u64>,
    /// Cluster address → how often.
    pub addresses: BTreeMap<IpAddr, u64>,
    /// The first failures, in words.
    pub reasons: Vec<String>,
}

const REASONS_MAX: usize = 20;
const DNS_PATIENCE: Duration = Duration::from_secs(3);
const HTTP_PATIENCE: Duration = Duration::from_secs(2);

pub struct SteadyClient {
    stop: Arc<AtomicBool>,
    tally: Arc<Mutex<Tally>>,
    thread: Option<JoinHandle<()>>,
}

impl SteadyClient {
    pub fn start(target: Target) -> SteadyClient {
        let stop = Arc::new(AtomicBool::new(false));
        let tally = Arc::new(Mutex::new(Tally::default()));
        let (halt, book) = (stop.clone(), tally.clone());
        let thread = std::thread::spawn(move || run(&target, &halt, &book));
        SteadyClient { stop, tally, thread: Some(thread) }
    }

    pub fn tally(&self) -> Tally {
        self.tally.lock().map(|tally| tally.clone()).unwrap_or_default()
    }

    /// What was seen since the last call; counting starts anew.
    pub fn take(&self) -> Tally {
        self.tally.lock().map(|mut tally| std::mem::take(&mut *tally)).unwrap_or_default()
    }
}

impl Drop for SteadyClient {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(target: &Target, stop: &AtomicBool, tally: &Mutex<Tally>) {
    let mut cached: Option<(IpAddr, Instant)> = None;
    while !stop.load(Ordering::Relaxed) {
        let outcome = request(target, &mut cached);
        if let Ok(mut tally) = tally.lock() {
            match outcome {
                Ok((address, body)) => {
                    tally.ok += 1;
                    *tally.bodies.entry(body.trim().to_owned()).or_default() += 1;
                    *tally.addresses.entry(address).or_default() += 1;
                }
                Err(error) => {
                    tally.failed += 1;
                    if tally.reasons.len() < REASONS_MAX {
                        tally.reasons.push(format!("{error:#}"));
                    }
                }
            }
        }
        std::thread::sleep(target.pause);
    }
}

fn request(target: &Target, cached: &mut Option<(IpAddr, Instant)>) -> anyhow::Result<(IpAddr, String)> {
    let now = Instant::now();
    let address = match cached {
        Some((address, until)) if now < *until => *address,
        _ => {
            let answer = dns_client::ask(target.resolver, &target.name, None, DNS_PATIENCE)?;
            let first = answer.addresses.first().copied();
            let address = first.ok_or_else(|| anyhow::anyhow!("no address for {}: {}", target.name, answer.code))?;
            // The TTL counts from when the question was sent.
            *cached = Some((address, now + Duration::from_secs(u64::from(answer.ttl))));
            address
        }
    };
    let body = http_client::get(SocketAddr::from((address, target.port)), &target.name, &target.path, HTTP_PATIENCE)?;
    Ok((address, body))
}
