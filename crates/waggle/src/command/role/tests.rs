use super::*;
use std::collections::BTreeMap;
use std::path::Path;

/// Reads an example as its role does; the environment of the test must not count.
fn example<C: DeserializeOwned>(role: &str, file: &str) -> C {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config").join(file);
    config::load(role, Some(&path), &BTreeMap::new(), &[]).unwrap_or_else(|error| panic!("{file}: {}", chain(&error)))
}

#[test]
fn the_examples_are_valid() {
    let nameserver: waggle_nameserver::Config = example("nameserver", "nameserver.toml");
    assert_eq!(nameserver.name.as_str(), "ns1");
    let control: waggle_control::Config = example("control", "control.toml");
    assert_eq!(control.advertise.as_deref(), Some("control.example:7441"));
    let agent: waggle_agent::Config = example("agent", "agent.toml");
    assert_eq!((agent.cluster.as_str(), agent.problem()), ("eu-1", None));
}

/// Every key that an example shows commented out must be one, too.
#[test]
fn commented_keys_are_keys() {
    for role in ["control", "nameserver", "agent"] {
        let file = format!("{role}.toml");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config").join(&file);
        let text = std::fs::read_to_string(&path).unwrap();
        let uncomment = |line: &str| match line.strip_prefix("# ").filter(|rest| is_assignment(rest)) {
            Some(rest) => rest.to_owned(),
            None => line.to_owned(),
        };
        let text: Vec<String> = text.lines().map(uncomment).collect();
        let source = Some((path.as_path(), text.join("\n")));
        let source = source.as_ref().map(|(path, text)| (*path, text.as_str()));
        let problems = match role {
            "control" => config::parse::<waggle_control::Config>(role, source, &BTreeMap::new(), &[]).err(),
            "nameserver" => config::parse::<waggle_nameserver::Config>(role, source, &BTreeMap::new(), &[]).err(),
            _ => config::parse::<waggle_agent::Config>(role, source, &BTreeMap::new(), &[]).err(),
        };
        assert_eq!(problems, None, "{file}");
    }
}

fn is_assignment(line: &str) -> bool {
    line.split_once(" = ").is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
}

#[test]
fn flags_win() {
    let flags = Flags { config: None, set: vec![("telemetry.log".into(), "debug".into())] };
    let named = [("cluster", Some("b".to_owned())), ("control", list(&["x:1", "y:2"])), ("data_dir", None)];
    let agent: waggle_agent::Config = flags.load("agent", &named).unwrap();
    assert_eq!((agent.cluster.as_str(), agent.control.len()), ("b", 2));
    assert_eq!(agent.telemetry.log.as_deref(), Some("debug"));

    assert!(
        flags.load::<waggle_agent::Config>("agent", &[("telemetry.log", Some("info".into()))]).is_err(),
        "set twice"
    );
    let failure = Flags::default().load::<waggle_agent::Config>("agent", &[("cluster", Some("A".into()))]).unwrap_err();
    assert_eq!(failure.exit, Exit::Refused);
    assert!(!failure.problems.is_empty());
}

#[test]
fn pairs() {
    assert_eq!(pair("a.b=c=d"), Ok(("a.b".into(), "c=d".into())));
    assert!(pair("a").is_err() && pair("=x").is_err());
}

#[test]
fn as_many_files_as_the_system_allows() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 300, hard).unwrap();
    assert_eq!(raise_file_limit(), Ok(hard));
    assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (hard, hard));
}
