//! A stack that docker deployed, with a difference in one cluster: taken over from another, planned, kept as it is, only
//! watched, and cleared of what nobody needs any more.

use crate::{image, with_federation};
use anyhow::{Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use waggle_tests::bed::engine::Engine;
use waggle_tests::bed::federation::{Federation, REGIONS};
use waggle_tests::bed::{PATIENCE, wait_for};
use waggle_tests::kit::Kit;
use waggle_tests::said::say;

const KINDS: [&str; 5] = ["service", "network", "secret", "config", "volume"];

#[test]
fn a_stack_is_adopted_planned_watched_and_cleared() -> Result<()> {
    with_federation(|federation| {
        let image = image(federation, "v1");
        federation.write_file("key-1.txt", "swordfish")?;
        federation.write_file("note.txt", "a note\n")?;
        let kit = Kit { image: &image, port: 8081, secret: "key-1.txt", greeting: "hello" };
        docker_deploys(federation, &kit)?;
        adopted(federation)?;
        planned(federation, &kit)?;
        healed(federation, &kit)?;
        only_watched(federation, &kit)?;
        cleared(federation, &kit)
    })
}

fn docker_deploys(federation: &Federation, kit: &Kit<'_>) -> Result<()> {
    let file = federation.write_file("kit.yml", &kit.compose())?;
    let other = federation.write_file("other.yml", &Kit { greeting: "moin", ..*kit }.compose())?;
    for engine in &federation.engines {
        let file = if engine.host.name == "ap-1" { &other } else { &file };
        engine.docker(&["stack", "deploy", "-c", file, "kit"])?;
    }
    for engine in &federation.engines {
        wait_for(&format!("tasks of {}", engine.host.name), PATIENCE, || {
            ensure!(running(engine, "kit_web")?.len() == 1 && running(engine, "kit_back")?.len() == 1);
            Ok(())
        })?;
    }
    Ok(())
}

/// The preview tells what differs and changes nothing; then only what differs is restarted.
fn adopted(federation: &Federation) -> Result<()> {
    let before = tasks(federation)?;
    let adopt = ["stack", "adopt", "kit", "--from", "eu-1"];
    // Nobody is there who could agree.
    let preview = say(federation, &adopt)?.code(1)?.err(&["--yes", "secret kit_key: its bytes cannot be read"])?;
    let preview =
        preview.out(&["ap-1: 1 to update, 1 of them restarting tasks", "~ service kit_web (restarts its tasks)"])?;
    let preview = preview.out(&["environment.GREETING: moin -> hello", "eu-1, us-1: ", "= service kit_web"])?;
    let alike = preview.out.split("eu-1, us-1: ").nth(1).unwrap_or_default();
    ensure!(!alike.contains('~') && !alike.contains('+') && !alike.contains("restarts"), "{}", preview.out);
    ensure!(tasks(federation)? == before, "a preview restarted tasks");
    say(federation, &["release", "ls", "kit"])?.code(5)?.err(&["there is no stack kit"])?;
    say(federation, &["stack", "adopt", "kat", "--from", "eu-1"])?.code(5)?.err(&["there is no stack kat"])?;

    say(federation, &[&adopt[..], &["--yes"]].concat())?.code(0)?;
    let after = tasks(federation)?;
    for region in ["eu-1", "us-1"] {
        ensure!(before[region] == after[region], "{region}: {before:?} became {after:?}");
    }
    let kept = before["ap-1"].iter().filter(|task| after["ap-1"].contains(task)).count();
    ensure!((kept, after["ap-1"].len()) == (2, 3), "one task of ap-1 is replaced: {before:?} became {after:?}");
    say(federation, &["verify", "kit"])?.code(0)?.out(&["kit: proven, the same in ap-1, eu-1, us-1"])?;
    Ok(())
}

/// Created, changed and removed, cluster by cluster; codes for people and for pipelines.
fn planned(federation: &Federation, kit: &Kit<'_>) -> Result<()> {
    let (before, releases) = (tasks(federation)?, federation.waggle_json(&["release", "ls", "kit"])?);
    let file = federation.write_file("kit.yml", &kit.compose())?;
    let same = say(federation, &["stack", "plan", "-c", &file, "--cluster", "us-1", "kit"])?.code(0)?;
    same.without(&["ap-1", "~", "restarts"])?;

    let other = kit.compose().replace("  back:\n", "  behind:\n").replace("\"hello\"", "\"good day\"");
    let other = federation.write_file("planned.yml", &other)?;
    let plan = ["stack", "plan", "-c", &other, "kit"];
    let said = say(federation, &plan)?.code(0)?;
    let said = said.out(&["ap-1, eu-1, us-1: ", "+ service kit_behind", "- service kit_back"])?;
    said.out(&["~ service kit_web (restarts its tasks)", "environment.GREETING: hello -> good day"])?;
    say(federation, &[&plan[..], &["--exit-code"]].concat())?.code(10)?;
    let json = say(federation, &[&plan[..], &["--format", "json"]].concat())?.code(0)?.json()?;
    for (region, _, _) in REGIONS {
        let changes = json["clusters"][region]["answer"]["plan"]["changes"].as_array().cloned().unwrap_or_default();
        let one =
            |verb: &str, name: &str| changes.iter().find(|one| one["verb"] == verb && one["name"] == name).cloned();
        let web = one("update", "kit_web").unwrap_or_default();
        ensure!(web["restarts"] == true && web["fields"][0]["from"] == "hello", "{region}: {json:#}");
        ensure!(one("create", "kit_behind").is_some() && one("remove", "kit_back").is_some(), "{region}: {json:#}");
    }

    let lacking = kit.compose().replace("key: {file: key-1.txt}", "key: {external: true, name: nobodys}");
    let lacking = federation.write_file("lacking.yml", &lacking)?;
    let said = say(federation, &["stack", "plan", "-c", &lacking, "kit"])?.code(5)?;
    said.out(&["ap-1, eu-1, us-1: cannot be applied", "nobodys"])?;
    ensure!(
        tasks(federation)? == before && federation.waggle_json(&["release", "ls", "kit"])? == releases,
        "a plan changed"
    );
    Ok(())
}

/// What docker changes on one Engine is told, and written back there alone.
fn healed(federation: &Federation, kit: &Kit<'_>) -> Result<()> {
    let file = federation.write_file("kit.yml", &kit.compose())?;
    federation.waggle(&["stack", "deploy", "-c", &file, "kit"])?;
    say(federation, &["verify", "kit"])?.code(0)?;
    let before = tasks(federation)?;
    let [ap, eu, _] = &federation.engines[..] else { anyhow::bail!("three regions") };
    eu.docker(&["service", "update", "--detach", "--label-add", "touched=yes", "kit_back"])?;
    ap.docker(&["service", "update", "--detach", "--env-add", "GREETING=moin", "kit_web"])?;
    wait_for("the change to be undone", PATIENCE, || {
        let env = ap.docker(&["service", "inspect", "kit_web", "-f", "{{.Spec.TaskTemplate.ContainerSpec.Env}}"])?;
        let labels = eu.docker(&["service", "inspect", "kit_back", "-f", "{{.Spec.Labels}}"])?;
        ensure!(env.contains("GREETING=hello") && !labels.contains("touched"), "{env} {labels}");
        say(federation, &["verify", "kit"])?.code(0).map(drop)
    })?;
    let status = say(federation, &["status"])?.code(0)?;
    status.out(&["stack kit in ap-1 was changed by hand", "environment.GREETING", "the release was written again"])?;
    say(federation, &["cluster", "show", "eu-1"])?.code(0)?.out(&["labels.touched"])?;
    ensure!(tasks(federation)?["us-1"] == before["us-1"], "a cluster that nobody touched was restarted");
    Ok(())
}

/// The same under `drift: observe` stays, is told wherever one looks, and is no proof.
fn only_watched(federation: &Federation, kit: &Kit<'_>) -> Result<()> {
    let file = federation.write_file("watched.yml", &(kit.compose() + "  drift: observe\n"))?;
    federation.waggle(&["stack", "deploy", "-c", &file, "kit"])?;
    let us = &federation.engines[2];
    us.docker(&["service", "update", "--detach", "--env-add", "GREETING=howdy", "kit_web"])?;
    wait_for("the change to be told", PATIENCE, || {
        let told = say(federation, &["status"])?.code(0)?;
        told.out(&["stack kit in us-1 was changed by hand: service kit_web: environment.GREETING hello → howdy"])?;
        ensure!(running(us, "kit_web")?.len() == 1, "no task of the changed service yet");
        Ok(())
    })?;
    let found = ["kit: NOT PROVEN", "us-1: service kit_web: environment.GREETING is howdy, not hello"];
    say(federation, &["verify", "kit"])?.code(1)?.out(&found)?;
    say(federation, &["verify"])?.code(1)?;
    say(federation, &["verify", "kit", "--cluster", "region=ap", "--cluster", "eu-1"])?.code(0)?;
    let planned = say(federation, &["stack", "plan", "-c", &file, "--exit-code", "kit"])?.code(10)?;
    planned.out(&["ap-1, eu-1: no change", "us-1: 1 to update", "environment.GREETING: howdy -> hello"])?;
    let env = us.docker(&["service", "inspect", "kit_web", "-f", "{{.Spec.TaskTemplate.ContainerSpec.Env}}"])?;
    ensure!(env.contains("GREETING=howdy"), "it was written again: {env}");
    Ok(())
}

/// Objects of all kinds that an earlier release, or somebody by hand, left in the name of the stack.
fn cleared(federation: &Federation, kit: &Kit<'_>) -> Result<()> {
    let image = kit.image;
    let more = format!(
        "version: \"3.8\"\nservices:\n  more:\n    image: {image}\n    command: [\"/bin/sleep\", \"100000\"]\n    \
         stop_signal: SIGKILL\n    networks: [beside]\n    secrets: [pin]\n    configs: [memo]\n    volumes: ['heap:/heap']\n    \
         deploy: {{endpoint_mode: dnsrr}}\nnetworks: {{beside: {{}}}}\nvolumes: {{heap: {{}}}}\n\
         secrets: {{pin: {{file: key-1.txt}}}}\nconfigs: {{memo: {{file: note.txt}}}}\n"
    );
    let more = federation.write_file("more.yml", &more)?;
    let file = federation.write_file("kit.yml", &kit.compose())?;
    federation.waggle(&["stack", "deploy", "-c", &file, "-c", &more, "kit"])?;
    for engine in &federation.engines {
        by_hand(federation, engine)?;
        for (kind, names) in KINDS.iter().zip(listed(engine)?) {
            let wanted = if *kind == "volume" { "heap" } else { "" };
            ensure!(names.contains("kit_hand") && names.contains(wanted), "{}: {kind}: {names}", engine.host.name);
        }
    }
    let file = federation.write_file("cleared.yml", &(kit.compose() + "  prune: volumes\n"))?;
    let plan = say(federation, &["stack", "plan", "-c", &file, "kit"])?.code(0)?;
    plan.out(&[
        "- service kit_more",
        "- service kit_hand",
        "- network kit_hand",
        "- secret kit_hand",
        "- config kit_hand",
    ])?;
    federation.waggle(&["stack", "deploy", "-c", &file, "kit"])?;
    for engine in &federation.engines {
        wait_for(&format!("{} to be cleared", engine.host.name), PATIENCE, || {
            let [services, networks, secrets, configs, volumes] = listed(engine)?;
            ensure!(words(&services) == ["kit_back", "kit_web"], "services {services}");
            ensure!(words(&networks) == ["kit_inside"] && words(&volumes).is_empty(), "{networks} {volumes}");
            let left = |names: &str| ["hand", "pin", "memo"].iter().any(|gone| names.contains(gone));
            ensure!(!left(&secrets) && !left(&configs), "{secrets} {configs}");
            let others = engine.docker(&["volume", "ls", "-q"])?;
            ensure!(others.contains("nobodys") && others.contains("kit_not_ours"), "too much is gone: {others}");
            Ok(())
        })?;
    }
    say(federation, &["verify", "kit"])?.code(0)?;
    Ok(())
}

/// What somebody made with docker in the stack's name, and beside it.
fn by_hand(federation: &Federation, engine: &Engine) -> Result<()> {
    let label = ["--label", "com.docker.stack.namespace=kit"];
    let note = federation.write_file("note.txt", "a note\n")?;
    let image = image(federation, "v1");
    for kind in ["secret", "config"] {
        engine.docker(&[&[kind, "create"], &label[..], &["kit_hand", &note]].concat())?;
    }
    engine.docker(&[&["network", "create", "-d", "overlay"], &label[..], &["kit_hand"]].concat())?;
    engine.docker(&[&["volume", "create"], &label[..], &["kit_hand"]].concat())?;
    engine.docker(&["volume", "create", "nobodys"])?;
    engine.docker(&["volume", "create", "--label", "com.docker.stack.namespace=kit2", "kit_not_ours"])?;
    let options = ["service", "create", "--detach", "--name", "kit_hand", "--endpoint-mode", "dnsrr"];
    let run = ["--network", "kit_hand", "--stop-signal", "SIGKILL", &image, "/bin/sleep", "100000"];
    engine.docker(&[&options[..], &label[..], &run[..]].concat()).map(drop)
}

/// Names of what an Engine has with the stack's label, by kind.
fn listed(engine: &Engine) -> Result<[String; 5]> {
    let filter = ["--filter", "label=com.docker.stack.namespace=kit", "--format", "{{.Name}}"];
    let mut all: [String; 5] = Default::default();
    for (kind, names) in KINDS.iter().zip(&mut all) {
        *names = engine.docker(&[&[kind, "ls"], &filter[..]].concat())?;
    }
    Ok(all)
}

fn words(text: &str) -> Vec<&str> {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    words.sort_unstable();
    words
}

fn running(engine: &Engine, service: &str) -> Result<Vec<Value>> {
    let ids = engine.docker(&["service", "ps", "-q", "--filter", "desired-state=running", service])?;
    let inspect =
        |id: &str| -> Result<Value> { Ok(serde_json::from_str(&engine.docker(&["inspect", "--type", "task", id])?)?) };
    let tasks: Result<Vec<Value>> = ids.split_whitespace().map(inspect).collect();
    Ok(tasks?.into_iter().filter(|task| task[0]["Status"]["State"] == "running").collect())
}

/// Every task there has ever been of both services, by region.
fn tasks(federation: &Federation) -> Result<BTreeMap<String, Vec<String>>> {
    let of = |engine: &Engine| -> Result<(String, Vec<String>)> {
        let ids = engine.docker(&["service", "ps", "-q", "--no-trunc", "kit_web", "kit_back"])?;
        let mut ids: Vec<String> = ids.split_whitespace().map(str::to_owned).collect();
        ids.sort();
        Ok((engine.host.name.clone(), ids))
    };
    federation.engines.iter().map(of).collect()
}
