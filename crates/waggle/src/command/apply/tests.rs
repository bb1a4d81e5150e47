use super::*;
use crate::client::Client;
use crate::context::api_token;
use std::net::SocketAddr;
use waggle_control::api::types::StatusView;
use waggle_daemon::Tasks;

/// The example goes through the real control service, which also compiles it as nameservers would.
#[tokio::test]
async fn control_takes_the_example() {
    let dir = tempfile::tempdir().unwrap();
    let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let data_dir = dir.path().join("control");
    let config = waggle_control::Config {
        data_dir: data_dir.clone(),
        api_listen: loopback,
        grpc_listen: loopback,
        ..waggle_control::Config::default()
    };
    let control = waggle_control::build(config).await.unwrap();
    let url = format!("https://{}", control.api_addr().unwrap());
    let token = std::fs::read_to_string(data_dir.join(waggle_control::tokens::ADMIN_FILE)).unwrap();
    let tasks = Tasks::new();
    control.spawn(&tasks).unwrap();

    let client = Client::new(&url, &api_token(token.trim()).unwrap()).unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/federation.yaml");
    let (_, federation) = read(&example).unwrap();
    for changed in [true, false] {
        let applied: Applied = client.send(Method::PUT, "/v1/federation", &federation, TIMEOUT).await.unwrap();
        assert_eq!(applied.changed, changed);
    }
    let status: StatusView = client.get("/v1/status").await.unwrap();
    assert_eq!(status.clusters.len(), 3);

    let nobody = client.get::<StatusView>("/v1/clusters/nowhere").await.unwrap_err();
    assert_eq!(nobody.exit, Exit::Refused);
    tasks.shutdown(Duration::from_secs(10)).await.unwrap();
}
