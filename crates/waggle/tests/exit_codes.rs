//! Exit codes and messages of the command as a process, without any service.

use std::path::Path;
use std::process::{Command, Output};

fn waggle(home: &Path, line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_waggle"))
        .args(line.split(' ').filter(|word| !word.is_empty()))
        .env_clear()
        .env("HOME", home)
        .current_dir(home)
        .output()
        .unwrap()
}

fn ends(home: &Path, line: &str, code: i32, says: &str) {
    let output = waggle(home, line);
    let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(code), "{line}: {text}");
    assert!(text.contains(says), "{line}: {text}");
    assert!(!text.contains("\u{1b}["), "colour without a terminal: {text}");
}

#[test]
fn each_kind_of_failure_has_its_code() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    ends(home, "--version", 0, env!("CARGO_PKG_VERSION"));
    ends(home, "--help", 0, "Exit codes:");
    ends(home, "stack", 2, "Usage:");
    ends(home, "stack ls --nonsense", 2, "--nonsense");
    ends(home, "stack ls", 6, "waggle login");
    ends(home, "context use nowhere", 5, "no context nowhere");

    std::fs::write(home.join("bad.yaml"), "clusters:\n  A: {}\n").unwrap();
    ends(home, "apply -f bad.yaml", 5, "bad.yaml:2:3: ");
    ends(home, "apply -f gone.yaml", 5, "gone.yaml");
    ends(home, "login https://127.0.0.1:1 --token-file gone.token", 5, "gone.token");
    std::fs::write(home.join("compose.yml"), "services: {web: {image: nginx, prots: []}}\n").unwrap();
    ends(home, "stack deploy -c compose.yml shop", 5, "compose.yml:1:");
    std::fs::write(home.join("agent.toml"), "cluster = \"eu-1\"\ncontrol = [\"a:1\"]\nclutser = 1\n").unwrap();
    ends(home, "agent --config agent.toml", 5, "agent.toml:3:1");
}

#[test]
fn nobody_listening_is_code_4() {
    let home = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let token = waggle_wire::token::Token::generate(waggle_wire::token::Kind::Api, [7; 32]).unwrap();
    std::fs::write(home.path().join("token"), token.expose()).unwrap();
    ends(home.path(), &format!("login https://{address} --token-file token"), 4, "nothing listens");
    ends(home.path(), &format!("login ftp://{address} --token-file token"), 5, "https");
    assert!(!home.path().join(".config").exists(), "a failed login leaves nothing");
}

#[test]
fn the_reader_may_go_away() {
    let home = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_waggle"))
        .args(["completion", "bash"])
        .env("HOME", home.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
