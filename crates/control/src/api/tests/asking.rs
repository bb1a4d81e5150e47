//! Questions to clusters over the API: agents that answer, refuse, and are away.

use super::peers::{Agent, Nameserver};
use super::server::Server;
use super::{federation, stack};
use axum::http::StatusCode;
use serde_json::{Value, json};

#[tokio::test]
async fn each_cluster_answers_for_itself() {
    let server = Server::start().await;
    server.put("/v1/federation", federation()).await;
    let agent = Agent::join(&server, "eu-1").await;
    let (status, body) = server.get("/v1/nodes").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body["clusters"]["eu-1"]["answer"]["nodes"]["rows"][0]["hostname"], "n1.eu-1");
    assert_eq!(body["clusters"]["us-1"]["error"]["code"], "not_connected");
    let (_, body) = server.get("/v1/nodes?cluster=eu-1").await;
    assert_eq!(body["clusters"].as_object().unwrap().len(), 1);
    let (_, body) = server.get("/v1/inspect?kind=service&name=nothing&cluster=eu-1").await;
    assert_eq!(body["clusters"]["eu-1"]["error"]["code"], "not_found");
    for (path, want) in [
        ("/v1/nodes?cluster=mars", StatusCode::NOT_FOUND),
        ("/v1/nodes?cluster=region=mars", StatusCode::NOT_FOUND),
        ("/v1/nodes?node=n1", StatusCode::UNPROCESSABLE_ENTITY),
        ("/v1/inspect?kind=ghost&name=x", StatusCode::UNPROCESSABLE_ENTITY),
        ("/v1/logs?stack=shop&service=web", StatusCode::UNPROCESSABLE_ENTITY),
        ("/v1/logs", StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        assert_eq!(server.get(path).await.0, want, "{path}");
    }
    agent.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn logs_come_as_events_of_each_cluster() {
    let server = Server::start().await;
    server.put("/v1/federation", federation()).await;
    let agent = Agent::join(&server, "eu-1").await;
    let events = server.events("/v1/logs?stack=shop&tail=5").await;
    let of = |cluster: &str| events.iter().filter(|event| event["cluster"] == cluster).collect::<Vec<_>>();
    let eu = of("eu-1");
    assert_eq!((&eu[0]["lines"][0]["text"], &eu[1]["lines"][0]["text"]), (&json!("one"), &json!("two")));
    assert_eq!((&eu[1]["dropped"], &eu[2]["error"]["message"]), (&json!(3), &json!("the Engine went away")));
    assert_eq!(of("us-1")[0]["error"]["code"], "not_connected");
    agent.stop().await;
    server.stop().await;
}

fn done(body: &Value, cluster: &str) -> String {
    body["clusters"][cluster]["answer"]["done"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
}

#[tokio::test]
async fn services_of_the_federation_are_changed_through_desired_state() {
    let server = Server::start().await;
    server.put("/v1/federation", federation()).await;
    let (eu, us) = (Agent::join(&server, "eu-1").await, Agent::join(&server, "us-1").await);
    let nameserver = Nameserver::join(&server, "ns1").await;
    let mut request = stack(None);
    let mut objects: waggle_stack::Objects = serde_json::from_str(request["objects"].as_str().unwrap()).unwrap();
    let web = objects.services.get_mut("web").unwrap();
    web.name = "shop_web".into();
    web.mode.replicated = Some(Default::default());
    let mut global = web.clone();
    (global.name, global.mode.replicated, global.mode.global) = ("shop_log".into(), None, Some(Default::default()));
    objects.services.insert("log".into(), global);
    request["objects"] = objects.canonical_json().into();
    let (status, deployed) = server.post("/v1/stacks/shop/deploy", request).await;
    assert_eq!(status, StatusCode::OK, "{deployed}");
    let path = format!("/v1/rollouts/{}", deployed["rollout"]);
    server.until(&path, |view| view["rollout"]["state"] == "done").await;

    let (_, body) = server.post("/v1/services/shop_web/scale?cluster=eu-1", json!({ "replicas": 5 })).await;
    assert!(done(&body, "eu-1").contains("until the next release"));
    eu.until_told(|desired| desired["stacks"]["shop"]["overrides"]["web"]["replicas"] == 5).await;
    assert_eq!(us.told()["stacks"]["shop"]["overrides"], json!({}), "the other cluster is left alone");
    let (_, body) = server.post("/v1/services/shop_web/force", json!({})).await;
    assert!(done(&body, "us-1").contains("restarts"));
    let both = json!({ "replicas": 5, "force": 1 });
    eu.until_told(|desired| desired["stacks"]["shop"]["overrides"]["web"] == both).await;

    let (_, body) = server.post("/v1/services/shop_log/scale", json!({ "replicas": 5 })).await;
    assert_eq!(body["clusters"]["eu-1"]["error"]["code"], "invalid", "{body}");
    let (_, body) = server.post("/v1/services/shop_web/rollback", json!({})).await;
    assert!(
        body["clusters"]["eu-1"]["error"]["help"].as_str().unwrap().contains("waggle stack rollback shop"),
        "{body}"
    );
    let (_, body) = server.post("/v1/services/alone/scale?cluster=us-1", json!({ "replicas": 5 })).await;
    assert_eq!(done(&body, "us-1"), "done by the agent");
    let (status, _) = server.post("/v1/services/shop_web/scale", json!({ "replicas": 10_001 })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    nameserver.stop().await;
    eu.stop().await;
    us.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn nothing_is_changed_of_a_stack_that_failed() {
    let server = Server::start().await;
    server.put("/v1/federation", federation()).await;
    let eu = Agent::join(&server, "eu-1").await;
    let us = Agent::join(&server, "us-1").await;
    let mut request = stack(None);
    (request["routes"], request["promotion"]["on_failure"]) = (json!([]), json!("hold"));
    let mut objects: waggle_stack::Objects = serde_json::from_str(request["objects"].as_str().unwrap()).unwrap();
    let web = objects.services.get_mut("web").unwrap();
    web.name = "shop_web".into();
    web.mode.replicated = Some(Default::default());
    web.task_template.container_spec.env = vec!["BROKEN=1".into()];
    request["objects"] = objects.canonical_json().into();
    let (status, deployed) = server.post("/v1/stacks/shop/deploy", request).await;
    assert_eq!(status, StatusCode::OK, "{deployed}");
    let path = format!("/v1/rollouts/{}", deployed["rollout"]);
    server.until(&path, |view| view["rollout"]["state"]["held"].is_object()).await;

    for path in ["/v1/services/shop_web/scale?cluster=eu-1", "/v1/services/shop_web/force?cluster=eu-1"] {
        let body = if path.contains("scale") { json!({ "replicas": 5 }) } else { json!({}) };
        let (_, body) = server.post(path, body).await;
        let error = &body["clusters"]["eu-1"]["error"];
        let (message, help) =
            (error["message"].as_str().unwrap_or_default(), error["help"].as_str().unwrap_or_default());
        assert!(message.contains("0 of 1 tasks running") && error["code"] == "conflict", "{body}");
        assert!(help.contains("waggle rollout resume 1") && help.contains("waggle rollout abort 1"), "{body}");
    }
    assert_eq!(eu.told()["stacks"]["shop"]["overrides"], json!({}));
    eu.stop().await;
    us.stop().await;
    server.stop().await;
}

async fn settled(server: &Server, deployed: &Value) {
    let path = format!("/v1/rollouts/{}", deployed["rollout"]);
    server.until(&path, |view| view["rollout"]["state"] == "done").await;
}

#[tokio::test]
async fn plans_store_nothing_and_rollbacks_go_to_every_cluster() {
    let server = Server::start().await;
    server.put("/v1/federation", federation()).await;
    let (eu, us) = (Agent::join(&server, "eu-1").await, Agent::join(&server, "us-1").await);
    let nameserver = Nameserver::join(&server, "ns1").await;
    let (status, planned) = server.post("/v1/stacks/shop/plan", stack(Some(b"secret"))).await;
    assert_eq!(status, StatusCode::OK, "{planned}");
    assert!(planned["clusters"]["us-1"]["answer"]["plan"].is_object(), "{planned}");
    assert_eq!(server.get("/v1/stacks").await.1, json!([]));
    assert!(server.get("/v1/releases").await.1.as_array().unwrap().is_empty());

    let (_, first) = server.post("/v1/stacks/shop/deploy", stack(None)).await;
    settled(&server, &first).await;
    let (status, body) = server.post("/v1/stacks/shop/rollback", json!({})).await;
    assert_eq!((status, &body["error"]["code"]), (StatusCode::CONFLICT, &json!("conflict")), "nothing before it");
    let (_, second) = server.post("/v1/stacks/shop/deploy", stack(Some(b"secret"))).await;
    settled(&server, &second).await;
    let (status, back) = server.post("/v1/stacks/shop/rollback", json!({})).await;
    assert_eq!((status, &back["release"]), (StatusCode::OK, &first["release"]), "{back}");
    settled(&server, &back).await;
    let digits = &second["release"].as_str().unwrap()[..8];
    let (_, forth) = server.post("/v1/stacks/shop/rollback", json!({ "release": digits })).await;
    assert_eq!(forth["release"], second["release"]);
    us.until_told(|desired| desired["stacks"]["shop"]["release"] == second["release"]).await;

    let (_, verified) = server.get("/v1/verify?stack=shop").await;
    let proof = &verified["stacks"]["shop"];
    assert_eq!(proof["proven"], false, "these agents know no release: {proof}");
    assert!(proof["against"][0].as_str().unwrap().contains("has release none"), "{proof}");
    assert_eq!(server.get("/v1/verify?stack=none").await.0, StatusCode::NOT_FOUND);
    nameserver.stop().await;
    eu.stop().await;
    us.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn what_a_cluster_has_becomes_a_release() {
    let server = Server::start().await;
    server.put("/v1/federation", federation()).await;
    let agent = Agent::join(&server, "eu-1").await;
    let (status, planned) = server.post("/v1/stacks/old/adopt/plan", json!({ "from": "eu-1" })).await;
    assert_eq!((status, &planned["warnings"]), (StatusCode::OK, &json!(["a note"])), "{planned}");
    assert_eq!(planned["clusters"]["us-1"]["error"]["code"], "not_connected");
    let other = json!({ "from": "eu-1", "release": "ab".repeat(32) });
    assert_eq!(server.post("/v1/stacks/old/adopt", other).await.0, StatusCode::CONFLICT);
    let same = json!({ "from": "eu-1", "release": planned["release"] });
    let (status, deployed) = server.post("/v1/stacks/old/adopt", same).await;
    assert_eq!((status, &deployed["release"]), (StatusCode::OK, &planned["release"]), "{deployed}");
    let pinned = format!("registry.example/web:1@sha256:{}", "cd".repeat(32));
    agent.until_told(|desired| desired["stacks"]["old"]["objects"].as_str().is_some_and(|o| o.contains(&pinned))).await;
    let (status, body) = server.post("/v1/stacks/old/adopt/plan", json!({ "from": "us-1" })).await;
    assert_eq!((status, &body["error"]["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("not_connected")));
    agent.stop().await;
    server.stop().await;
}
