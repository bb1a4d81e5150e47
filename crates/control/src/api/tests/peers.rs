//! An agent that does what it is told, and a nameserver that finds everything fit; both over real sessions.

use super::server::Server;
use axum::http::StatusCode;
use bytes::Bytes;
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::transport::Channel;
use waggle_daemon::Tasks;
use waggle_model::ask::{
    Answer, ClusterPlan, Export, LogChunk, LogLine, NodeRow, Question, Refusal, RefusalKind, Rows, Verified,
};
use waggle_model::desired::Desired;
use waggle_model::health::Verdict;
use waggle_model::observed::{Observed, ObservedStack, Phase, Swarm};
use waggle_model::plan::{EndpointVerdict, NameserverStatus, RoutePlan};
use waggle_model::{Generation, Timestamp};
use waggle_wire::channel::connect;
use waggle_wire::credentials::Current;
use waggle_wire::document::{decode, encode};
use waggle_wire::enroll::{Newcomer, join};
use waggle_wire::identity::Identity;
use waggle_wire::proto::agent::agents_client::AgentsClient;
use waggle_wire::proto::agent::{
    AgentMessage, Answer as Answered, Ask, Hello, Resolve, Resolved, ResolvedImage, agent_message, control_message,
};
use waggle_wire::proto::document::Alive;
use waggle_wire::proto::route::routes_client::RoutesClient;
use waggle_wire::proto::route::{NameserverHello, NameserverMessage, nameserver_message, route_message};
use waggle_wire::tls;

type Payloads = Arc<Mutex<HashMap<String, Bytes>>>;
/// The newest desired state, as JSON.
type Told = Arc<tokio::sync::watch::Sender<serde_json::Value>>;

pub(super) struct Agent {
    channel: Channel,
    pub(super) credentials: Arc<Current>,
    payloads: Payloads,
    told: Told,
    tasks: Tasks,
}

impl Agent {
    pub(super) async fn join(server: &Server, name: &str) -> Agent {
        Agent::start(server, name, true).await
    }

    pub(super) async fn join_that_finds_no_image(server: &Server, name: &str) -> Agent {
        Agent::start(server, name, false).await
    }

    async fn start(server: &Server, name: &str, finds: bool) -> Agent {
        let newcomer = Newcomer { swarm_id: format!("swarm of {name}"), ..Newcomer::default() };
        let identity = Identity::Agent(name.parse().unwrap());
        let (channel, credentials) = enroll(server, "cluster", identity, newcomer).await;
        let payloads = Payloads::default();
        let told = Told::default();
        let session = agent_session(channel.clone(), name.to_owned(), finds, payloads.clone(), told.clone());
        let tasks = spawn(session);
        let path = format!("/v1/clusters/{name}");
        server.until(&path, |view| view["connected"] == json!(true)).await;
        Agent { channel, credentials, payloads, told, tasks }
    }

    pub(super) fn payloads(&self) -> HashMap<String, Bytes> {
        self.payloads.lock().unwrap().clone()
    }

    pub(super) fn told(&self) -> serde_json::Value {
        self.told.borrow().clone()
    }

    pub(super) async fn until_told(&self, wanted: impl Fn(&serde_json::Value) -> bool) {
        let mut told = self.told.subscribe();
        let waiting = tokio::time::timeout(super::PATIENCE, told.wait_for(|desired| wanted(desired))).await.map(drop);
        assert!(waiting.is_ok(), "the agent is not told so: {}", self.told());
    }

    pub(super) async fn connect_again(&self) -> Status {
        let (send, outbound) = mpsc::channel(8);
        send.send(say(agent_message::Kind::Hello(Hello::default()))).await.unwrap();
        match AgentsClient::new(self.channel.clone()).session(ReceiverStream::new(outbound)).await {
            Err(status) => status,
            Ok(answer) => answer.into_inner().message().await.expect_err("the second session is served"),
        }
    }

    pub(super) async fn stop(self) {
        self.tasks.shutdown(Duration::from_secs(5)).await.unwrap();
    }
}

fn spawn(session: impl Future<Output = ()> + Send + 'static) -> Tasks {
    let tasks = Tasks::new();
    let stop = tasks.token();
    tasks.spawn("session", async move {
        stop.run_until_cancelled(session).await;
    });
    tasks
}

