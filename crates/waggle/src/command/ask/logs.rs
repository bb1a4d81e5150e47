//! Logs of several clusters in one stream: `cluster task@node | line`.
//!
//! Followed lines are printed as they come. Without following, lines of all clusters are put in the order of their times,
//! as far as a window of limited size allows: a stream of a cluster is in that order nearly by itself.

use super::{Clusters, exit, note};
use crate::command::Global;
use crate::duration;
use crate::exit::{Exit, Failure};
use crate::output::table::clean;
use crate::output::{Format, Style};
use crate::terminal;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{IsTerminal, Write};
use waggle_control::api::types::{ErrorDetail, LogEvent};
use waggle_model::{ClusterName, Timestamp};

/// Lines that are held back to be put in order, and their bytes.
const WINDOW_LINES: usize = 20_000;
const WINDOW_BYTES: usize = 32 << 20;

/// Options of every command that shows logs.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Go on with new lines
    #[arg(short, long)]
    follow: bool,
    /// Lines from the end of each task's log, or all
    #[arg(short = 'n', long, value_name = "LINES", value_parser = tail, default_value = "all")]
    tail: Tail,
    /// Only lines since then: a time (2026-01-31T13:00:00Z) or a duration before now (10m)
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,
    /// Show the time of each line
    #[arg(short, long)]
    timestamps: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail(Option<u64>);

fn tail(text: &str) -> Result<Tail, String> {
    match text {
        "all" => Ok(Tail(None)),
        _ => text.parse().map(|lines| Tail(Some(lines))).map_err(|_| "a number of lines, or all".to_owned()),
    }
}

fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(Timestamp(u64::try_from(time.as_millisecond()).unwrap_or(0)));
    }
    let before = duration::parse(text).map_err(|_| format!("{text:?} is neither a time nor a duration"))?;
    let before = u64::try_from(before.as_millis()).unwrap_or(u64::MAX);
    Ok(Timestamp(waggle_daemon::time::now().saturating_sub(before)))
}

/// `of`: `stack`, `service` or `task`, and its name.
pub async fn run(of: (&str, &str), clusters: &Clusters, options: &Options, global: &Global) -> Result<Exit, Failure> {
    let (tail, since) = (options.tail.0.map(|n| n.to_string()), options.since.map(|at| at.0.to_string()));
    let follow = options.follow.then_some("true");
    let more = [(of.0, Some(of.1)), ("follow", follow), ("tail", tail.as_deref()), ("since", since.as_deref())];
    let mut events = global.client()?.events(&clusters.on("/v1/logs", &more)).await?;
    let mut printer = Printer {
        colour: terminal::has_colour(&std::io::stdout()),
        terminal: std::io::stdout().is_terminal(),
        timestamps: options.timestamps,
        json: global.format == Format::Json,
        closed: false,
    };
    let mut window = Window::new(if options.follow { 0 } else { WINDOW_LINES });
    let mut errors: Vec<ErrorDetail> = Vec::new();
    while !printer.closed
        && let Some(event) = events.next().await?
    {
        let event: LogEvent = serde_json::from_str(&event.data)?;
        let mut ready = Vec::new();
        for line in event.lines {
            let line = Line { at: line.at, cluster: event.cluster.clone(), line };
            ready.extend(window.push(line));
        }
        printer.print(&ready)?;
        if event.dropped > 0 {
            let text =
                format!("{}: {} lines came faster than they were read and are missing", event.cluster, event.dropped);
            terminal::warn(&text);
        }
        for text in &event.notes {
            terminal::note(&clean(&format!("{}: {text}", event.cluster)));
        }
        errors.extend(event.error.inspect(|error| note(&event.cluster, error)));
    }
    printer.print(&window.rest())?;
    Ok(exit(&errors))
}

struct Line {
    at: Timestamp,
    cluster: ClusterName,
    line: waggle_model::ask::LogLine,
}

/// Puts lines in the order of their times.
struct Window {
    lines: BinaryHeap<Reverse<(Timestamp, u64, Held)>>,
    bytes: usize,
    next: u64,
    limit: usize,
}

/// Of no weight in the order.
struct Held(Line);

impl PartialEq for Held {
    fn eq(&self, _: &Held) -> bool {
        true
    }
}

impl Eq for Held {}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Held) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Held {
    fn cmp(&self, _: &Held) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

impl Window {
    fn new(limit: usize) -> Window {
        Window { lines: BinaryHeap::new(), bytes: 0, next: 0, limit }
    }

    /// The lines that have to go for this one to stay.
    fn push(&mut self, line: Line) -> Vec<Line> {
        self.bytes += line.line.text.len();
        self.next += 1;
        self.lines.push(Reverse((line.at, self.next, Held(line))));
        let mut ready = Vec::new();
        while self.lines.len() > self.limit || self.bytes > WINDOW_BYTES {
            ready.extend(self.pop());
        }
        ready
    }

