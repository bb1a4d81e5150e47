//! A stack on three real swarms through its life: taken over from the docker CLI, unchanged, with another secret, another
//! port, rolled back, and gone.

use crate::{image, with_federation};
use anyhow::{Context, Result, ensure};
use std::net::SocketAddr;
use std::time::Duration;
use waggle_tests::bed::engine::Engine;
use waggle_tests::bed::federation::Federation;
use waggle_tests::bed::{PATIENCE, wait_for};
use waggle_tests::http_client;
use waggle_tests::kit::Kit;

const SERVICES: [&str; 2] = ["kit_back", "kit_web"];

#[test]
fn a_stack_is_taken_over_with_no_restart_and_lives_as_its_files_say() -> Result<()> {
    with_federation(|federation| {
        let image = image(federation, "v1");
        federation.write_file("key-1.txt", "swordfish")?;
        federation.write_file("key-2.txt", "trout")?;
        federation.write_file("key-3.txt", "salmon")?;
        federation.write_file("note.txt", "a note\n")?;
        let first = Kit { image: &image, port: 8081, secret: "key-1.txt", greeting: "hello" };

        taken_over(federation, &first)?;
        nothing_is_written_again(federation, &first)?;
        let second = Kit { secret: "key-2.txt", ..first };
        rolls_to(federation, &second, "trout", "hello")?;
        let third = Kit { port: 8082, ..second };
        rolls_to(federation, &third, "trout", "hello")?;
        for engine in &federation.engines {
            ensure!(get(engine, 8081, "key").is_err(), "{} still serves port 8081", engine.host.name);
        }
        let fourth = Kit { secret: "key-3.txt", greeting: "good day", ..third };
        rolls_to(federation, &fourth, "salmon", "good day")?;
        old_secrets_go(federation)?;

        federation.waggle(&["stack", "rollback", "kit"])?;
        shows(federation, &third, "trout", "hello")?;
        federation.waggle(&["verify", "kit"])?;
        nothing_is_left(federation)
    })
}

/// What the docker CLI deployed becomes ours without one task being replaced.
fn taken_over(federation: &Federation, kit: &Kit<'_>) -> Result<()> {
    let file = federation.write_file("kit.yml", &kit.compose())?;
    for engine in &federation.engines {
        engine.docker(&["stack", "deploy", "-c", &file, "kit"])?;
    }
    shows(federation, kit, "swordfish", "hello")?;
    let before = tasks(federation)?;
    federation.waggle(&["stack", "deploy", "-c", &file, "kit"])?;
    shows(federation, kit, "swordfish", "hello")?;
    let after = tasks(federation)?;
    ensure!(before == after, "tasks were replaced: {before:?} became {after:?}");
    federation.waggle(&["verify", "kit"]).map(|_| ())
}

fn nothing_is_written_again(federation: &Federation, kit: &Kit<'_>) -> Result<()> {
    let before = versions(federation)?;
    deploy(federation, kit)?;
    let after = versions(federation)?;
    ensure!(before == after, "an unchanged deploy wrote: {before:?} became {after:?}");
    Ok(())
}

fn rolls_to(federation: &Federation, kit: &Kit<'_>, key: &str, greeting: &str) -> Result<()> {
    deploy(federation, kit)?;
    shows(federation, kit, key, greeting)
}

fn deploy(federation: &Federation, kit: &Kit<'_>) -> Result<String> {
    let file = federation.write_file("kit.yml", &kit.compose())?;
    federation.waggle(&["stack", "deploy", "-c", &file, "kit"])
}

fn shows(federation: &Federation, kit: &Kit<'_>, key: &str, greeting: &str) -> Result<()> {
    for engine in &federation.engines {
        wait_for(&format!("{} to show {key} and {greeting}", engine.host.name), PATIENCE, || {
            let (shown, greeted) = (get(engine, kit.port, "key")?, get(engine, kit.port, "greeting")?);
            ensure!(shown.trim() == key && greeted.trim() == greeting, "{shown:?} and {greeted:?}");
            Ok(())
        })?;
    }
    Ok(())
}

fn get(engine: &Engine, port: u16, path: &str) -> Result<String> {
    let address = SocketAddr::from((engine.host.address, port));
    http_client::get(address, "kit.test", &format!("/{path}"), Duration::from_secs(2))
}

