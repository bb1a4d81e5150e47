//! UDP: one plain thread per socket, pinned to a processor, that receives, answers and sends in batches.
//!
//! No runtime, no lock, no allocation in the loop. tokio was rejected here: its reactor adds two system calls and a task
//! switch to each datagram, and one task per query would make memory follow the traffic. io_uring brings nothing for
//! sockets that are answered at once.

mod batch;
mod pace;
mod schedule;

use super::threads::{self, Work};
use super::{Answer, Asked, contained};
use crate::metrics::{Counters, Tally, Traffic};
use crate::querylog::Sampler;
use crate::state::{Serving, State};
use arc_swap::Cache;
use batch::{BATCH, Batch};
use pace::Pace;
use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;
use tokio_util::sync::CancellationToken;
use waggle_dns::Transport;
use waggle_model::Timestamp;

/// What one thread works with.
struct Worker {
    socket: UdpSocket,
    state: Arc<State>,
    counters: Arc<Counters>,
    /// Makes the thread's sampler for the query log.
    traffic: Arc<Traffic>,
    number: usize,
    answer: Answer,
    processor: Option<usize>,
}

/// Runs one thread per socket until `stop`; a thread that ends before that is started again and counted.
pub async fn run(
    sockets: Vec<UdpSocket>,
    state: Arc<State>,
    traffic: Arc<Traffic>,
    answer: Answer,
    stop: CancellationToken,
) -> io::Result<()> {
    let processors = schedule::processors();
    let workers = sockets.into_iter().enumerate().map(|(number, socket)| {
        let counters = traffic.udp.get(number).cloned().unwrap_or_default();
        let processor = (!processors.is_empty()).then(|| processors.get(number % processors.len()).copied()).flatten();
        let (state, traffic) = (state.clone(), traffic.clone());
        Worker { socket, state, counters, traffic, number, answer, processor }
    });
    threads::run("dns-udp", workers.collect(), traffic.clone(), stop).await
}

impl Work for Worker {
    fn run(&self, stop: &AtomicBool) -> io::Result<()> {
        schedule::settle(self.processor);
        let (mut batch, mut pace) = (Batch::new(), Pace::default());
        let mut sampler = self.traffic.samples.sampler(self.number);
        let mut serving = Cache::new(self.state.cell());
        while !stop.load(Ordering::Relaxed) {
            let received = match batch.receive(&self.socket) {
                Ok(received) => received,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => 0,
                    // An earlier reply met a closed port; nothing is wrong with the socket.
                    io::ErrorKind::ConnectionRefused | io::ErrorKind::HostUnreachable => 0,
                    _ => return Err(error),
                },
            };
            // Also after an empty wait: an old snapshot is let go of.
            let serving = serving.load();
            if received > 0 {
                self.turn(&mut batch, received, serving.as_deref(), &mut sampler);
            }
            if let Some(pause) = pace.pause(received, BATCH, Instant::now(), schedule::processor_time) {
                thread::sleep(pause);
            }
        }
        Ok(())
    }
}

impl Worker {
    fn turn(&self, batch: &mut Batch, received: usize, serving: Option<&Serving>, sampler: &mut Sampler) {
        let now = Timestamp(waggle_daemon::time::now());
        let mut tally = Tally::default();
        for at in 0..received {
            let Some((query, source, out)) = batch.exchange(at) else {
                tally.dropped();
                continue;
            };
            let asked = Asked { query, source, transport: Transport::Udp, now };
            if let Some(length) = contained(self.answer, serving, &asked, out, &mut tally, sampler) {
                batch.reply(at, length);
            }
        }
        self.counters.add(&tally);
        self.counters.unsent(batch.send(&self.socket).lost);
    }
}
