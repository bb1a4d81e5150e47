//! The adapter against an Engine that only answers what it was told to, over a real socket.

use super::*;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use waggle_model::Timestamp;
use waggle_wire::proto::agent::RegistryLogin;

/// Method, path and query, body, and the header with the login.
type Asked = (String, String, String, Option<String>);

struct Stub {
    asked: Arc<Mutex<Vec<Asked>>>,
    path: PathBuf,
    _dir: tempfile::TempDir,
    _server: JoinSet<()>,
}

/// With fields that our own types do not carry.
const SERVICE: &str = r#"{"ID":"s2","Version":{"Index":7},"Spec":{"Name":"shop_web","Labels":{"a":"b"},"TaskTemplate":{"ContainerSpec":{"Image":"registry.example/shop:1","Isolation":"default","NotYetKnown":{"x":0.1}},"Runtime":"container"},"UpdateConfig":{"MaxFailureRatio":0.1}}}"#;

fn answer(method: &str, path: &str) -> (u16, String) {
    let service = r#"[{"ID":"s1","Version":{"Index":5000000000},"Spec":{"Name":"shop_web","Labels":{},"TaskTemplate":{"ContainerSpec":{"Image":"shop:1","Healthcheck":{"Test":["CMD","true"],"Retries":3}},"ForceUpdate":2},"Mode":{"Replicated":{"Replicas":2}}},"Endpoint":{"Ports":[{"Protocol":"tcp","TargetPort":80,"PublishedPort":8080}]},"UpdateStatus":{"State":"paused","StartedAt":"2026-01-01T00:00:00Z","Message":"m"},"JobStatus":{"JobIteration":{}}}]"#;
    let tasks = r#"[{"ID":"t1","ServiceID":"s1","Slot":1,"NodeID":"n1","DesiredState":"shutdown","Status":{"Timestamp":"2026-01-01T00:00:01.5Z","State":"failed","Err":"task: non-zero exit (3)","ContainerStatus":{"ExitCode":3}},"Spec":{"ContainerSpec":{"Image":"shop:1"}}},{"ID":"t2","Status":{"State":"new"},"DesiredState":"running"}]"#;
    let networks = r#"[{"Id":"b","Name":"bridge","Scope":"local","IPAM":{"Config":null},"Options":null,"Labels":null},{"Id":"o","Name":"shop_default","Scope":"swarm","Driver":"overlay","IPAM":{"Config":[{"Subnet":"10.0.1.0/24"}]},"Labels":{"a":"b"}}]"#;
    let digest = r#"{"Descriptor":{"digest":"sha256:aa","mediaType":"m","size":1},"Platforms":[{"os":"linux","architecture":"amd64"}]}"#;
    match (method, path.split('?').next().unwrap_or_default()) {
        ("GET", "/version") => (200, r#"{"ApiVersion":"1.41"}"#.into()),
        ("GET", "/v1.41/swarm") => (200, r#"{"ID":"c1"}"#.into()),
        ("GET", "/v1.41/services") => (200, service.into()),
        ("GET", "/v1.41/tasks") => (200, tasks.into()),
        ("GET", "/v1.41/networks") => (200, networks.into()),
        ("GET", "/v1.41/distribution/registry.example/shop:1/json") => (200, digest.into()),
        ("GET", "/v1.41/services/s2") => (200, SERVICE.into()),
        ("POST", "/v1.41/services/s2/update") => (200, r#"{"Warnings":null}"#.into()),
        ("POST", "/v1.41/services/create") => (201, r#"{"ID":"s2"}"#.into()),
        ("POST", "/v1.41/services/s1/update") => (500, r#"{"message":"rpc error: update out of sequence"}"#.into()),
        ("DELETE", "/v1.41/services/s1") => (200, String::new()),
        ("DELETE", _) => (404, r#"{"message":"no such thing"}"#.into()),
        _ => (400, r#"{"message":"page not found"}"#.into()),
    }
}

async fn stub() -> Stub {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("docker.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
    let log = asked.clone();
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let log = log.clone();
            let serve = service_fn(move |request: hyper::Request<Incoming>| {
                let log = log.clone();
                async move {
                    let (method, path) = (request.method().to_string(), request.uri().to_string());
                    assert!(request.headers().get_all("content-type").iter().count() <= 1, "sent once");
                    let auth = request.headers().get("x-registry-auth").map(|value| value.to_str().unwrap().to_owned());
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    log.lock().unwrap().push((
                        method.clone(),
                        path.clone(),
                        String::from_utf8_lossy(&body).into(),
                        auth,
                    ));
                    let (status, text) = answer(&method, &path);
                    let answer = hyper::Response::builder().status(status).body(Full::new(Bytes::from(text))).unwrap();
                    Ok::<_, Infallible>(answer)
                }
            });
            connections.spawn(async move {
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), serve).await;
            });
        }
    });
    Stub { asked, path, _dir: dir, _server: server }
}

async fn connected(stub: &Stub, logins: Logins) -> Docker {
    Docker::connect(&stub.path, logins, Metrics::default()).await.unwrap()
}

#[tokio::test]
async fn reads_what_client_libraries_lose() {
    let stub = stub().await;
    let docker = connected(&stub, Logins::default()).await;
    assert_eq!(docker.info().await.unwrap().swarm_id, "c1");
    let service = docker.services().await.unwrap().remove(0);
    assert_eq!(service.version, 5_000_000_000);
    let task = &service.spec.task_template;
    assert_eq!(task.container_spec.healthcheck.as_ref().unwrap().retries, 3);
    assert_eq!((task.force_update, service.ports[0].as_str()), (2, "8080->80/tcp"));
    assert_eq!(service.job_iteration, Some(0), "left out when 0");
    assert_eq!(service.update.unwrap().state, "paused");
    let tasks = docker.tasks().await.unwrap();
    assert_eq!((tasks[0].exit_code, tasks[0].at), (Some(3), Timestamp(1_767_225_601_500)));
    assert_eq!((tasks[1].node.as_str(), tasks[1].exit_code), ("", None));
    assert_eq!(docker.tasks_up_to_date().await.unwrap().len(), 2);
    let networks = docker.networks().await.unwrap();
    assert_eq!((networks[0].subnets.len(), networks[1].subnets[0].as_str()), (0, "10.0.1.0/24"));
    let asked = stub.asked.lock().unwrap().clone();
    assert!(asked.iter().skip(1).all(|(_, path, _, _)| path.starts_with("/v1.41/")), "{asked:?}");
    assert!(asked.last().is_some_and(|(_, path, _, _)| !path.contains('"')));
    assert!(asked.iter().any(|(_, path, _, _)| path.contains("_up-to-date%22%3A%5B%22true")), "{asked:?}");
}

#[tokio::test]
async fn writes_with_the_login_and_tells_refusals_apart() {
    let stub = stub().await;
    let file = stub.path.with_file_name("config.json");
    // A password whose plain base64 has the characters that base64url spells otherwise.
    let auth = base64::engine::general_purpose::STANDARD.encode("ann:~~~???>>>");
    std::fs::write(&file, format!(r#"{{"auths":{{"registry.example":{{"auth":"{auth}"}}}}}}"#)).unwrap();
    let docker = connected(&stub, Logins::read(&file).unwrap()).await;
    let logins = Logins::read(&file).unwrap();
    let sent = logins.of("registry.example/shop").unwrap();
    let mut spec = ServiceSpec { name: "shop_web".into(), ..ServiceSpec::default() };
    spec.task_template.container_spec.image = "registry.example/shop:1".into();
    assert_eq!(docker.create_service(&spec, None).await.unwrap(), "s2");
    assert!(matches!(
        docker.update_service("s1", 5_000_000_000, &spec, Some(sent)).await,
        Err(EngineError::Conflict(_))
    ));
    docker.remove_service("s1").await.unwrap();
    assert!(matches!(docker.remove_network("x").await, Err(EngineError::NotFound(_))));
    let resolved = docker.resolve("registry.example/shop:1", None).await.unwrap();
    assert_eq!(resolved.digest, "sha256:aa");
    assert_eq!(resolved.platforms, [("linux".to_owned(), "amd64".to_owned())]);
    let asked = stub.asked.lock().unwrap().clone();
    let update = asked.iter().find(|(_, path, _, _)| path.contains("/update")).unwrap();
    assert!(update.1.ends_with("?version=5000000000"));
    let logins: Vec<&String> = asked.iter().filter_map(|(_, _, _, auth)| auth.as_ref()).collect();
    assert_eq!(logins.len(), 3, "create, update, resolve");
    assert!(logins.iter().all(|login| login.len().is_multiple_of(4)), "padded: {logins:?}");
    assert!(logins.iter().all(|login| !login.contains(['+', '/'])), "base64url: {logins:?}");
}

#[tokio::test]
async fn another_login_leaves_the_spec_to_the_letter() {
    let stub = stub().await;
    let docker = connected(&stub, Logins::default()).await;
    let auth = Bytes::from_static(br#"{"username":"ann","password":"~~~???>>>"}"#);
    let offered = RegistryLogin { registry: "registry.example".into(), version: 9, auth };
    let logins = Logins::checked([offered]).unwrap();
    docker.renew_login("s2", logins.of("registry.example/shop:1").unwrap()).await.unwrap();
    let asked = stub.asked.lock().unwrap().clone();
    let (_, path, body, auth) = asked.last().unwrap();
    assert!(path.ends_with("/services/s2/update?version=7"), "{path}");
    assert!(auth.as_ref().is_some_and(|auth| !auth.contains(['+', '/'])));
    let mut wanted: Value = serde_json::from_str(SERVICE).unwrap();
    wanted["Spec"]["Labels"] = json!({ "a": "b", labels::LOGIN: "9" });
    assert_eq!(serde_json::from_str::<Value>(body).unwrap(), wanted["Spec"]);
}

#[test]
fn versions_are_settled_on_the_lesser() {
    assert_eq!(negotiate("1.41").unwrap(), ApiVersion(1, 41));
    assert_eq!(negotiate("1.52").unwrap(), ApiVersion(1, 47));
    assert!(matches!(negotiate("1.40"), Err(EngineError::TooOld(_))));
    assert!(matches!(negotiate(""), Err(EngineError::Answer(_))));
}

#[test]
fn an_engine_that_cannot_serve_says_what_to_do() {
    let swarm = |json: &str| why_no_manager(serde_json::from_str(json).unwrap()).to_string();
    assert!(swarm(r#"{"LocalNodeState":"inactive"}"#).contains("docker swarm init"));
    let worker = swarm(
        r#"{"LocalNodeState":"active","ControlAvailable":false,"RemoteManagers":[{"NodeID":"x","Addr":"192.0.2.7:2377"}]}"#,
    );
    assert!(worker.contains("run the agent on a manager") && worker.contains("192.0.2.7:2377"), "{worker}");
    assert!(swarm(r#"{"LocalNodeState":"locked","Error":"encrypted"}"#).contains("locked: encrypted"));
}