/// Names of the secrets per Engine: the one in use and the version before it, as `versions_kept` says.
fn old_secrets_go(federation: &Federation) -> Result<()> {
    for engine in &federation.engines {
        wait_for("superseded secrets to be removed", PATIENCE, || {
            let names = engine.docker(&["secret", "ls", "--format", "{{.Name}}"])?;
            ensure!(names.lines().count() == 2, "{names}");
            Ok(())
        })?;
    }
    let listed = |engine: &Engine| engine.docker(&["secret", "ls", "--format", "{{.Name}}"]).map(sorted);
    let first = listed(&federation.engines[0])?;
    for engine in &federation.engines {
        ensure!(listed(engine)? == first, "{} has other secrets", engine.host.name);
    }
    Ok(())
}

fn sorted(text: String) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Every task there has ever been.
fn tasks(federation: &Federation) -> Result<Vec<Vec<String>>> {
    let of = |engine: &Engine| {
        let all = SERVICES.map(|service| engine.docker(&["service", "ps", "-q", "--no-trunc", service]));
        let all: Result<Vec<String>> = all.into_iter().collect();
        all.map(|all| sorted(all.concat()))
    };
    federation.engines.iter().map(of).collect()
}

fn versions(federation: &Federation) -> Result<Vec<String>> {
    let format = "{{.Spec.Name}} {{.Version.Index}} {{.UpdatedAt}}";
    let of = |engine: &Engine| engine.docker(&[&["service", "inspect", "-f", format], &SERVICES[..]].concat());
    federation.engines.iter().map(of).collect()
}

fn nothing_is_left(federation: &Federation) -> Result<()> {
    federation.waggle(&["stack", "rm", "kit"])?;
    for engine in &federation.engines {
        wait_for(&format!("the stack to leave {}", engine.host.name), PATIENCE, || {
            for kind in ["service", "secret", "config"] {
                let left = engine.docker(&[kind, "ls", "-q"])?;
                ensure!(left.trim().is_empty(), "{kind}: {left}");
            }
            let networks = engine.docker(&["network", "ls", "-q", "--filter", "name=kit_"])?;
            ensure!(networks.trim().is_empty(), "networks: {networks}");
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn both_protocols_of_a_port_stay_when_a_second_file_is_merged() -> Result<()> {
    with_federation(|federation| {
        let image = image(federation, "v1");
        let base = format!(
            "version: \"3.8\"\nservices:\n  names:\n    image: {image}\n    command: [\"/bin/sleep\", \"100000\"]\n    \
             stop_signal: SIGKILL\n    ports:\n      - {{target: 53, published: 53, protocol: tcp, mode: host}}\n      - \
             {{target: 53, published: 53, protocol: udp, mode: host}}\n    deploy: {{endpoint_mode: dnsrr}}\nx-waggle:\n  \
             promotion: {{max_parallel: 3, strategy: in_place, monitor: 300ms, progress_deadline: 60s}}\n"
        );
        let base = federation.write_file("names.yml", &base)?;
        let second = "version: \"3.8\"\nservices:\n  names:\n    environment: {TZ: UTC}\n";
        let second = federation.write_file("names.prod.yml", second)?;
        federation.waggle(&["stack", "deploy", "-c", &base, "-c", &second, "names"])?;
        for engine in &federation.engines {
            let format = "{{range .Spec.EndpointSpec.Ports}}{{.PublishedPort}}/{{.Protocol}} {{end}}";
            let ports = engine.docker(&["service", "inspect", "names_names", "-f", format])?;
            let mut ports: Vec<&str> = ports.split_whitespace().collect();
            ports.sort_unstable();
            ensure!(ports == ["53/tcp", "53/udp"], "{ports:?}");
            let format = "{{.Spec.TaskTemplate.ContainerSpec.Env}}";
            let env = engine.docker(&["service", "inspect", "names_names", "-f", format])?;
            ensure!(env.contains("TZ=UTC"), "the second file was not merged: {env}");
        }
        federation.waggle(&["stack", "rm", "names"]).context("cannot remove the stack").map(|_| ())
    })
}
