//! One agent's session.

use super::super::follow::{Changes, Follow};
use super::super::{ALIVE_INTERVAL, HELLO_MAX, QUEUE_MAX, SESSIONS_MAX, SILENCE_MAX, Sessions, admit, refuse, send};
use super::Attached;
use super::ask::Desk;
use super::resolve::Ask;
use crate::logins;
use crate::records::{Stored, get, keys};
use crate::store::{Key, Store, StoreError};
use crate::vault::Vault;
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use waggle_daemon::Tasks;
use waggle_model::desired::Desired;
use waggle_model::observed::Observed;
use waggle_model::release::Release;
use waggle_model::{ClusterName, Timestamp};
use waggle_stack::Objects;
use waggle_wire::document::{MESSAGE_BYTES_MAX, decode};
use waggle_wire::identity::{Identity, expiry_of_peer, of_peer_since};
use waggle_wire::proto::agent::agents_server::Agents as Rpc;
use waggle_wire::proto::agent::{
    AgentMessage, ControlMessage, DesiredState, RegistryLogin, Resolve, ResolvedImage, agent_message, control_message,
};
use waggle_wire::proto::document::Alive;

/// Questions under way at once in one session; more wait.
const RESOLVES_MAX: usize = 8;

/// Serves `waggle.agent.v1.Agents`.
#[derive(Clone)]
pub struct Service {
    pub store: Arc<dyn Store>,
    pub vault: Arc<Vault>,
    pub sessions: Arc<Sessions>,
    pub tasks: Tasks,
}

#[async_trait]
impl Rpc for Service {
    type SessionStream = ReceiverStream<Result<ControlMessage, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (identity, since) = of_peer_since(&request)?;
        let Identity::Agent(cluster) = identity.clone() else {
            return Err(Status::permission_denied("only agents have this session"));
        };
        admit(&*self.store, &identity, since).await?;
        if self.sessions.agents.is_live(&cluster) {
            return Err(second(&cluster));
        }
        let until = expiry_of_peer(&request);
        let (out, answers) = mpsc::channel(QUEUE_MAX);
        let (service, inbound) = (self.clone(), request.into_inner());
        let session = async move { service.run(cluster, (since, until), inbound, out).await };
        let full = |_| Status::resource_exhausted(format!("{SESSIONS_MAX} agents are connected"));
        self.tasks.spawn_within("agent session", SESSIONS_MAX, session).map_err(full)?;
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

fn second(cluster: &ClusterName) -> Status {
    Status::already_exists(format!(
        "a second agent for cluster {cluster}: another one is connected; run one agent per cluster and give each cluster its \
         own name"
    ))
}

type Out = mpsc::Sender<Result<ControlMessage, Status>>;
type Pending = Mutex<BTreeMap<u64, oneshot::Sender<Vec<ResolvedImage>>>>;

impl Service {
    /// `since` and `until`: its certificate is valid.
    async fn run(
        self,
        cluster: ClusterName,
        (since, until): (Timestamp, Option<Timestamp>),
        inbound: Streaming<AgentMessage>,
        out: Out,
    ) {
        let Some((attached, asked)) = self.sessions.agents.attach(&cluster) else {
            return refuse(&out, second(&cluster));
        };
        self.sessions.agents.certified(&cluster, until);
        tracing::info!(%cluster, "agent connected");
        let pending = Pending::default();
        let stop = self.tasks.token();
        let ended = tokio::select! {
            ended = hear(&cluster, inbound, &attached, &pending) => ended,
            ended = self.tell((&cluster, since), &out, asked, &pending, &attached.desk) => ended,
            () = stop.cancelled() => Status::unavailable("control is stopping"),
        };
        tracing::info!(%cluster, reason = ended.message(), "agent disconnected");
        refuse(&out, ended);
    }

    /// Sends each new desired state, questions, and signs of life.
    async fn tell(
        &self,
        (cluster, since): (&ClusterName, Timestamp),
        out: &Out,
        mut asked: mpsc::Receiver<Ask>,
        pending: &Pending,
        desk: &Desk,
    ) -> Status {
        let mut desired = Follow::new(self.store.clone(), keys::desired(cluster));
        let mut changes = Changes::new(self.store.clone(), Key::new(keys::LOGINS));
        // What was sent last.
        let mut sent: Option<(Stored, Vec<RegistryLogin>)> = None;
        let mut alive = tokio::time::interval(ALIVE_INTERVAL);
        alive.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut question = 0;
        let identity = Identity::Agent(cluster.clone());
        loop {
            let room = pending.lock().unwrap_or_else(PoisonError::into_inner).len() < RESOLVES_MAX;
            let message = tokio::select! {
                stored = desired.next() => match self.newer(stored, &mut sent).await {
                    Ok(state) => control_message::Kind::Desired(state),
                    Err(error) => return Status::unavailable(error.to_string()),
                },
                changed = changes.next() => match self.with_other_logins(changed, &mut sent).await {
                    Ok(Some(state)) => control_message::Kind::Desired(state),
                    Ok(None) => continue,
                    Err(error) => return Status::unavailable(error.to_string()),
                },
                Some(ask) = asked.recv(), if room => {
                    question += 1;
                    let logins = match logins::for_images(&*self.store, &self.vault, &ask.images).await {
                        Ok(logins) => logins,
                        Err(error) => return Status::unavailable(error.to_string()),
                    };
                    let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
                    pending.retain(|_, waiting| !waiting.is_closed());
                    pending.insert(question, ask.reply);
                    let (images, traceparent) = (ask.images, ask.traceparent);
                    control_message::Kind::Resolve(Resolve { id: question, images, traceparent, logins })
                }
                kind = desk.next() => kind,
                _ = alive.tick() => {
                    if let Err(over) = admit(&*self.store, &identity, since).await {
                        return over;
                    }
                    pending.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, waiting| !waiting.is_closed());
                    control_message::Kind::Alive(Alive {})
                }
            };
            if !send(out, ControlMessage { kind: Some(message) }).await {
                return Status::deadline_exceeded("the agent takes no messages");
            }
        }
    }

