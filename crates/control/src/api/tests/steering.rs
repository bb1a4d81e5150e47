//! What operators do about steering: earlier route plans put back in force, and verdicts forced for a time.

use super::peers::{Agent, Nameserver};
use super::server::Server;
use super::stack;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

const CLUSTERS: [&str; 4] = ["ap-1", "eu-1", "sa-1", "us-1"];
const ROUTE: &str = "/v1/routes/www.shop.example";

fn federation() -> Value {
    let cluster = |(name, last): (&&str, u8)| (name.to_string(), json!({ "addresses": [format!("192.0.2.{last}")] }));
    let clusters: serde_json::Map<_, _> = CLUSTERS.iter().zip(1..).map(cluster).collect();
    json!({
        "clusters": clusters,
        "zones": { "shop.example": { "nameservers": ["ns1.example.net"], "contact": "admin.example.net" } },
    })
}

/// Four clusters that serve one route, and everybody who is needed for that.
struct Shop {
    server: Server,
    agents: Vec<Agent>,
    nameserver: Nameserver,
}

impl Shop {
    async fn open() -> Shop {
        let server = Server::start().await;
        server.put("/v1/federation", federation()).await;
        let mut agents = Vec::new();
        for cluster in CLUSTERS {
            agents.push(Agent::join(&server, cluster).await);
        }
        let nameserver = Nameserver::join(&server, "ns-1").await;
        let mut wanted = stack(None);
        wanted["routes"][0]["check"] = json!({ "kind": "tcp", "port": 80 });
        let (_, deployed) = server.post("/v1/stacks/shop/deploy", wanted).await;
        let events = server.events(&format!("/v1/rollouts/{}/events", deployed["rollout"])).await;
        assert_eq!(events.last().unwrap()["rollout"]["state"], json!("done"));
        Shop { server, agents, nameserver }
    }

    async fn close(self) {
        for agent in self.agents {
            agent.stop().await;
        }
        self.nameserver.stop().await;
        self.server.stop().await;
    }

    /// The newest plan as `GET /v1/plans` tells it.
    async fn newest(&self) -> Value {
        self.server.get("/v1/plans").await.1["plans"][0].clone()
    }

    async fn generation(&self) -> u64 {
        self.newest().await["generation"].as_u64().unwrap()
    }

    async fn drain(&self, clusters: &[&str], reason: &str) {
        for cluster in clusters {
            let path = format!("/v1/clusters/{cluster}/drain");
            let (status, body) = self.server.post(&path, json!({ "reason": reason })).await;
            assert_eq!(status, StatusCode::OK, "{body}");
        }
    }

    async fn readmit(&self, clusters: &[&str]) {
        for cluster in clusters {
            let (status, body) = self.server.post(&format!("/v1/clusters/{cluster}/readmit"), json!({})).await;
            assert_eq!(status, StatusCode::OK, "{body}");
        }
        self.until_out(&[]).await;
    }

    /// The clusters that the plan keeps out.
    async fn until_out(&self, wanted: &[&str]) {
        let out = |route: &Value| -> Vec<String> {
            let pool = route["pool"].as_array().cloned().unwrap_or_default();
            let out = pool.iter().filter(|endpoint| !endpoint["drained"].is_null());
            out.map(|endpoint| endpoint["cluster"].as_str().unwrap().to_owned()).collect()
        };
        self.server.until(ROUTE, |route| out(route) == wanted).await;
    }

    async fn revert(&self, generation: u64, query: &str) -> (StatusCode, Value) {
        let path = format!("/v1/plans/{generation}/revert{query}");
        self.server.post(&path, json!({ "reason": "a test" })).await
    }

    async fn resume(&self, query: &str) -> (StatusCode, Value) {
        self.server.ask(Method::DELETE, &format!("/v1/plans/hold{query}"), None).await
    }
}

fn is_refused((status, body): &(StatusCode, Value), why: &str) {
    assert_eq!(*status, StatusCode::CONFLICT, "{body}");
    assert!(body["error"]["message"].as_str().unwrap().contains(why), "{body}");
    assert!(body["error"]["help"].as_str().unwrap().contains("--force"), "{body}");
}

