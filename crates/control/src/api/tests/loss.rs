//! Changes that would take too much out of the answers at once.

use super::peers::{Agent, Nameserver};
use super::server::Server;
use super::stack;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

const CLUSTERS: [&str; 4] = ["ap-1", "eu-1", "sa-1", "us-1"];

fn federation(clusters: &[&str]) -> Value {
    let cluster = |(name, last): (&&str, u8)| (name.to_string(), json!({ "addresses": [format!("192.0.2.{last}")] }));
    let clusters: serde_json::Map<_, _> = clusters.iter().zip(1..).map(cluster).collect();
    json!({
        "clusters": clusters,
        "zones": { "shop.example": { "nameservers": ["ns1.example.net"], "contact": "admin.example.net" } },
    })
}

#[tokio::test]
async fn are_refused_with_the_way_out_and_done_when_they_are_meant() {
    let server = Server::start().await;
    server.put("/v1/federation", federation(&CLUSTERS)).await;
    let mut agents = Vec::new();
    for cluster in CLUSTERS {
        agents.push(Agent::join(&server, cluster).await);
    }
    let nameserver = Nameserver::join(&server, "ns-1").await;
    let (_, deployed) = server.post("/v1/stacks/shop/deploy", stack(None)).await;
    let events = server.events(&format!("/v1/rollouts/{}/events", deployed["rollout"])).await;
    assert_eq!(events.last().unwrap()["rollout"]["state"], json!("done"));

    // Three of four leave the file, as if it had been cut off.
    let (status, body) = server.put("/v1/federation", federation(&CLUSTERS[..1])).await;
    assert_eq!(status, StatusCode::CONFLICT, "{body}");
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains("eu-1, sa-1, us-1 would leave at once, 75 % of the capacity"), "{message}");
    assert!(body["error"]["help"].as_str().unwrap().contains("--force"), "{body}");
    let (_, kept) = server.get("/v1/federation").await;
    assert_eq!(kept["clusters"].as_object().unwrap().len(), 4, "nothing was applied");

    // One by one is what people do, also quickly: each drain is a step of its own.
    for cluster in ["ap-1", "eu-1", "sa-1"] {
        let (status, body) = server.post(&format!("/v1/clusters/{cluster}/drain"), json!({ "reason": "power" })).await;
        assert_eq!(status, StatusCode::OK, "{body}");
    }
    let last = || json!({ "reason": "storm" });
    assert_eq!(server.post("/v1/clusters/us-1/drain", last()).await.0, StatusCode::CONFLICT);
    // The only one in service leaves the file.
    let (status, body) = server.put("/v1/federation", federation(&CLUSTERS[..3])).await;
    assert_eq!(status, StatusCode::CONFLICT, "{body}");
    assert!(body["error"]["message"].as_str().unwrap().contains("no cluster left to answer with"), "{body}");
    let (status, body) = server.post("/v1/clusters/us-1/drain?force=true", last()).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let (_, status) = server.get("/v1/status").await;
    assert!(!status["attention"].to_string().contains("not written"), "{status}");

    let (status, applied) = server.put("/v1/federation?force=true", federation(&CLUSTERS[..1])).await;
    assert_eq!((status, &applied["changed"]), (StatusCode::OK, &json!(true)), "{applied}");
    // A stack that is removed takes its routes along without a word more.
    assert_eq!(server.ask(Method::DELETE, "/v1/stacks/shop", None).await.0, StatusCode::OK);
    server.until("/v1/stacks", |stacks| *stacks == json!([])).await;
    for agent in agents {
        agent.stop().await;
    }
    nameserver.stop().await;
    server.stop().await;
}
