//! Who is connected, in the order of their last activity: of all, and of each client network.
//!
//! A full house never refuses: whoever was silent for longest makes room, so that neither idle connections nor one network
//! that opens many of them keeps others out (RFC 9210 §4.4). Both orders are lists through one table, because each query
//! moves its connection to their ends: a search tree costs a tenth of the whole query there.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// The network a client counts for: its /24 or /56, what one customer of a provider is usually given at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(u64);

impl Network {
    pub fn of(client: SocketAddr) -> Network {
        match client.ip().to_canonical() {
            // No IPv6 network has these first octets in use (they are multicast).
            IpAddr::V4(v4) => Network(0xff << 56 | u64::from(v4.to_bits() >> 8)),
            IpAddr::V6(v6) => Network((v6.to_bits() >> 64) as u64 & !0xff),
        }
    }
}

/// No seat, no group.
const NONE: u32 = u32::MAX;

/// Two orders of the same seats.
#[derive(Clone, Copy)]
enum Which {
    All,
    Network,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    before: u32,
    after: u32,
}

const UNLINKED: Link = Link { before: NONE, after: NONE };

#[derive(Clone, Copy, Debug)]
struct Ends {
    first: u32,
    last: u32,
    count: usize,
}

const EMPTY: Ends = Ends { first: NONE, last: NONE, count: 0 };

#[derive(Debug)]
struct Seat {
    links: [Link; 2],
    group: u32,
    active: Instant,
}

#[derive(Debug)]
struct Group {
    network: Network,
    ends: Ends,
}

/// Seats of connections, numbered from 0; a number is used again once its connection has left.
#[derive(Debug)]
pub struct Crowd {
    max: usize,
    network_max: usize,
    all: Ends,
    seats: Vec<Seat>,
    free_seats: Vec<u32>,
    groups: Vec<Group>,
    free_groups: Vec<u32>,
    by_network: HashMap<Network, u32>,
}

impl Crowd {
    /// At most `max` connections, and `network_max` of one network.
    pub fn new(max: usize, network_max: usize) -> Crowd {
        Crowd {
            max,
            network_max,
            all: EMPTY,
            seats: Vec::new(),
            free_seats: Vec::new(),
            groups: Vec::new(),
            free_groups: Vec::new(),
            by_network: HashMap::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.all.count
    }

    /// Who has to leave before somebody of `network` may enter: the longest silent one of a network, or of all, that is full.
    pub fn in_the_way(&self, network: Network) -> Option<u32> {
        let group = self.by_network.get(&network).and_then(|group| self.groups.get(*group as usize));
        let crowded = group.map(|group| group.ends).filter(|ends| ends.count >= self.network_max);
        let full = Some(self.all).filter(|ends| ends.count >= self.max);
        crowded.or(full).map(|ends| ends.first).filter(|first| *first != NONE)
    }

    /// Takes a seat; ask [`Crowd::in_the_way`] first.
    pub fn enter(&mut self, network: Network, now: Instant) -> u32 {
        let group = self.group(network);
        let seat = Seat { links: [UNLINKED; 2], group, active: now };
        let number = match self.free_seats.pop() {
            Some(number) => number,
            None => self.seats.len() as u32,
        };
        match self.seats.get_mut(number as usize) {
            Some(free) => *free = seat,
            None => self.seats.push(seat),
        }
        self.append(Which::All, number);
        self.append(Which::Network, number);
        number
    }

    /// It has just been active.
    pub fn touch(&mut self, seat: u32, now: Instant) {
        if let Some(one) = self.seats.get_mut(seat as usize) {
            one.active = now;
            for which in [Which::All, Which::Network] {
                self.remove(which, seat);
                self.append(which, seat);
            }
        }
    }

    pub fn leave(&mut self, seat: u32) {
        self.remove(Which::All, seat);
        self.remove(Which::Network, seat);
        let Some(group) = self.seats.get(seat as usize).map(|seat| seat.group) else { return };
        if let Some(empty) = self.groups.get(group as usize).filter(|group| group.ends.count == 0) {
            self.by_network.remove(&empty.network);
            self.free_groups.push(group);
        }
        self.free_seats.push(seat);
    }

    /// Who has been silent for longest, and since when.
    pub fn longest_silent(&self) -> Option<(u32, Instant)> {
        let seat = self.seats.get(self.all.first as usize)?;
        Some((self.all.first, seat.active))
    }

    fn group(&mut self, network: Network) -> u32 {
        if let Some(group) = self.by_network.get(&network) {
            return *group;
        }
        let group = Group { network, ends: EMPTY };
        let number = match self.free_groups.pop() {
            Some(number) => number,
            None => self.groups.len() as u32,
        };
        match self.groups.get_mut(number as usize) {
            Some(free) => *free = group,
            None => self.groups.push(group),
        }
        self.by_network.insert(network, number);
        number
    }

    fn ends(&mut self, which: Which, seat: u32) -> Option<&mut Ends> {
        match which {
            Which::All => Some(&mut self.all),
            Which::Network => {
                let group = self.seats.get(seat as usize)?.group;
                self.groups.get_mut(group as usize).map(|group| &mut group.ends)
            }
        }
    }

    fn link(&mut self, which: Which, seat: u32) -> Option<&mut Link> {
        self.seats.get_mut(seat as usize)?.links.get_mut(which as usize)
    }

    fn append(&mut self, which: Which, seat: u32) {
        let Some(ends) = self.ends(which, seat) else { return };
        let before = std::mem::replace(&mut ends.last, seat);
        ends.count += 1;
        if before == NONE {
            ends.first = seat;
        }
        if let Some(link) = self.link(which, before) {
            link.after = seat;
        }
        if let Some(link) = self.link(which, seat) {
            *link = Link { before, after: NONE };
        }
    }

    fn remove(&mut self, which: Which, seat: u32) {
        let Some(link) = self.link(which, seat) else { return };
        let Link { before, after } = std::mem::replace(link, UNLINKED);
        if let Some(link) = self.link(which, before) {
            link.after = after;
        }
        if let Some(link) = self.link(which, after) {
            link.before = before;
        }
        let Some(ends) = self.ends(which, seat) else { return };
        ends.count = ends.count.saturating_sub(1);
        if ends.first == seat {
            ends.first = after;
        }
        if ends.last == seat {
            ends.last = before;
        }
    }
}

#[cfg(test)]
mod tests;
