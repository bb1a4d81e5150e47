//! Asking agents on behalf of people.
//!
//! A session never waits for an asker: each question has a place for as many messages as its agent may send ahead
//! ([`AHEAD_MAX`]), and the agent sends more only when the asker took some. An asker who goes away withdraws his
//! question. Rejected: dropping what a slow reader does not take here, since only the agent knows what may be dropped.

use super::Agents;
use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use waggle_model::ClusterName;
use waggle_model::ask::{AHEAD_MAX, ANSWER_BYTES_MAX, Answer, QUESTION_BYTES_MAX, QUESTIONS_MAX, Question};
use waggle_wire::proto::agent::{Answer as Message, Ask, control_message::Kind};

/// Time for an answer, unless the question needs more.
pub const ASK_DEADLINE: Duration = Duration::from_secs(10);
/// Messages about questions that wait to be sent to one agent.
const OUTGOING_MAX: usize = 16 * QUESTIONS_MAX;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    #[error("its agent is not connected")]
    NotConnected,
    #[error("its agent did not answer within {} s", .0.as_secs())]
    Deadline(Duration),
    #[error("its agent already has {QUESTIONS_MAX} questions to answer")]
    Busy,
    #[error("the connection to its agent broke before the answer")]
    Lost,
    #[error("the question has {0} bytes, at most {QUESTION_BYTES_MAX} can be asked")]
    TooLarge(usize),
    #[error("its agent's answer cannot be read: {0}")]
    Answer(String),
}

/// The questions of one session.
#[derive(Default)]
pub(super) struct Desk {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    next: u64,
    open: BTreeMap<u64, mpsc::Sender<Message>>,
    outgoing: VecDeque<Kind>,
    closed: bool,
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(self: &Arc<Self>, json: Bytes, traceparent: &str) -> Result<Answers, AskError> {
        let (send, messages) = mpsc::channel(AHEAD_MAX);
        let mut state = self.state();
        if state.closed {
            return Err(AskError::NotConnected);
        }
        if state.open.len() >= QUESTIONS_MAX || state.outgoing.len() >= OUTGOING_MAX {
            return Err(AskError::Busy);
        }
        state.next += 1;
        let id = state.next;
        state.open.insert(id, send);
        state.outgoing.push_back(Kind::Ask(Ask { id, json, traceparent: traceparent.to_owned() }));
        drop(state);
        self.wake.notify_one();
        Ok(Answers { id, messages, desk: self.clone(), over: false })
    }

    /// The next message for the agent. Cancelling it loses nothing.
    pub(super) async fn next(&self) -> Kind {
        loop {
            if let Some(kind) = self.state().outgoing.pop_front() {
                return kind;
            }
            self.wake.notified().await;
        }
    }

    /// Hands a message to who asked, if he still waits.
    pub(super) fn answered(&self, message: Message) {
        let mut state = self.state();
        let (id, more) = (message.id, message.more);
        let Some(asker) = state.open.get(&id) else { return };
        // An agent that sends further ahead than it may is not listened to.
        let taken = asker.try_send(message).is_ok();
        if !taken || !more {
            state.open.remove(&id);
        }
    }

    /// Ends every question.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.open.clear();
        state.outgoing.clear();
    }

    fn took(&self, id: u64) {
        let mut state = self.state();
        if state.open.contains_key(&id) {
            state.outgoing.push_back(Kind::Took(id));
            drop(state);
            self.wake.notify_one();
        }
    }

    fn withdraw(&self, id: u64) {
        let mut state = self.state();
        if state.open.remove(&id).is_none() {
            return;
        }
        let unsent = |kind: &Kind| matches!(kind, Kind::Ask(ask) if ask.id == id);
        if let Some(at) = state.outgoing.iter().position(unsent) {
            state.outgoing.remove(at);
            return;
        }
        state.outgoing.retain(|kind| *kind != Kind::Took(id));
        state.outgoing.push_back(Kind::Withdraw(id));
        drop(state);
        self.wake.notify_one();
    }
}

/// What comes back to one question; dropping it withdraws the question.
pub struct Answers {
    id: u64,
    messages: mpsc::Receiver<Message>,
    desk: Arc<Desk>,
    over: bool,
}

impl Answers {
    /// The next message; `None` after the last.
    async fn message(&mut self) -> Result<Option<Bytes>, AskError> {
        if self.over {
            return Ok(None);
        }
        let message = self.messages.recv().await.ok_or(AskError::Lost)?;
        self.over = !message.more;
        if message.more {
            self.desk.took(self.id);
        }
        Ok(Some(message.json))
    }

    /// The next of several answers; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Answer>, AskError> {
        match self.message().await? {
            Some(json) => read(&json).map(Some),
            None => Ok(None),
        }
    }

    /// The only answer, which may come in parts.
    async fn whole(mut self) -> Result<Answer, AskError> {
        let mut json = BytesMut::new();
        while let Some(part) = self.message().await? {
            if json.len() + part.len() > ANSWER_BYTES_MAX {
                return Err(AskError::Answer(format!("it has more than {ANSWER_BYTES_MAX} bytes")));
            }
            json.extend_from_slice(&part);
        }
        read(&json)
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.desk.withdraw(self.id);
    }
}

fn read(json: &[u8]) -> Result<Answer, AskError> {
    serde_json::from_slice(json).map_err(|error| AskError::Answer(error.to_string()))
}

impl Agents {
    /// Asks one cluster; the answers come as they are sent.
    pub fn open(&self, cluster: &ClusterName, question: &Question, traceparent: &str) -> Result<Answers, AskError> {
        let json = serde_json::to_vec(question).map_err(|error| AskError::Answer(error.to_string()))?;
        self.open_json(cluster, json.into(), traceparent)
    }

    fn open_json(&self, cluster: &ClusterName, json: Bytes, traceparent: &str) -> Result<Answers, AskError> {
        if json.len() > QUESTION_BYTES_MAX {
            return Err(AskError::TooLarge(json.len()));
        }
        let desk = self.table().rows.get(cluster).and_then(|row| Some(row.live.as_ref()?.desk.clone()));
        desk.ok_or(AskError::NotConnected)?.open(json, traceparent)
    }

    /// Asks one cluster and waits for its answer.
    pub async fn ask(
        &self,
        cluster: &ClusterName,
        question: &Question,
        deadline: Duration,
        traceparent: &str,
    ) -> Result<Answer, AskError> {
        whole(self.open(cluster, question, traceparent), deadline).await
    }

    /// Asks all these clusters at once; each answers, or not, for itself.
    pub async fn ask_all(
        &self,
        clusters: BTreeSet<ClusterName>,
        question: &Question,
        deadline: Duration,
        traceparent: &str,
    ) -> BTreeMap<ClusterName, Result<Answer, AskError>> {
        let json = match serde_json::to_vec(question) {
            Ok(json) => Bytes::from(json),
            Err(error) => {
                let error = AskError::Answer(error.to_string());
                return clusters.into_iter().map(|cluster| (cluster, Err(error.clone()))).collect();
            }
        };
        let asking = clusters.into_iter().map(|cluster| {
            let opened = self.open_json(&cluster, json.clone(), traceparent);
            async move { (cluster, whole(opened, deadline).await) }
        });
        join_all(asking).await.into_iter().collect()
    }
}

async fn whole(opened: Result<Answers, AskError>, deadline: Duration) -> Result<Answer, AskError> {
    match tokio::time::timeout(deadline, opened?.whole()).await {
        Ok(answer) => answer,
        Err(_) => Err(AskError::Deadline(deadline)),
    }
}

#[cfg(test)]
mod tests;
