//! The commands of every day across clusters: looks, logs, changes of services and nodes, and what is refused with its
//! reason. Everything is held against what docker itself says on the Engines.

use crate::{image, with_federation};
use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use waggle_tests::bed::engine::Engine;
use waggle_tests::bed::federation::{Federation, REGIONS};
use waggle_tests::bed::host::Host;
use waggle_tests::bed::image::Registry;
use waggle_tests::bed::{PATIENCE, wait_for};
use waggle_tests::kit::Kit;
use waggle_tests::said::{Said, say};

/// Lines that the talking service of every cluster writes at once.
const LINES: usize = 40;
/// More than an answer has room for.
const FLOOD: usize = 100_050;

#[test]
fn the_commands_of_every_day_work_across_clusters() -> Result<()> {
    with_federation(|federation| {
        let image = image(federation, "v1");
        federation.write_file("key-1.txt", "swordfish")?;
        federation.write_file("note.txt", "a note\n")?;
        let kit = Kit { image: &image, port: 8081, secret: "key-1.txt", greeting: "hello" };
        let file = federation.write_file("kit.yml", &kit.compose())?;
        let talk = federation.write_file("talk.yml", &talk(&image))?;
        federation.waggle(&["stack", "deploy", "-c", &file, "-c", &talk, "kit"])?;
        others(federation, &image)?;
        let spare = joined(federation)?;

        looks(federation)?;
        logs(federation)?;
        services(federation)?;
        nodes(federation, &spare)?;
        rolling_out(federation, &kit, &talk)?;
        gone(federation)?;
        drop(spare);
        Ok(())
    })
}

fn talk(image: &str) -> String {
    format!(
        "version: \"3.8\"\nservices:\n  talk:\n    image: {image}\n    stop_signal: SIGKILL\n    command:\n      - /bin/sh\n      \
         - -c\n      - i=0; while test $$i -lt {LINES}; do echo line $$i; i=$$((i+1)); done; echo oops >&2; \
         while true; do echo tick; sleep 1; done\n    deploy: {{endpoint_mode: dnsrr, update_config: {{monitor: 300ms}}}}\n"
    )
}

/// Services of nobody's stack on one Engine: one that runs, one that no node fits, one that floods.
fn others(federation: &Federation, image: &str) -> Result<()> {
    let us = &federation.engines[2];
    let create = |name: &str, more: &[&str], run: &[&str]| {
        let options = ["service", "create", "--detach", "--stop-signal", "SIGKILL", "--restart-condition", "none"];
        us.docker(&[&options[..], &["--name", name], more, &[image], run].concat())
    };
    create("alone", &[], &["/bin/sleep", "100000"])?;
    create("nowhere", &["--constraint", "node.labels.moon==full"], &["/bin/sleep", "100000"])?;
    let flood = format!("i=0; while test $i -lt {FLOOD}; do echo $i; i=$((i+1)); done; exec /bin/sleep 100000");
    create("flood", &[], &["/bin/sh", "-c", &flood]).map(drop)
}

/// Another node of eu-1, with the token that the command line gives.
fn joined(federation: &Federation) -> Result<Engine> {
    let eu = &federation.engines[1];
    let token = say(federation, &["swarm", "join-token", "worker", "--cluster", "eu-1", "--quiet"])?.code(0)?.out;
    ensure!(token.trim() == eu.docker(&["swarm", "join-token", "-q", "worker"])?.trim(), "{token}");
    let whole = say(federation, &["swarm", "join-token", "manager", "--cluster", "eu-1"])?.code(0)?;
    whole.out(&["docker swarm join --token", &format!("{}:2377", eu.host.address)])?;
    say(federation, &["swarm", "join-token", "worker", "--cluster", "mars"])?
        .code(5)?
        .err(&["there is no cluster mars"])?;
    say(federation, &["cluster", "join-token", "eu-9"])?.code(0)?.err(&["the federation lists no cluster eu-9"])?;

    let host = Host::make(federation.hosts.plot, "spare", 11)?;
    let mut spare = Engine::start(&host, &Registry::name(&federation.hosts.hub))?;
    spare.wait()?;
    let manager = format!("{}:2377", eu.host.address);
    let address = host.address.to_string();
    spare.docker(&["swarm", "join", "--advertise-addr", &address, "--token", token.trim(), &manager])?;
    Ok(spare)
}

