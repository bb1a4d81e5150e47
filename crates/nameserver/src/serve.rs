//! Sockets for queries: bound early, answered from by [`udp`] threads and by the [`tcp`] thread.

pub mod tcp;
mod threads;
pub mod udp;

use crate::metrics::Tally;
use crate::querylog::Sampler;
use crate::state::Serving;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use waggle_dns::Transport;
use waggle_model::Timestamp;

/// Connections waiting to be accepted.
const TCP_BACKLOG: i32 = 1024;
/// Kernel buffers of a UDP socket, octets: bursts wait here, not in memory of ours.
const UDP_BUFFER: usize = 4 << 20;
/// Ports tried until one is free for UDP and TCP alike, when the kernel chooses.
const PORT_TRIES: usize = 16;

/// Length of the reply in `out`, if there is one. A plain function pointer, so that tests can put a broken one in.
pub type Answer = fn(&Serving, &[u8], SocketAddr, Transport, Timestamp, &mut [u8]) -> Option<usize>;

/// One listen address: a UDP socket per thread and the TCP listener.
#[derive(Debug)]
pub struct Bound {
    pub address: SocketAddr,
    pub udp: Vec<UdpSocket>,
    pub tcp: TcpListener,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({transport}); is another process there, or is the address not of this machine?")]
pub struct BindError {
    pub address: SocketAddr,
    pub transport: &'static str,
    pub source: io::Error,
}

/// Binds `address` for TCP and, `threads` times, for UDP. With port 0 the kernel chooses one port for both.
pub fn bind(address: SocketAddr, threads: usize) -> Result<Bound, BindError> {
    let mut tries = if address.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        match bind_once(address, threads) {
            Err(error) if tries > 0 && error.source.kind() == io::ErrorKind::AddrInUse => {}
            other => return other,
        }
    }
}

fn bind_once(address: SocketAddr, threads: usize) -> Result<Bound, BindError> {
    let fail = |transport| move |source| BindError { address, transport, source };
    let tcp = tcp_listener(address).map_err(fail("TCP"))?;
    let address = tcp.local_addr().map_err(fail("TCP"))?;
    let fail = |transport| move |source| BindError { address, transport, source };
    // Alone first: with SO_REUSEPORT a second process of the same user would silently share the port.
    drop(UdpSocket::bind(address).map_err(fail("UDP"))?);
    let udp = (0..threads).map(|_| udp_socket(address, threads > 1)).collect::<io::Result<_>>().map_err(fail("UDP"))?;
    Ok(Bound { address, udp, tcp })
}

fn tcp_listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // Accepted connections have it too (tcp(7)).
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(TCP_BACKLOG)?;
    Ok(socket.into())
}

/// `shared`: others of ours are bound to the same port. One that is alone spares the kernel a hash per datagram.
fn udp_socket(address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(shared)?;
    // Limits of the kernel may cut these; that is no error.
    let _ = socket.set_recv_buffer_size(UDP_BUFFER);
    let _ = socket.set_send_buffer_size(UDP_BUFFER);
    socket.set_read_timeout(Some(threads::WAIT))?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// A query as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub query: &'a [u8],
    pub source: SocketAddr,
    pub transport: Transport,
    pub now: Timestamp,
}

/// One query with everything that may go wrong contained: a panic costs this answer and nothing else.
fn contained(
    answer: Answer,
    serving: Option<&Serving>,
    asked: &Asked<'_>,
    out: &mut [u8],
    tally: &mut Tally,
    sampler: &mut Sampler,
) -> Option<usize> {
    let Asked { query, source, transport, now } = *asked;
    let drawn = sampler.draw(now);
    let outcome = catch_unwind(AssertUnwindSafe(|| answer(serving?, query, source, transport, now, out)));
    let length = match outcome {
        Ok(length) => length,
        Err(_) => {
            tally.panicked();
            return None;
        }
    };
    match length.and_then(|length| out.get(..length)) {
        Some(reply) => {
            tally.answered(reply);
            if let Some(drawn) = drawn {
                sampler.keep(drawn, asked, reply);
            }
        }
        None => tally.dropped(),
    }
    length
}
