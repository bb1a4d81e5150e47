use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use serde::Deserialize;

use super::{ConfigError, load, parse};
use crate::telemetry::{LogFormat, TelemetryConfig};

#[derive(Debug, PartialEq, Deserialize)]
struct Config {
    name: String,
    #[serde(default)]
    workers: Option<u16>,
    #[serde(default)]
    ratio: f64,
    #[serde(default)]
    peers: Vec<SocketAddr>,
    #[serde(default)]
    listen: Listen,
    #[serde(default)]
    telemetry: TelemetryConfig,
    #[serde(default)]
    labels: BTreeMap<String, u8>,
    #[serde(default)]
    store: Store,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
struct Listen {
    #[serde(default)]
    http: Option<SocketAddr>,
    #[serde(default)]
    tls: bool,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Store {
    #[default]
    Memory,
    Etcd {
        endpoints: Vec<String>,
    },
}

const FILE: &str = r#"
name = "from-file"
workers = 2
peers = ["127.0.0.1:1"]

[listen]
http = "127.0.0.1:80"
tls = true

[telemetry]
log_format = "json"
"#;

#[test]
fn flags_win_over_environment_over_file_key_by_key() {
    let env = [("WAGGLE_AGENT_NAME", "from-env"), ("WAGGLE_AGENT_LISTEN__HTTP", "127.0.0.1:81")];
    let config: Config = read(FILE, &env, &[("listen.http", "127.0.0.1:82")]).unwrap();
    assert_eq!(config.name, "from-env");
    assert_eq!(config.workers, Some(2));
    assert_eq!(config.listen, Listen { http: Some(address(82)), tls: true });
    assert_eq!(config.telemetry.log_format, Some(LogFormat::Json));
}

#[test]
fn texts_become_what_the_type_asks_for() {
    let env = [
        ("WAGGLE_AGENT_NAME", "123"),
        ("WAGGLE_AGENT_WORKERS", "8"),
        ("WAGGLE_AGENT_RATIO", "2"),
        ("WAGGLE_AGENT_PEERS", "127.0.0.1:1, 127.0.0.1:2"),
        ("WAGGLE_AGENT_LISTEN__TLS", "true"),
        ("WAGGLE_AGENT_LABELS", "{ a = 1 }"),
        ("WAGGLE_AGENT_STORE__ETCD__ENDPOINTS", "[\"http://127.0.0.1:2379\"]"),
        ("WAGGLE_AGENT_TELEMETRY__LOG_FORMAT", "text"),
        ("WAGGLE_AGENT_TELEMETRY__LOG", ""),
        ("WAGGLE_AGENT_CONFIG", "agent.toml"),
        ("WAGGLE_CONTROL_NAME", "of another role"),
        ("PATH", "/bin"),
    ];
    let config: Config = read("", &env, &[("labels.b", "2")]).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.name, "123");
    assert_eq!(config.workers, Some(8));
    assert_eq!(config.ratio, 2.0);
    assert_eq!(config.peers, [address(1), address(2)]);
    assert!(config.listen.tls);
    assert_eq!(config.store, Store::Etcd { endpoints: vec!["http://127.0.0.1:2379".to_owned()] });
    assert_eq!(config.telemetry, TelemetryConfig { log_format: Some(LogFormat::Text), ..Default::default() });
}

#[test]
fn a_table_in_one_text_is_read_as_toml_and_extended_by_no_layer_below() {
    let env = [("WAGGLE_AGENT_LABELS", "{ a = 1, b = 2 }")];
    let config: Config = read("name = 'x'\n[labels]\nc = 3", &env, &[]).unwrap();
    assert_eq!(config.labels, BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]));
}