#[tokio::test]
async fn going_back_to_less_needs_force_and_so_does_going_on_with_less() {
    let shop = Shop::open().await;
    let all = shop.generation().await;
    let three = ["ap-1", "eu-1", "sa-1"];
    shop.drain(&three, "power").await;
    shop.until_out(&three).await;
    let few = shop.generation().await;
    shop.readmit(&three).await;

    let too_much = "ap-1, eu-1, sa-1 would leave at once, 75 %";
    is_refused(&shop.revert(few, "").await, too_much);
    shop.until_out(&[]).await;
    assert_eq!(shop.resume("").await.1["changed"], json!(false), "nothing was held");
    let (status, told) = shop.revert(few, "?dry_run=true&force=true").await;
    assert_eq!(status, StatusCode::OK, "{told}");
    assert!(told["changes"].to_string().contains("sa-1 drained (power)"), "{told}");
    shop.until_out(&[]).await;
    let (status, done) = shop.revert(few, "?force=true").await;
    assert_eq!(status, StatusCode::OK, "{done}");
    shop.until_out(&three).await;
    let newest = shop.newest().await;
    assert_eq!((&newest["by"], &newest["held"]), (&json!("admin"), &json!(few)), "{newest}");
    assert_eq!(newest["generation"], done["plan_generation"]);
    // Force was for that step and no other.
    let (status, done) = shop.resume("").await;
    assert_eq!((status, &done["changed"]), (StatusCode::OK, &json!(true)), "{done}");
    shop.until_out(&[]).await;

    shop.drain(&three, "power").await;
    assert_eq!(shop.revert(all, "").await.0, StatusCode::OK, "nobody loses anything");
    shop.until_out(&[]).await;
    is_refused(&shop.resume("").await, too_much);
    shop.until_out(&[]).await;
    let (_, plans) = shop.server.get("/v1/plans").await;
    assert_eq!(plans["hold"]["generation"], json!(all), "it is still held");
    let (status, done) = shop.resume("?force=true").await;
    assert_eq!((status, &done["changed"]), (StatusCode::OK, &json!(true)), "{done}");
    shop.until_out(&three).await;
    shop.close().await;
}

#[tokio::test]
async fn a_cluster_that_a_held_plan_brought_back_can_be_drained_again() {
    let shop = Shop::open().await;
    let all = shop.generation().await;
    shop.drain(&["eu-1"], "power").await;
    shop.until_out(&["eu-1"]).await;
    assert_eq!(shop.revert(all, "").await.0, StatusCode::OK);
    shop.until_out(&[]).await;
    shop.drain(&["eu-1"], "fire").await;
    shop.until_out(&["eu-1"]).await;
    assert_eq!(shop.newest().await["what"], json!("drain of eu-1: fire"));
    shop.close().await;
}

#[tokio::test]
async fn clusters_that_a_held_plan_brought_back_count_as_serving() {
    let shop = Shop::open().await;
    let all = shop.generation().await;
    let three = ["ap-1", "eu-1", "sa-1"];
    shop.drain(&three, "power").await;
    shop.until_out(&three).await;
    assert_eq!(shop.revert(all, "").await.0, StatusCode::OK);
    shop.until_out(&[]).await;
    // It is not the last one.
    shop.drain(&["us-1"], "fire").await;
    shop.until_out(&["us-1"]).await;
    shop.close().await;
}

