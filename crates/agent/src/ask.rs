//! Questions that control asks on behalf of people, each answered by a task of its own.
//!
//! A session must go on whatever is asked: so answers wait in a short queue that the session empties when it has room,
//! and each question sends only a few messages beyond those that its asker has taken ([`AHEAD_MAX`]). Whoever reads
//! slowly holds up his own question and nothing else. Answers other than logs go out in parts, so that a long list does
//! not keep signs of life waiting behind it.
//!
//! Questions end with the session: their tasks are the session's.

mod change;
mod export;
mod logs;
mod look;
mod stack;
mod verify;

#[cfg(test)]
mod tests;

use crate::engine::{Engine, EngineError};
use crate::order::Order;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tracing::Instrument;
use waggle_model::StackName;
use waggle_model::ask::{
    AHEAD_MAX, ANSWER_BYTES_MAX, Answer, QUESTION_BYTES_MAX, QUESTIONS_MAX, Question, Refusal, RefusalKind,
};
use waggle_stack::labels;
use waggle_wire::proto::agent::{Answer as Message, Ask};

/// Bytes of one message about a question.
pub const PART_BYTES: usize = 64 * 1024;
/// Messages of all questions that wait for the session.
const WAITING_MAX: usize = 8;

/// What questions are answered from.
pub struct Asked {
    pub engine: Arc<dyn Engine>,
    pub orders: watch::Receiver<Option<Arc<Order>>>,
}

/// The questions of one session.
pub struct Desk {
    asked: Arc<Asked>,
    tasks: JoinSet<()>,
    open: BTreeMap<u64, Open>,
    send: mpsc::Sender<Message>,
    answers: mpsc::Receiver<Message>,
}

struct Open {
    task: AbortHandle,
    ahead: Arc<Semaphore>,
}

impl Desk {
    pub fn new(asked: Asked) -> Desk {
        let (send, answers) = mpsc::channel(WAITING_MAX);
        Desk { asked: Arc::new(asked), tasks: JoinSet::new(), open: BTreeMap::new(), send, answers }
    }

    pub fn start(&mut self, ask: Ask) {
        while self.tasks.try_join_next().is_some() {}
        self.open.retain(|_, open| !open.task.is_finished());
        let ahead = Arc::new(Semaphore::new(AHEAD_MAX));
        let out = Out { id: ask.id, send: self.send.clone(), ahead: ahead.clone() };
        if self.open.len() >= QUESTIONS_MAX || self.open.contains_key(&ask.id) {
            // Control counts as well; if the queue is full too, the deadline tells.
            let refusal = unavailable("the agent answers too many questions already");
            let json = serde_json::to_vec(&Answer::Refused(refusal)).unwrap_or_default();
            let _ = self.send.try_send(Message { id: ask.id, json: json.into(), more: false });
            return;
        }
        let span = tracing::info_span!("question", id = ask.id);
        waggle_daemon::trace::set_parent(&span, &ask.traceparent);
        let id = ask.id;
        let task = self.tasks.spawn(answer(self.asked.clone(), ask.json, out).instrument(span));
        self.open.insert(id, Open { task, ahead });
    }

    /// Nobody waits for the answer any more.
    pub fn withdraw(&mut self, id: u64) {
        if let Some(open) = self.open.remove(&id) {
            open.task.abort();
        }
    }

    /// One more message was taken.
    pub fn took(&self, id: u64) {
        if let Some(open) = self.open.get(&id)
            && open.ahead.available_permits() < AHEAD_MAX
        {
            open.ahead.add_permits(1);
        }
    }

    /// The next message for control; never ends.
    pub async fn next(&mut self) -> Message {
        match self.answers.recv().await {
            Some(message) => message,
            None => std::future::pending().await,
        }
    }
}

/// Where one question's answers go.
struct Out {
    id: u64,
    send: mpsc::Sender<Message>,
    ahead: Arc<Semaphore>,
}

/// The session is over.
struct Gone;

/// Room for one message.
struct Place<'a> {
    id: u64,
    permit: mpsc::Permit<'a, Message>,
}

impl Out {
    /// Waits until the asker has taken enough and the session has room. Cancelling it loses nothing.
    async fn place(&self) -> Result<Place<'_>, Gone> {
        let ahead = self.ahead.acquire().await.map_err(|_| Gone)?;
        let permit = self.send.reserve().await.map_err(|_| Gone)?;
        ahead.forget();
        Ok(Place { id: self.id, permit })
    }

    /// The only answer, in parts.
    async fn whole(&self, answer: &Answer) -> Result<(), Gone> {
        let mut json = match serde_json::to_vec(answer) {
            Ok(json) if json.len() <= ANSWER_BYTES_MAX => Bytes::from(json),
            Ok(json) => refused(format!("the answer has {} bytes, at most {ANSWER_BYTES_MAX} can be sent", json.len())),
            Err(error) => refused(format!("the answer cannot be written: {error}")),
        };
        loop {
            let part = json.split_to(json.len().min(PART_BYTES));
            let more = !json.is_empty();
            self.place().await?.send(part, more);
            if !more {
                return Ok(());
            }
        }
    }
}

