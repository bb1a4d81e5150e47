//! Logs of a stack, a service or a task, as they come.
//!
//! Without following, a slow reader holds up the Engine's stream and loses nothing. When following he would hold up what
//! is happening now: lines that wait too long are dropped, the oldest first, and counted.

use super::look::{named, task_name};
use super::{Asked, Gone, Out, Refusal, invalid, is_of, not_found};
use crate::engine::{LogOf, LogOptions, LogRecord, LogStream, Service, Task, Whose};
use bytes::Bytes;
use futures_util::future::{try_join, try_join_all};
use futures_util::stream::{SelectAll, StreamExt, select_all};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use tokio::time::Instant;
use waggle_model::ask::{Answer, LOG_LINES_MAX, LogChunk, LogLine, LogQuery, LogTarget};

/// Services whose logs are merged.
const STREAMS_MAX: usize = 100;
/// Bytes of one line; longer ones are broken up.
pub const LINE_BYTES_MAX: usize = 16 * 1024;
/// Lines of one question that wait to be taken, and their bytes.
pub const WAITING_LINES_MAX: usize = 8192;
const WAITING_BYTES_MAX: usize = 1 << 20;
/// Lines and bytes of one message.
const CHUNK_LINES: usize = 256;
const CHUNK_BYTES: usize = 32 * 1024;
/// Between looks for the names of tasks that are new.
const NAMES_INTERVAL: Duration = Duration::from_secs(1);

pub(super) async fn answer(asked: &Asked, query: LogQuery, out: &Out) -> Result<(), Gone> {
    match open(asked, &query).await {
        Ok(opened) => relay(asked, opened, query.follow, out).await,
        Err(refusal) => out.whole(&Answer::Refused(refusal)).await,
    }
}

struct Opened {
    lines: SelectAll<LogStream>,
    names: Names,
    silent: Vec<Silent>,
}

async fn open(asked: &Asked, query: &LogQuery) -> Result<Opened, Refusal> {
    let services = asked.engine.services().await?;
    let service = |one: &Service| (LogOf::Service(one.id.clone()), one.spec.task_template.container_spec.tty);
    let sources: Vec<(LogOf, bool)> = match &query.target {
        LogTarget::Service(name) => vec![service(named(&services, name)?)],
        LogTarget::Stack(stack) => services.iter().filter(|one| is_of(&one.spec.labels, stack)).map(service).collect(),
        LogTarget::Task(id) => {
            let tasks = asked.engine.tasks_of(&Whose::Everybodys).await?;
            let found = tasks.iter().find(|task| task.id == *id || (id.len() >= 4 && task.id.starts_with(id.as_str())));
            let task = found.ok_or_else(|| not_found(format!("there is no task {id}")))?;
            let of = services.iter().find(|one| one.id == task.service);
            vec![(LogOf::Task(task.id.clone()), of.is_some_and(|one| one.spec.task_template.container_spec.tty))]
        }
    };
    if sources.is_empty() {
        return Err(not_found("there is no service of this stack".into()));
    }
    if sources.len() > STREAMS_MAX {
        return Err(invalid(format!("{} services, at most {STREAMS_MAX} logs can be merged", sources.len())));
    }
    let streams = sources.iter().map(|(of, tty)| {
        let tail = query.tail.map(|lines| lines.min(LOG_LINES_MAX));
        let options = LogOptions { follow: query.follow, tail, since: query.since, tty: *tty };
        async move { asked.engine.logs(of, &options).await }
    });
    let streams = try_join_all(streams).await?;
    let tasks = asked.engine.tasks_of(&Whose::Everybodys).await?;
    let silent = sources.iter().filter_map(|(of, _)| Silent::of(of, &services, &tasks)).collect();
    Ok(Opened { lines: select_all(streams), names: Names::load(asked, &services).await?, silent })
}

