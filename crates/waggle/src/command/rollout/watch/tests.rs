use super::*;
use crate::client::fake::{Answer, Fake, Then, events, json};
use http::StatusCode;
use serde_json::{Value, json as value};

const LIMIT: Duration = Duration::from_secs(30);

fn view(state: Value) -> String {
    value!({
        "rollout": {
            "id": 7, "stack": "shop", "release": "ab".repeat(32), "promotion": {}, "state": state, "created": 0,
            "clusters": {"eu-1": {"stage": 0, "step": "updating", "since": 0, "previous": null, "attempt": 1}},
        },
        "report": {}, "summary": "", "percent": 50,
    })
    .to_string()
}

fn running() -> String {
    view(value!("running"))
}

/// Answers the state with "running", and the stream with what `stream` makes of the number of earlier ones.
async fn fake(stream: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Fake {
    Fake::start(move |line, _, before| match line {
        "GET /v1/rollouts/7" => json(StatusCode::OK, running()),
        "GET /v1/rollouts/7/events" => stream(before),
        other => json(StatusCode::NOT_FOUND, other),
    })
    .await
}

async fn follow_to_end(fake: &Fake, limit: Duration) -> Result<Exit, Failure> {
    watch(&fake.client(), 7, limit, Format::Table).await
}

#[tokio::test]
async fn a_lost_stream_is_opened_again() {
    let fake = fake(|before| match before {
        0 => events(&[running()], Then::Break),
        1 => events(&[running()], Then::End),
        2 => json(StatusCode::SERVICE_UNAVAILABLE, ""),
        _ => events(&[running(), view(value!("done"))], Then::Silence),
    })
    .await;
    assert_eq!(follow_to_end(&fake, LIMIT).await, Ok(Exit::Done));
    let streams = fake.asked().iter().filter(|line| line.ends_with("/events")).count();
    assert_eq!(streams, 4);
}

#[tokio::test]
async fn held_is_a_failure_with_the_reason() {
    let fake = fake(|_| events(&[view(value!({"held": {"why": "eu-1: exit 1"}}))], Then::Silence)).await;
    let failure = follow_to_end(&fake, LIMIT).await.unwrap_err();
    assert_eq!((failure.exit, failure.message.as_str()), (Exit::Held, "rollout 7 is held: eu-1: exit 1"));
}

#[tokio::test]
async fn the_timeout_ends_the_wait_and_not_the_rollout() {
    let fake = fake(|_| events(&[], Then::Silence)).await;
    let failure = follow_to_end(&fake, Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(failure.exit, Exit::TimedOut);
    assert!(failure.help.unwrap().contains("waggle rollout watch 7"));
}

#[tokio::test]
async fn a_refusal_is_not_tried_again() {
    let fake = fake(|_| json(StatusCode::NOT_FOUND, "")).await;
    assert_eq!(follow_to_end(&fake, LIMIT).await.unwrap_err().exit, Exit::Refused);
    assert_eq!(fake.asked().len(), 1);
}