impl Place<'_> {
    fn send(self, json: Bytes, more: bool) {
        self.permit.send(Message { id: self.id, json, more });
    }
}

fn refused(message: String) -> Bytes {
    let refusal = Refusal { kind: RefusalKind::Invalid, message, help: None };
    serde_json::to_vec(&Answer::Refused(refusal)).unwrap_or_default().into()
}

async fn answer(asked: Arc<Asked>, json: Bytes, out: Out) {
    let done = match read(&json) {
        Ok(Question::Logs(query)) => logs::answer(&asked, query, &out).await,
        Ok(question) => {
            let answer = asked.answer(question).await.unwrap_or_else(Answer::Refused);
            out.whole(&answer).await
        }
        Err(refusal) => out.whole(&Answer::Refused(refusal)).await,
    };
    if done.is_err() {
        tracing::debug!("the session ended before the question");
    }
}

fn read(json: &[u8]) -> Result<Question, Refusal> {
    if json.len() > QUESTION_BYTES_MAX {
        return Err(invalid(format!("the question has {} bytes, at most {QUESTION_BYTES_MAX} are read", json.len())));
    }
    serde_json::from_slice(json).map_err(|error| Refusal {
        help: Some("update the agent to the version of control".into()),
        ..invalid(format!("this agent does not understand the question: {error}"))
    })
}

impl Asked {
    async fn answer(&self, question: Question) -> Result<Answer, Refusal> {
        Ok(match question {
            Question::Services { stack } => Answer::Services(self.services(stack.as_ref()).await?),
            Question::Tasks { stack, service, node } => {
                Answer::Tasks(self.tasks(stack.as_ref(), service.as_deref(), node.as_deref()).await?)
            }
            Question::Nodes => Answer::Nodes(self.nodes().await?),
            Question::Secrets => Answer::Stored(self.stored(crate::engine::Kind::Secret).await?),
            Question::Configs => Answer::Stored(self.stored(crate::engine::Kind::Config).await?),
            Question::Inspect { kind, name } => Answer::Object(self.inspect(kind, &name).await?),
            Question::Plan { stack, objects, upkeep } => Answer::Plan(self.plan(&stack, &objects, &upkeep).await?),
            Question::Verify { stack } => Answer::Verified(self.verify(&stack).await?),
            Question::Export { stack } => Answer::Export(self.export(&stack).await?),
            Question::UpdateNode { node, change } => Answer::Done(self.update_node(&node, change).await?),
            Question::UpdateService { service, change } => Answer::Done(self.update_service(&service, change).await?),
            Question::PruneImages { all } => self.prune_images(all).await?,
            Question::JoinToken { role } => self.join_token(role).await?,
            Question::Logs(_) => return Err(invalid("logs are answered line by line".into())),
        })
    }

    /// Whether this agent keeps a stack of the name.
    fn keeps(&self, stack: &str) -> bool {
        let order = self.orders.borrow();
        order.as_ref().is_some_and(|order| order.desired.stacks.keys().any(|name| name.as_str() == stack))
    }

    /// The stack an object's labels name, and whether it is one that this agent keeps.
    fn stack_of(&self, on: &BTreeMap<String, String>) -> (Option<String>, bool) {
        let stack = on.get(labels::NAMESPACE).cloned();
        let managed = stack.as_ref().is_some_and(|stack| self.keeps(stack));
        (stack, managed)
    }
}

fn is_of(on: &BTreeMap<String, String>, stack: &StackName) -> bool {
    on.get(labels::NAMESPACE).is_some_and(|name| name == stack.as_str())
}

fn invalid(message: String) -> Refusal {
    Refusal { kind: RefusalKind::Invalid, message, help: None }
}

fn not_found(message: String) -> Refusal {
    Refusal { kind: RefusalKind::NotFound, message, help: None }
}

fn conflict(message: String, help: &str) -> Refusal {
    Refusal { kind: RefusalKind::Conflict, message, help: Some(help.to_owned()) }
}

fn unavailable(message: &str) -> Refusal {
    Refusal { kind: RefusalKind::Unavailable, message: message.to_owned(), help: Some("try again in a moment".into()) }
}

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Refusal {
        let kind = match &error {
            EngineError::NotFound(_) => RefusalKind::NotFound,
            EngineError::Conflict(_) => RefusalKind::Conflict,
            EngineError::Refused(_) => RefusalKind::Invalid,
            _ => RefusalKind::Unavailable,
        };
        Refusal { kind, message: waggle_daemon::tasks::chain(&error), help: None }
    }
}
