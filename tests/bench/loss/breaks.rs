//! What is broken in a trial, and how it is mended.

use super::VICTIM;
use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::Instant;
use waggle_tests::bed::PATIENCE;
use waggle_tests::bed::engine::Engine;
use waggle_tests::bed::federation::Federation;
use waggle_tests::bed::wait_for;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Break {
    Link,
    Killed,
    Crashed,
    Frozen,
    Ingress,
    Agent,
}

/// Table of the packet filter that stands for a dead ingress.
const FILTER: &str = "waggle_bench";

impl Break {
    pub const ALL: [Break; 6] =
        [Break::Link, Break::Killed, Break::Crashed, Break::Frozen, Break::Ingress, Break::Agent];

    pub fn name(self) -> &'static str {
        match self {
            Break::Link => "link",
            Break::Killed => "killed",
            Break::Crashed => "crashed",
            Break::Frozen => "frozen",
            Break::Ingress => "ingress",
            Break::Agent => "agent",
        }
    }

    pub fn what(self) -> &'static str {
        match self {
            Break::Link => "link cut, nobody is told",
            Break::Killed => "Engine, agent and tasks killed",
            Break::Crashed => "application crashed",
            Break::Frozen => "application frozen, TCP open",
            Break::Ingress => "port dead, tasks healthy",
            Break::Agent => "agent frozen, users served",
        }
    }

    /// What has to be looked up is looked up before the moment that counts.
    pub fn strike(self, federation: &mut Federation) -> Result<Struck> {
        let at = victim(federation)?;
        let process = match self {
            Break::Killed | Break::Crashed | Break::Frozen => Some(process(&federation.engines[at])?),
            Break::Link | Break::Ingress | Break::Agent => None,
        };
        let struck = Struck { at: Instant::now(), process };
        match self {
            Break::Link => federation.engines[at].host.cut()?,
            Break::Killed => {
                struck.signal(Signal::SIGKILL)?;
                federation.agents[at].signal(Signal::SIGKILL)?;
                federation.engines[at].process.signal(Signal::SIGKILL)?;
            }
            Break::Crashed => struck.signal(Signal::SIGKILL)?,
            Break::Frozen => struck.signal(Signal::SIGSTOP)?,
            Break::Ingress => {
                let rule = format!(
                    "table ip {FILTER} {{ chain in {{ type filter hook prerouting priority -400; tcp dport 80 drop; }}; }}"
                );
                filter(federation, at, &[&rule])?;
            }
            Break::Agent => federation.agents[at].signal(Signal::SIGSTOP)?,
        }
        Ok(struck)
    }

    pub fn mend(self, federation: &mut Federation, struck: &Struck) -> Result<()> {
        let at = victim(federation)?;
        match self {
            Break::Link => federation.engines[at].host.heal()?,
            Break::Killed => {
                federation.agents[at].kill()?;
                federation.engines[at].process.kill()?;
                federation.engines[at].restart()?;
                federation.agents[at] = federation.start_agent(at)?;
            }
            // Swarm starts another task.
            Break::Crashed => {}
            // Swarm may have given it up and killed it meanwhile.
            Break::Frozen => drop(struck.signal(Signal::SIGCONT)),
            Break::Ingress => filter(federation, at, &["delete", "table", "ip", FILTER])?,
            Break::Agent => federation.agents[at].signal(Signal::SIGCONT)?,
        }
        Ok(())
    }
}

/// A break that happened.
pub struct Struck {
    pub at: Instant,
    /// The application's, where that was the target.
    process: Option<Pid>,
}

impl Struck {
    fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(self.process.context("there is no process")?, signal)?)
    }
}

fn victim(federation: &Federation) -> Result<usize> {
    federation.engines.iter().position(|engine| engine.host.name == VICTIM).context("the victim is no region")
}

fn container(engine: &Engine) -> Result<String> {
    wait_for("a container of the shop", PATIENCE, || {
        let id = engine.docker(&["ps", "-q", "--filter", "name=shop_web"])?;
        let first = id.lines().next().context("no container runs")?;
        Ok(first.to_owned())
    })
}

fn process(engine: &Engine) -> Result<Pid> {
    let id = engine.docker(&["inspect", "-f", "{{.State.Pid}}", &container(engine)?])?;
    Ok(Pid::from_raw(id.trim().parse().context("a process id")?))
}

fn filter(federation: &Federation, at: usize, arguments: &[&str]) -> Result<()> {
    let result = federation.engines[at].host.command("nft").args(arguments).output()?;
    anyhow::ensure!(result.status.success(), "nft: {}", String::from_utf8_lossy(&result.stderr));
    Ok(())
}
