//! What every role tells about itself over HTTP, and that each ends in time when told to, whatever is under way.

use crate::{binary, deploy, image, with_federation_and};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use waggle_tests::bed::engine::Engine;
use waggle_tests::bed::federation::{Federation, REGIONS};
use waggle_tests::bed::host::Host;
use waggle_tests::bed::process::{self, Process};
use waggle_tests::bed::{self, Bed, PATIENCE, interrupt, wait_for};
use waggle_tests::shop::Shop;

/// What a role has for its end.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(8);
const STATUS_PORT: u16 = 9100;

#[test]
fn every_role_tells_how_it_is_and_ends_in_time_during_a_rollout() -> Result<()> {
    let nothing = |_: &Bed| Ok(((), Vec::new()));
    with_federation_and(bed::TRACE, nothing, |federation, ()| {
        deploy(federation, &Shop::quick(&image(federation, "v1")))?;
        everyone_is_alive_and_ready(federation)?;
        metrics_follow_the_federation(federation)?;
        answers_are_counted(federation)?;

        let rollout = start_long_rollout(federation)?;
        ends_in_time(&mut federation.control, "control.toml")?;
        agents_say_what_they_lack(federation)?;
        federation.restart_control()?;
        federation.wait_connected()?;
        still_under_way(federation, &rollout)?;
        for agent in &mut federation.agents {
            ends_in_time(agent, "agent.toml")?;
        }
        for nameserver in &mut federation.nameservers {
            ends_in_time(nameserver, "nameserver.toml")?;
        }
        still_under_way(federation, &rollout)?;
        ends_in_time(&mut federation.control, "control.toml")?;
        nameserver_says_what_it_lacks(federation)
    })
}

#[test]
fn an_agent_refuses_an_engine_that_is_in_no_swarm() -> Result<()> {
    interrupt::catch()?;
    let bed = Bed::make(bed::TRACE)?;
    let host = Host::make(bed.plot, "lone", 40)?;
    let mut engine = Engine::start(&host, "registry.invalid:5000")?;
    engine.wait()?;
    let config = host.dir().join("agent.toml");
    let (data, socket) = (host.dir().join("agent"), engine.socket());
    let text = format!(
        "cluster = \"lone\"\ncontrol = [\"{}:7444\"]\ndata_dir = \"{}\"\ndocker_socket = \"{}\"\n",
        host.address,
        data.display(),
        socket.display()
    );
    fs::write(&config, text)?;
    let mut command = host.command(&binary().display().to_string());
    command.args(["agent", "--config", &config.display().to_string()]);
    let mut agent = Process::start(&host.dir(), "agent", command)?;
    let said = wait_for("the agent to refuse", PATIENCE, || match agent.check_alive() {
        Ok(()) => bail!("it runs:\n{}", agent.log_tail(15)),
        Err(ended) => Ok(ended.to_string()),
    })?;
    println!("{said}");
    ensure!(said.contains("not part of a swarm"), "{said}");
    ensure!(said.contains("docker swarm init") && said.contains("docker swarm join"), "no way out: {said}");
    ensure!(!agent.terminate()?.success(), "a refusal is no success");
    drop((agent, engine));
    drop(bed);
    let left = bed::leftovers(bed::TRACE);
    ensure!(left.is_empty(), "left behind: {}", left.join(", "));
    Ok(())
}

fn everyone_is_alive_and_ready(federation: &Federation) -> Result<()> {
    for host in hosts(federation) {
        let (code, body) = get(host.address, "/livez")?;
        ensure!(code == 200, "{}: {code} {body}", host.name);
        wait_for(&format!("{} to be ready", host.name), PATIENCE, || {
            let readiness = readiness(host.address, 200)?;
            ensure!(readiness["ready"] == true && readiness["reasons"] == serde_json::json!({}), "{readiness}");
            Ok(())
        })?;
        let version = metric(host.address, "waggle_build_info")?;
        ensure!(version == 1.0, "{}: {version}", host.name);
        ensure!(get(host.address, "/nothing")?.0 == 404);
    }
    Ok(())
}

/// Sessions, rollouts and generations; they are eventually right.
fn metrics_follow_the_federation(federation: &Federation) -> Result<()> {
    let control = federation.hosts.control.address;
    wait_for("the metrics to be right", PATIENCE, || {
        expect(control, "waggle_control_agents", REGIONS.len() as f64)?;
        expect(control, "waggle_control_nameservers", federation.hosts.nameservers.len() as f64)?;
        expect(control, "waggle_control_rollouts", 0.0)?;
        expect(control, "waggle_control_reconcile_failures_total", 0.0)?;
        ensure!(metric(control, "waggle_control_reconciled_total")? > 0.0);
        let plan = metric(control, "waggle_control_plan_generation")?;
        ensure!(plan > 0.0, "no plan");
        for host in &federation.hosts.regions {
            expect(host.address, "waggle_agent_session_open", 1.0)?;
            for grows in
                ["agent_generation", "agent_passes_total", "agent_engine_writes_total", "agent_beats_sent_total"]
            {
                ensure!(metric(host.address, &format!("waggle_{grows}"))? > 0.0, "{}: {grows} is 0", host.name);
            }
        }
        for host in &federation.hosts.nameservers {
            expect(host.address, "waggle_plan_generation", plan)?;
            expect(host.address, "waggle_probe_targets", REGIONS.len() as f64)?;
            expect(host.address, "waggle_endpoint_fit", REGIONS.len() as f64)?;
            expect(host.address, "waggle_dns_panics_total", 0.0)?;
        }
        Ok(())
    })
}