async fn enroll(server: &Server, kind: &str, identity: Identity, newcomer: Newcomer) -> (Channel, Arc<Current>) {
    let (status, made) = server.post("/v1/tokens", json!({ "kind": kind })).await;
    assert_eq!(status, StatusCode::OK, "{made}");
    let token = made["token"].as_str().unwrap().parse().unwrap();
    assert_eq!(made["control"], json!(server.grpc.to_string()));
    let credentials = join(&server.grpc.to_string(), &token, &identity, &newcomer).await.unwrap();
    let current = Current::new(credentials);
    let config = tls::client(&current).unwrap();
    (connect(&server.grpc.to_string(), Identity::Control, config).await.unwrap(), current)
}

fn say(kind: agent_message::Kind) -> AgentMessage {
    AgentMessage { kind: Some(kind) }
}

async fn agent_session(channel: Channel, name: String, finds: bool, payloads: Payloads, told: Told) {
    let (send, outbound) = mpsc::channel(8);
    let hello = Hello { version: "test".into(), swarm_id: String::new(), ..Hello::default() };
    send.send(say(agent_message::Kind::Hello(hello))).await.unwrap();
    let answer =
        AgentsClient::new(channel).max_decoding_message_size(1 << 26).session(ReceiverStream::new(outbound)).await;
    let mut inbound = answer.unwrap().into_inner();
    while let Ok(Some(message)) = inbound.message().await {
        let reply = match message.kind {
            Some(control_message::Kind::Desired(state)) => {
                *payloads.lock().unwrap() = state.payloads;
                let desired: Desired = decode(&state.document.unwrap()).unwrap();
                assert_eq!(desired.cluster.as_str(), name);
                told.send_replace(serde_json::to_value(&desired).unwrap());
                agent_message::Kind::Observed(encode(desired.generation, &observed(&desired)).unwrap())
            }
            Some(control_message::Kind::Ask(asked)) => match answers(&name, &asked) {
                Some(answers) => {
                    let messages = answers.into_iter().map(|answer| say(agent_message::Kind::Answer(answer)));
                    for message in messages {
                        let _ = send.send(message).await;
                    }
                    continue;
                }
                // Some questions are never answered.
                None => continue,
            },
            Some(control_message::Kind::Resolve(asked)) => agent_message::Kind::Resolved(resolved(asked, finds)),
            _ => agent_message::Kind::Alive(Alive {}),
        };
        if send.send(say(reply)).await.is_err() {
            return;
        }
    }
}

/// What each of these agents answers; `None`: nothing at all.
fn answers(name: &str, asked: &Ask) -> Option<Vec<Answered>> {
    let message =
        |answer: &Answer, more| Answered { id: asked.id, json: serde_json::to_vec(answer).unwrap().into(), more };
    let line = |text: &str| LogLine {
        at: Timestamp(7),
        task: "shop_web.1".into(),
        node: "n1".into(),
        stderr: false,
        text: text.into(),
    };
    let refusal = |kind, message: &str| Refusal { kind, message: message.into(), help: None };
    match serde_json::from_slice(&asked.json).unwrap() {
        Question::Nodes => {
            let row = NodeRow {
                id: "n1".into(),
                hostname: format!("n1.{name}"),
                status: "ready".into(),
                availability: "active".into(),
                manager: Some("leader".into()),
                engine_version: "20.10".into(),
            };
            Some(vec![message(&Answer::Nodes(Rows { rows: vec![row], left_out: 0 }), false)])
        }
        Question::Logs(_) => {
            let chunk = |text: &str, dropped| {
                Answer::Logs(LogChunk { lines: vec![line(text)], dropped, ..LogChunk::default() })
            };
            let over = Answer::Refused(refusal(RefusalKind::Unavailable, "the Engine went away"));
            Some(vec![message(&chunk("one", 0), true), message(&chunk("two", 3), true), message(&over, false)])
        }
        Question::Plan { .. } => Some(vec![message(&Answer::Plan(ClusterPlan::default()), false)]),
        Question::Export { .. } => Some(vec![message(&Answer::Export(exported()), false)]),
        // The same in every cluster, though of no release.
        Question::Verify { .. } => {
            let objects = [("service shop_web".to_owned(), "aa".to_owned())].into();
            Some(vec![message(&Answer::Verified(Verified { objects, ..Verified::default() }), false)])
        }
        Question::UpdateService { service, .. } if service == "alone" => {
            Some(vec![message(&Answer::Done("done by the agent".into()), false)])
        }
        Question::UpdateService { .. } | Question::Inspect { .. } => {
            Some(vec![message(&Answer::Refused(refusal(RefusalKind::NotFound, "there is no such thing")), false)])
        }
        _ => None,
    }
}

