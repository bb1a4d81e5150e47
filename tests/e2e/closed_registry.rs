//! A registry that wants a login, and a swarm whose Engine has none of its own: what control hands on is all there is.

use crate::binary;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use waggle_tests::bed::engine::Engine;
use waggle_tests::bed::host::Host;
use waggle_tests::bed::image::{Account, Registry};
use waggle_tests::bed::process::Process;
use waggle_tests::bed::{self, Bed, PATIENCE, interrupt, wait_for};

/// Passwords whose base64 has the characters that base64url spells otherwise. The hashes are bcrypt's, of cost 5.
const ANN: Account = Account {
    user: "ann",
    password: "hunter2~~~???",
    hash: "$2y$05$abcdefghijklmnopqrstuuRAAVveg8wfSclo7Ry8LSu03kpBevyL2",
    auth: "YW5uOmh1bnRlcjJ+fn4/Pz8=",
};
const BOB: Account = Account {
    user: "bob",
    password: "swordfish>>>",
    hash: "$2y$05$abcdefghijklmnopqrstuu2cifxgtkkCtZ6fuGpll.DnokwXoDhmm",
    auth: "Ym9iOnN3b3JkZmlzaD4+Pg==",
};

struct Solo {
    host: Host,
    registry: Registry,
    engine: Engine,
    up: Process,
    image: String,
}

#[test]
fn a_login_goes_from_docker_to_the_swarm_and_is_renewed_without_a_restart() -> Result<()> {
    interrupt::catch()?;
    let bed = Bed::make(bed::TEST)?;
    let solo = Solo::start(&bed)?;
    let outcome = logins(&solo).with_context(|| solo.up.log_tail(40));
    drop((solo, bed));
    let left = bed::leftovers(bed::TEST);
    ensure!(left.is_empty(), "left behind: {}", left.join(", "));
    outcome
}

fn logins(solo: &Solo) -> Result<()> {
    let file = solo.compose()?;
    let refused = solo.waggle(&["stack", "deploy", "-c", &file, "hello"], "")?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(refused.status.code() == Some(5) && said.contains(&solo.image), "without a login: {said}");

    solo.done(&["stack", "deploy", "--with-registry-auth", "-c", &file, "hello"], "")?;
    let first = solo.version()?;
    ensure!(solo.label()? == first.to_string(), "the service bears version {first}: {}", solo.label()?);
    let tasks = solo.tasks()?;

    // Another account; the first one is closed. Swarm gets the new login and touches no task.
    solo.registry.set_accounts(&[BOB])?;
    let name = Registry::name(&solo.host);
    solo.done(&["registry", "login", "-u", BOB.user, "--password-stdin", &name], &format!("{}\n", BOB.password))?;
    let second = solo.version()?;
    ensure!(second > first, "the version grows");
    wait_for("Swarm to get the newer login", PATIENCE, || {
        let label = solo.label()?;
        ensure!(label == second.to_string(), "it has version {label}");
        Ok(())
    })?;
    ensure!(solo.tasks()? == tasks, "a task was replaced for a login");

    // A task that must start anew has to pull, which only the new login allows.
    solo.engine.docker(&["rm", "-f", solo.engine.docker(&["ps", "-q"])?.trim()])?;
    wait_for("the image to be gone", PATIENCE, || {
        solo.engine.docker(&["image", "prune", "-af"]).and_then(|_| {
            let left = solo.engine.docker(&["image", "ls", "-q"])?;
            ensure!(left.trim().is_empty() || solo.tasks()? != tasks, "it is still there");
            Ok(())
        })
    })?;
    wait_for("a new task", PATIENCE, || {
        let now = solo.tasks()?;
        ensure!(!now.is_empty() && now != tasks, "{now:?}");
        Ok(())
    })?;
    nothing_plain(&solo.host.dir().join(".local"))?;

    solo.done(&["registry", "logout", &name], "")?;
    ensure!(solo.json(&["registry", "ls"])? == serde_json::json!([]), "the login is forgotten");
    solo.done(&["stack", "rm", "hello"], "")?;
    wait_for("the stack to be gone", PATIENCE, || {
        ensure!(solo.json(&["stack", "ls"])? == serde_json::json!([]), "still there");
        Ok(())
    })
}

