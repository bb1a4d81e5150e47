//! One connection: from octets that arrived to replies that went out (RFC 1035 §4.2.2, RFC 7766 §6.2.1.1).
//!
//! Between two events it holds nothing but a message that has come in part, or replies that the client does not take;
//! everything else happens in buffers of the thread. Replies to queries that came together go out together.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Octets of a query that are taken; a longer message ends the connection. Queries have one question and a few options.
pub const QUERY_MAX: usize = 4096;
/// Octets of the largest reply.
pub const REPLY_MAX: usize = u16::MAX as usize;
/// Octets of the length before each message.
const PREFIX: usize = 2;
/// Octets read at once, behind what was left over.
const READ: usize = 16 * 1024;

/// What the thread lends to each connection in turn.
pub struct Buffers {
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Default for Buffers {
    fn default() -> Buffers {
        Buffers { input: vec![0; PREFIX + QUERY_MAX + READ], output: vec![0; 2 * (PREFIX + REPLY_MAX)] }
    }
}

pub struct Connection {
    pub stream: TcpStream,
    pub client: SocketAddr,
    /// Came in, and was not answered yet.
    input: Vec<u8>,
    /// Was answered, and did not go out yet.
    output: Vec<u8>,
    /// How the last turn left it.
    pub left: Left,
}

/// How a turn left the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It waits for queries.
    Open,
    /// It waits for the client to take replies, and reads nothing meanwhile.
    Blocked,
    /// It is at its end.
    Ended,
}

impl Connection {
    pub fn new(stream: TcpStream, client: SocketAddr) -> Connection {
        Connection { stream, client, input: Vec::new(), output: Vec::new(), left: Left::Open }
    }

    /// Octets of memory that it holds.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.input.capacity() + self.output.capacity()
    }

    fn is_blocked(&self) -> bool {
        !self.output.is_empty()
    }

    /// Reads what there is and answers it by `answer`, which writes into the buffer it is given and returns a length.
    pub fn turn(
        &mut self,
        buffers: &mut Buffers,
        mut answer: impl FnMut(&[u8], SocketAddr, &mut [u8]) -> Option<usize>,
    ) -> Left {
        match self.exchange(buffers, &mut answer) {
            Ok(left) => left,
            Err(error) if is_momentary(&error) => Left::Open,
            Err(_) => Left::Ended,
        }
    }

    fn exchange(
        &mut self,
        buffers: &mut Buffers,
        answer: &mut impl FnMut(&[u8], SocketAddr, &mut [u8]) -> Option<usize>,
    ) -> io::Result<Left> {
        let was_blocked = self.is_blocked();
        if was_blocked && !self.flush_rest()? {
            return Ok(Left::Blocked);
        }
        let kept = self.input.len();
        let Some(place) = buffers.input.get_mut(..kept) else { return Ok(Left::Ended) };
        place.copy_from_slice(&self.input);
        // What came in while it was blocked is answered before more is read.
        let come = match buffers.input.get_mut(kept..kept + READ) {
            Some(place) if !was_blocked => match (&self.stream).read(place)? {
                0 => return Ok(Left::Ended),
                come => come,
            },
            _ => 0,
        };
        let Buffers { input, output } = buffers;
        let mut queries = Queries { rest: input.get(..kept + come).unwrap_or_default() };
        let mut filled = 0;
        while let Some(query) = queries.next() {
            let Some(place) = output.get_mut(filled + PREFIX..filled + PREFIX + REPLY_MAX) else { break };
            let Some(length) = answer(query, self.client, place) else { continue };
            let Some(prefix) = output.get_mut(filled..filled + PREFIX) else { break };
            prefix.copy_from_slice(&(length as u16).to_be_bytes());
            filled += PREFIX + length;
            if filled + PREFIX + REPLY_MAX > output.len() {
                self.send(output.get(..filled).unwrap_or_default())?;
                filled = 0;
                if self.is_blocked() {
                    break;
                }
            }
        }
        self.send(output.get(..filled).unwrap_or_default())?;
        if queries.is_too_long() {
            return Ok(Left::Ended);
        }
        self.input = queries.rest.to_vec();
        Ok(if self.is_blocked() { Left::Blocked } else { Left::Open })
    }

    /// Sends what goes out at once, and keeps the rest.
    fn send(&mut self, mut replies: &[u8]) -> io::Result<()> {
        while !replies.is_empty() {
            match (&self.stream).write(replies) {
                Ok(sent) => replies = replies.get(sent..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.output.extend_from_slice(replies);
        Ok(())
    }

    /// Whether all that had been kept went out.
    fn flush_rest(&mut self) -> io::Result<bool> {
        let rest = std::mem::take(&mut self.output);
        self.send(&rest)?;
        Ok(!self.is_blocked())
    }
}

fn is_momentary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Whole messages at the front of what came in.
struct Queries<'a> {
    rest: &'a [u8],
}

impl<'a> Queries<'a> {
    fn announced(&self) -> Option<usize> {
        let prefix: &[u8; PREFIX] = self.rest.first_chunk()?;
        Some(usize::from(u16::from_be_bytes(*prefix)))
    }

    fn next(&mut self) -> Option<&'a [u8]> {
        let length = self.announced().filter(|length| *length <= QUERY_MAX)?;
        let query = self.rest.get(PREFIX..PREFIX + length)?;
        self.rest = self.rest.get(PREFIX + length..)?;
        Some(query)
    }

    fn is_too_long(&self) -> bool {
        self.announced().is_some_and(|length| length > QUERY_MAX)
    }
}
