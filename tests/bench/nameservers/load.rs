//! The load: raw queries from many sockets and source addresses, flat out or at a given rate, from one thread.
//!
//! Datagrams go and come in batches, so that the generator is cheaper than the servers it measures; dnsperf, which makes
//! two system calls per query, would be the slower end of most rows. Each query's ID is its number on its socket, so that a
//! reply tells its own latency and late ones count as lost.

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};
use nix::unistd::Pid;
use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// Sockets, each with a source address of its own all over 127.0.0.0/8.
const SOCKETS: u32 = 32;
/// Datagrams per system call.
const BATCH: usize = 32;
/// Queries of one socket on their way, flat out.
const WINDOW: usize = 48;
/// Queries of one socket that can be told apart.
const SLOTS: usize = 4096;
/// A reply that takes longer is a lost one.
const LOST_AFTER: Duration = Duration::from_millis(500);
const REPLY_MAX: usize = 1500;

/// What one run of the load saw.
#[derive(Clone, Default)]
pub struct Seen {
    pub sent: u64,
    pub replies: u64,
    pub lost: u64,
    /// Replies that are neither NOERROR nor NXDOMAIN.
    pub errors: u64,
    pub elapsed: Duration,
    /// Microseconds, one entry per reply.
    pub latency: Vec<u32>,
}

impl Seen {
    /// Microseconds that `share` of all replies took at most.
    pub fn percentile(&mut self, share: f64) -> u32 {
        self.latency.sort_unstable();
        let last = self.latency.len().saturating_sub(1);
        self.latency.get((last as f64 * share) as usize).copied().unwrap_or(0)
    }
}

/// Sends to `server` for `time`, `rate` queries a second or as many as it takes.
pub fn run(server: SocketAddr, queries: &[&[u8]], rate: Option<u64>, time: Duration) -> Result<Seen> {
    let mut lanes: Vec<Lane> = (0..SOCKETS).map(|number| Lane::open(server, number)).collect::<Result<_>>()?;
    let mut seen = Seen::default();
    let mut next = 0;
    let began = Instant::now();
    let mut now = began;
    while now - began < time {
        let mut idle = true;
        for lane in &mut lanes {
            let due =
                rate.map(|rate| (rate as f64 * (now - began).as_secs_f64()) as u64 - seen.sent.min(u64::MAX >> 1));
            let room = match due {
                Some(due) => (due as usize).min(BATCH),
                None => WINDOW.saturating_sub(lane.outstanding).min(BATCH),
            };
            if room > 0 {
                let sent = lane.send(queries, next, room, now)?;
                next = (next + sent) % queries.len();
                seen.sent += sent as u64;
            }
            now = Instant::now();
            idle &= lane.receive(&mut seen, now)? == 0 && room == 0;
        }
        if idle {
            lanes.iter_mut().for_each(|lane| lane.expire(&mut seen, now));
        }
        now = Instant::now();
    }
    seen.elapsed = now - began;
    while lanes.iter().any(|lane| lane.outstanding > 0) {
        now = Instant::now();
        for lane in &mut lanes {
            lane.receive(&mut seen, now)?;
            lane.expire(&mut seen, now);
        }
    }
    Ok(seen)
}

/// Keeps this thread on one processor.
pub fn pin(processor: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(processor)?;
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("cannot run on processor {processor}"))
}

/// One socket and what is on its way.
struct Lane {
    socket: UdpSocket,
    number: u16,
    /// By ID modulo [`SLOTS`]: when it was sent.
    slots: Vec<Option<(u16, Instant)>>,
    /// The oldest ID that may be on its way.
    oldest: u16,
    outstanding: usize,
    out: Vec<Vec<u8>>,
    replies: Vec<[u8; REPLY_MAX]>,
    headers: MultiHeaders<SockaddrIn>,
    inbound: MultiHeaders<SockaddrIn>,
}

impl Lane {
    fn open(server: SocketAddr, number: u32) -> Result<Lane> {
        let source = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 0, 0, 1)) + number * ((1 << 24) / SOCKETS));
        let socket = UdpSocket::bind((source, 0))?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        Ok(Lane {
            socket,
            number: 0,
            slots: vec![None; SLOTS],
            oldest: 0,
            outstanding: 0,
            out: vec![Vec::new(); BATCH],
            replies: vec![[0; REPLY_MAX]; BATCH],
            headers: MultiHeaders::preallocate(BATCH, None),
            inbound: MultiHeaders::preallocate(BATCH, None),
        })
    }

    /// Sends up to `count` queries from place `from` on; returns how many went out.
    fn send(&mut self, queries: &[&[u8]], from: usize, count: usize, now: Instant) -> Result<usize> {
        let chosen = queries.iter().cycle().skip(from).take(count);
        for ((query, buffer), id) in chosen.zip(&mut self.out).zip(0u16..) {
            buffer.clear();
            buffer.extend_from_slice(query);
            buffer[..2].copy_from_slice(&self.number.wrapping_add(id).to_be_bytes());
        }
        let slices: Vec<[IoSlice<'_>; 1]> = self.out.iter().take(count).map(|query| [IoSlice::new(query)]).collect();
        let none = vec![None; count];
        let flags = MsgFlags::MSG_DONTWAIT;
        let sent = match sendmmsg(self.socket.as_raw_fd(), &mut self.headers, &slices, none, [], flags) {
            Ok(results) => results.count(),
            Err(Errno::EAGAIN | Errno::ECONNREFUSED | Errno::ENOBUFS) => 0,
            Err(error) => return Err(error).context("cannot send"),
        };
        for _ in 0..sent {
            let slot = &mut self.slots[usize::from(self.number) % SLOTS];
            if slot.replace((self.number, now)).is_none() {
                self.outstanding += 1;
            }
            self.number = self.number.wrapping_add(1);
        }
        Ok(sent)
    }

    fn receive(&mut self, seen: &mut Seen, now: Instant) -> Result<usize> {
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            self.replies.iter_mut().map(|reply| [IoSliceMut::new(reply)]).collect();
        let flags = MsgFlags::MSG_DONTWAIT;
        let lengths: Vec<usize> = match recvmmsg(self.socket.as_raw_fd(), &mut self.inbound, &mut slices, flags, None) {
            Ok(results) => results.map(|result| result.bytes).collect(),
            Err(Errno::EAGAIN | Errno::ECONNREFUSED) => return Ok(0),
            Err(error) => return Err(error).context("cannot receive"),
        };
        for (reply, length) in self.replies.iter().zip(&lengths) {
            let Some([id0, id1, _, flags, ..]) = reply.get(..*length) else { continue };
            let id = u16::from_be_bytes([*id0, *id1]);
            let slot = &mut self.slots[usize::from(id) % SLOTS];
            if let Some((_, sent)) = slot.take_if(|(known, _)| *known == id) {
                self.outstanding -= 1;
                seen.replies += 1;
                seen.errors += u64::from(!matches!(flags & 0xf, 0 | 3));
                seen.latency.push((now - sent).as_micros() as u32);
            }
        }
        Ok(lengths.len())
    }

    /// Gives up what has been on its way for too long.
    fn expire(&mut self, seen: &mut Seen, now: Instant) {
        while self.oldest != self.number {
            let slot = &mut self.slots[usize::from(self.oldest) % SLOTS];
            match slot {
                Some((id, sent)) if *id == self.oldest => {
                    if now - *sent < LOST_AFTER {
                        return;
                    }
                    *slot = None;
                    self.outstanding -= 1;
                    seen.lost += 1;
                }
                _ => {}
            }
            self.oldest = self.oldest.wrapping_add(1);
        }
    }
}
