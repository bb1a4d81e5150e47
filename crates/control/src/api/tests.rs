mod asking;
mod crowd;
mod described;
mod forced;
mod loss;
mod peers;
mod server;
mod steering;

use self::peers::{Agent, Nameserver};
use self::server::Server;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

/// Longest wait for anything that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

fn federation() -> Value {
    json!({
        "clusters": {
            "eu-1": { "addresses": ["192.0.2.1"] },
            "us-1": { "addresses": ["192.0.2.2"] },
        },
        "zones": { "shop.example": { "nameservers": ["ns1.example.net"], "contact": "admin.example.net" } },
    })
}

fn stack(payload: Option<&[u8]>) -> Value {
    use waggle_stack::objects::{Objects, Payload, PayloadSpec, service::ServiceSpec};
    let mut spec = ServiceSpec::default();
    spec.task_template.container_spec.image = "registry.example/web:1".into();
    let mut objects = Objects { services: [("web".to_owned(), spec)].into(), ..Objects::default() };
    let mut payloads = serde_json::Map::new();
    if let Some(bytes) = payload {
        use base64::Engine as _;
        let sha256 = waggle_stack::release::sha256_hex(bytes);
        payloads.insert(sha256.clone(), base64::engine::general_purpose::STANDARD.encode(bytes).into());
        let managed = Payload::Managed { sha256, spec: PayloadSpec::default() };
        objects.secrets.insert("shop_password".into(), managed);
    }
    json!({
        "objects": objects.canonical_json(),
        "routes": [{ "name": "www.shop.example", "service": "web", "https": { "alpn": ["h2", "h3"] } }],
        "promotion": { "monitor_ms": 100 },
        "payloads": payloads,
    })
}

#[tokio::test]
async fn only_holders_of_a_token_are_served() {
    let server = Server::start().await;
    let (status, body) = server.ask_with(None, Method::GET, "/v1/status", None).await;
    assert_eq!((status, &body["error"]["code"]), (StatusCode::UNAUTHORIZED, &json!("unauthorized")));
    let mut wrong = server.token();
    wrong.replace_range(wrong.len() - 4.., "AAAA");
    for token in [wrong.as_str(), "nonsense", ""] {
        assert_eq!(server.ask_with(Some(token), Method::GET, "/v1/status", None).await.0, StatusCode::UNAUTHORIZED);
    }
    let (status, body) = server.get("/v1/status").await;
    assert_eq!((status, &body["version"]), (StatusCode::OK, &json!(env!("CARGO_PKG_VERSION"))));
    let (status, _) = server.ask_with(None, Method::GET, "/v1/version", None).await;
    assert_eq!(status, StatusCode::OK);
    // A join token opens nothing here.
    let (_, made) = server.post("/v1/tokens", json!({ "kind": "cluster" })).await;
    let join = made["token"].as_str().unwrap();
    assert_eq!(server.ask_with(Some(join), Method::GET, "/v1/status", None).await.0, StatusCode::UNAUTHORIZED);
    server.stop().await;
}