fn looks(federation: &Federation) -> Result<()> {
    let eu = &federation.engines[1];
    let all = say(federation, &["stack", "services", "kit"])?.code(0)?;
    for (region, _, _) in REGIONS {
        ensure!(lines(&all, region).len() == 3, "{region}: {}", all.out);
    }
    all.out(&["kit_web replicated 1/1", "*:8081->8080/tcp"])?;
    say(federation, &["stack", "services", "kit", "--cluster", "region=eu"])?
        .code(0)?
        .out(&["eu-1"])?
        .without(&["ap-1"])?;
    say(federation, &["stack", "services", "kit", "--cluster", "mars"])?.code(5)?.err(&["there is no cluster mars"])?;
    say(federation, &["stack", "ps", "kit", "--cluster", "us-1"])?.code(0)?.out(&["us-1", "kit_web.1", "Running"])?;
    let json = say(federation, &["stack", "ps", "kit", "--format", "json"])?.code(0)?.json()?;
    ensure!(
        json["clusters"]["ap-1"]["answer"]["tasks"]["rows"].as_array().is_some_and(|rows| rows.len() == 3),
        "{json:#}"
    );

    let services = say(federation, &["service", "ls", "--cluster", "us-1", "--cluster", "region=ap"])?.code(0)?;
    services.out(&["alone replicated 1/1", "nowhere replicated 0/1", "ap-1"])?.without(&["eu-1"])?;
    say(federation, &["service", "ps", "kit_web"])?.code(0)?.out(&["ap-1", "eu-1", "us-1", "kit_web.1"])?;
    let ids = say(federation, &["service", "ps", "--quiet", "kit_web", "--cluster", "eu-1"])?.code(0)?.out;
    let theirs = eu.docker(&["service", "ps", "-q", "kit_web"])?;
    ensure!(ids.trim() == theirs.trim(), "{ids} and docker's {theirs}");
    let ids = say(federation, &["service", "ls", "--quiet", "--cluster", "eu-1"])?.code(0)?.out;
    ensure!(sorted(&ids) == sorted(&eu.docker(&["service", "ls", "-q"])?), "{ids}");
    let inspected = say(federation, &["service", "inspect", "kit_web", "--cluster", "eu-1"])?.code(0)?.json()?;
    let id = eu.docker(&["service", "inspect", "kit_web", "-f", "{{.ID}}"])?;
    ensure!(inspected[0]["Cluster"] == "eu-1" && inspected[0]["ID"] == id.trim(), "{inspected:#}");
    say(federation, &["service", "ps", "nothing", "--cluster", "eu-1"])?
        .code(5)?
        .err(&["eu-1: there is no service nothing"])?;

    for kind in ["secret", "config"] {
        let stored = say(federation, &[kind, "ls", "--cluster", "eu-1"])?.code(0)?;
        let name = eu.docker(&[kind, "ls", "--format", "{{.Name}}"])?;
        ensure!(lines(&stored, "eu-1").len() == 1 && stored.out.contains(name.trim()), "{}", stored.out);
    }
    let nodes = say(federation, &["node", "ls"])?.code(0)?;
    ensure!((lines(&nodes, "eu-1").len(), lines(&nodes, "us-1").len()) == (2, 1), "{}", nodes.out);
    nodes.out(&["Ready Active Leader 20.10"])?;

    let image = federation.write_file("empty.tar", &"\0".repeat(1024))?;
    let dangling = eu.docker(&["import", &image])?;
    say(federation, &["image", "prune"])?.code(1)?.err(&["--yes"])?;
    say(federation, &["image", "prune", "--yes", "--cluster", "eu-1"])?.code(0)?.out(&["eu-1", "RECLAIMED"])?;
    ensure!(!eu.docker(&["image", "ls", "-aq", "--no-trunc"])?.contains(dangling.trim()), "{dangling} is still there");
    Ok(())
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// Lines of a table that begin with a cluster's name.
fn lines<'a>(said: &'a Said, cluster: &str) -> Vec<&'a str> {
    said.out.lines().filter(|line| line.split_whitespace().next() == Some(cluster)).collect()
}

