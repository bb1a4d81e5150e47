//! `waggle up` the way a new user would: one command, one Compose file, one `dig`.

use crate::binary;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};
use waggle_tests::bed::engine::Engine;
use waggle_tests::bed::host::Host;
use waggle_tests::bed::image::Registry;
use waggle_tests::bed::process::Process;
use waggle_tests::bed::{self, Bed, interrupt, wait_for};
use waggle_tests::dns_client;

/// From nothing to an answer.
const ONE_MINUTE: Duration = Duration::from_secs(60);

#[test]
fn up_deploys_a_compose_file_and_answers_for_it_within_a_minute() -> Result<()> {
    interrupt::catch()?;
    let bed = Bed::make(bed::TEST)?;
    let host = Host::make(bed.plot, "solo", 10)?;
    let registry = Registry::start(&host)?;
    let mut engine = Engine::start(&host, &Registry::name(&host))?;
    engine.wait()?;
    let image = registry.publish_web(&engine, "v1")?;

    let start = Instant::now();
    let up = start_up(&host, &engine)?;
    let compose = host.dir().join("compose.yml");
    fs::write(&compose, new_users_file(&image))?;
    let waggle = |arguments: &[&str]| -> Result<String> {
        let mut command = host.command(&binary().display().to_string());
        let result = command.args(arguments).env("HOME", host.dir()).env_remove("XDG_CONFIG_HOME").output()?;
        let said = String::from_utf8_lossy(&result.stderr).into_owned();
        ensure!(result.status.success(), "waggle {}: {said}", arguments.join(" "));
        Ok(String::from_utf8_lossy(&result.stdout).into_owned())
    };
    wait_for("`waggle up` to be ready", ONE_MINUTE, || {
        let clusters: serde_json::Value = serde_json::from_str(&waggle(&["cluster", "ls", "--format", "json"])?)?;
        ensure!(clusters[0]["connected"] == true, "no agent is connected: {clusters}");
        Ok(())
    })
    .with_context(|| up.log_tail(30))?;
    waggle(&["stack", "deploy", "-c", &compose.display().to_string(), "hello"]).with_context(|| up.log_tail(30))?;
    let server = SocketAddr::from((host.address, 5353));
    wait_for("the route to answer", ONE_MINUTE, || {
        let answer = dns_client::ask(server, "hello.waggle.test", None, Duration::from_millis(500))?;
        ensure!(answer.addresses == [std::net::IpAddr::V4(host.address)], "{answer:?}");
        Ok(())
    })?;
    ensure!(start.elapsed() < ONE_MINUTE, "took {:?}", start.elapsed());
    println!("from nothing to an answer: {:.1} s", start.elapsed().as_secs_f64());

    drop(up);
    drop((engine, registry));
    drop(bed);
    let left = bed::leftovers(bed::TEST);
    ensure!(left.is_empty(), "left behind: {}", left.join(", "));
    Ok(())
}

fn start_up(host: &Host, engine: &Engine) -> Result<Process> {
    let mut command: Command = host.command(&binary().display().to_string());
    command.args(["up", "--yes", "--docker-socket", &engine.socket().display().to_string()]);
    let address = host.address.to_string();
    command.args(["--address", &address, "--dns", &format!("{address}:5353")]);
    command.args(["--allow", &format!("registries={}", Registry::name(host))]);
    command.env("HOME", host.dir()).env_remove("XDG_CONFIG_HOME").env_remove("XDG_DATA_HOME");
    Process::start(&host.dir(), "up", command)
}

fn new_users_file(image: &str) -> String {
    format!(
        "services:\n  web:\n    image: {image}\n    command: [\"/bin/httpd\", \"-f\", \"-p\", \"8080\", \"-h\", \"/www\"]\n    \
         ports:\n      - {{target: 8080, published: 8080, mode: host}}\nx-waggle:\n  routes:\n    - {{name: \
         hello.waggle.test, service: web}}\n"
    )
}
