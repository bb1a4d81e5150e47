//! From an answering thread to the task that reads what it sampled: a ring of slots with one writer and one reader.
//!
//! Query and reply are copied as they are, since nothing is cheaper and nothing is more exact; reading them is the other
//! side's work. The slots are plain atomic words, so the writer neither waits nor allocates, and nothing here is unsafe. A
//! full ring loses the sample and counts it. A channel of boxed messages was rejected: it allocates per sample.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use waggle_dns::Transport;
use waggle_model::Timestamp;

/// Samples of one thread that wait to be read.
pub const SLOTS: usize = 128;
/// Octets of a query; a longer one is not sampled.
pub const QUERY_KEPT: usize = 512;
/// Octets of a reply; of a longer one, as TCP may carry, the beginning is kept.
pub const REPLY_KEPT: usize = 1232;

const HEAD_WORDS: usize = 6;
const QUERY_WORDS: usize = QUERY_KEPT / 8;
const SLOT_WORDS: usize = HEAD_WORDS + QUERY_WORDS + REPLY_KEPT / 8;

const TCP: u64 = 1;
const V6: u64 = 2;

/// One sampled query as it is written.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    pub at: Timestamp,
    pub source: SocketAddr,
    pub transport: Transport,
    /// Queries that this one stands for.
    pub weight: u32,
    /// Nanoseconds that the answer took.
    pub took: u32,
    pub query: &'a [u8],
    pub reply: &'a [u8],
}

/// One sampled query as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sampled {
    pub at: Timestamp,
    pub source: SocketAddr,
    pub transport: Transport,
    pub weight: u32,
    pub took: u32,
    pub query: Vec<u8>,
    /// At most [`REPLY_KEPT`] octets.
    pub reply: Vec<u8>,
    /// Octets of the whole reply.
    pub reply_len: usize,
}

#[derive(Debug)]
pub struct Ring {
    words: Box<[AtomicU64]>,
    /// Samples written, by the one writer.
    written: Count,
    /// Samples read, by the one reader.
    read: Count,
    lost: Count,
}

/// On cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Count(AtomicU64);

impl Default for Ring {
    fn default() -> Ring {
        let words = (0..SLOTS * SLOT_WORDS).map(|_| AtomicU64::new(0)).collect();
        Ring { words, written: Count::default(), read: Count::default(), lost: Count::default() }
    }
}

impl Ring {
    /// Takes nothing.
    pub fn none() -> Ring {
        Ring { words: Box::default(), written: Count::default(), read: Count::default(), lost: Count::default() }
    }

    /// Copies a sample into the next slot, or counts it as lost. For the one writer.
    pub fn push(&self, one: &Exchange<'_>) {
        let written = self.written.0.load(Ordering::Relaxed);
        let full = written.wrapping_sub(self.read.0.load(Ordering::Acquire)) >= SLOTS as u64;
        if full || one.query.len() > QUERY_KEPT || self.words.is_empty() {
            self.lost.0.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let kept = one.reply.get(..one.reply.len().min(REPLY_KEPT)).unwrap_or_default();
        let (address, v6) = match one.source.ip() {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)), 0),
            IpAddr::V6(v6) => (u128::from(v6), V6),
        };
        let tcp = if one.transport == Transport::Tcp { TCP } else { 0 };
        let lengths = (one.query.len() as u64) << 48 | (kept.len() as u64) << 32 | one.reply.len() as u64 & 0xffff_ffff;
        let head: [u64; HEAD_WORDS] = [
            one.at.0,
            u64::from(one.weight) << 32 | u64::from(one.took),
            lengths,
            u64::from(one.source.port()) << 16 | tcp | v6,
            (address >> 64) as u64,
            address as u64,
        ];
        let slot = self.slot(written);
        let (start, rest) = slot.split_at_checked(HEAD_WORDS).unwrap_or_default();
        let (query, reply) = rest.split_at_checked(QUERY_WORDS).unwrap_or_default();
        start.iter().zip(head).for_each(|(word, value)| word.store(value, Ordering::Relaxed));
        store(query, one.query);
        store(reply, kept);
        self.written.0.store(written.wrapping_add(1), Ordering::Release);
    }

    /// The oldest sample that was not read yet. For the one reader.
    pub fn pop(&self) -> Option<Sampled> {
        let read = self.read.0.load(Ordering::Relaxed);
        if read == self.written.0.load(Ordering::Acquire) {
            return None;
        }
        let slot = self.slot(read);
        let word = |at: usize| slot.get(at).map_or(0, |word| word.load(Ordering::Relaxed));
        let (weights, lengths, flags) = (word(1), word(2), word(3));
        let address = u128::from(word(4)) << 64 | u128::from(word(5));
        let ip =
            if flags & V6 == 0 { Ipv4Addr::from(address as u32).into() } else { IpAddr::from(Ipv6Addr::from(address)) };
        let (_, rest) = slot.split_at_checked(HEAD_WORDS).unwrap_or_default();
        let (query, reply) = rest.split_at_checked(QUERY_WORDS).unwrap_or_default();
        let sampled = Sampled {
            at: Timestamp(word(0)),
            source: SocketAddr::new(ip, (flags >> 16) as u16),
            transport: if flags & TCP == 0 { Transport::Udp } else { Transport::Tcp },
            weight: (weights >> 32) as u32,
            took: weights as u32,
            query: load(query, (lengths >> 48) as usize),
            reply: load(reply, (lengths >> 32) as usize & 0xffff),
            reply_len: lengths as u32 as usize,
        };
        self.read.0.store(read.wrapping_add(1), Ordering::Release);
        Some(sampled)
    }

    /// Samples put in, and samples lost because the ring was full or the query too long, since the start.
    pub fn counts(&self) -> (u64, u64) {
        (self.written.0.load(Ordering::Relaxed), self.lost.0.load(Ordering::Relaxed))
    }

    fn slot(&self, number: u64) -> &[AtomicU64] {
        let start = (number % SLOTS as u64) as usize * SLOT_WORDS;
        self.words.get(start..start + SLOT_WORDS).unwrap_or_default()
    }
}

