use super::*;
use crate::client::fake::{Fake, json};
use http::StatusCode;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

const COMPOSE: &str = "\
services:
  web:
    image: nginx:1.27
    secrets: [key]
secrets:
  key: {file: ./key.txt}
";

fn shop() -> StackName {
    "shop".parse().unwrap()
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn files(file: PathBuf) -> Files {
    Files::from(&[file][..])
}

#[tokio::test]
async fn what_is_rendered_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "key.txt", "open sesame");
    let request = prepare(&shop(), &files(write(dir.path(), "compose.yml", COMPOSE))).unwrap();
    assert_eq!(request.payloads.values().collect::<Vec<_>>(), [&STANDARD.encode("open sesame")]);
    assert!(!request.objects.contains("sesame"));

    let seen = Arc::new(Mutex::new(String::new()));
    let kept = seen.clone();
    let fake = Fake::start(move |line, body, _| {
        assert_eq!(line, "POST /v1/stacks/shop/deploy");
        *kept.lock().unwrap() = body.to_owned();
        let deployed = Deployed {
            release: "ab".repeat(32).parse().unwrap(),
            rollout: 3,
            images: [("nginx:1.27".to_owned(), "nginx:1.27@sha256:00".to_owned())].into(),
            unchanged: false,
            warnings: vec![],
        };
        json(StatusCode::ACCEPTED, serde_json::to_string(&deployed).unwrap())
    })
    .await;
    let deployed = submit(&fake.client(), &shop(), &request).await.unwrap();
    let sent: DeployRequest = serde_json::from_str(&seen.lock().unwrap()).unwrap();
    assert_eq!(sent.objects, request.objects);
    let want = "IMAGE        PINNED TO\nnginx:1.27   nginx:1.27@sha256:00\n\nRelease abababababab, rollout 3.\n";
    assert_eq!(text(&deployed, false), want);
}

#[test]
fn problems_have_their_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "compose.yml", "services:\n  web:\n    image: nginx\n    prots: [80]\n");
    let failure = prepare(&shop(), &files(file.clone())).unwrap_err();
    assert_eq!(failure.exit, Exit::Refused);
    assert!(failure.problems[0].starts_with(&format!("{}:4:5: ", file.display())), "{:?}", failure.problems);

    let gone = prepare(&shop(), &files(dir.path().join("gone.yml"))).unwrap_err();
    assert!(gone.message.contains("gone.yml"), "{}", gone.message);
}