async fn relay(
    asked: &Asked,
    Opened { lines: mut source, mut names, mut silent }: Opened,
    follow: bool,
    out: &Out,
) -> Result<(), Gone> {
    let mut waiting = Waiting::default();
    if follow {
        waiting.notes = silent.drain(..).filter(|one| !one.began).map(|one| one.note).collect();
    }
    let mut left = if follow { u64::MAX } else { LOG_LINES_MAX };
    let mut ended = None;
    loop {
        if ended.is_some() && waiting.is_empty() {
            break;
        }
        tokio::select! {
            biased;
            place = out.place(), if waiting.is_chunk() => place?.send(waiting.chunk(), true),
            record = source.next(), if ended.is_none() && (follow || !waiting.is_full()) => match record {
                None => ended = Some(None),
                Some(Err(error)) => ended = Some(Some(Refusal::from(error))),
                Some(Ok(_)) if left == 0 => ended = Some(Some(too_many())),
                Some(Ok(record)) => {
                    left -= 1;
                    silent.retain(|one| !one.tasks.contains(&record.task));
                    names.learn(asked, &record).await;
                    names.lines(record).for_each(|line| waiting.push(line));
                }
            },
            place = out.place(), if !waiting.is_empty() => place?.send(waiting.chunk(), true),
        }
    }
    waiting.notes = silent.into_iter().map(|one| one.note).collect();
    let last = ended.flatten().map_or(Answer::Logs(waiting.take()), Answer::Refused);
    out.whole(&last).await
}

fn too_many() -> Refusal {
    Refusal {
        help: Some("ask for fewer with --tail or --since".into()),
        ..invalid(format!("there are more than {LOG_LINES_MAX} lines; the rest is not shown"))
    }
}

/// A service or task that is asked for and may have written nothing, because nothing of it goes well.
struct Silent {
    /// Its tasks; a line of one of them, and it was not silent.
    tasks: BTreeSet<String>,
    /// Some task had a container.
    began: bool,
    note: String,
}

impl Silent {
    /// `None`: one of its tasks runs or came to a good end, and may be silent.
    fn of(of: &LogOf, services: &[Service], tasks: &[Task]) -> Option<Silent> {
        let (id, meant): (_, Vec<&Task>) = match of {
            LogOf::Service(id) => (id, tasks.iter().filter(|task| task.service == *id).collect()),
            LogOf::Task(id) => (id, tasks.iter().filter(|task| task.id == *id).collect()),
        };
        let well = |task: &&Task| matches!(&*task.state, "running" | "complete" | "shutdown" | "remove" | "orphaned");
        if meant.iter().any(well) {
            return None;
        }
        let name =
            |id: &str| services.iter().find(|one| one.id == id).map_or(id.to_owned(), |one| one.spec.name.clone());
        let note = match meant.iter().max_by_key(|task| (task.at, &task.id)) {
            None => format!("{} has no log: it has no task", name(id)),
            Some(task) => {
                let why = if task.error.is_empty() { String::new() } else { format!(": {}", task.error) };
                let (of, task_name) = (name(&task.service), task_name(&name(&task.service), task));
                format!("{of} has no log: its newest task {task_name} is {}{why}", task.state)
            }
        };
        let began = meant.iter().any(|task| !task.container.is_empty());
        Some(Silent { tasks: meant.into_iter().map(|task| task.id.clone()).collect(), began, note })
    }
}

/// Lines on their way, oldest first.
#[derive(Default)]
struct Waiting {
    lines: VecDeque<LogLine>,
    bytes: usize,
    dropped: u64,
    /// To be said with the next lines, or without.
    notes: Vec<String>,
}

impl Waiting {
    fn push(&mut self, line: LogLine) {
        self.bytes += line.text.len();
        self.lines.push_back(line);
        while self.lines.len() > WAITING_LINES_MAX || self.bytes > WAITING_BYTES_MAX {
            self.pop();
            self.dropped += 1;
        }
    }

    fn pop(&mut self) -> Option<LogLine> {
        let line = self.lines.pop_front()?;
        self.bytes -= line.text.len();
        Some(line)
    }

    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.notes.is_empty()
    }

    fn is_chunk(&self) -> bool {
        self.lines.len() >= CHUNK_LINES || self.bytes >= CHUNK_BYTES
    }

    /// One more line may have to drop others.
    fn is_full(&self) -> bool {
        self.lines.len() >= WAITING_LINES_MAX / 2 || self.bytes >= WAITING_BYTES_MAX / 2
    }

    fn take(&mut self) -> LogChunk {
        let (dropped, notes) = (std::mem::take(&mut self.dropped), std::mem::take(&mut self.notes));
        let mut chunk = LogChunk { lines: Vec::new(), dropped, notes };
        let mut bytes = 0;
        while chunk.lines.len() < CHUNK_LINES && bytes < CHUNK_BYTES {
            let Some(line) = self.pop() else { break };
            bytes += line.text.len();
            chunk.lines.push(line);
        }
        chunk
    }

    fn chunk(&mut self) -> Bytes {
        serde_json::to_vec(&Answer::Logs(self.take())).unwrap_or_default().into()
    }
}