fn store(words: &[AtomicU64], bytes: &[u8]) {
    for (word, chunk) in words.iter().zip(bytes.chunks(8)) {
        let mut value = [0; 8];
        value.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
        word.store(u64::from_le_bytes(value), Ordering::Relaxed);
    }
}

fn load(words: &[AtomicU64], len: usize) -> Vec<u8> {
    words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).take(len).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange<'a>(at: u64, query: &'a [u8], reply: &'a [u8]) -> Exchange<'a> {
        let source = "[2001:db8::7]:5353".parse().unwrap();
        Exchange { at: Timestamp(at), source, transport: Transport::Tcp, weight: 9, took: 250, query, reply }
    }

    #[test]
    fn what_goes_in_comes_out_in_order_and_what_does_not_fit_is_counted() {
        let ring = Ring::default();
        let (query, reply) = ([7; 61], [9; 2000]);
        for at in 0..SLOTS as u64 + 3 {
            ring.push(&exchange(at, &query, &reply));
        }
        ring.push(&exchange(0, &[0; QUERY_KEPT + 1], &[]));
        assert_eq!(ring.counts(), (SLOTS as u64, 4));
        for at in 0..SLOTS as u64 {
            let got = ring.pop().unwrap();
            let wanted = exchange(at, &query, &reply);
            assert_eq!((got.at, got.source, got.transport), (wanted.at, wanted.source, wanted.transport));
            assert_eq!((got.weight, got.took, got.reply_len), (9, 250, 2000));
            assert_eq!((got.query.as_slice(), got.reply.as_slice()), (&query[..], &reply[..REPLY_KEPT]));
        }
        assert_eq!(ring.pop(), None);
        ring.push(&Exchange { source: "192.0.2.1:53".parse().unwrap(), ..exchange(5, b"q", b"") });
        let got = ring.pop().unwrap();
        assert_eq!(
            (got.source.to_string().as_str(), got.query.as_slice(), got.reply.len()),
            ("192.0.2.1:53", &b"q"[..], 0)
        );
    }

    #[test]
    fn a_writer_and_a_reader_at_once_lose_nothing_but_what_is_counted() {
        let ring = Ring::default();
        let writer = std::sync::atomic::AtomicBool::new(true);
        let mut got = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for at in 0..20_000u64 {
                    ring.push(&exchange(at, &at.to_le_bytes(), &at.to_be_bytes()));
                }
                writer.store(false, Ordering::Release);
            });
            loop {
                let last = !writer.load(Ordering::Acquire);
                while let Some(one) = ring.pop() {
                    assert_eq!(
                        (&one.query[..], &one.reply[..]),
                        (&one.at.0.to_le_bytes()[..], &one.at.0.to_be_bytes()[..])
                    );
                    got.push(one.at);
                }
                if last {
                    break;
                }
            }
        });
        assert!(got.is_sorted_by(|a, b| a < b));
        assert_eq!(got.len() as u64 + ring.counts().1, 20_000);
    }
}
