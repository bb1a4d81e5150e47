use super::fake::{Fake, Then, events, json};
use super::*;
use http::StatusCode;
use serde_json::Value;

#[tokio::test]
async fn answers_and_refusals() {
    let fake = Fake::start(|line, body, _| match line {
        "GET /v1/stacks" => json(StatusCode::OK, "[1]"),
        "POST /v1/tokens" => json(StatusCode::CREATED, body),
        "DELETE /v1/stacks/shop" => json(StatusCode::NO_CONTENT, ""),
        "GET /v1/odd" => json(StatusCode::OK, "<html>"),
        _ => json(StatusCode::NOT_FOUND, r#"{"error":{"code":"not_found","message":"no such thing"}}"#),
    })
    .await;
    let client = fake.client();
    assert_eq!(client.get::<Vec<u8>>("/v1/stacks").await, Ok(vec![1]));
    assert_eq!(client.post::<Value>("/v1/tokens", &"x").await, Ok(Value::from("x")));
    assert_eq!(client.tell(Method::DELETE, "/v1/stacks/shop", None::<&()>).await, Ok(()));
    assert_eq!(client.get::<Value>("/v1/odd").await.unwrap_err().exit, Exit::Failed);
    let failure = client.get::<Value>("/v1/stacks/none").await.unwrap_err();
    assert_eq!((failure.exit, failure.message.as_str()), (Exit::Refused, "no such thing"));
    assert_eq!(client.events("/v1/none").await.err().map(|f| f.exit), Some(Exit::Refused));
}

#[tokio::test]
async fn the_token_pins_the_authority_and_is_checked() {
    let fake = Fake::start(|_, _, _| json(StatusCode::OK, "1")).await;
    let other = Token::generate(waggle_wire::token::Kind::Api, [1; 32]).unwrap();
    let failure = Client::new(&fake.url, &other).unwrap().get::<u8>("/").await.unwrap_err();
    assert_eq!(failure.exit, Exit::Unreachable);
    assert!(failure.message.contains("not the control service this token was made for"), "{}", failure.message);
    assert!(fake.asked().is_empty(), "nothing is sent to a stranger");

    let forged = Token::generate(waggle_wire::token::Kind::Api, fake.token.ca).unwrap();
    let failure = Client::new(&fake.url, &forged).unwrap().get::<u8>("/").await.unwrap_err();
    assert_eq!(failure.exit, Exit::Denied);
}

#[tokio::test]
async fn nobody_there() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    drop(listener);
    let token = Token::generate(waggle_wire::token::Kind::Api, [1; 32]).unwrap();
    let failure = Client::new(&url, &token).unwrap().get::<u8>("/").await.unwrap_err();
    assert_eq!(failure.exit, Exit::Unreachable);
    assert!(failure.message.contains("nothing listens"), "{}", failure.message);
    assert!(failure.help.unwrap().contains("waggle control"));
}

#[tokio::test]
async fn streams_of_events() {
    let fake = Fake::start(|_, _, before| match before {
        0 => events(&["a".into(), "b".into()], Then::End),
        _ => events(&["c".into()], Then::Break),
    })
    .await;
    let mut stream = fake.client().events("/e").await.unwrap();
    assert_eq!(data(&mut stream).await.as_deref(), Some("a"));
    assert_eq!(data(&mut stream).await.as_deref(), Some("b"));
    assert_eq!(data(&mut stream).await, None);
    let mut stream = fake.client().events("/e").await.unwrap();
    assert_eq!(data(&mut stream).await.as_deref(), Some("c"));
    assert_eq!(stream.next().await.unwrap_err().exit, Exit::Unreachable);
}

async fn data(stream: &mut sse::Events) -> Option<String> {
    stream.next().await.unwrap().map(|event| event.data)
}
