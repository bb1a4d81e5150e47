//! The first half of every probe, and all of a TCP one: a connection.
//!
//! A first packet that is lost is sent again only after a second (RFC 6298 §2), which is longer than most probes may take:
//! one lost packet would be a failed probe, and two of them within a window a failed endpoint. So a second connection is
//! tried beside the first when that takes long; whichever comes first is used, and the other is dropped.

use socket2::SockRef;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;

/// Connects; `second`: when to try once more beside the first attempt. Whatever ends first counts, a refusal as well.
pub async fn connect(address: SocketAddr, second: Duration) -> io::Result<TcpStream> {
    let mut first = pin!(open(address));
    tokio::select! {
        opened = &mut first => return opened,
        () = sleep(second) => {}
    }
    tokio::select! {
        opened = first => opened,
        opened = open(address) => opened,
    }
}

/// One attempt. Closing the stream resets the connection, or thousands of probes would leave as many sockets in TIME_WAIT.
async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
    socket.connect(address).await
}