/// Names of tasks and nodes by their ids.
struct Names {
    tasks: BTreeMap<String, String>,
    nodes: BTreeMap<String, String>,
    looked: Instant,
}

impl Names {
    async fn load(asked: &Asked, services: &[Service]) -> Result<Names, Refusal> {
        let (tasks, nodes) = try_join(asked.engine.tasks_of(&Whose::Everybodys), asked.engine.nodes()).await?;
        let of = |id: &str| services.iter().find(|one| one.id == id).map_or(id.to_owned(), |one| one.spec.name.clone());
        Ok(Names {
            tasks: tasks.iter().map(|task| (task.id.clone(), task_name(&of(&task.service), task))).collect(),
            nodes: nodes.into_iter().map(|node| (node.id, node.name)).collect(),
            looked: Instant::now(),
        })
    }

    /// Looks again when a task is new.
    async fn learn(&mut self, asked: &Asked, record: &LogRecord) {
        let known = record.task.is_empty() || self.tasks.contains_key(&record.task);
        if known || self.looked.elapsed() < NAMES_INTERVAL {
            return;
        }
        self.looked = Instant::now();
        if let Ok(services) = asked.engine.services().await
            && let Ok(names) = Names::load(asked, &services).await
        {
            *self = names;
        }
    }

    fn lines(&self, record: LogRecord) -> impl Iterator<Item = LogLine> {
        let name = |names: &BTreeMap<String, String>, id: &String| names.get(id).unwrap_or(id).clone();
        let (task, node) = (name(&self.tasks, &record.task), name(&self.nodes, &record.node));
        let text = record.text;
        let starts = (0..text.len().max(1)).step_by(LINE_BYTES_MAX);
        starts.map(move |start| {
            let part = text.slice(start..text.len().min(start + LINE_BYTES_MAX));
            let text = String::from_utf8_lossy(&part).into_owned();
            LogLine { at: record.at, task: task.clone(), node: node.clone(), stderr: record.stderr, text }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> LogLine {
        LogLine { at: Default::default(), task: "t".into(), node: "n".into(), stderr: false, text: text.into() }
    }

    #[test]
    fn the_oldest_lines_go_first_and_are_counted() {
        let mut waiting = Waiting::default();
        (0..WAITING_LINES_MAX + 3).for_each(|n| waiting.push(line(&n.to_string())));
        let chunk = waiting.take();
        assert_eq!((chunk.dropped, chunk.lines.len(), chunk.lines[0].text.as_str()), (3, CHUNK_LINES, "3"));
        assert_eq!(waiting.take().dropped, 0, "told once");
        let mut waiting = Waiting::default();
        let long = "x".repeat(LINE_BYTES_MAX);
        (0..WAITING_BYTES_MAX / LINE_BYTES_MAX + 5).for_each(|_| waiting.push(line(&long)));
        assert!(waiting.bytes <= WAITING_BYTES_MAX);
        assert_eq!((waiting.dropped, waiting.take().lines.len()), (5, CHUNK_BYTES / LINE_BYTES_MAX));
    }

    #[test]
    fn long_lines_are_broken_up() {
        let names = Names { tasks: BTreeMap::new(), nodes: BTreeMap::new(), looked: Instant::now() };
        let text = Bytes::from(vec![b'x'; LINE_BYTES_MAX + 1]);
        let lines: Vec<_> = names.lines(LogRecord { text, ..LogRecord::default() }).collect();
        assert_eq!(lines.iter().map(|line| line.text.len()).collect::<Vec<_>>(), [LINE_BYTES_MAX, 1]);
        assert_eq!(names.lines(LogRecord::default()).count(), 1, "an empty line is a line");
    }
}
