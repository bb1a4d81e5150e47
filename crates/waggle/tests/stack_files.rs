//! `waggle stack convert` and `config` as processes: files, standard input, environment, digests; no service is there.

use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const COMPOSE: &str = "\
services:
  web:
    image: nginx:${TAG:-1.27}
    secrets: [key]
    volumes: [./conf:/conf]
secrets:
  key: {file: ./key.txt}
";

fn waggle(dir: &Path, line: &str, stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_waggle"))
        .args(line.split(' '))
        .env_clear()
        .env("HOME", dir)
        .env("TAG", "1.28")
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn done(dir: &Path, line: &str, stdin: &str) -> String {
    let output = waggle(dir, line, stdin);
    assert_eq!(output.status.code(), Some(0), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn converted(dir: &Path, line: &str, stdin: &str) -> Value {
    serde_json::from_str(&done(dir, line, stdin)).unwrap()
}

fn refused(dir: &Path, line: &str, says: &str) {
    let output = waggle(dir, line, "");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(5), "{line}: {text}");
    assert!(text.contains(says), "{line}: {text}");
    assert!(output.stdout.is_empty(), "{line} printed something all the same");
}

fn shop() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("compose.yml"), COMPOSE).unwrap();
    std::fs::write(dir.path().join("over.yml"), "services: {web: {hostname: box, ports: [\"80:80\"]}}\n").unwrap();
    std::fs::write(dir.path().join("key.txt"), "open sesame").unwrap();
    dir
}

#[test]
fn convert_prints_what_would_be_sent() {
    let dir = shop();
    let dir = dir.path();
    refused(dir, "stack convert -c compose.yml shop", "\"./conf\"");

    let all = converted(dir, "stack convert -c compose.yml,over.yml --compat D5 shop --format engine-json", "");
    let web = &all["services"][0];
    assert_eq!(web["name"], "shop_web");
    let container = &web["body"]["TaskTemplate"]["ContainerSpec"];
    assert_eq!(container["Image"], "nginx:1.28");
    assert_eq!(container["Hostname"], "box");
    assert_eq!(container["Mounts"][0]["Source"], json!(dir.canonicalize().unwrap().join("conf")));
    assert_eq!(container["Secrets"][0]["SecretID"], "shop_key");
    assert_eq!(all["secrets"][0]["body"]["Data"], "b3BlbiBzZXNhbWU=");
    assert_eq!(all["networks"][0]["body"]["CheckDuplicate"], true);

    let newer = converted(dir, "stack convert -c compose.yml --compat all --api-version 1.50 shop", "");
    assert_eq!(newer["networks"][0]["body"].get("CheckDuplicate"), None);

    let piped = converted(dir, "stack convert -c - shop", "services: {a: {image: a}}");
    assert_eq!(piped["services"][0]["body"]["TaskTemplate"]["ContainerSpec"]["Image"], "a:latest");
}

#[test]
fn convert_takes_digests_from_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let digest = format!("sha256:{}", "a".repeat(64));
    let platforms = json!([{"os": "linux", "architecture": "amd64"}, {"os": "unknown", "architecture": "unknown"}]);
    let digests = json!({"nginx": {"digest": digest, "platforms": platforms}});
    std::fs::write(dir.join("digests.json"), digests.to_string()).unwrap();
    std::fs::write(dir.join("a.yml"), "services: {a: {image: nginx}, b: {image: other}}").unwrap();

    let all = converted(dir, "stack convert -c a.yml --digests digests.json shop", "");
    let task = |at: usize| &all["services"][at]["body"]["TaskTemplate"];
    assert_eq!(task(0)["ContainerSpec"]["Image"], json!(format!("nginx:latest@{digest}")));
    assert_eq!(task(0)["Placement"]["Platforms"][0], json!({"Architecture": "amd64", "OS": "linux"}));
    assert_eq!(task(1)["ContainerSpec"]["Image"], "other:latest");
    assert_eq!(task(1)["Placement"].get("Platforms"), None);

    for (text, says) in [
        ("{\"nginx\": {\"digest\": \"sha256:short\"}}", "sha256:short"),
        ("{\"nginx\": {\"digset\": \"x\"}}", "line 1 column"),
        ("{\"NGINX\": {\"digest\": \"sha256:00\"}}", "NGINX"),
    ] {
        std::fs::write(dir.join("bad.json"), text).unwrap();
        refused(dir, "stack convert -c a.yml --digests bad.json shop", says);
    }
}

#[test]
fn config_prints_the_merged_file() {
    let dir = shop();
    let dir = dir.path();
    let text = done(dir, "stack config -c compose.yml -c over.yml", "");
    for line in ["image: nginx:1.28", "hostname: box", "published: 80", "version: \"3.13\""] {
        assert!(text.lines().any(|found| found.trim() == line), "no {line:?} in\n{text}");
    }
    let text = done(dir, "stack config -c - --skip-interpolation", COMPOSE);
    assert!(text.contains("image: nginx:${TAG:-1.27}"), "{text}");
    refused(dir, "stack config -c gone.yml", "gone.yml");
    std::fs::write(dir.join("bad.yml"), "services: {web: {image: a, prots: []}}\n").unwrap();
    refused(dir, "stack config -c bad.yml", "bad.yml:1:28");
}

#[test]
fn wrong_use_is_code_2() {
    let dir = shop();
    for line in [
        "stack convert -c compose.yml shop --format json",
        "stack convert -c compose.yml shop --api-version 1.24",
        "stack convert -c compose.yml shop --compat D99",
        "stack convert shop",
        "stack config",
        "stack config -c compose.yml --compat nothing",
    ] {
        assert_eq!(waggle(dir.path(), line, "").status.code(), Some(2), "{line}");
    }
}