#[tokio::test]
async fn it_is_known_how_long_certificates_are_good() {
    let server = Server::start().await;
    server.put("/v1/federation", federation()).await;
    let agent = Agent::join(&server, "eu-1").await;
    let nameserver = Nameserver::join(&server, "ns-1").await;
    let until = |view: &Value| view["certificate_until_at"].as_u64().unwrap();
    let days = |until: u64| (until - waggle_daemon::time::now()) / 86_400_000;
    let first = until(&server.get("/v1/clusters/eu-1").await.1);
    assert_eq!(days(first), 29, "thirty days, less the time between two clocks");
    assert_eq!(days(until(&server.get("/v1/nameservers").await.1[0])), 29);
    // The session goes on with the old one; what counts is that a new one was given. They count in seconds.
    let renewing = async {
        while until(&server.get("/v1/clusters/eu-1").await.1) == first {
            waggle_wire::enroll::renew(&server.grpc.to_string(), &agent.credentials).await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, renewing).await.expect("a renewal counts");
    agent.stop().await;
    nameserver.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn errors_always_have_the_same_body() {
    let server = Server::start().await;
    let large = json!({ "kind": "cluster", "name": "x".repeat(super::BODY_BYTES_MAX) });
    let cases = [
        (server.get("/v1/nothing").await, StatusCode::NOT_FOUND, "not_found"),
        (server.post("/v1/status", json!({})).await, StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
        (server.post("/v1/tokens", json!({ "kind": "king" })).await, StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
        (
            server.post("/v1/tokens", json!({ "kind": "cluster", "x": 1 })).await,
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid",
        ),
        (
            server.post("/v1/tokens", json!({ "kind": "cluster", "name": "EU" })).await,
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid",
        ),
        (server.post("/v1/tokens", large).await, StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
        (server.get("/v1/clusters/none").await, StatusCode::NOT_FOUND, "not_found"),
        (server.get("/v1/clusters/NONE").await, StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
        (server.get("/v1/rollouts/7").await, StatusCode::NOT_FOUND, "not_found"),
        (server.get("/v1/rollouts/7/events").await, StatusCode::NOT_FOUND, "not_found"),
        (server.post("/v1/rollouts/7/pause", json!({})).await, StatusCode::NOT_FOUND, "not_found"),
        (server.get("/v1/releases/xyz").await, StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
        (server.get("/v1/releases/abcdef").await, StatusCode::NOT_FOUND, "not_found"),
        (server.get("/v1/releases?stack=nothing").await, StatusCode::NOT_FOUND, "not_found"),
        (server.get("/v1/why?name=www.shop.example").await, StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
        (server.ask(Method::DELETE, "/v1/stacks/none", None).await, StatusCode::NOT_FOUND, "not_found"),
    ];
    for ((status, body), wanted, code) in cases {
        assert_eq!((status, body["error"]["code"].as_str()), (wanted, Some(code)), "{body}");
        assert!(body["error"]["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_federation_is_checked_and_applied_once() {
    let server = Server::start().await;
    let bad =
        json!({ "clusters": { "eu-1": { "addresses": [] }, "eu-2": { "addresses": ["192.0.2.1"], "weight": 0 } } });
    let (status, body) = server.put("/v1/federation", bad).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(body["error"]["problems"].as_array().map(Vec::len), Some(2), "{body}");
    let mut broken = federation();
    broken["zones"]["shop.example"]["records"] =
        json!([{ "name": "a.shop.example", "type": "A", "values": ["not an address"] }]);
    let (status, body) = server.put("/v1/federation", broken).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");

    let (status, first) = server.put("/v1/federation", federation()).await;
    assert_eq!((status, &first["changed"]), (StatusCode::OK, &json!(true)), "{first}");
    let (_, again) = server.put("/v1/federation", federation()).await;
    assert_eq!((&again["changed"], &again["plan_generation"]), (&json!(false), &first["plan_generation"]));
    let (_, stored) = server.get("/v1/federation").await;
    assert_eq!(stored["clusters"]["us-1"]["addresses"], json!(["192.0.2.2"]));

    let token = async |name: Value| server.post("/v1/tokens", json!({ "kind": "cluster", "name": name })).await.1;
    assert_eq!(token(json!("eu-1")).await["warnings"], Value::Null);
    assert_eq!(token(Value::Null).await["warnings"], Value::Null);
    let slip = token(json!("eu-11")).await;
    assert!(slip["warnings"][0].as_str().unwrap().contains("no cluster eu-11") && slip["token"].is_string(), "{slip}");
    server.stop().await;
}

#[tokio::test]
async fn a_deploy_goes_from_https_to_the_clusters_and_back() {
    let server = Server::start().await;
    server.put("/v1/federation", federation()).await;
    let (status, body) = server.post("/v1/stacks/shop/deploy", stack(None)).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid")),
        "no agent: {body}"
    );

    let (eu, us) = (Agent::join(&server, "eu-1").await, Agent::join(&server, "us-1").await);
    let ns = Nameserver::join(&server, "ns-1").await;
    let deploy = || server.post("/v1/stacks/shop/deploy", stack(Some(b"hunter2")));
    let (status, deployed) = deploy().await;
    assert_eq!(status, StatusCode::OK, "{deployed}");
    let pinned = deployed["images"]["registry.example/web:1"].as_str().unwrap();
    assert!(pinned.contains("@sha256:"), "{pinned}");

    let events = server.events(&format!("/v1/rollouts/{}/events", deployed["rollout"])).await;
    let last = events.last().unwrap();
    assert_eq!((&last["rollout"]["state"], &last["percent"]), (&json!("done"), &json!(100)), "{last}");
    assert!(events.windows(2).all(|pair| pair[0] != pair[1]), "an event for each change, and only then");

    let (_, again) = deploy().await;
    assert_eq!((&again["unchanged"], &again["release"]), (&json!(true), &deployed["release"]));
    for agent in [&eu, &us] {
        let payloads = agent.payloads();
        assert_eq!(payloads.values().map(|bytes| bytes.as_ref()).collect::<Vec<_>>(), [b"hunter2"]);
    }
    assert!(!server.data_contains(b"hunter2"), "secrets are encrypted at rest");

    let (_, why) = server.get("/v1/why?name=www.shop.example&client=198.51.100.7&type=A").await;
    assert!(why["text"].as_str().is_some_and(|text| text.contains("192.0.2.")), "{why}");
    assert_eq!(why["nameserver"], json!("ns-1"));
    let (_, why) = server.get("/v1/why?name=www.shop.example&client=198.51.100.7&ecs=true").await;
    let text = why["text"].as_str().unwrap_or_default();
    assert!(text.contains("client 198.51.100.7: ") && text.contains("\nscope /"), "{text}");
    assert!(text.contains("best of those that are fit (probed in 12 ms)"), "{text}");
    let (_, https) = server.get("/v1/why?name=www.shop.example&client=198.51.100.7&ecs=true&type=HTTPS").await;
    let told = https["text"].as_str().unwrap_or_default();
    assert!(told.starts_with("www.shop.example HTTPS: 1 . alpn=h2,h3, hints 192.0.2."), "{told}");
    assert_eq!(https["explanation"]["decided"]["answer"], why["explanation"]["decided"]["answer"]);
    let (_, stacks) = server.get("/v1/stacks").await;
    assert_eq!((&stacks[0]["converged"], &stacks[0]["clusters"]), (&json!(2), &json!(2)), "{stacks}");
    let release = deployed["release"].as_str().unwrap();
    let (_, view) = server.get(&format!("/v1/releases/{}", &release[..8])).await;
    assert_eq!((&view["id"], &view["author"]), (&json!(release), &json!("admin")));
    let (_, status) = server.get("/v1/status").await;
    assert_eq!(status["attention"], json!([]), "{status}");

    let reason = json!({ "reason": "maintenance" });
    assert_eq!(server.post("/v1/clusters/eu-1/drain", reason.clone()).await.0, StatusCode::OK);
    let (status, body) = server.post("/v1/clusters/us-1/drain", reason).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (StatusCode::CONFLICT, &json!("conflict")),
        "the last fit one: {body}"
    );
    let (_, view) = server.post("/v1/clusters/eu-1/readmit", json!({})).await;
    assert_eq!(view["drain"], Value::Null);

    assert_eq!(server.ask(Method::DELETE, "/v1/stacks/shop", None).await.0, StatusCode::OK);
    server.until("/v1/stacks", |stacks| *stacks == json!([])).await;
    for peer in [eu, us] {
        peer.stop().await;
    }
    ns.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn a_second_agent_is_refused_while_the_first_lives() {
    let server = Server::start().await;
    server.put("/v1/federation", federation()).await;
    let first = Agent::join(&server, "eu-1").await;
    server.until("/v1/clusters/eu-1", |view| view["observed_generation"].is_number()).await;
    let refused = first.connect_again().await;
    assert_eq!(refused.code(), tonic::Code::AlreadyExists);
    assert!(refused.message().contains("a second agent for cluster eu-1"));
    first.stop().await;
    let view = server.until("/v1/clusters/eu-1", |view| view["connected"] == json!(false)).await;
    assert!(view["last_seen_at"].is_number() && view["swarm"].is_object(), "what it said last is kept: {view}");
    server.stop().await;
}

#[tokio::test]
async fn an_agent_that_is_forgotten_is_cut_off() {
    let server = Server::start().await;
    server.put("/v1/federation", federation()).await;
    let agent = Agent::join(&server, "eu-1").await;
    let (status, refused) = server.ask(Method::DELETE, "/v1/clusters/eu-1", None).await;
    assert_eq!(status, StatusCode::CONFLICT, "{refused}");
    let (status, view) = server.ask(Method::DELETE, "/v1/clusters/eu-1?force=true", None).await;
    assert_eq!(status, StatusCode::OK, "{view}");
    server.until("/v1/clusters/eu-1", |view| view["connected"] == json!(false)).await;
    assert_eq!(agent.connect_again().await.code(), tonic::Code::PermissionDenied);
    agent.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn all_problems_of_a_deploy_at_once() {
    let server = Server::start().await;
    server.put("/v1/federation", federation()).await;
    let mut bad = stack(Some(b"x"));
    bad["payloads"] = json!({});
    bad["routes"] = json!([
        { "name": "www.elsewhere.example", "service": "web" },
        { "name": "www.shop.example", "service": "nothing", "clusters": ["mars"] },
    ]);
    let (status, body) = server.post("/v1/stacks/shop/deploy", bad).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let problems = body["error"]["problems"].to_string();
    for wanted in ["bytes of a secret", "lies in no zone", "no service nothing", "no cluster mars"] {
        assert!(problems.contains(wanted), "{wanted}: {problems}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_image_without_digest_is_named() {
    let server = Server::start().await;
    server.put("/v1/federation", federation()).await;
    let agent = Agent::join_that_finds_no_image(&server, "eu-1").await;
    let (status, body) = server.post("/v1/stacks/shop/deploy", stack(None)).await;
    assert_eq!((status, &body["error"]["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid")));
    assert!(
        body["error"]["problems"][0].as_str().is_some_and(|text| text.contains("registry.example/web:1")),
        "{body}"
    );
    agent.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn a_restart_keeps_everything_that_was_accepted() {
    let server = Server::start().await;
    server.put("/v1/federation", federation()).await;
    let (token, before) = (server.token(), server.get("/v1/federation").await);
    let server = server.restart().await;
    assert_eq!(server.token(), token, "no second administrator is made");
    assert_eq!(server.get("/v1/federation").await, before);
    server.stop().await;
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut config = server::config(dir.path());
    config.grpc_listen = taken.local_addr().unwrap();
    let error = crate::build(config).await.err().unwrap().to_string();
    assert!(error.contains("grpc_listen") && error.contains(&taken.local_addr().unwrap().to_string()), "{error}");
}
