//! TCP: one plain thread that accepts, frames and answers, for all listen addresses.
//!
//! The same engine answers as over UDP, so the octets are the same too. One thread, because TCP is the exception in DNS:
//! a flood of connections then costs one processor at most, and limits and the order of idleness are exact without a
//! lock. hickory-server's listener was used before and left: it knows no bound on connections, and reads and writes
//! each reply once more as a message of its own, which doubled the cost of a query. tokio would do, but a task per
//! connection is memory that idle clients choose.
//!
//! What a client can hold is bounded: [`CONNECTIONS_MAX`] and [`NETWORK_MAX`] connections, a message in part, and replies
//! that it does not read for [`BLOCKED_MAX`] of them. Whoever has been silent for longest makes room ([`crowd`]).

mod connection;
mod crowd;

use super::threads::{self, WAIT, Work};
use super::{Answer, Asked, contained};
use crate::metrics::{Tally, Traffic};
use crate::querylog::Sampler;
use crate::state::{Serving, State};
use arc_swap::Cache;
use connection::{Buffers, Connection, Left};
use crowd::{Crowd, Network};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use waggle_dns::{KEEPALIVE, Transport};
use waggle_model::Timestamp;

/// Open connections of all listen addresses; fewer where the process may not open as many files.
pub const CONNECTIONS_MAX: usize = 16_384;
/// … of one client network ([`Network`]).
pub const NETWORK_MAX: usize = 1024;
/// Connections whose client does not take its replies; one more is closed instead.
pub const BLOCKED_MAX: usize = 256;
/// Open files that are not connections of clients, at most about.
const OTHER_FILES: u64 = 512;
/// Events taken at once.
const EVENTS: usize = 256;
/// Connections accepted at once from one listener, before others get their turn.
const ACCEPTED_AT_ONCE: usize = 64;
/// Pause of all listeners when the system has no more files to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// Numbers of listeners among those of events; below are seats.
const LISTENER: u64 = 1 << 32;

/// Serves the listeners until `stop`.
pub async fn run(
    listeners: Vec<TcpListener>,
    state: Arc<State>,
    traffic: Arc<Traffic>,
    answer: Answer,
    stop: CancellationToken,
) -> io::Result<()> {
    let server = Server { listeners, state, traffic: traffic.clone(), answer, max: connections_max() };
    threads::run("dns-tcp", vec![server], traffic, stop).await
}

/// As many as the files that this process may open leave room for.
fn connections_max() -> usize {
    let files = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE);
    let room = files.map_or(1024, |(soft, _)| soft).saturating_sub(OTHER_FILES).max(64);
    CONNECTIONS_MAX.min(usize::try_from(room).unwrap_or(CONNECTIONS_MAX))
}

struct Server {
    listeners: Vec<TcpListener>,
    state: Arc<State>,
    traffic: Arc<Traffic>,
    answer: Answer,
    max: usize,
}

impl Work for Server {
    fn run(&self, stop: &AtomicBool) -> io::Result<()> {
        let mut serving = Cache::new(self.state.cell());
        let mut hall = Hall::new(self)?;
        while !stop.load(Ordering::Relaxed) {
            hall.wait(WAIT)?;
            hall.step(serving.load().as_deref())?;
        }
        Ok(())
    }
}

/// All connections of the thread. Gone with it when it ends: they close.
struct Hall<'a> {
    server: &'a Server,
    epoll: Epoll,
    crowd: Crowd,
    /// By seat.
    connections: Vec<Option<Connection>>,
    blocked: usize,
    buffers: Buffers,
    sampler: Sampler,
    events: [EpollEvent; EVENTS],
    /// How many of `events` are to be seen to.
    pending: usize,
    now: Instant,
    /// Listeners are not looked at before then.
    paused: Option<Instant>,
}