fn exported() -> Export {
    let mut spec = waggle_stack::objects::service::ServiceSpec { name: "old_web".into(), ..Default::default() };
    spec.task_template.container_spec.image = format!("registry.example/web:1@sha256:{}", "cd".repeat(32));
    let objects = waggle_stack::Objects { services: [("web".to_owned(), spec)].into(), ..Default::default() };
    Export { objects: objects.canonical_json(), notes: vec!["a note".into()], ..Export::default() }
}

fn observed(desired: &Desired) -> Observed {
    let stack = |stack: &waggle_model::desired::DesiredStack| ObservedStack {
        release: Some(stack.release),
        attempt: stack.attempt,
        phase: match stack.objects.contains("BROKEN") {
            true => Phase::Failed("web: 0 of 1 tasks running".into()),
            false => Phase::Converged,
        },
        services: BTreeMap::new(),
        drift: Vec::new(),
        serving: stack.routes.keys().map(|route| (route.clone(), true)).collect(),
    };
    Observed {
        cluster: desired.cluster.clone(),
        generation: desired.generation,
        at: Timestamp(waggle_daemon::time::now()),
        agent_version: "test".into(),
        swarm: Swarm { id: "s".into(), managers: 1, managers_reachable: 1, nodes_ready: 1, ..Swarm::default() },
        stacks: desired.stacks.iter().map(|(name, desired)| (name.clone(), stack(desired))).collect(),
    }
}

fn resolved(asked: Resolve, finds: bool) -> Resolved {
    let image = |image: String| match finds {
        true => ResolvedImage { image, digest: format!("sha256:{}", "ab".repeat(32)), ..ResolvedImage::default() },
        false => ResolvedImage { image, error: "manifest unknown".into(), ..ResolvedImage::default() },
    };
    Resolved { id: asked.id, images: asked.images.into_iter().map(image).collect() }
}

pub(super) struct Nameserver(Tasks);

impl Nameserver {
    pub(super) async fn join(server: &Server, name: &str) -> Nameserver {
        let newcomer = Newcomer { advertise: "127.0.0.1:7000".into(), ..Newcomer::default() };
        let identity = Identity::Nameserver(name.parse().unwrap());
        let (channel, _) = enroll(server, "nameserver", identity, newcomer).await;
        let tasks = spawn(nameserver_session(channel, name.to_owned()));
        server.until("/v1/nameservers", |all| all[0]["plan_generation"].is_number()).await;
        Nameserver(tasks)
    }

    pub(super) async fn stop(self) {
        self.0.shutdown(Duration::from_secs(5)).await.unwrap();
    }
}

async fn nameserver_session(channel: Channel, name: String) {
    let (send, outbound) = mpsc::channel(8);
    let hello = NameserverHello { version: "test".into(), generation: 0, advertise: "127.0.0.1:7000".into() };
    send.send(NameserverMessage { kind: Some(nameserver_message::Kind::Hello(hello)) }).await.unwrap();
    let answer = RoutesClient::new(channel).session(ReceiverStream::new(outbound)).await;
    let mut inbound = answer.unwrap().into_inner();
    let mut plan: Option<RoutePlan> = None;
    // What the beats would have said: every agent here runs what the plan wants of it at once.
    while let Ok(Some(message)) = inbound.message().await {
        if let Some(route_message::Kind::Plan(document)) = message.kind {
            let newer: RoutePlan = decode(&document).unwrap();
            assert!(plan.as_ref().is_none_or(|plan| plan.generation < newer.generation));
            plan = Some(newer);
        }
        let Some(plan) = &plan else { continue };
        let status = encode(Generation(1), &status(&name, plan)).unwrap();
        let message = NameserverMessage { kind: Some(nameserver_message::Kind::Status(status)) };
        if send.send(message).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn status(name: &str, plan: &RoutePlan) -> NameserverStatus {
    let endpoints = plan.routes.iter().flat_map(|(route, planned)| planned.pool.iter().map(move |one| (route, one)));
    let verdicts = endpoints.map(|(route, endpoint)| EndpointVerdict {
        route: route.clone(),
        cluster: endpoint.cluster.clone(),
        verdict: Verdict::Fit,
        probe_up: Some(true),
        probe_ms: Some(12),
        release: endpoint.release,
        limited: None,
        gate: None,
    });
    NameserverStatus {
        name: name.parse().unwrap(),
        generation: plan.generation,
        at: Timestamp(waggle_daemon::time::now()),
        ledger: Vec::new(),
        verdicts: verdicts.collect(),
        queries: 0,
        started: Timestamp(0),
        traffic: Vec::new(),
        refused: None,
        overrides: Vec::new(),
    }
}
