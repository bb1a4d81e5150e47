//! Bad input gets an error that says where and what to do, and nothing changes.

use crate::{binary, deploy, image, with_federation};
use anyhow::{Context, Result, ensure};
use std::fs;
use waggle_tests::bed::federation::Federation;
use waggle_tests::shop::Shop;

#[test]
fn bad_input_says_where_and_what_to_do_and_changes_nothing() -> Result<()> {
    with_federation(|federation| {
        deploy(federation, &Shop::good(&image(federation, "v1")))?;
        let before = state(federation)?;
        for case in stack_cases(federation) {
            refused(federation, &case)?;
        }
        for (name, text, words) in federation_cases() {
            let file = federation.write_file(&format!("{name}.yaml"), &text)?;
            said(federation, &["apply", "-f", &file], &words).with_context(|| name.to_owned())?;
        }
        tokens_and_identities(federation)?;
        processes_refuse_to_start(federation)?;
        ensure!(state(federation)? == before, "bad input changed something");
        Ok(())
    })
}

struct Case {
    name: &'static str,
    stack: &'static str,
    text: String,
    words: &'static [&'static str],
}

fn stack_cases(federation: &Federation) -> Vec<Case> {
    let image = image(federation, "v1");
    let service = format!("services:\n  web:\n    image: {image}\n");
    let route = |name: &str| format!("x-waggle:\n  routes:\n    - {{name: {name}, service: web}}\n");
    let case = |name, text: String, words| Case { name, stack: "other", text, words };
    vec![
        case("wrong yaml", "services:\n  web: [unclosed\n".into(), &["wrong-yaml.yml:2:8", "unclosed"]),
        case("unknown key", format!("{service}    imagee: x\n"), &["unknown-key.yml:4", "imagee"]),
        case(
            "undefined network",
            format!("{service}    networks: [nowhere]\n"),
            &["undefined-network.yml:", "nowhere"],
        ),
        case("undefined secret", format!("{service}    secrets: [nothing]\n"), &["undefined-secret.yml:", "nothing"]),
        case("undefined config", format!("{service}    configs: [nothing]\n"), &["undefined-config.yml:", "nothing"]),
        case("missing env file", format!("{service}    env_file: gone.env\n"), &["missing-env-file.yml:", "gone.env"]),
        case(
            "image without a digest",
            "services:\n  web:\n    image: 127.0.0.1:1/none:v1\n".into(),
            &["127.0.0.1:1/none:v1"],
        ),
        case(
            "route of another stack",
            format!("{service}{}", route("www.shop.example")),
            &["www.shop.example", "shop"],
        ),
        case(
            "route outside the zones",
            format!("{service}{}", route("www.elsewhere.example")),
            &["www.elsewhere.example", "zone"],
        ),
    ]
}

fn refused(federation: &Federation, case: &Case) -> Result<()> {
    let file = federation.write_file(&format!("{}.yml", case.name.replace(' ', "-")), &case.text)?;
    let words: Vec<String> = case.words.iter().map(|word| (*word).to_owned()).collect();
    said(federation, &["stack", "deploy", "-c", &file, case.stack], &words).with_context(|| case.name.to_owned())
}

/// The command fails and its error output holds all the words.
fn said(federation: &Federation, arguments: &[&str], words: &[String]) -> Result<()> {
    let result = federation.cli(arguments).output()?;
    let text = String::from_utf8_lossy(&result.stderr).into_owned();
    ensure!(!result.status.success(), "waggle {} succeeded", arguments.join(" "));
    for word in words {
        ensure!(text.contains(word.as_str()), "{word:?} is not in: {text}");
    }
    Ok(())
}

fn federation_cases() -> Vec<(&'static str, String, Vec<String>)> {
    let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    vec![
        (
            "unknown-key",
            "clusterz:\n  a: {addresses: [192.0.2.1]}\n".into(),
            words(&["unknown-key.yaml:1", "clusterz"]),
        ),
        ("bad-address", "clusters:\n  eu-1: {addresses: [999.0.2.1]}\n".into(), words(&["bad-address.yaml:2"])),
        ("mixed-types", mixed_record_types(), words(&["www.shop.example"])),
    ]
}

