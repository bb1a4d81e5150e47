//! One GET over a fresh connection, with a deadline for the whole of it.

use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The body of a 200 answer.
pub fn get(address: SocketAddr, host: &str, path: &str, patience: Duration) -> Result<String> {
    let deadline = Instant::now() + patience;
    let left = || deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let mut stream = TcpStream::connect_timeout(&address, left()).with_context(|| format!("connect to {address}"))?;
    stream.set_write_timeout(Some(left()))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        stream.set_read_timeout(Some(left()))?;
        match stream.read(&mut buffer).context("read the answer")? {
            0 => break,
            count => answer.extend_from_slice(&buffer[..count]),
        }
        if answer.len() > ANSWER_BYTES_MAX {
            bail!("the answer is longer than {ANSWER_BYTES_MAX} bytes");
        }
    }
    let text = String::from_utf8_lossy(&answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { bail!("{address} sent no complete answer") };
    if head.split(' ').nth(1) != Some("200") {
        bail!("{address} answered {:?}", head.lines().next().unwrap_or_default());
    }
    Ok(body.to_owned())
}