fn logs(federation: &Federation) -> Result<()> {
    let all = wait_for("the whole log", PATIENCE, || {
        let said = say(federation, &["stack", "logs", "kit"])?.code(0)?;
        for (region, _, _) in REGIONS {
            let of_region = lines(&said, region);
            let told =
                (0..LINES).filter(|n| of_region.iter().any(|line| line.ends_with(&format!("| line {n}")))).count();
            ensure!(
                told == LINES && of_region[0].starts_with(&format!("{region} kit_talk.1@")),
                "{told}: {}",
                said.out
            );
        }
        Ok(said)
    })?;
    let errors = all.err.lines().filter(|line| line.ends_with("| oops")).count();
    ensure!(errors == REGIONS.len(), "standard error goes to standard error: {}", all.err);

    let few =
        say(federation, &["service", "logs", "--tail", "2", "kit_talk", "--cluster", "eu-1", "--cluster", "ap-1"])?;
    let few = few.code(0)?;
    let printed = few.out.lines().count() + few.err.lines().count();
    ensure!(printed == 4, "{printed} lines, two of each: {}{}", few.out, few.err);

    let silent = say(federation, &["service", "logs", "nowhere", "--cluster", "us-1"])?.code(0)?;
    ensure!(silent.out.is_empty(), "{}", silent.out);
    silent.err(&["us-1: nowhere has no log: its newest task nowhere.1 is pending: no suitable node"])?;
    say(federation, &["service", "logs", "nothing"])?.code(5)?.err(&["there is no service nothing"])?;

    wait_for("the flood to end", PATIENCE, || {
        let last = federation.engines[2].docker(&["service", "logs", "--raw", "--tail", "1", "flood"])?;
        ensure!(last.trim() == (FLOOD - 1).to_string(), "{last}");
        Ok(())
    })?;
    let flood = say(federation, &["service", "logs", "flood", "--cluster", "us-1"])?.code(5)?;
    ensure!(flood.out.lines().count() == 100_000, "{} lines", flood.out.lines().count());
    flood.err(&["there are more than 100000 lines", "--tail"])?;
    followed(federation)
}