/// One cluster offers A and AAAA, the others A only.
fn mixed_record_types() -> String {
    "clusters:\n  eu-1: {addresses: [192.0.2.1, '2001:db8::1']}\n  us-1: {addresses: [192.0.2.2]}\n  ap-1: {addresses: \
     [192.0.2.3]}\nzones:\n  shop.example: {nameservers: [ns1.shop.example.], contact: hostmaster.shop.example.}\n"
        .into()
}

fn tokens_and_identities(federation: &Federation) -> Result<()> {
    let dir = federation.hosts.plot.dir().join("intruder");
    fs::create_dir_all(&dir)?;
    let used = fs::read_to_string(federation.hosts.regions[0].dir().join("join.token"))?;
    let fresh = federation.waggle_json(&["cluster", "join-token", "eu-1"])?;
    let fresh = fresh["token"].as_str().unwrap_or_default().to_owned();
    let swarm_of_us = federation.engines[2].socket().display().to_string();
    for (name, token, words) in [("reused-token", used, ["token", "used"]), ("second-agent", fresh, ["eu-1", "swarm"])]
    {
        let token_file = dir.join(name);
        fs::write(&token_file, token)?;
        let text = format!(
            "cluster = \"eu-1\"\ncontrol = [\"{}:7444\"]\ntoken_file = \"{}\"\ndata_dir = \"{}\"\ndocker_socket = \"{swarm_of_us}\"\n",
            federation.hosts.control.address,
            token_file.display(),
            dir.join(format!("{name}-data")).display(),
        );
        starts_and_fails(federation, "agent", &text, &words).with_context(|| name.to_owned())?;
    }
    Ok(())
}

fn processes_refuse_to_start(federation: &Federation) -> Result<()> {
    let dir = federation.hosts.plot.dir().join("refused").display().to_string();
    let agent = |socket: &str| {
        format!(
            "cluster = \"eu-1\"\ncontrol = [\"127.0.0.1:1\"]\ndata_dir = \"{dir}/agent\"\ndocker_socket = \"{socket}\"\n"
        )
    };
    starts_and_fails(federation, "agent", &agent("/nowhere/docker.sock"), &["/nowhere/docker.sock", "Docker"])?;
    let taken = format!(
        "data_dir = \"{dir}/control\"\napi_listen = \"{ip}:7443\"\ngrpc_listen = \"{ip}:7444\"\nadvertise = \"{ip}:7444\"\n",
        ip = federation.hosts.control.address
    );
    starts_and_fails(federation, "control", &taken, &["7443", "in use"])?;
    starts_and_fails(federation, "nameserver", "nam = \"ns9\"\n", &["nam", ":1"])
}

/// Starts a role on the control host with this configuration: it must end by itself with these words.
fn starts_and_fails(federation: &Federation, role: &str, config: &str, words: &[&str]) -> Result<()> {
    let file = federation.write_file(&format!("bad-{role}.toml"), config)?;
    let mut command = federation.hosts.control.command("timeout");
    command.args(["20", &binary().display().to_string(), role, "--config", &file]);
    let result = command.output()?;
    let text = String::from_utf8_lossy(&result.stderr).into_owned();
    ensure!(!result.status.success() && result.status.code() != Some(124), "{role} did not refuse to start: {text}");
    for word in words {
        ensure!(text.contains(word), "{word:?} is not in: {text}");
    }
    Ok(())
}

/// What must not change: stacks, releases, rollouts, federation.
fn state(federation: &Federation) -> Result<Vec<serde_json::Value>> {
    let lists: [&[&str]; 3] = [&["release", "ls"], &["rollout", "ls", "--all"], &["stack", "ls"]];
    lists.iter().map(|arguments| federation.waggle_json(arguments)).collect()
}
