//! Any process killed with -9 at a random point of a rollout, fifty times: every time the rollout ends finished or held,
//! and nothing that was acknowledged is lost.

use crate::{deploy, image, with_federation};
use anyhow::{Context, Result, bail, ensure};
use std::time::{Duration, Instant};
use waggle_tests::bed::federation::{Federation, REGIONS};
use waggle_tests::bed::wait_for;
use waggle_tests::random::Random;
use waggle_tests::shop::Shop;

const ROUNDS: u64 = 50;
/// Longest time one rollout may take with a kill in it.
const ROUND_PATIENCE: Duration = Duration::from_secs(90);

#[test]
fn any_process_killed_at_a_random_point_of_a_rollout() -> Result<()> {
    let seed = std::env::var("WAGGLE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_121);
    let mut random = Random::new(seed);
    with_federation(|federation| {
        deploy(federation, &Shop::quick(&image(federation, "v1")))?;
        for round in 0..ROUNDS {
            one_round(federation, round, &mut random).with_context(|| format!("round {round} of seed {seed}"))?;
        }
        Ok(())
    })
}

fn one_round(federation: &mut Federation, round: u64, random: &mut Random) -> Result<()> {
    let tag = if round.is_multiple_of(2) { "v2" } else { "v1" };
    let file = federation.write_file("shop.yml", &Shop::quick(&image(federation, tag)).compose())?;
    let start = Instant::now();
    let made = federation.waggle_json(&["stack", "deploy", "--detach", "-c", &file, "shop"])?;
    let (rollout, release) = (made["rollout"].to_string(), made["release"].clone());
    // A moment chosen by the seed, over the whole of a rollout.
    std::thread::sleep(Duration::from_millis(random.below(8_000)));
    let victim = kill_one(federation, random)?;
    let state = wait_for("the rollout to end", ROUND_PATIENCE, || {
        let view = federation.waggle_json(&["rollout", "show", &rollout])?;
        ensure!(view["rollout"]["release"] == release, "the acknowledged release was lost");
        let state = view["rollout"]["state"].clone();
        let ended = state == "done" || state["held"].is_object();
        if !ended {
            bail!("state {state}: {}", view["report"]);
        }
        Ok(state)
    })?;
    println!("round {round}: {victim} killed, {state} after {:.1} s", start.elapsed().as_secs_f64());
    if state["held"].is_object() {
        federation.waggle(&["rollout", "resume", &rollout])?;
        wait_for("the held rollout to finish after resume", ROUND_PATIENCE, || {
            let view = federation.waggle_json(&["rollout", "show", &rollout])?;
            ensure!(view["rollout"]["state"] == "done", "{}: {}", view["rollout"]["state"], view["report"]);
            Ok(())
        })?;
    }
    federation.wait_connected()
}

/// Kills one process at random and starts it again.
fn kill_one(federation: &mut Federation, random: &mut Random) -> Result<String> {
    let choice = random.below(1 + REGIONS.len() as u64 + 2) as usize;
    if choice == 0 {
        federation.control.kill()?;
        federation.restart_control()?;
        return Ok("control".into());
    }
    if choice <= REGIONS.len() {
        let at = choice - 1;
        federation.agents[at].kill()?;
        federation.agents[at] = federation.start_agent(at)?;
        return Ok(format!("the agent of {}", REGIONS[at].0));
    }
    let at = choice - 1 - REGIONS.len();
    federation.nameservers[at].kill()?;
    federation.nameservers[at] = federation.start_nameserver(at)?;
    Ok(format!("nameserver {}", at + 1))
}