impl Solo {
    fn start(bed: &Bed) -> Result<Solo> {
        let host = Host::make(bed.plot, "solo", 10)?;
        let registry = Registry::start_closed(&host, &[ANN])?;
        let mut engine = Engine::start(&host, &Registry::name(&host))?;
        engine.wait()?;
        let image = registry.publish_web(&engine, "v1")?;
        engine.docker(&["image", "rm", &image])?;
        let mut command = host.command(&binary().display().to_string());
        command.args(["up", "--yes", "--docker-socket", &engine.socket().display().to_string()]);
        let address = host.address.to_string();
        command.args(["--address", &address, "--dns", &format!("{address}:5353")]);
        command.args(["--allow", &format!("registries={}", Registry::name(&host))]);
        command.env("HOME", host.dir()).env_remove("XDG_CONFIG_HOME").env_remove("XDG_DATA_HOME");
        let up = Process::start(&host.dir(), "up", command)?;
        let solo = Solo { host, registry, engine, up, image };
        wait_for("`waggle up` to be ready", PATIENCE, || {
            let clusters = solo.json(&["cluster", "ls"])?;
            ensure!(clusters[0]["connected"] == true, "no agent is connected: {clusters}");
            Ok(())
        })
        .with_context(|| solo.up.log_tail(40))?;
        Ok(solo)
    }

    fn compose(&self) -> Result<String> {
        let file = self.host.dir().join("compose.yml");
        let text = format!(
            "services:\n  web:\n    image: {}\n    command: [\"/bin/sleep\", \"100000\"]\n    stop_signal: SIGKILL\n    deploy: \
             {{restart_policy: {{delay: 5s}}}}\nx-waggle: {{promotion: {{monitor: 300ms}}}}\n",
            self.image
        );
        fs::write(&file, text)?;
        Ok(file.display().to_string())
    }

    /// The command line, with docker's configuration of the account that published the image.
    fn waggle(&self, arguments: &[&str], input: &str) -> Result<Output> {
        let mut command: Command = self.host.command(&binary().display().to_string());
        command.args(arguments).env("HOME", self.host.dir()).env_remove("XDG_CONFIG_HOME");
        command.env("DOCKER_CONFIG", self.registry.docker_config());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        child.stdin.take().context("standard input")?.write_all(input.as_bytes())?;
        Ok(child.wait_with_output()?)
    }

    fn done(&self, arguments: &[&str], input: &str) -> Result<String> {
        let result = self.waggle(arguments, input)?;
        let (out, err) = (String::from_utf8_lossy(&result.stdout), String::from_utf8_lossy(&result.stderr));
        ensure!(result.status.success(), "waggle {}: {}\n{out}{err}", arguments.join(" "), result.status);
        for account in [ANN, BOB] {
            ensure!(!format!("{out}{err}").contains(account.password), "a password was shown");
        }
        Ok(out.into_owned())
    }

    fn json(&self, arguments: &[&str]) -> Result<Value> {
        Ok(serde_json::from_str(&self.done(&[arguments, &["--format", "json"]].concat(), "")?)?)
    }

    fn version(&self) -> Result<u64> {
        self.json(&["registry", "ls"])?[0]["version"].as_u64().context("a version")
    }

    fn label(&self) -> Result<String> {
        let format = "{{index .Spec.Labels \"io.waggle.login\"}}";
        Ok(self.engine.docker(&["service", "inspect", "hello_web", "-f", format])?.trim().to_owned())
    }

    /// Ids of the tasks that run.
    fn tasks(&self) -> Result<Vec<String>> {
        let filter = ["service", "ps", "hello_web", "--no-trunc", "--filter", "desired-state=running"];
        let all = self.engine.docker(&[&filter[..], &["--format", "{{.ID}} {{.CurrentState}}"]].concat())?;
        let running =
            all.lines().filter_map(|line| line.split_once(' ')).filter(|(_, state)| state.starts_with("Running"));
        Ok(running.map(|(id, _)| id.to_owned()).collect())
    }
}

/// No file that a role keeps holds a password.
fn nothing_plain(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path: PathBuf = entry?.path();
        if path.is_dir() {
            nothing_plain(&path)?;
            continue;
        }
        let bytes = fs::read(&path)?;
        for account in [ANN, BOB] {
            let found = bytes.windows(account.password.len()).any(|window| window == account.password.as_bytes());
            ensure!(!found, "{} holds a password", path.display());
        }
    }
    Ok(())
}