fn answers_are_counted(federation: &Federation) -> Result<()> {
    for (at, host) in federation.hosts.nameservers.iter().enumerate() {
        let before = metric(host.address, "waggle_dns_answers_total").unwrap_or_default();
        federation.ask_from(at, "eu-1")?;
        let after = metric(host.address, "waggle_dns_answers_total")?;
        ensure!(after >= before + 1.0, "{}: {before} answers before a question, {after} after it", host.name);
    }
    Ok(())
}

/// A rollout that watches each cluster for a minute; it is under way when control counts it.
fn start_long_rollout(federation: &Federation) -> Result<String> {
    let image = image(federation, "v2");
    let shop = Shop { monitor: "60s", ..Shop::quick(&image) };
    let file = federation.write_file("shop.yml", &shop.compose())?;
    let made = federation.waggle_json(&["stack", "deploy", "--detach", "-c", &file, "shop"])?;
    let rollout = made["rollout"].to_string();
    wait_for("the rollout to be under way", PATIENCE, || {
        expect(federation.hosts.control.address, "waggle_control_rollouts", 1.0)?;
        ensure!(engines_that_update(federation) > 0, "no Engine updates yet");
        Ok(())
    })?;
    Ok(rollout)
}

fn engines_that_update(federation: &Federation) -> usize {
    let format = "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}";
    let state = |engine: &Engine| engine.docker(&["service", "inspect", "shop_web", "-f", format]).unwrap_or_default();
    federation.engines.iter().filter(|engine| state(engine).trim() == "updating").count()
}

fn still_under_way(federation: &Federation, rollout: &str) -> Result<()> {
    let view = federation.waggle_json(&["rollout", "show", rollout])?;
    let state = &view["rollout"]["state"];
    ensure!(*state != "done" && !state["held"].is_object(), "the rollout has ended: {state} {}", view["report"]);
    Ok(())
}

/// SIGTERM; exit code 0 within the deadline, and no process with its configuration is left.
fn ends_in_time(process: &mut Process, config: &str) -> Result<()> {
    let start = Instant::now();
    let status = process.terminate()?;
    let took = start.elapsed();
    println!("{} ended after {:.2} s", process.log.display(), took.as_secs_f64());
    ensure!(status.success(), "{} ended with {status}:\n{}", process.name, process.log_tail(15));
    ensure!(took < SHUTDOWN_DEADLINE, "{} needed {took:?} to end:\n{}", process.name, process.log_tail(15));
    let config = process.log.with_file_name(config).display().to_string();
    let left = process::naming(&config);
    ensure!(left.is_empty(), "processes {left:?} still name {config}");
    Ok(())
}

fn agents_say_what_they_lack(federation: &Federation) -> Result<()> {
    for host in &federation.hosts.regions {
        wait_for("an agent to miss its session", PATIENCE, || {
            let readiness = readiness(host.address, 503)?;
            let reason = readiness["reasons"]["session"].as_str().unwrap_or_default();
            ensure!(readiness["ready"] == false && reason.contains("no session with control"), "{readiness}");
            expect(host.address, "waggle_agent_session_open", 0.0)
        })?;
    }
    for host in &federation.hosts.nameservers {
        readiness(host.address, 200).context("a nameserver needs no control to be ready")?;
    }
    Ok(())
}

/// Without control and without its plans a nameserver is alive, and not ready.
fn nameserver_says_what_it_lacks(federation: &mut Federation) -> Result<()> {
    let host = federation.hosts.nameservers[0].clone();
    fs::remove_dir_all(host.dir().join("nameserver").join("plans"))?;
    federation.nameservers[0] = federation.start_nameserver(0)?;
    wait_for("the nameserver to miss its plan", PATIENCE, || {
        let readiness = readiness(host.address, 503)?;
        let reason = readiness["reasons"]["plan"].as_str().unwrap_or_default();
        ensure!(readiness["ready"] == false && reason.contains("no plan yet"), "{readiness}");
        ensure!(get(host.address, "/livez")?.0 == 200);
        Ok(())
    })?;
    ends_in_time(&mut federation.nameservers[0], "nameserver.toml")
}

/// Every host with a role on it.
fn hosts(federation: &Federation) -> Vec<&Host> {
    let hosts = &federation.hosts;
    [&hosts.control].into_iter().chain(&hosts.regions).chain(&hosts.nameservers).collect()
}

fn readiness(address: Ipv4Addr, wanted: u16) -> Result<Value> {
    let (code, body) = get(address, "/readyz")?;
    ensure!(code == wanted, "{address} answered {code} instead of {wanted}: {body}");
    serde_json::from_str(&body).with_context(|| format!("{address} answered no JSON: {body}"))
}

fn expect(address: Ipv4Addr, name: &str, wanted: f64) -> Result<()> {
    let value = metric(address, name)?;
    ensure!(value == wanted, "{name} of {address} is {value} instead of {wanted}");
    Ok(())
}

/// Sum over all labels of one metric.
fn metric(address: Ipv4Addr, name: &str) -> Result<f64> {
    let (code, body) = get(address, "/metrics")?;
    ensure!(code == 200 && body.ends_with("# EOF\n"), "{address} answered {code}: {body}");
    let own = body.lines().filter(|line| line.split([' ', '{']).next() == Some(name));
    let values: Vec<f64> =
        own.map(|line| Ok(line.rsplit(' ').next().unwrap_or_default().parse()?)).collect::<Result<_>>()?;
    ensure!(!values.is_empty(), "{address} has no {name}:\n{body}");
    Ok(values.iter().sum())
}

/// Status code and body.
fn get(address: Ipv4Addr, path: &str) -> Result<(u16, String)> {
    let patience = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((address, STATUS_PORT)), patience)?;
    stream.set_read_timeout(Some(patience))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").with_context(|| format!("no answer to {path}: {text}"))?;
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("a status code")?;
    Ok((code, body.to_owned()))
}
