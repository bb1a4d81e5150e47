//! Logs of services and tasks: the Engine's stream of frames, and the head that it puts before each line.
//!
//! A frame is eight bytes (kind of stream, three zeros, length as big-endian) and its content; containers with a terminal
//! have no frames, only lines. A line's head is its time and the details of its task, `k=v,k=v` with both query-escaped
//! (moby/moby: daemon/server/httputils/write_log_stream.go, daemon/cluster/services.go).

use super::encoded;
use crate::engine::{EngineError, LogOf, LogOptions, LogRecord, LogStream};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::stream::{BoxStream, StreamExt, iter, unfold};
use waggle_model::Timestamp;

/// Bytes of one frame, or of one line of a terminal: the Engine itself breaks lines at 16 KiB.
const FRAME_BYTES_MAX: usize = 1 << 20;
const HEAD_BYTES: usize = 8;
const STDERR: u8 = 2;
/// Not a line but what went wrong with the stream.
const SYSTEM_ERROR: u8 = 3;

const NODE: &str = "com.docker.swarm.node.id";
const SERVICE: &str = "com.docker.swarm.service.id";
const TASK: &str = "com.docker.swarm.task.id";

pub(super) fn path(of: &LogOf, options: &LogOptions) -> String {
    let (collection, id) = match of {
        LogOf::Service(id) => ("services", id),
        LogOf::Task(id) => ("tasks", id),
    };
    let mut path = format!("/{collection}/{}/logs?details=1&timestamps=1&stdout=1&stderr=1", encoded(id));
    if options.follow {
        path += "&follow=1";
    }
    if let Some(tail) = options.tail {
        path += &format!("&tail={tail}");
    }
    if let Some(since) = options.since {
        path += &format!("&since={}.{:03}000000", since.0 / 1000, since.0 % 1000);
    }
    path
}

/// Lines out of the stream's bytes.
pub(super) fn records(bytes: BoxStream<'static, Result<Bytes, EngineError>>, tty: bool) -> LogStream {
    let state = (bytes, Frames { tty, buffer: BytesMut::new() }, false);
    let batches = unfold(state, |(mut bytes, mut frames, over)| async move {
        if over {
            return None;
        }
        let (batch, over) = match bytes.next().await {
            Some(Ok(chunk)) => {
                let batch = frames.feed(&chunk);
                let broken = batch.last().is_some_and(Result::is_err);
                (batch, broken)
            }
            Some(Err(error)) => (vec![Err(error)], true),
            None => (frames.rest(), true),
        };
        Some((iter(batch), (bytes, frames, over)))
    });
    batches.flatten().boxed()
}

struct Frames {
    tty: bool,
    buffer: BytesMut,
}

impl Frames {
    /// Every line that `bytes` completes; an error ends the stream.
    fn feed(&mut self, bytes: &[u8]) -> Vec<Result<LogRecord, EngineError>> {
        self.buffer.extend_from_slice(bytes);
        let mut lines = Vec::new();
        loop {
            match self.cut() {
                Ok(Some((stream, content))) => lines.push(record(stream, &content)),
                Ok(None) => return lines,
                Err(error) => {
                    lines.push(Err(error));
                    return lines;
                }
            }
            if lines.last().is_some_and(Result::is_err) {
                return lines;
            }
        }
    }

    fn cut(&mut self) -> Result<Option<(u8, Bytes)>, EngineError> {
        let too_long = || EngineError::Answer(format!("a log line has more than {FRAME_BYTES_MAX} bytes"));
        if self.tty {
            let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') else {
                return if self.buffer.len() > FRAME_BYTES_MAX { Err(too_long()) } else { Ok(None) };
            };
            return Ok(Some((1, self.buffer.split_to(end + 1).freeze())));
        }
        let Some((head, rest)) = self.buffer.split_at_checked(HEAD_BYTES) else { return Ok(None) };
        let (stream, length) = match head {
            [stream, 0, 0, 0, a, b, c, d] => (*stream, u32::from_be_bytes([*a, *b, *c, *d]) as usize),
            _ => return Err(EngineError::Answer("the log stream has another form than expected".into())),
        };
        if length > FRAME_BYTES_MAX {
            return Err(too_long());
        }
        if rest.len() < length {
            return Ok(None);
        }
        self.buffer.advance(HEAD_BYTES);
        Ok(Some((stream, self.buffer.split_to(length).freeze())))
    }

    /// What a terminal wrote last, without an end of line.
    fn rest(&mut self) -> Vec<Result<LogRecord, EngineError>> {
        let rest = self.buffer.split().freeze();
        if self.tty && !rest.is_empty() { vec![record(1, &rest)] } else { Vec::new() }
    }
}