    async fn newer(
        &self,
        stored: Result<Stored, StoreError>,
        sent: &mut Option<(Stored, Vec<RegistryLogin>)>,
    ) -> Result<DesiredState, StoreError> {
        let stored = stored?;
        let state = self.desired_state(&stored).await?;
        *sent = Some((stored, state.logins.clone()));
        Ok(state)
    }

    /// The same document again, if some login that concerns this cluster is another one than it got.
    async fn with_other_logins(
        &self,
        changed: Result<(), StoreError>,
        sent: &mut Option<(Stored, Vec<RegistryLogin>)>,
    ) -> Result<Option<DesiredState>, StoreError> {
        changed?;
        let Some((stored, before)) = sent.clone() else { return Ok(None) };
        if self.logins(&desired_of(&stored)?).await? == before {
            return Ok(None);
        }
        self.newer(Ok(stored), sent).await.map(Some)
    }

    async fn logins(&self, desired: &Desired) -> Result<Vec<RegistryLogin>, StoreError> {
        let objects = desired.stacks.values().filter_map(|stack| Objects::from_json(&stack.objects).ok());
        let images: BTreeSet<String> = objects.flat_map(|objects| objects.images()).collect();
        logins::for_images(&*self.store, &self.vault, &images).await
    }

    /// The document with the bytes of the secrets and configs it refers to, and the logins for its images.
    async fn desired_state(&self, stored: &Stored) -> Result<DesiredState, StoreError> {
        let desired = desired_of(stored)?;
        let mut names = BTreeSet::new();
        for stack in desired.stacks.values() {
            if let Some(release) = get::<Release>(&*self.store, &keys::release(&stack.release)).await? {
                names.extend(release.value.body.payloads);
            }
        }
        let mut payloads = HashMap::new();
        let mut bytes = stored.json.len();
        for name in names {
            let Some(entry) = self.store.get(&keys::payload(&name)).await? else {
                tracing::error!(payload = name, "a secret or config of a release is missing from the store");
                continue;
            };
            let clear = self.vault.unseal(&name, &entry.value)?;
            bytes += clear.len();
            payloads.insert(name, clear);
        }
        if bytes > MESSAGE_BYTES_MAX {
            return Err(StoreError::Limit(format!(
                "the desired state of {} has {bytes} bytes, at most {MESSAGE_BYTES_MAX} are allowed",
                desired.cluster
            )));
        }
        let logins = self.logins(&desired).await?;
        Ok(DesiredState { document: Some(stored.to_wire()), payloads, logins })
    }
}

fn desired_of(stored: &Stored) -> Result<Desired, StoreError> {
    serde_json::from_slice(&stored.json).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// Takes what the agent says, until it falls silent.
async fn hear(
    cluster: &ClusterName,
    mut inbound: Streaming<AgentMessage>,
    attached: &Attached<'_>,
    pending: &Pending,
) -> Status {
    let first = tokio::time::timeout(HELLO_MAX, inbound.message()).await;
    let Ok(Ok(Some(AgentMessage { kind: Some(agent_message::Kind::Hello(hello)) }))) = first else {
        return Status::invalid_argument("the first message must say hello");
    };
    attached.hello(hello);
    loop {
        let message = match tokio::time::timeout(SILENCE_MAX, inbound.message()).await {
            Ok(Ok(Some(message))) => message,
            Ok(Ok(None)) => return Status::ok("the agent hung up"),
            Ok(Err(status)) => return status,
            Err(_) => return Status::deadline_exceeded("the agent said nothing for 5 s"),
        };
        match message.kind {
            Some(agent_message::Kind::Observed(document)) => match decode::<Observed>(&document) {
                // Invariant: an agent's messages change nothing but its own cluster.
                Ok(observed) if observed.cluster != *cluster => {
                    return Status::permission_denied(format!("the report is about {}", observed.cluster));
                }
                Ok(observed) => attached.observed(observed),
                Err(error) => return Status::invalid_argument(waggle_daemon::tasks::chain(&error)),
            },
            Some(agent_message::Kind::Resolved(resolved)) => {
                let waiting = pending.lock().unwrap_or_else(PoisonError::into_inner).remove(&resolved.id);
                if let Some(waiting) = waiting {
                    let _ = waiting.send(resolved.images);
                }
                attached.alive();
            }
            Some(agent_message::Kind::Answer(answer)) => {
                attached.desk.answered(answer);
                attached.alive();
            }
            Some(agent_message::Kind::Alive(_)) => attached.alive(),
            Some(agent_message::Kind::Hello(_)) | None => {
                return Status::invalid_argument("hello is said once, and every message says something");
            }
        }
    }
}
