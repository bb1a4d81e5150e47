//! Releases that cannot work end in time and say why, in the words of what went wrong.

use crate::{image, with_federation};
use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};
use waggle_tests::bed::federation::Federation;
use waggle_tests::bed::{PATIENCE, wait_for};

/// Longest time one cluster may take, as written in the files.
const PROGRESS_DEADLINE: Duration = Duration::from_secs(20);
/// What the command line may take on top of it.
const GRACE: Duration = Duration::from_secs(40);

struct Trouble {
    name: &'static str,
    /// Lines of the service below its image.
    service: &'static str,
    words: &'static [&'static str],
}

const TROUBLES: [Trouble; 5] = [
    Trouble {
        name: "exits",
        service: "    command: [\"/bin/sh\", \"-c\", \"exit 3\"]\n",
        words: &["web", "non-zero exit (3)"],
    },
    Trouble { name: "nocommand", service: "    command: [\"/bin/nothing\"]\n", words: &["web", "/bin/nothing"] },
    Trouble {
        name: "nowhere",
        service: "    command: [\"/bin/sleep\", \"1000\"]\n    deploy: {placement: {constraints: [node.labels.zone == moon]}}\n",
        words: &["web", "no suitable node", "constraints"],
    },
    Trouble {
        name: "full",
        service: "    command: [\"/bin/sleep\", \"1000\"]\n    deploy: {resources: {reservations: {memory: 900G}}}\n",
        words: &["web", "no suitable node", "insufficient resources"],
    },
    Trouble {
        name: "sick",
        service: "    command: [\"/bin/sleep\", \"1000\"]\n    healthcheck: {test: [CMD, /bin/false], interval: 300ms, retries: 2}\n",
        words: &["web", "unhealthy"],
    },
];

#[test]
fn releases_that_cannot_work_end_in_time_and_say_why() -> Result<()> {
    with_federation(|federation| {
        let image = image(federation, "v1");
        missing_image(federation, &image)?;
        let federation = &*federation;
        let image = &image;
        std::thread::scope(|scope| {
            let runs: Vec<_> =
                TROUBLES.iter().map(|trouble| scope.spawn(move || held(federation, image, trouble))).collect();
            let outcomes = runs.into_iter().zip(&TROUBLES).map(|(run, trouble)| {
                run.join().map_err(|_| anyhow::anyhow!("panicked"))?.with_context(|| trouble.name.to_owned())
            });
            outcomes.collect::<Result<Vec<()>>>()
        })?;
        for trouble in &TROUBLES {
            federation.waggle(&["stack", "rm", trouble.name])?;
        }
        wait_for("the services to be gone", PATIENCE, || {
            for engine in &federation.engines {
                let services = engine.docker(&["service", "ls", "-q"])?;
                ensure!(services.trim().is_empty(), "{services}");
            }
            Ok(())
        })
    })
}

fn compose(image: &str, service: &str) -> String {
    let deadline = PROGRESS_DEADLINE.as_secs();
    format!(
        "version: \"3.8\"\nservices:\n  web:\n    image: {image}\n    stop_signal: SIGKILL\n{service}x-waggle:\n  promotion: \
         {{stages: [[eu-1]], strategy: in_place, monitor: 1s, progress_deadline: {deadline}s}}\n"
    )
}

fn held(federation: &Federation, image: &str, trouble: &Trouble) -> Result<()> {
    let file = federation.write_file(&format!("{}.yml", trouble.name), &compose(image, trouble.service))?;
    let began = Instant::now();
    let result = federation.cli(&["stack", "deploy", "-c", &file, trouble.name]).output()?;
    let took = began.elapsed();
    let said = String::from_utf8_lossy(&result.stderr).into_owned() + &String::from_utf8_lossy(&result.stdout);
    ensure!(result.status.code() == Some(3), "exit {:?}: {said}", result.status.code());
    ensure!(took < PROGRESS_DEADLINE + GRACE, "it took {took:?}: {said}");
    for word in trouble.words {
        ensure!(said.contains(word), "{word:?} is not in: {said}");
    }
    println!("{}: {took:.1?}\n{said}", trouble.name);
    Ok(())
}

/// Found before anything is stored.
fn missing_image(federation: &Federation, image: &str) -> Result<()> {
    let missing = image.replace(":v1", ":v99");
    let file = federation.write_file("missing.yml", &compose(&missing, ""))?;
    let result = federation.cli(&["stack", "deploy", "-c", &file, "missing"]).output()?;
    let said = String::from_utf8_lossy(&result.stderr).into_owned();
    ensure!(result.status.code() == Some(5), "exit {:?}: {said}", result.status.code());
    ensure!(said.contains(&missing), "{said}");
    let stacks = federation.waggle_json(&["stack", "ls"])?.to_string();
    ensure!(!stacks.contains("missing"), "{stacks}");
    Ok(())
}