impl<'a> Hall<'a> {
    fn new(server: &'a Server) -> io::Result<Hall<'a>> {
        let hall = Hall {
            server,
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            crowd: Crowd::new(server.max, NETWORK_MAX),
            connections: Vec::new(),
            blocked: 0,
            buffers: Buffers::default(),
            sampler: server.traffic.samples.tcp(),
            events: [EpollEvent::empty(); EVENTS],
            pending: 0,
            now: Instant::now(),
            paused: None,
        };
        hall.listen()?;
        Ok(hall)
    }

    fn listen(&self) -> io::Result<()> {
        for (listener, number) in self.server.listeners.iter().zip(LISTENER..) {
            self.epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, number))?;
        }
        Ok(())
    }

    fn wait(&mut self, longest: Duration) -> io::Result<()> {
        self.pending = match self.epoll.wait(&mut self.events, longest.as_millis() as u16) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        self.now = Instant::now();
        Ok(())
    }

    /// Sees to all that has happened.
    fn step(&mut self, serving: Option<&Serving>) -> io::Result<()> {
        for at in 0..self.pending {
            let Some(event) = self.events.get(at).copied() else { break };
            match event.data().checked_sub(LISTENER) {
                Some(listener) => self.accept(listener as usize)?,
                None => self.turn(event.data() as u32, serving),
            }
        }
        self.resume()?;
        self.close_idle();
        Ok(())
    }

    fn accept(&mut self, listener: usize) -> io::Result<()> {
        let server = self.server;
        let Some(listener) = server.listeners.get(listener).filter(|_| self.paused.is_none()) else { return Ok(()) };
        for _ in 0..ACCEPTED_AT_ONCE {
            match listener.accept() {
                Ok((stream, client)) => self.enter(Connection::new(stream, client)),
                Err(error) => match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
                    Errno::EAGAIN => return Ok(()),
                    // No more files: the longest silent one gives its own, and if nobody can, all wait a little.
                    Errno::EMFILE | Errno::ENFILE => match self.crowd.longest_silent() {
                        Some((seat, _)) => self.evict(seat),
                        None => return self.pause(),
                    },
                    Errno::ENOBUFS | Errno::ENOMEM => return self.pause(),
                    Errno::EBADF | Errno::EINVAL | Errno::ENOTSOCK => return Err(error),
                    // The client was gone before it was accepted; its errors come here too (accept(2)).
                    _ => {}
                },
            }
        }
        Ok(())
    }

    fn pause(&mut self) -> io::Result<()> {
        for listener in &self.server.listeners {
            self.epoll.delete(listener)?;
        }
        self.paused = Some(self.now + ACCEPT_PAUSE);
        Ok(())
    }

    fn resume(&mut self) -> io::Result<()> {
        if self.paused.is_some_and(|until| until <= self.now) {
            self.paused = None;
            self.listen()?;
        }
        Ok(())
    }

    fn enter(&mut self, connection: Connection) {
        let network = Network::of(connection.client);
        if let Some(seat) = self.crowd.in_the_way(network) {
            self.evict(seat);
        }
        if connection.stream.set_nonblocking(true).is_err() {
            return;
        }
        let seat = self.crowd.enter(network, self.now);
        if self.epoll.add(&connection.stream, EpollEvent::new(EpollFlags::EPOLLIN, u64::from(seat))).is_err() {
            return self.crowd.leave(seat);
        }
        let place = seat as usize;
        if self.connections.len() <= place {
            self.connections.resize_with(place + 1, || None);
        }
        if let Some(place) = self.connections.get_mut(place) {
            *place = Some(connection);
        }
        self.server.traffic.connections.opened();
    }

    fn turn(&mut self, seat: u32, serving: Option<&Serving>) {
        let server = self.server;
        let Some(Some(connection)) = self.connections.get_mut(seat as usize) else { return };
        let now = Timestamp(waggle_daemon::time::now());
        let (before, mut asked_anything) = (connection.left, false);
        let sampler = &mut self.sampler;
        let left = connection.turn(&mut self.buffers, |query, source, out| {
            asked_anything = true;
            let asked = Asked { query, source, transport: Transport::Tcp, now };
            // Counted before it goes out: whoever has a reply finds it in the figures.
            let mut tally = Tally::default();
            let length = contained(server.answer, serving, &asked, out, &mut tally, sampler);
            server.traffic.tcp.add(&tally);
            length
        });
        let blocks = left == Left::Blocked && before == Left::Open;
        if left == Left::Ended || blocks && self.blocked >= BLOCKED_MAX {
            return self.close(seat);
        }
        connection.left = left;
        match (before, left) {
            (Left::Open, Left::Blocked) => self.blocked += 1,
            (Left::Blocked, Left::Open) => self.blocked = self.blocked.saturating_sub(1),
            _ => {}
        }
        if before != left && !self.wait_for(seat, left) {
            return self.close(seat);
        }
        // Neither parts of a query nor replies that are not taken count as signs of life.
        if asked_anything && left == Left::Open {
            self.crowd.touch(seat, self.now);
        }
    }

    fn wait_for(&self, seat: u32, left: Left) -> bool {
        let Some(Some(connection)) = self.connections.get(seat as usize) else { return false };
        let what = if left == Left::Blocked { EpollFlags::EPOLLOUT } else { EpollFlags::EPOLLIN };
        self.epoll.modify(&connection.stream, &mut EpollEvent::new(what, u64::from(seat))).is_ok()
    }

    fn evict(&mut self, seat: u32) {
        self.server.traffic.connections.evicted();
        self.close(seat);
    }

    /// Closing the file takes it out of the epoll set too.
    fn close(&mut self, seat: u32) {
        let Some(connection) = self.connections.get_mut(seat as usize).and_then(Option::take) else { return };
        if connection.left == Left::Blocked {
            self.blocked = self.blocked.saturating_sub(1);
        }
        self.crowd.leave(seat);
        self.server.traffic.connections.closed();
    }

    /// RFC 7766 §6.2.3.
    fn close_idle(&mut self) {
        while let Some((seat, since)) = self.crowd.longest_silent() {
            if self.now.duration_since(since) < KEEPALIVE {
                return;
            }
            self.close(seat);
        }
    }
}

impl Drop for Hall<'_> {
    fn drop(&mut self) {
        (0..self.crowd.len()).for_each(|_| self.server.traffic.connections.closed());
    }
}

#[cfg(test)]
mod tests;
