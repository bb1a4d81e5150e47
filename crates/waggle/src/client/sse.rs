//! Server-sent events (WHATWG HTML, section 9.2), as far as control uses them: name and data of each event.

use crate::client::connection::Exchange;
use crate::exit::{Exit, Failure, chain};
use http_body_util::BodyExt;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::timeout;

/// Bytes of one event.
pub const EVENT_BYTES_MAX: usize = 4 << 20;
/// A stream that brings nothing for so long is taken for dead: control sends a comment every 15 s at least.
pub const SILENCE_MAX: Duration = Duration::from_secs(45);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Empty unless the event has one.
    pub name: String,
    pub data: String,
}

/// Turns bytes into events. A line ends with LF, CRLF or CR; an event ends with an empty line.
#[derive(Default)]
pub struct Parser {
    line: Vec<u8>,
    event: Event,
    has_data: bool,
    after_cr: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub struct TooLarge;

impl Parser {
    /// Every event that `bytes` completes.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLarge> {
        let mut events = Vec::new();
        for &byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => events.extend(self.end_line()),
                _ => self.line.push(byte),
            }
            if self.line.len() + self.event.data.len() > EVENT_BYTES_MAX {
                return Err(TooLarge);
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let line = String::from_utf8_lossy(&line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.event.name = value.to_owned(),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.has_data = true;
                self.event.data += value;
            }
            _ => {}
        }
        None
    }
}

/// An open stream of events.
pub struct Events {
    exchange: Exchange,
    parser: Parser,
    ready: VecDeque<Event>,
}

impl Events {
    pub fn new(exchange: Exchange) -> Events {
        Events { exchange, parser: Parser::default(), ready: VecDeque::new() }
    }

    /// The next event; `None` when the server ended the stream. A lost connection is an error that says so.
    pub async fn next(&mut self) -> Result<Option<Event>, Failure> {
        let lost = |why: String| Failure::new(Exit::Unreachable, format!("the event stream broke off: {why}"));
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            let frame = timeout(SILENCE_MAX, self.exchange.response.body_mut().frame()).await;
            let Some(frame) = frame.map_err(|_| lost(format!("nothing came for {} s", SILENCE_MAX.as_secs())))? else {
                return Ok(None);
            };
            let frame = frame.map_err(|error| lost(chain(&error)))?;
            if let Some(bytes) = frame.data_ref() {
                let events = self.parser.feed(bytes);
                self.ready.extend(events.map_err(|_| lost(format!("an event has more than {EVENT_BYTES_MAX} bytes")))?);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] =
        b": hello\n\nevent: rollout\ndata: {\"a\":1}\nid: 4\n\ndata:x\r\ndata: y\r\n\r\ndata\n\n:\n\ndata: cut";

    #[test]
    fn events_in_any_split() {
        let event = |name: &str, data: &str| Event { name: name.into(), data: data.into() };
        let want = [event("rollout", "{\"a\":1}"), event("", "x\ny"), event("", "")];
        assert_eq!(Parser::default().feed(STREAM).unwrap(), want);
        for size in 1..STREAM.len() {
            let mut parser = Parser::default();
            let got: Vec<Event> = STREAM.chunks(size).flat_map(|chunk| parser.feed(chunk).unwrap()).collect();
            assert_eq!(got, want, "chunks of {size}");
        }
    }

    #[test]
    fn events_are_bounded() {
        assert_eq!(Parser::default().feed(&vec![b'x'; EVENT_BYTES_MAX + 1]), Err(TooLarge));
    }
}