fn forced(cluster: &str, fit: bool, time: Duration) -> Value {
    json!({ "cluster": cluster, "fit": fit, "for_ms": time.as_millis() as u64, "reason": "disk is dying" })
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn verdicts_are_forced_for_a_time_and_by_somebody() {
    let shop = Shop::open().await;
    let (status, view) = shop.server.post(&format!("{ROUTE}/force"), forced("eu-1", false, HOUR)).await;
    assert_eq!((status, &view["route"]["name"]), (StatusCode::OK, &json!("www.shop.example")), "{view}");
    let newest = shop.newest().await;
    assert_eq!(
        (&newest["by"], &newest["what"]),
        (&json!("admin"), &json!("eu-1 forced unfit for www.shop.example: disk is dying"))
    );
    assert!(newest["changes"].to_string().contains("eu-1 forced unfit by admin until"), "{newest}");
    let (_, status) = shop.server.get("/v1/status").await;
    assert!(status["attention"].to_string().contains("in eu-1 is forced unfit by admin"), "{status}");

    // Said again it is the newer word that counts, also the other way round.
    shop.server.post(&format!("{ROUTE}/force"), forced("eu-1", true, HOUR)).await;
    assert!(shop.newest().await["changes"].to_string().contains("eu-1 forced fit by admin until"));
    let (status, view) = shop.server.post(&format!("{ROUTE}/unforce"), json!({ "cluster": "eu-1" })).await;
    assert_eq!(status, StatusCode::OK, "{view}");
    let newest = shop.newest().await;
    let change = "eu-1 is judged by what is observed again";
    assert!(newest["changes"].to_string().contains(change), "{newest}");
    assert_eq!(
        (&newest["by"], &newest["what"]),
        (&json!("admin"), &json!("eu-1 no longer forced for www.shop.example"))
    );
    let before = shop.generation().await;
    assert_eq!(shop.server.post(&format!("{ROUTE}/unforce"), json!({ "cluster": "eu-1" })).await.0, StatusCode::OK);
    assert_eq!(shop.generation().await, before, "there was nothing to lift");

    // When the time is over, that is nobody's doing.
    shop.server.post(&format!("{ROUTE}/force"), forced("us-1", false, Duration::from_millis(400))).await;
    let ended = |plans: &Value| plans["plans"][0]["changes"].to_string().contains("us-1 is judged by what is observed");
    let plans = shop.server.until("/v1/plans", ended).await;
    let newest = &plans["plans"][0];
    assert_eq!(
        (&newest["by"], &newest["what"]),
        (&json!(""), &json!("the time ran out for which us-1 was forced unfit for www.shop.example"))
    );
    // Expired and forced anew.
    let (status, body) = shop.server.post(&format!("{ROUTE}/force"), forced("us-1", false, HOUR)).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert!(shop.newest().await["changes"].to_string().contains("us-1 forced unfit"));
    shop.close().await;
}

#[tokio::test]
async fn verdicts_that_cannot_be_forced_are_refused_with_the_way_out() {
    let shop = Shop::open().await;
    let before = shop.generation().await;
    let with = |key: &str, value: Value| {
        let mut body = forced("eu-1", false, HOUR);
        body[key] = value;
        body
    };
    let week = Duration::from_secs(7 * 24 * 3600);
    let force = format!("{ROUTE}/force");
    let (missing, invalid) = (StatusCode::NOT_FOUND, StatusCode::UNPROCESSABLE_ENTITY);
    for (path, body, wanted, message) in [
        (force.as_str(), forced("eu-1", false, Duration::ZERO), invalid, "up to 7 days"),
        (&force, forced("eu-1", false, week + Duration::from_millis(1)), invalid, "up to 7 days"),
        (&force, with("reason", json!(" ")), invalid, "a reason of 1 to"),
        (&force, with("until", json!(7)), invalid, "until"),
        (&force, with("cluster", json!("EU 1")), invalid, "EU 1"),
        (&force, forced("mars", false, HOUR), missing, "has no cluster mars"),
        ("/v1/routes/mail.shop.example/force", forced("eu-1", false, HOUR), missing, "there is no route mail"),
        (&format!("{ROUTE}/unforce"), json!({ "cluster": "mars" }), missing, "has no cluster mars"),
        ("/v1/routes/mail.shop.example/unforce", json!({ "cluster": "eu-1" }), missing, "there is no route mail"),
    ] {
        let (status, answer) = shop.server.post(path, body).await;
        assert_eq!(status, wanted, "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(message), "{answer}");
    }
    assert_eq!(shop.generation().await, before, "nothing was forced");
    let (status, body) = shop.server.post(&force, forced("eu-1", false, week)).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    shop.close().await;
}

#[tokio::test]
async fn a_simulated_outage_goes_by_forced_verdicts() {
    let shop = Shop::open().await;
    // The nameserver here finds everything fit, whatever it is told.
    shop.server.post(&format!("{ROUTE}/force"), forced("eu-1", false, HOUR)).await;
    let shares = |view: &Value, when: &str| view["outage"]["routes"]["www.shop.example"][when].clone();
    let (status, view) = shop.server.get("/v1/simulate/outage?cluster=us-1").await;
    assert_eq!(status, StatusCode::OK, "{view}");
    for when in ["before", "after"] {
        assert!(shares(&view, when)["eu-1"].is_null(), "{view}");
        assert!(shares(&view, when)["ap-1"].as_f64().is_some_and(|share| share > 0.2), "{view}");
    }
    let (_, why) = shop.server.get("/v1/why?name=www.shop.example&client=198.51.100.7").await;
    assert!(why["text"].as_str().unwrap().contains("✗ eu-1: forced unfit by admin"), "{why}");

    // What people call fit stays, also when it is gone.
    shop.server.post(&format!("{ROUTE}/force"), forced("us-1", true, HOUR)).await;
    let (_, view) = shop.server.get("/v1/simulate/outage?cluster=us-1").await;
    let stays = json!({ "forced_fit": { "route": "www.shop.example", "lost": "us-1" } });
    assert!(view["outage"]["broken"].as_array().unwrap().contains(&stays), "{view}");
    assert_eq!(view["outage"]["routes"]["www.shop.example"]["noticed_ms"], Value::Null, "{view}");
    shop.close().await;
}