    fn pop(&mut self) -> Option<Line> {
        let Reverse((_, _, Held(line))) = self.lines.pop()?;
        self.bytes -= line.line.text.len();
        Some(line)
    }

    fn rest(&mut self) -> Vec<Line> {
        std::iter::from_fn(|| self.pop()).collect()
    }
}

struct Printer {
    colour: bool,
    terminal: bool,
    timestamps: bool,
    json: bool,
    /// Nobody reads any more.
    closed: bool,
}

impl Printer {
    fn print(&mut self, lines: &[Line]) -> Result<(), Failure> {
        let (mut out, mut err) = (String::new(), String::new());
        for line in lines {
            // As docker does, what was written to standard error goes there.
            let to = if line.line.stderr && !self.json { &mut err } else { &mut out };
            *to += &self.line(line)?;
        }
        write(&mut std::io::stderr().lock(), &err)?;
        self.closed |= write(&mut std::io::stdout().lock(), &out)?;
        Ok(())
    }

    fn line(&self, line: &Line) -> Result<String, Failure> {
        if self.json {
            let mut value = serde_json::to_value(&line.line)?;
            value["cluster"] = serde_json::Value::from(line.cluster.as_str());
            return Ok(value.to_string() + "\n");
        }
        let Line { at, cluster, line } = line;
        let prefix = clean(&format!("{cluster} {}@{} | ", line.task, line.node));
        let style =
            [Style::Good, Style::Warning, Style::Faint][cluster.as_str().bytes().map(usize::from).sum::<usize>() % 3];
        let time = if self.timestamps { format!("{} ", time(*at)) } else { String::new() };
        // A terminal obeys what it is sent; a file or a program gets what was written.
        let text = if self.terminal { printable(&line.text) } else { line.text.clone() };
        Ok(format!("{}{time}{text}\n", style.paint(&prefix, self.colour)))
    }
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).collect()
}

/// RFC 3339 in UTC, with milliseconds.
fn time(at: Timestamp) -> String {
    let time = i64::try_from(at.0).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    time.map(|time| format!("{time:.3}")).unwrap_or_default()
}

/// True: the reader went away (`waggle … | head`).
fn write(to: &mut impl Write, text: &str) -> Result<bool, Failure> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(true),
        Err(error) => Err(Failure::from(error).context("cannot write the log")),
        Ok(()) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at: u64, cluster: &str, text: &str) -> Line {
        let line = waggle_model::ask::LogLine {
            at: Timestamp(at),
            task: "shop_web.1".into(),
            node: "n1".into(),
            stderr: false,
            text: text.into(),
        };
        Line { at: Timestamp(at), cluster: cluster.parse().unwrap(), line }
    }

    fn texts(lines: &[Line]) -> Vec<&str> {
        lines.iter().map(|line| line.line.text.as_str()).collect()
    }

    #[test]
    fn lines_are_put_in_order_within_a_window() {
        let mut window = Window::new(2);
        assert!(window.push(line(30, "eu-1", "c")).is_empty());
        assert!(window.push(line(10, "us-1", "a")).is_empty());
        assert_eq!(texts(&window.push(line(20, "eu-1", "b"))), ["a"]);
        assert!(window.push(line(30, "us-1", "d")).len() == 1);
        assert_eq!(texts(&window.rest()), ["c", "d"], "of the same time, as they came");
        let mut none = Window::new(0);
        assert_eq!(texts(&none.push(line(5, "eu-1", "now"))), ["now"]);
    }

    #[test]
    fn the_window_is_bounded_in_bytes() {
        let mut window = Window::new(usize::MAX);
        let long = "x".repeat(WINDOW_BYTES / 4);
        let out: usize = (0..6).map(|at| window.push(line(at, "eu-1", &long)).len()).sum();
        assert_eq!((out, window.lines.len()), (2, 4));
    }

    #[test]
    fn lines_are_printed_with_where_they_come_from() {
        let mut printer = Printer { colour: false, terminal: true, timestamps: true, json: false, closed: false };
        let text = printer.line(&line(1_767_225_601_500, "eu-1", "a\x1b[2Jb")).unwrap();
        assert_eq!(text, "eu-1 shop_web.1@n1 | 2026-01-01T00:00:01.500Z a [2Jb\n");
        printer.json = true;
        let value: serde_json::Value = serde_json::from_str(&printer.line(&line(1, "eu-1", "x")).unwrap()).unwrap();
        assert_eq!((&value["cluster"], &value["text"]), (&"eu-1".into(), &"x".into()));
    }

    #[test]
    fn times_and_tails() {
        assert_eq!(since("2026-01-01T00:00:00Z"), Ok(Timestamp(1_767_225_600_000)));
        assert!(since("10m").unwrap().0 < waggle_daemon::time::now());
        assert!(since("yesterday").is_err());
        assert_eq!((tail("all"), tail("5")), (Ok(Tail(None)), Ok(Tail(Some(5)))));
        assert!(tail("-1").is_err());
    }
}