/// New lines of all clusters come as they are written.
fn followed(federation: &Federation) -> Result<()> {
    let mut command = federation.cli(&["service", "logs", "-f", "--tail", "1", "kit_talk"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let out = BufReader::new(child.stdout.take().context("its output")?);
    let (send, come) = std::sync::mpsc::channel();
    let reading = std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
    let mut seen = std::collections::BTreeMap::new();
    let outcome = wait_for("two ticks of every cluster", PATIENCE, || {
        for line in come.try_iter().filter(|line| line.ends_with("| tick")) {
            *seen.entry(line.split(' ').next().unwrap_or_default().to_owned()).or_insert(0) += 1;
        }
        ensure!(seen.len() == REGIONS.len() && seen.values().all(|count| *count >= 2), "{seen:?}");
        Ok(())
    });
    child.kill()?;
    child.wait()?;
    drop(come);
    let _ = reading.join();
    outcome
}

fn services(federation: &Federation) -> Result<()> {
    let [ap, eu, us] = &federation.engines[..] else { anyhow::bail!("three regions") };
    let scaled = say(federation, &["service", "scale", "kit_talk=2", "--cluster", "eu-1"])?.code(0)?;
    scaled.out(&["eu-1: service kit_talk is scaled to 2 until the next release"])?.without(&["ap-1"])?;
    wait_for("two tasks in one cluster", PATIENCE, || {
        say(federation, &["service", "ls", "--cluster", "eu-1"])?.code(0)?.out(&["kit_talk replicated 2/2"])?;
        let proof =
            say(federation, &["verify", "kit"])?.code(0)?.out(&["kit: proven, the same in ap-1, eu-1, us-1"])?;
        proof.out(&["eu-1: service kit_talk: 2 replicas instead of 1 replica, chosen since the release"]).map(drop)
    })?;
    ensure!(replicas(ap)? == "1" && replicas(us)? == "1", "other clusters were scaled");

    let task =
        |engine: &Engine| engine.docker(&["service", "ps", "-q", "--filter", "desired-state=running", "kit_web"]);
    let before = (task(ap)?, task(eu)?);
    say(federation, &["service", "update", "--force", "kit_web"])?.code(1)?.err(&["--yes"])?;
    say(federation, &["service", "update", "--force", "kit_web", "--cluster", "ap-1"])?.code(0)?.out(&["ap-1: "])?;
    wait_for("another task", PATIENCE, || {
        ensure!(task(ap)? != before.0, "the same task as before");
        Ok(())
    })?;
    ensure!(task(eu)? == before.1, "another cluster was restarted");
    let refused = say(federation, &["service", "rollback", "kit_web", "--cluster", "ap-1"])?.code(5)?;
    refused.err(&["belongs to stack kit, which is rolled back as a whole", "waggle stack rollback kit"])?;

    let only = ["--cluster", "us-1"];
    say(federation, &[&["service", "scale", "alone=2"], &only[..]].concat())?.code(0)?.out(&["is scaled to 2"])?;
    let has = |wanted: &str| {
        let found = us.docker(&["service", "inspect", "alone", "-f", "{{.Spec.Mode.Replicated.Replicas}}"])?;
        ensure!(found.trim() == wanted, "{found} replicas, not {wanted}");
        Ok(())
    };
    has("2")?;
    say(federation, &[&["service", "rollback", "alone"], &only[..]].concat())?.code(0)?.out(&["previous spec"])?;
    wait_for("the spec before", PATIENCE, || has("1"))?;
    let many = say(federation, &["service", "scale", "kit_talk=10001"])?.code(5)?;
    many.err(&["at most 10000"])?;
    Ok(())
}

fn replicas(engine: &Engine) -> Result<String> {
    let found = engine.docker(&["service", "inspect", "kit_talk", "-f", "{{.Spec.Mode.Replicated.Replicas}}"])?;
    Ok(found.trim().to_owned())
}

/// All Engines of the bed have this machine's name, so nodes are told apart by their ids.
fn nodes(federation: &Federation, spare: &Engine) -> Result<()> {
    let (eu, us) = (&federation.engines[1], &federation.engines[2]);
    let id = |engine: &Engine| engine.docker(&["info", "-f", "{{.Swarm.NodeID}}"]).map(|id| id.trim().to_owned());
    let (first, second, lonely) = (id(eu)?, id(spare)?, id(us)?);
    let name = eu.docker(&["info", "-f", "{{.Name}}"])?;
    say(federation, &["node", "drain", name.trim()])?
        .code(5)?
        .err(&["name the cluster that is meant with --cluster"])?;
    say(federation, &["node", "drain", "nobody"])?.code(5)?.err(&["there is no node nobody"])?;
    let last = say(federation, &["node", "drain", &lonely])?.code(5)?;
    last.err(&["is the last manager and nothing else would take its tasks", "join or activate another node first"])?;
    say(federation, &["node", "demote", &lonely])?.code(5)?.err(&["is the last manager of its swarm"])?;

    say(federation, &["node", "drain", &first])?.code(0)?.out(&["eu-1: ", "is drained"])?;
    wait_for("tasks to move", PATIENCE, || {
        let there = say(federation, &["node", "ps", &second, "--cluster", "eu-1"])?.code(0)?;
        let running = there.out.lines().filter(|line| line.contains("kit_") && line.contains("Running")).count();
        ensure!(running == 4, "{running} of 4 tasks:\n{}", there.out);
        Ok(())
    })?;
    say(federation, &["verify", "kit"])?.code(0)?;
    say(federation, &["node", "activate", &first])?.code(0)?.out(&["takes tasks"])?;
    let state = |field: &str| eu.docker(&["node", "inspect", &second, "-f", &format!("{{{{.{field}}}}}")]);
    say(federation, &["node", "promote", &second])?.code(0)?.out(&["becomes a manager"])?;
    wait_for("another manager", PATIENCE, || {
        let listed = say(federation, &["node", "ls", "--cluster", "eu-1"])?.code(0)?;
        listed.out(&["Active Reachable", "Active Leader"]).map(drop)
    })?;
    say(federation, &["node", "demote", &second])?.code(0)?.out(&["becomes a worker"])?;
    wait_for("one manager", PATIENCE, || {
        ensure!(state("Spec.Role")?.trim() == "worker" && state("ManagerStatus")?.contains("nil"), "still a manager");
        Ok(())
    })
}

/// During a rollout nothing is proven, and that is no failure.
fn rolling_out(federation: &Federation, kit: &Kit<'_>, talk: &str) -> Result<()> {
    let slowly = kit.compose().replace("in_place, monitor: 300ms", "in_place, monitor: 3s");
    let file = federation.write_file("slowly.yml", &slowly.replace("\"hello\"", "\"good day\""))?;
    let made = federation.waggle_json(&["stack", "deploy", "--detach", "-c", &file, "-c", talk, "kit"])?;
    let rollout = made["rollout"].to_string();
    let release = made["release"].as_str().unwrap_or_default()[..12].to_owned();
    wait_for("a cluster under way", PATIENCE, || {
        let said = say(federation, &["verify", "kit"])?.code(4)?;
        let said = said.out(&["kit: ROLLING OUT", &format!("rollout {rollout} to release {release} is running")])?;
        ensure!(said.out.contains("(being changed)") && said.out.matches(": release ").count() == 3, "{}", said.out);
        Ok(())
    })?;
    federation.waggle(&["rollout", "watch", &rollout])?;
    let proof = say(federation, &["verify", "kit"])?.code(0)?;
    proof.without(&["chosen since the release"])?;
    Ok(())
}

fn gone(federation: &Federation) -> Result<()> {
    federation.waggle(&["stack", "rm", "kit"])?;
    wait_for("the stack to be gone", PATIENCE, || {
        let left = federation.waggle_json(&["stack", "ls"])?;
        ensure!(left.as_array().is_some_and(Vec::is_empty), "{left}");
        Ok(())
    })?;
    for engine in &federation.engines {
        let left = engine.docker(&["service", "ls", "--filter", "label=com.docker.stack.namespace=kit", "-q"])?;
        ensure!(left.trim().is_empty(), "{}: {left}", engine.host.name);
    }
    say(federation, &["stack", "services", "kit"])?.without(&["kit_"])?;
    Ok(())
}