#[test]
fn errors_say_where_and_the_way_out() {
    let cases: &[(&str, Layer, Layer, &str)] = &[
        (
            "",
            &[],
            &[],
            "`name` is missing; set it in agent.toml, in the environment as WAGGLE_AGENT_NAME, or by a flag",
        ),
        (
            "name = 'x'\nworkers = 70000",
            &[],
            &[],
            "agent.toml:2:11: `workers`: expected u16, found integer `70000`; correct it there, or override it with \
             WAGGLE_AGENT_WORKERS",
        ),
        (
            "name = 'x'\n[listen]\n  tls = 'yes'",
            &[],
            &[],
            "agent.toml:3:9: `listen.tls`: expected a boolean, found another text; correct it there, or override it with \
             WAGGLE_AGENT_LISTEN__TLS",
        ),
        ("name = 'x'\nworker = 2", &[], &[], "agent.toml:2:1: unknown key `worker`; did you mean `workers`?"),
        (
            "name = 'x'\n[listen]\nsocket = 2\nhttp = 'there'",
            &[],
            &[],
            "agent.toml:3:1: unknown key `listen.socket`; remove it, or use one of: http, tls\n\
             agent.toml:4:8: `listen.http`: invalid socket address syntax; correct it there, or override it with \
             WAGGLE_AGENT_LISTEN__HTTP",
        ),
        (
            "name = 'x'",
            &[("WAGGLE_AGENT_LISTEN__SOCKET", "2"), ("WAGGLE_AGENT_WORKERS", "hunter2")],
            &[],
            "environment variable WAGGLE_AGENT_LISTEN__SOCKET: unknown key `listen.socket`; remove it, or use one of: \
             http, tls\n\
             environment variable WAGGLE_AGENT_WORKERS: `workers`: expected u16, found another text; correct it there",
        ),
        (
            "name = 'x'",
            &[],
            &[("telemetry.log_format", "hunter2")],
            "flag telemetry.log_format: `telemetry.log_format`: unknown variant `…`, expected `text` or `json`; correct \
             it there",
        ),
        (
            "name = 'x'\npeers = [\n  '127.0.0.1:1',\n  7,\n]",
            &[],
            &[],
            "agent.toml:4:3: `peers.1`: expected socket address, found integer `7`; correct it there, or override it \
             with WAGGLE_AGENT_PEERS__1",
        ),
        ("name = 'x'\nworkers = = 2", &[], &[], "agent.toml:2:11: not valid TOML: "),
        ("name = 'x'\nname = 'y'", &[], &[], "agent.toml:2:1: not valid TOML: duplicate key; correct the syntax there"),
        (
            "name = 'x'\n[store.etcd]\n",
            &[],
            &[],
            "agent.toml:2:1: `store.etcd.endpoints` is missing; set it in agent.toml, in the environment as \
             WAGGLE_AGENT_STORE__ETCD__ENDPOINTS, or by a flag",
        ),
        (
            "name = 'x'",
            &[("WAGGLE_AGENT_LISTEN", "{}"), ("WAGGLE_AGENT_LISTEN__TLS", "true")],
            &[],
            "environment variable WAGGLE_AGENT_LISTEN__TLS: `listen.tls` is set twice, also by environment variable \
             WAGGLE_AGENT_LISTEN; leave one of the two out",
        ),
        (
            "name = 'x'",
            &[],
            &[("listen..tls", "true")],
            "flag listen..tls: `listen..tls` is not a key; write names with one dot between them, in a variable with two \
             underscores",
        ),
    ];
    for (file, env, flags, expected) in cases {
        let error = read::<Config>(file, env, flags).expect_err(expected);
        assert!(error.starts_with(expected), "expected\n{expected}\nbut got\n{error}");
    }
}

#[test]
fn load_names_the_file_it_cannot_read() {
    let error = load::<Config>("agent", Some(Path::new("/nowhere/agent.toml")), &BTreeMap::new(), &[]).unwrap_err();
    assert!(matches!(error, ConfigError::File { .. }));
    assert_eq!(error.to_string(), "cannot read the configuration file /nowhere/agent.toml");
}

#[test]
fn load_reads_a_file_and_refuses_one_without_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.toml");
    std::fs::write(&path, FILE).unwrap();
    let config: Config = load("agent", Some(&path), &BTreeMap::new(), &[]).unwrap();
    assert_eq!(config.name, "from-file");
    let endless = load::<Config>("agent", Some(Path::new("/dev/zero")), &BTreeMap::new(), &[]).unwrap_err();
    assert!(crate::error::chain(&endless).ends_with("larger than the 1048576 bytes allowed"), "{endless:?}");
}

#[test]
fn load_without_a_file_says_so_in_the_way_out() {
    let error = load::<Config>("agent", None, &BTreeMap::new(), &[]).unwrap_err().to_string();
    let way_out = "set it in the configuration file, in the environment as WAGGLE_AGENT_NAME, or by a flag";
    assert_eq!(error, format!("`name` is missing; {way_out}"));
}

type Layer = &'static [(&'static str, &'static str)];

fn read<T: serde::de::DeserializeOwned>(file: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<T, String> {
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let env = env.iter().map(own).collect();
    let flags: Vec<_> = flags.iter().map(own).collect();
    parse("agent", Some((Path::new("agent.toml"), file)), &env, &flags).map_err(|problems| super::lines(&problems))
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
