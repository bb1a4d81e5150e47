use super::*;
use std::os::unix::fs::PermissionsExt;

fn config(text: &str) -> DockerConfig {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    std::fs::write(&path, text).unwrap();
    DockerConfig::load(&path).unwrap_or_else(|failure| panic!("{}", failure.message))
}

async fn login(config: &DockerConfig, registry: &str) -> Option<(String, String, String)> {
    let login = config.login(registry).await.unwrap_or_else(|failure| panic!("{}", failure.message))?;
    Some((login.username, login.password.expose().to_owned(), login.identity_token.expose().to_owned()))
}

fn text(parts: (&str, &str, &str)) -> Option<(String, String, String)> {
    Some((parts.0.into(), parts.1.into(), parts.2.into()))
}

#[tokio::test]
async fn the_file_keys_registries_in_several_ways() {
    let pair = STANDARD.encode("ann:pass:word");
    let config = config(&format!(
        r#"{{"auths": {{
            "https://index.docker.io/v1/": {{"auth": "{pair}"}},
            "http://registry.example:5000/v2/": {{"auth": "{pair}"}},
            "token.example": {{"identitytoken": "t"}},
            "empty.example": {{}}
        }}, "HttpHeaders": {{"x": "y"}}}}"#
    ));
    assert_eq!(login(&config, "docker.io").await, text(("ann", "pass:word", "")));
    assert_eq!(login(&config, "registry.example:5000").await, text(("ann", "pass:word", "")));
    assert_eq!(login(&config, "token.example").await, text(("", "", "t")));
    assert_eq!(login(&config, "empty.example").await, None);
    assert_eq!(login(&config, "other.example").await, None);
    assert_eq!(login(&DockerConfig::load(Path::new("/nowhere/config.json")).ok().unwrap(), "docker.io").await, None);
}

/// A helper by the name, in a directory of its own; it is called by its path, as no test may change this process's PATH.
fn helper(dir: &Path, script: &str) -> String {
    let path = dir.join("docker-credential-x");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

async fn answers(script: &str) -> Result<Option<NewLogin>, Failure> {
    let dir = tempfile::tempdir().unwrap();
    get(&helper(dir.path(), script), "registry.example", Duration::from_secs(2)).await
}

#[tokio::test]
async fn helpers_are_asked_as_docker_asks_them() {
    let script = r#"read server; echo "{\"ServerURL\":\"$server\",\"Username\":\"$1-$server\",\"Secret\":\"s\"}""#;
    let found = answers(script).await.ok().flatten().unwrap();
    assert_eq!((found.username.as_str(), found.password.expose()), ("get-registry.example", "s"));
    let found = answers(r#"echo '{"Username":"<token>","Secret":"t"}'"#).await.ok().flatten().unwrap();
    assert_eq!((found.username.as_str(), found.identity_token.expose()), ("", "t"));
    let none = answers("echo 'credentials not found in native keychain'; exit 1").await;
    assert_eq!(none, Ok(None));
}

#[tokio::test]
async fn a_helper_that_misbehaves_is_named_and_never_quoted() {
    for (script, words) in [
        ("echo hunter2; exit 3", "exit status: 3"),
        ("echo hunter2", "not that of a credential helper"),
        ("echo '{\"Username\":\"ann\",\"Secret\":[\"hunter2\"]}'", "not that of a credential helper"),
        ("while :; do echo hunter2hunter2hunter2hunter2hunter2; done", "more than 65536 bytes"),
        ("sleep 60", "within 2 s"),
    ] {
        let failure = answers(script).await.unwrap_err();
        let shown = failure.render(false);
        assert!(shown.contains("docker-credential-x") && shown.contains(words), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    let failure = ask("../x", "registry.example", Duration::from_secs(1)).await.unwrap_err();
    assert!(failure.message.contains("no name"), "{}", failure.message);
    let failure = ask("is-not-there", "registry.example", Duration::from_secs(1)).await.unwrap_err();
    assert!(failure.help.is_some_and(|help| help.contains("waggle registry login")));
}

#[tokio::test]
async fn a_broken_file_is_named_and_never_quoted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    for broken in [r#"{"auths": hunter2}"#, r#"{"auths": {"a.example": {"auth": ["hunter2"]}}}"#] {
        std::fs::write(&path, broken).unwrap();
        let failure = DockerConfig::load(&path).err().unwrap();
        assert!(failure.message.contains("config.json:1:") && !failure.message.contains("hunter2"));
    }
    let config = config(r#"{"auths": {"a.example": {"auth": "hunter2!"}}}"#);
    let failure = config.login("a.example").await.unwrap_err();
    assert!(failure.message.contains("auths.a.example.auth") && !failure.message.contains("hunter2"));
}
