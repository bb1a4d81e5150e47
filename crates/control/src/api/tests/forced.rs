//! Verdicts that people set over what is observed.

use super::peers::{Agent, Nameserver};
use super::server::Server;
use super::stack;
use axum::http::StatusCode;
use serde_json::json;

#[tokio::test]
async fn a_verdict_is_forced_again_after_the_last_one_is_over() {
    let server = Server::start().await;
    let cluster = json!({ "addresses": ["192.0.2.1"] });
    let zones = json!({ "shop.example": { "nameservers": ["ns1.example.net"], "contact": "admin.example.net" } });
    server.put("/v1/federation", json!({ "clusters": { "eu-1": cluster }, "zones": zones })).await;
    let agent = Agent::join(&server, "eu-1").await;
    let nameserver = Nameserver::join(&server, "ns-1").await;
    let (_, deployed) = server.post("/v1/stacks/shop/deploy", stack(None)).await;
    server.events(&format!("/v1/rollouts/{}/events", deployed["rollout"])).await;
    let path = "/v1/routes/www.shop.example/force";
    for duration in [1, 1, 60_000, 60_000] {
        let wanted = json!({ "cluster": "eu-1", "fit": false, "for_ms": duration, "reason": "disk is dying" });
        let (status, body) = server.post(path, wanted).await;
        assert_eq!(status, StatusCode::OK, "for {duration} ms: {body}");
    }
    let (_, status) = server.get("/v1/status").await;
    assert!(status.to_string().contains("disk is dying"), "{status}");
    agent.stop().await;
    nameserver.stop().await;
    server.stop().await;
}
