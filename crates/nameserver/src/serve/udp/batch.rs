//! `recvmmsg` and `sendmmsg`: up to [`BATCH`] datagrams per system call, in memory that is allocated once.
//!
//! nix wraps both calls safely, but its borrows tie received buffers to the call, so slices would have to be built anew
//! for each batch; tokio and std know neither call.

#![allow(unsafe_code, reason = "the two system calls take pointers, and their addresses are C unions")]

use std::io;
use std::mem::zeroed;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr::null_mut;

/// Datagrams per system call.
pub const BATCH: usize = 32;
/// Octets of a query that are read; a longer datagram is cut and then no valid query. More than we ever say we take (1232),
/// and 21 cache lines: with a power of two all buffers of a batch would compete for the same few lines of the cache.
pub const QUERY_MAX: usize = 21 * 64;
/// Octets of a reply buffer.
pub const REPLY_MAX: usize = 21 * 64;

/// Buffers and headers of both directions. Reply `i` goes where query `i` came from.
pub struct Batch {
    queries: Box<[[u8; QUERY_MAX]]>,
    replies: Box<[[u8; REPLY_MAX]]>,
    addresses: Box<[libc::sockaddr_storage]>,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
    /// Position of the query and length of the reply, for replies to send.
    pending: Vec<(usize, usize)>,
    /// So many headers at the front have been used since they were last set up for receiving: mostly one or two of them.
    used: usize,
}

/// What became of the replies of one batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sent {
    pub sent: u64,
    /// Not sent because the socket's buffer was full or the address cannot be reached.
    pub lost: u64,
}

impl Default for Batch {
    fn default() -> Batch {
        Batch::new()
    }
}

impl Batch {
    pub fn new() -> Batch {
        // SAFETY: all-zero bytes are valid values of these plain C structs: null pointers, zero lengths, family 0.
        let (addresses, vectors, headers) = unsafe {
            (vec![zeroed(); BATCH].into(), vec![zeroed(); BATCH].into(), vec![zeroed::<libc::mmsghdr>(); BATCH].into())
        };
        Batch {
            queries: vec![[0; QUERY_MAX]; BATCH].into(),
            replies: vec![[0; REPLY_MAX]; BATCH].into(),
            addresses,
            vectors,
            headers,
            pending: Vec::with_capacity(BATCH),
            used: BATCH,
        }
    }

    /// Waits for one datagram, as long as the socket's receive timeout, and takes what else is there. Returns how many.
    pub fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        let parts = self.queries.iter_mut().zip(&mut self.addresses).zip(&mut self.vectors).zip(&mut self.headers);
        for (((query, address), vector), header) in parts.take(self.used) {
            *vector = libc::iovec { iov_base: query.as_mut_ptr().cast(), iov_len: QUERY_MAX };
            point(header, address, size_of::<libc::sockaddr_storage>() as libc::socklen_t, vector);
        }
        // SAFETY: the descriptor is open for the borrow of `socket`. Every header points at an address and a vector of
        // `self`, every vector at a query buffer of `self` with its true length; `self` is borrowed mutably throughout,
        // so nothing moves or reads them meanwhile. The count equals the number of headers; no timeout is passed.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH as u32,
                libc::MSG_WAITFORONE,
                null_mut(),
            )
        };
        let received = usize::try_from(received).map_err(|_| io::Error::last_os_error());
        // The kernel may have begun with one more than it counts.
        self.used = (received.as_ref().map_or(0, |received| *received) + 1).min(BATCH);
        received
    }

    /// Query `at` of the last receive, its source, and the buffer for its reply. `None` if there is no such query or its
    /// source is no internet address.
    pub fn exchange(&mut self, at: usize) -> Option<(&[u8], SocketAddr, &mut [u8])> {
        let length = usize::try_from(self.headers.get(at)?.msg_len).ok()?;
        let source = address(self.addresses.get(at)?)?;
        let query = self.queries.get(at)?.get(..length)?;
        Some((query, source, self.replies.get_mut(at)?.as_mut_slice()))
    }

    /// Marks reply `at` to be sent with `length` octets.
    pub fn reply(&mut self, at: usize, length: usize) {
        if at < BATCH && length <= REPLY_MAX && self.pending.len() < BATCH {
            self.pending.push((at, length));
        }
    }

    /// Sends all marked replies without ever waiting; what cannot be sent now is lost, as datagrams may be.
    pub fn send(&mut self, socket: &UdpSocket) -> Sent {
        let parts = self.pending.iter().zip(&mut self.vectors).zip(&mut self.headers);
        for ((&(at, length), vector), header) in parts {
            let (Some(reply), Some(address)) = (self.replies.get_mut(at), self.addresses.get_mut(at)) else { continue };
            *vector = libc::iovec { iov_base: reply.as_mut_ptr().cast(), iov_len: length };
            point(header, address, address_len(address), vector);
        }
        let count = self.pending.len();
        self.pending.clear();
        let mut sent = Sent::default();
        let mut from = 0;
        while let Some(headers) = self.headers.get_mut(from..count).filter(|headers| !headers.is_empty()) {
            // SAFETY: as in `receive`: the headers point into `self`, which is borrowed mutably; the count is the length
            // of the slice, which holds at most BATCH headers, all of them set up above.
            let done = unsafe {
                libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), headers.len() as u32, libc::MSG_DONTWAIT)
            };
            if let Ok(done) = usize::try_from(done) {
                sent.sent += done as u64;
                from += done.max(1);
                continue;
            }
            match io::Error::last_os_error().kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => {
                    sent.lost += headers.len() as u64;
                    break;
                }
                // The first one cannot be sent; the others may.
                _ => {
                    sent.lost += 1;
                    from += 1;
                }
            }
        }
        sent
    }
}

// SAFETY: the raw pointers in vectors and headers point into boxes that the value owns, and are set anew before each
// system call; no thread keeps state about them.
unsafe impl Send for Batch {}

fn point(
    header: &mut libc::mmsghdr,
    address: &mut libc::sockaddr_storage,
    length: libc::socklen_t,
    vector: &mut libc::iovec,
) {
    let name: *mut libc::sockaddr_storage = address;
    header.msg_len = 0;
    header.msg_hdr.msg_name = name.cast();
    header.msg_hdr.msg_namelen = length;
    header.msg_hdr.msg_iov = vector;
    header.msg_hdr.msg_iovlen = 1;
    header.msg_hdr.msg_control = null_mut();
    header.msg_hdr.msg_controllen = 0;
    header.msg_hdr.msg_flags = 0;
}

fn address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that the kernel wrote a sockaddr_in; sockaddr_storage is as large and as aligned
            // as every address type, and any bytes are a valid sockaddr_in.
            let v4 = unsafe { &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above, with sockaddr_in6.
            let v6 = unsafe { &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), v6.sin6_flowinfo, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

fn address_len(storage: &libc::sockaddr_storage) -> libc::socklen_t {
    match i32::from(storage.ss_family) {
        libc::AF_INET => size_of::<libc::sockaddr_in>() as libc::socklen_t,
        _ => size_of::<libc::sockaddr_in6>() as libc::socklen_t,
    }
}

#[cfg(test)]
mod tests;