fn record(stream: u8, content: &Bytes) -> Result<LogRecord, EngineError> {
    if stream == SYSTEM_ERROR {
        return Err(EngineError::Refused(String::from_utf8_lossy(content).trim().to_owned()));
    }
    let mut record = LogRecord { stderr: stream == STDERR, text: without_end(content.clone()), ..LogRecord::default() };
    let Some((at, rest)) = word(&record.text) else { return Ok(record) };
    let Some(at) = time(&at) else { return Ok(record) };
    record.at = at;
    let (details, text) = word(&rest).unwrap_or((rest, Bytes::new()));
    for pair in details.split(|byte| *byte == b',') {
        let pair = String::from_utf8_lossy(pair);
        match pair.split_once('=') {
            Some((NODE, id)) => record.node = id.to_owned(),
            Some((SERVICE, id)) => record.service = id.to_owned(),
            Some((TASK, id)) => record.task = id.to_owned(),
            _ => {}
        }
    }
    record.text = text;
    Ok(record)
}

/// Up to the first space, and after it.
fn word(text: &Bytes) -> Option<(Bytes, Bytes)> {
    let end = text.iter().position(|byte| *byte == b' ')?;
    Some((text.slice(..end), text.slice(end + 1..)))
}

fn time(text: &[u8]) -> Option<Timestamp> {
    let at = std::str::from_utf8(text).ok()?.parse::<jiff::Timestamp>().ok()?;
    u64::try_from(at.as_millisecond()).ok().map(Timestamp)
}

fn without_end(mut text: Bytes) -> Bytes {
    for end in [b'\n', b'\r'] {
        if text.last() == Some(&end) {
            text.truncate(text.len() - 1);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const DETAILS: &str = "com.docker.swarm.node.id=n1,com.docker.swarm.service.id=s1,com.docker.swarm.task.id=t1";

    fn frame(stream: u8, text: &str) -> Vec<u8> {
        let mut bytes = vec![stream, 0, 0, 0];
        bytes.extend((text.len() as u32).to_be_bytes());
        bytes.extend(text.as_bytes());
        bytes
    }

    fn read(bytes: &[u8], size: usize, tty: bool) -> Vec<Result<LogRecord, EngineError>> {
        let mut frames = Frames { tty, buffer: BytesMut::new() };
        let mut lines: Vec<_> = bytes.chunks(size).flat_map(|chunk| frames.feed(chunk)).collect();
        lines.extend(frames.rest());
        lines
    }

    #[test]
    fn frames_in_any_split() {
        let mut bytes = frame(1, &format!("2026-01-01T00:00:01.500000000Z {DETAILS} hello  world\n"));
        bytes.extend(frame(2, &format!("2026-01-01T00:00:02.000000000Z {DETAILS} \n")));
        bytes.extend(frame(1, "no head"));
        for size in 1..bytes.len() {
            let lines: Vec<_> = read(&bytes, size, false).into_iter().map(Result::unwrap).collect();
            let texts: Vec<_> = lines.iter().map(|line| String::from_utf8_lossy(&line.text).into_owned()).collect();
            assert_eq!(texts, ["hello  world", "", "no head"], "chunks of {size}");
            assert_eq!((lines[0].at, lines[0].stderr, lines[1].stderr), (Timestamp(1_767_225_601_500), false, true));
            let first = &lines[0];
            assert_eq!((&*first.node, &*first.service, &*first.task), ("n1", "s1", "t1"));
        }
    }

    #[test]
    fn terminals_have_lines_only() {
        let bytes = format!("2026-01-01T00:00:01Z {DETAILS} one\r\n2026-01-01T00:00:02Z {DETAILS} two");
        let lines: Vec<_> = read(bytes.as_bytes(), 7, true).into_iter().map(|line| line.unwrap().text).collect();
        assert_eq!(lines, ["one", "two"]);
    }

    #[test]
    fn what_is_no_log_is_an_error() {
        let swarm = read(&frame(3, "log stream ended\n"), 64, false).remove(0).unwrap_err();
        assert_eq!(swarm, EngineError::Refused("log stream ended".into()));
        assert!(matches!(read(b"HTTP/1.1 200 OK", 64, false)[..], [Err(EngineError::Answer(_))]));
        assert!(matches!(read(&[1, 0, 0, 0, 255, 0, 0, 0], 64, false)[..], [Err(EngineError::Answer(_))]));
    }

    #[test]
    fn options_become_a_query() {
        let options = LogOptions { follow: true, tail: Some(10), since: Some(Timestamp(1500)), tty: false };
        let path = path(&LogOf::Service("s/1".into()), &options);
        let want = "/services/s%2F1/logs?details=1&timestamps=1&stdout=1&stderr=1&follow=1&tail=10&since=1.500000000";
        assert_eq!(path, want);
    }
}
